"""From a decoded frame to the picture that is shown: scaled, upright, square pixels, sRGB.

HDR follows ITU-R BT.2100 (PQ and HLG), BT.2390 (the tone curve) and BT.2408 (203 nits for
diffuse white).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from promptlift.types import Size, fit

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from promptlift.types import RGB, Transfer

__all__ = [
    "Orientation",
    "Scaler",
    "has_alpha",
    "is_full_range",
    "on_black",
    "orientation_of",
    "shown_size",
    "transfer_of",
]

_TRC_PQ = 16  # AVCOL_TRC_SMPTE2084
_TRC_HLG = 18  # AVCOL_TRC_ARIB_STD_B67

# AVColorSpace to swscale's matrices; whatever else is there is taken for BT.601. Players take
# untagged high definition for BT.709; but untagged files are mostly written from RGB by FFmpeg,
# which uses BT.601 then, and generators read them back through FFmpeg (OpenCV, decord, torchcodec,
# imageio), which does the same. So the model sees the generator's colours.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
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


def is_full_range(frame: VideoFrame) -> bool | None:
    """Whether the levels fill all of their bits; None where the file does not say."""
    if frame.format.is_rgb or frame.format.name.startswith("yuvj"):
        return True
    tagged = {int(ColorRange.JPEG): True, int(ColorRange.MPEG): False}
    return tagged.get(int(frame.color_range))


def _tone_map(codes: NDArray[np.uint16], transfer: Transfer) -> NDArray[np.uint8]:
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


_LANCZOS = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a decoded picture is turned for display.

    Attributes:
        quarters: Quarter turns clockwise, 0 to 3.
        mirrored: Whether it is mirrored left to right before it is turned.
    """

    quarters: int = 0
    mirrored: bool = False

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a picture ``(height, width, ...)``."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarters))

    def size(self, size: Size) -> Size:
        """Give the size of a picture of this size once turned, and the other way round."""
        return Size(size.height, size.width) if self.quarters % 2 else size


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix, which takes (x, y) to (a*x + c*y, b*x + d*y).

    To be read once a video and not for every frame.
    """
    # PyAV's view of side data and its frame refer to each other, so a frame whose side data is read
    # stays in memory until the garbage collector comes by: ask a thumbnail, which has it too.
    thumbnail = frame.reformat(2, 2, "gray8", interpolation=Interpolation.POINT)
    data = thumbnail.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return Orientation()
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    if abs(a) >= abs(b):
        return Orientation(0 if a >= 0 else 2, mirrored)
    return Orientation(1 if b > 0 else 3, mirrored)


def shown_size(coded: Size, aspect: Fraction, orientation: Orientation) -> Size:
    """Give the displayed size: width stretched to square pixels, then turned."""
    width = max(1, round(coded.width * aspect))
    return orientation.size(Size(width, coded.height))


def has_alpha(pixels: VideoFormat) -> bool:
    """Say whether a pixel format has an alpha channel."""
    return any(component.is_alpha for component in pixels.components)


class Scaler:
    """Turns frames of one video into RGB pictures.

    Args:
        aspect: Width over height of one coded pixel.
        orientation: How the decoded pictures are turned for display.
        interpolation: swscale's flags; Lanczos by default.
    """

    def __init__(
        self, aspect: Fraction, orientation: Orientation, interpolation: Interpolation = _LANCZOS
    ) -> None:
        self._aspect = aspect
        self._orientation = orientation
        self._interpolation = interpolation
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: VideoFrame, box: Size, *, stretch: bool = False) -> RGB:
        """Scale one frame straight to the size fitted into a box.

        Args:
            frame: The decoded frame.
            box: The most pixels across and down, as displayed.
            stretch: Give this very size instead of one fitted into it.

        Returns:
            ``(height, width, 3)``, sRGB, 8 bits a component.
        """
        turn = self._orientation
        shown = shown_size(Size(frame.width, frame.height), self._aspect, turn)
        size = turn.size(box if stretch else fit(shown, box))
        transfer = transfer_of(int(frame.color_trc))
        if transfer != "sdr":
            return turn.apply(_tone_map(self._scaled(frame, size, "rgb48le"), transfer))
        if has_alpha(frame.format):
            return turn.apply(on_black(self._scaled(frame, size, "rgba")))
        return turn.apply(self._scaled(frame, size, "rgb24"))

    def to_luma(self, frame: VideoFrame, size: Size) -> NDArray[np.uint8]:
        """Scale the luma of one frame to a size, ``(height, width)``; HDR is not tone-mapped."""
        turn = self._orientation
        return turn.apply(self._scaled(frame, turn.size(size), "gray8"))

    def _scaled(self, frame: VideoFrame, size: Size, pixels: str) -> NDArray[Any]:
        scaled = self._reformatter.reformat(
            frame,
            size.width,
            size.height,
            pixels,
            src_colorspace=_MATRICES.get(int(frame.colorspace), Colorspace.ITU601),
            src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=self._interpolation,
        )
        return scaled.to_ndarray()


def on_black(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compose ``(height, width, 4)`` with straight alpha on black."""
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 127) // 255).astype(np.uint8)
