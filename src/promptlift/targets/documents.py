"""Prompts that are structured documents: what a form has to offer, and which form a target has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from promptlift.errors import OptionError
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.review.request import UserRequest
    from promptlift.review.result import Finding, TextSpan
    from promptlift.targets import Target
    from promptlift.types import VideoInfo

__all__ = [
    "DocumentForm",
    "DocumentPassage",
    "ParsedDocument",
    "VideoFormat",
    "VideoParameters",
    "document_form",
    "document_target",
    "video_format",
]


class VideoParameters(NamedTuple):
    """What is known of the video to be made; None for what is not."""

    size: Size | None = None
    fps: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """The video that the generator is to make; a document has to agree with it.

    Attributes:
        size: Width and height in pixels.
        fps: Frames per second.
        frames: Number of frames.
        first_frame: Whether the generator is given its first frame as a picture.
        last_frame: Whether it is given the last one.
    """

    size: Size
    fps: float
    frames: int
    first_frame: bool = False
    last_frame: bool = False

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.fps

    @property
    def parameters(self) -> VideoParameters:
        """The same, as far as a prompt tells of it."""
        return VideoParameters(self.size, self.fps, self.duration)

    def __str__(self) -> str:
        return f"{self.size} pixels, {self.fps:g} frames per second, {self.duration:.4g} s"


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What was read out of an answer, or of a prompt that somebody wrote.

    Attributes:
        data: The document as plain values; empty where there is none to be read.
        text: The document as the generator takes it; of a prompt that somebody wrote, his text.
        prose: What it says in sentences, for the comparison with the request.
        findings: What is wrong with it; spans are places in `text`.
        places: The place in `text` of each character of `prose`, and of its end.
        passages: Texts of the document that stand for themselves, as spans of `prose`.
        lettering: Texts that the video shows or speaks letter by letter.
        removed: What was taken off the answer, in words.
        as_read: What the generator's encoder gets; empty for `text`.
    """

    data: Mapping[str, Any]
    text: str
    prose: str
    findings: tuple[Finding, ...] = ()
    places: tuple[int, ...] = ()
    passages: tuple[TextSpan, ...] = ()
    lettering: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    as_read: str = ""

    def place(self, span: TextSpan | None) -> TextSpan | None:
        """Where in `text` a span of `prose` stands."""
        if span is None or not self.places:
            return span
        return self.places[span[0]], self.places[span[1]]


class DocumentPassage(NamedTuple):
    """Something that a document says, in sentences.

    Attributes:
        text: The sentences.
        about: ``picture``, ``camera`` or ``sound``; ``rest`` for what a paragraph can do without.
    """

    text: str
    about: Literal["picture", "camera", "sound", "rest"] = "picture"


class DocumentForm(Protocol):
    """A structure that a target wants instead of a paragraph."""

    def schema(self, video: VideoFormat, tokens: int) -> dict[str, Any] | None:
        """The JSON schema that decoding is held to; None where the document is no JSON.

        Args:
            video: The video to be made.
            tokens: What there is for the answer; where that is little, texts are to be shorter.
        """
        ...

    def instructions(self) -> str:
        """What a model is told of the form, whatever the item."""
        ...

    def parse(self, answer: str, video: VideoFormat) -> ParsedDocument:
        """Read a model's answer, and set what code decides.

        Never raises: an answer that cannot be read has a finding and no data.
        """
        ...

    def check(self, text: str, video: VideoParameters = ...) -> ParsedDocument:
        """Read a prompt that somebody wrote, as it is; never raises.

        Args:
            text: The prompt.
            video: What the prompt has to agree with.
        """
        ...

    def passages(self, document: ParsedDocument) -> Iterator[DocumentPassage]:
        """What a document says, in the order of a paragraph.

        The first tells the whole; others may repeat a part of it.
        """
        ...

    def without_model(
        self, prose: str, added: str, request: UserRequest, video: VideoFormat
    ) -> ParsedDocument | None:
        """A valid document of no more than what was said and measured; None if there is none.

        Args:
            prose: The user's words with what was measured.
            added: The sentences of it that are not the user's.
            request: The user's words.
            video: The video to be made.
        """
        ...


