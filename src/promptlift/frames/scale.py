"""From a decoded frame to the RGB picture that is shown: scaled, upright, square pixels, sRGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from promptlift.core.video import Size, fit
from promptlift.frames.color import matrix_of, range_of, tone_map, transfer_of

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from promptlift.core.video import RGB

__all__ = [
    "LANCZOS",
    "UPRIGHT",
    "Orientation",
    "Scaler",
    "has_alpha",
    "orientation_of",
    "shown_size",
]

LANCZOS = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a decoded picture is turned for display.

    Attributes:
        quarters: Quarter turns clockwise, 0 to 3.
        mirrored: Whether it is mirrored left to right before it is turned.
    """

    quarters: int = 0
    mirrored: bool = False

    def apply(self, image: RGB) -> RGB:
        """Turn a picture ``(height, width, 3)``."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarters))

    def size(self, size: Size) -> Size:
        """Give the size of a picture of this size once turned, and the other way round."""
        return Size(size.height, size.width) if self.quarters % 2 else size


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix, which takes (x, y) to (a*x + c*y, b*x + d*y).

    To be read once a video and not for every frame.
    """
    # PyAV's view of side data and its frame refer to each other, so a frame that was asked for it
    # stays in memory until the garbage collector comes by: ask a thumbnail, which has it too.
    thumbnail = frame.reformat(2, 2, "gray8", interpolation=Interpolation.POINT)
    data = thumbnail.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return UPRIGHT
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
        self, aspect: Fraction, orientation: Orientation, interpolation: Interpolation = LANCZOS
    ) -> None:
        self._aspect = aspect
        self._orientation = orientation
        self._interpolation = interpolation
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: VideoFrame, box: Size, *, exactly: bool = False) -> RGB:
        """Scale one frame straight to the size fitted into a box.

        Args:
            frame: The decoded frame.
            box: The most pixels across and down, as displayed.
            exactly: Give this very size instead of one fitted into it.

        Returns:
            ``(height, width, 3)``, sRGB, 8 bits a component.
        """
        turn = self._orientation
        shown = shown_size(Size(frame.width, frame.height), self._aspect, turn)
        size = turn.size(box if exactly else fit(shown, box))
        transfer = transfer_of(int(frame.color_trc))
        if transfer != "sdr":
            codes = self._scaled(frame, size, "rgb48le").astype(np.uint16, copy=False)
            return turn.apply(tone_map(codes, transfer))
        if has_alpha(frame.format):
            return turn.apply(on_black(_bytes(self._scaled(frame, size, "rgba"))))
        return turn.apply(_bytes(self._scaled(frame, size, "rgb24")))

    def _scaled(self, frame: VideoFrame, size: Size, pixels: str) -> NDArray[Any]:
        scaled = self._reformatter.reformat(
            frame,
            size.width,
            size.height,
            pixels,
            src_colorspace=matrix_of(frame),
            src_color_range=range_of(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=self._interpolation,
        )
        return scaled.to_ndarray()


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    return image.astype(np.uint8, copy=False)


def on_black(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compose ``(height, width, 4)`` with straight alpha on black."""
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 127) // 255).astype(np.uint8)
