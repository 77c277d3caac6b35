"""The values that the work uses and the record holds: videos, frames, facts, sampling.

All times are seconds as `fractions.Fraction`, counted from the first frame that a player shows
(so a transport stream that starts at 10:00:00 begins at 0 here).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COSMOS_CONTROLS",
    "Box",
    "Control",
    "Creativity",
    "EngineInfo",
    "FinishReason",
    "Frame",
    "Instant",
    "Kind",
    "PacketIndex",
    "Role",
    "Sampling",
    "Size",
    "Thumbnails",
    "Transfer",
    "VideoInfo",
    "finish_reason",
    "fit",
]

if TYPE_CHECKING:
    RGB = NDArray[np.uint8]


Transfer = Literal["sdr", "pq", "hlg"]
Creativity = Literal["low", "medium", "high"]
"""How much may be added to what is asked for and shown."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A picture size in pixels.

    Attributes:
        width: Pixels across, at least 1.
        height: Pixels down, at least 1.
    """

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def fit(source: Size, box: Size) -> Size:
    """The largest size of the source's shape inside the box, never larger than the source.

    Sides are rounded to the nearest pixel, halves up, and are at least 1.
    """
    scale = min(Fraction(box.width, source.width), Fraction(box.height, source.height), Fraction(1))
    half = Fraction(1, 2)
    width, height = int(source.width * scale + half), int(source.height * scale + half)
    return Size(max(1, width), max(1, height))


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a probe says about a video, without decoding more than it must.

    Attributes:
        container: Short name of the container, such as ``mp4``, ``matroska``, ``gif``, or
            ``images`` for a list of pictures.
        codec: Name of the video codec, such as ``h264``.
        width: Displayed width in pixels, after rotation and sample aspect ratio.
        height: Displayed height in pixels, after rotation and sample aspect ratio.
        coded_width: Width of the decoded picture in pixels, before either.
        coded_height: Height of the decoded picture in pixels, before either.
        rotation: Degrees clockwise by which the decoded picture is turned for display; one of
            0, 90, 180, 270.
        sample_aspect_ratio: Width over height of one coded pixel.
        frame_rate: Average frames a second, exact; None where the file does not tell.
        duration: Seconds from the first frame shown to the end; None where unknown.
        frame_count: Number of frames; None where only a full read would tell.
        pixel_format: FFmpeg's name, such as ``yuv420p10le``.
        bit_depth: Bits a component.
        transfer: ``sdr``, or the HDR transfer that is tone-mapped on reading.
        full_range: True for full-range ("pc") luma, False for limited ("tv"), None if unsaid.
        has_alpha: Whether the picture has an alpha channel (composed on black on reading).
        is_still: Whether this is one picture and not a moving one.
        size_bytes: Size of the file or the bytes given; 0 for a list of pictures.
    """

    container: str
    codec: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    sample_aspect_ratio: Fraction
    frame_rate: Fraction | None
    duration: Fraction | None
    frame_count: int | None
    pixel_format: str
    bit_depth: int
    transfer: Transfer
    full_range: bool | None
    has_alpha: bool
    is_still: bool
    size_bytes: int

    @property
    def size(self) -> Size:
        """The displayed size."""
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment to look at, and how far from it a frame may be taken.

    The frame of an instant is the one on show at `time`: the last that starts at or before it.
    Where a keyframe lies within the window, a reader may take the one nearest to `time` instead;
    a window of one point (`earliest` equal to `latest`) asks for the exact frame.

    Attributes:
        time: Seconds from the start of the video.
        earliest: Start of the window in seconds.
        latest: End of the window in seconds.
    """

    time: Fraction
    earliest: Fraction
    latest: Fraction

    @classmethod
    def exact(cls, time: Fraction) -> Instant:
        """An instant whose very frame is wanted."""
        return cls(time, time, time)


Role = Literal["frame", "first", "last", "reference"]
"""What a picture is: a frame of the video that was given, the first or the last one of the video
that is to be made, or how something in it looks."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Frame:
    """One frame, as it is shown to a model.

    Attributes:
        time: Its true presentation time in seconds from the start of the video.
        image: RGB picture, ``(height, width, 3)``, 8 bits a component.
        wanted: The instant that was asked for; differs from `time` where no frame starts there.
        snapped: True where the nearest keyframe was taken instead of the frame at `wanted`.
        corrupt: True where the decoder said that the picture is damaged.
        role: What it is.
    """

    time: Fraction
    image: RGB
    wanted: Fraction
    snapped: bool = False
    corrupt: bool = False
    role: Role = "frame"

    @property
    def size(self) -> Size:
        """The size of the picture."""
        height, width = self.image.shape[:2]
        return Size(int(width), int(height))