def document_form(target: Target) -> DocumentForm | None:
    """The form that a target's prompts have; None for prose."""
    if not target.document:
        return None
    if target.document == "cosmos3":
        from promptlift.targets.cosmos3 import Cosmos3Form

        return Cosmos3Form(target)
    from promptlift.targets.minimax_h3 import MiniMaxH3Form

    return MiniMaxH3Form(target)


def document_target(keys: Collection[str]) -> str | None:
    """Name of the target that an object with these keys is a prompt for; None for any other."""
    is_cosmos3 = len(_COSMOS3_KEYS & set(keys)) > 1
    return "cosmos3" if is_cosmos3 else None


# No two of them stand in a spec, a row or a record.
_COSMOS3_KEYS = frozenset(
    {"temporal_caption", "subjects", "segments", "cinematography", "duration"}
)

_USUAL_FPS = 24.0
_USUAL_SECONDS = 5.0
_USUAL_SIZE = Size(1280, 720)


def video_format(
    target: Target, wish: VideoParameters, source: VideoInfo | None = None
) -> VideoFormat:
    """The video to be made: as the user says, else as the input video, else as is usual.

    What is taken from the input video is brought to the nearest that the generator makes.

    Args:
        target: The generator.
        wish: What the user says.
        source: The input video; None for none.

    Raises:
        OptionError: The generator does not make what the user wants.
    """
    made = target.video
    sizes = tuple(_size(text) for text in made.sizes)
    # Pictures in a list have no times of their own.
    is_moving = source is not None and not source.is_still and source.container != "images"
    moving = source if is_moving else None
    fps = wish.fps or (float(moving.frame_rate) if moving and moving.frame_rate else None)
    seconds = wish.seconds or (float(moving.duration) if moving and moving.duration else None)
    size = wish.size or (source.size if source else None)
    if sizes and (size is None or size not in sizes):
        _refuse(target, "size", wish.size, ", ".join(made.sizes))
        size = sizes[0] if size is None else _nearest_size(size, sizes)
    rate = fps or made.fps or _USUAL_FPS
    if made.rates and rate not in made.rates:
        _refuse(target, "fps", wish.fps, ", ".join(f"{one:g}" for one in made.rates))
        rate = min(made.rates, key=lambda one: abs(one - rate))
    seconds = seconds or made.default_seconds or _USUAL_SECONDS
    frames = max(1, round(seconds * rate))
    if made.seconds:
        low, high = made.seconds
        if wish.seconds and not low <= int(wish.seconds) <= high:
            _refuse(target, "seconds", wish.seconds, f"{low:g} to {high:g}")
        if not low <= int(frames / rate) <= high:
            frames = round(min(max(seconds, low), high) * rate)
    # An input video has the frames that it has.
    kept = moving and moving.frame_count == frames and not (wish.seconds or wish.fps)
    if made.frames and not kept:
        frames += -(frames - made.frames[1]) % made.frames[0]
    return VideoFormat(size or _USUAL_SIZE, rate, frames)


def _refuse(target: Target, name: str, value: object, possible: str) -> None:
    if value is not None:
        raise OptionError(
            f"video_{name} is {value}, which {target.name} does not make",
            remedy=f"use one of {possible}" if "," in possible else f"give {possible}",
        )


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    return Size(int(width), int(height))


def _nearest_size(size: Size, sizes: tuple[Size, ...]) -> Size:
    """The shape that is nearest, in about as many pixels as the usual size has."""
    return min(
        sizes,
        key=lambda one: (
            round(abs(one.width / one.height - size.width / size.height), 1),
            abs(one.pixels - sizes[0].pixels),
        ),
    )
