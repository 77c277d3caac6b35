"""From decoded colours to sRGB: matrix, range, and HDR to SDR.

HDR follows ITU-R BT.2100 (PQ and HLG), BT.2390 (the tone curve) and BT.2408 (203 nits for
diffuse white).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import ColorRange, Colorspace

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from promptlift.core.video import Transfer

__all__ = ["matrix_of", "range_of", "tone_map", "transfer_of"]

_TRC_PQ = 16  # AVCOL_TRC_SMPTE2084
_TRC_HLG = 18  # AVCOL_TRC_ARIB_STD_B67

# AVColorSpace to swscale's matrices; 0 is RGB, 2 is unspecified.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}

_SDR_WHITE = 203.0  # nits of diffuse white, BT.2408
_HDR_PEAK = 1000.0  # nits; the mastering peak of nearly all HDR10 material and of HLG
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128

_BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    dtype=np.float32,
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)


def transfer_of(color_trc: int) -> Transfer:
    """Name the transfer function of a frame or stream from FFmpeg's number."""
    return "pq" if color_trc == _TRC_PQ else "hlg" if color_trc == _TRC_HLG else "sdr"


def matrix_of(frame: VideoFrame) -> Colorspace:
    """Give the YCbCr matrix: as tagged, else BT.601.

    Players take untagged high definition for BT.709; but untagged files are mostly written from
    RGB by FFmpeg, which uses BT.601 then, and generators read them back through FFmpeg (OpenCV,
    decord, torchcodec, imageio), which does the same. So the model sees the generator's colours.
    """
    return _MATRICES.get(int(frame.colorspace), Colorspace.ITU601)


def range_of(frame: VideoFrame) -> ColorRange:
    """Give the range: full for RGB and where tagged or told by the pixel format, else limited."""
    pixels = frame.format
    full = pixels.is_rgb or pixels.name.startswith("yuvj")
    full = full or int(frame.color_range) == ColorRange.JPEG
    return ColorRange.JPEG if full else ColorRange.MPEG


def tone_map(codes: NDArray[np.uint16], transfer: Transfer) -> NDArray[np.uint8]:
    """Turn a BT.2020 HDR picture into sRGB.

    The picture is made linear in nits, moved to BT.709 primaries, and its brightest component
    is rolled off by BT.2390's curve from 1000 nits to diffuse white; the ratio of the
    components, and so the hue, is kept.

    Args:
        codes: ``(height, width, 3)``, full-range R'G'B' codes of 16 bits.
        transfer: ``pq`` or ``hlg``.

    Returns:
        ``(height, width, 3)``, 8 bits.
    """
    signal = codes.astype(np.float32) / np.float32(65535)
    nits = _pq_to_nits(signal) if transfer == "pq" else _hlg_to_nits(signal)
    nits = np.maximum(nits @ _BT2020_TO_BT709.T, 0)
    brightest = np.maximum(nits.max(axis=2, keepdims=True), 1e-4)
    linear = nits * (_roll_off(brightest) / brightest) / _SDR_WHITE
    return (_srgb(np.clip(linear, 0, 1)) * 255 + 0.5).astype(np.uint8)


def _pq_to_nits(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    power = signal ** np.float32(1 / _M2)
    ratio = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return np.asarray(10000 * ratio ** np.float32(1 / _M1), dtype=np.float32)


def _nits_to_pq(nits: NDArray[np.float32]) -> NDArray[np.float32]:
    power = (nits / 10000) ** np.float32(_M1)
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** np.float32(_M2), np.float32)


def _hlg_to_nits(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = np.maximum(scene @ _BT2020_LUMA, 1e-6)[..., None]
    return np.asarray(_HDR_PEAK * luma**0.2 * scene, dtype=np.float32)  # system gamma 1.2


def _roll_off(nits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply BT.2390-11, section 5.4.1: a Hermite spline in PQ above a knee."""
    source, target = _nits_to_pq(np.array([_HDR_PEAK, _SDR_WHITE], dtype=np.float32))
    ceiling = target / source
    knee = 1.5 * ceiling - 0.5
    level = np.minimum(_nits_to_pq(nits) / source, 1)
    t = np.maximum(level - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * ceiling
    )
    return _pq_to_nits(np.where(level < knee, level, spline).astype(np.float32) * source)


def _srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    curve = 1.055 * linear ** np.float32(1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curve), dtype=np.float32)