class Box(NamedTuple):
    """A rectangle in fractions of the picture's width and height, from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """What the container tells of a video's packets without decoding; empty where it does not.

    Attributes:
        times: Approximate seconds of each packet from the start, ascending.
        sizes: Bytes of each packet, as many as `times`.
        keys: Whether each packet starts a group of pictures, as many as `times`.
    """

    times: tuple[Fraction, ...] = ()
    sizes: tuple[int, ...] = ()
    keys: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """A small, evenly sampled copy of a video, to be measured.

    Attributes:
        images: RGB pictures, ``(count, height, width, 3)``, 8 bits a component.
        times: Seconds of each picture from the start of the video, ascending.
        source: Displayed size of the video.
        contiguous: False where the pictures are from several separate stretches of a long
            video; `stretches` then gives which.
        stretches: The stretch that each picture belongs to, counted from 0.
    """

    images: NDArray[np.uint8]
    times: tuple[Fraction, ...]
    source: Size
    contiguous: bool = True
    stretches: tuple[int, ...] = ()


Kind = Literal["rgb", "edge", "depth", "seg", "blur", "lines", "mask"]


Control = Literal["edge", "depth", "seg", "blur", "lines", "mask", "keypoint", "lidar", "upscale"]
"""What a generator can be made to follow; most are also kinds of picture that can be shown."""

# The kind is what a viewer sees. None is left to the measurement (skeletons, point clouds);
# "upscale" shows a small camera picture, "wsm" the road as a world model draws it.
COSMOS_CONTROLS: dict[str, tuple[Control, Kind | None]] = {
    "vis": ("blur", "blur"),
    "blur": ("blur", "blur"),
    "edge": ("edge", "edge"),
    "depth": ("depth", "depth"),
    "seg": ("seg", "seg"),
    "keypoint": ("keypoint", None),
    "upscale": ("upscale", "rgb"),
    "hdmap": ("lines", "lines"),
    "wsm": ("lines", "lines"),
    "lidar": ("lidar", None),
}
"""For each of Cosmos's names of a control: what the generator follows, and the kind of picture
that its video shows."""

FinishReason: TypeAlias = str
"""Why an engine ended: ``stop`` by itself, ``length`` at its limit, else the engine's own word."""

_UNNAMED = ("", "none", "null", "unspecified")
_BY_ITSELF = ("stop", "eos", "end", "complete", "done", "finish", "success", "eot", "normal")
_AT_A_LIMIT = ("length", "max", "limit", "context", "truncat", "incomplete")


def finish_reason(reason: object) -> FinishReason:
    """One word for each of the many that engines have for the end of an answer.

    Args:
        reason: What the engine gives; servers of the API's shape also leave it out, or say null.

    Returns:
        ``stop``, ``length``, or the reason itself where it is neither.
    """
    word = "" if reason is None else str(reason).strip()
    plain = re.sub(r"[^a-z]+", "_", word.lower().removeprefix("finish_reason_")).strip("_")
    if plain in _UNNAMED:
        return "stop"
    if any(part in plain for part in _AT_A_LIMIT) and "rate" not in plain:
        return "length"
    return "stop" if plain.startswith(_BY_ITSELF) else word


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Who answers.

    Attributes:
        name: The engine, such as ``embedded`` or ``vllm``.
        model: The model's name; for the embedded engine, the composer's.
        revision: Revision or content hash of the model; empty where it cannot be known.
        version: Version of the software that runs the model.
        context: The most tokens that prompt and answer may take together; None if unbounded or
            not known.
        family: Image-token family in `promptlift.tokens`; None if it takes no tokens.
        max_images: The most images in one request.
        origin: The name or path that the model was loaded from; empty where it is not known.
        reads_text: Whether it reads `Request.text`, and so takes an instruction.
    """

    name: str
    model: str
    revision: str
    version: str
    context: int | None
    family: str | None
    max_images: int
    origin: str = ""
    reads_text: bool = True


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn.

    Attributes:
        max_tokens: The most tokens that the answer may take.
        temperature: 0 for the likeliest answer; Cosmos-Transfer1 uses 0.6.
        seed: Makes an answer repeatable where the engine can.
    """

    max_tokens: int = 300
    temperature: float = 0.6
    seed: int = 0
