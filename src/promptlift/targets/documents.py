"""Prompts that are structured documents: what a form has to offer, and which form a target has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from promptlift.errors import OptionError

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.review.request import UserRequest
    from promptlift.review.result import Finding
    from promptlift.targets import Target
    from promptlift.types import Size

__all__ = ["DocumentForm", "ParsedDocument", "VideoFormat", "document_form"]


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """The video that the generator is to make; a document has to agree with it.

    Attributes:
        size: Width and height in pixels.
        fps: Frames per second.
        frames: Number of frames.
    """

    size: Size
    fps: float
    frames: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.fps


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What was read out of an answer.

    Attributes:
        data: The document as plain values, with what is set by code already in it.
        text: The document as the generator takes it.
        prose: What it says in sentences, for the comparison with the request.
        findings: What is wrong with it; spans are places in `text`.
    """

    data: Mapping[str, Any]
    text: str
    prose: str
    findings: tuple[Finding, ...] = ()


class DocumentForm(Protocol):
    """A structure that a target wants instead of a paragraph."""

    def schema(self, video: VideoFormat) -> dict[str, Any] | None:
        """The JSON schema that decoding is held to; None where the document is no JSON."""
        ...

    def instructions(self, target: Target, video: VideoFormat, request: UserRequest) -> str:
        """What a model is told of the form."""
        ...

    def parse(self, answer: str, video: VideoFormat) -> ParsedDocument:
        """Read an answer, or a prompt that somebody wrote, and set what code decides.

        Never raises: an answer that cannot be read has a finding and no data.
        """
        ...

    def without_model(
        self, request: UserRequest, facts: Facts | None, video: VideoFormat
    ) -> ParsedDocument | None:
        """A valid document of no more than what was said and measured; None if there is none."""
        ...


def document_form(target: Target) -> DocumentForm | None:
    """The form that a target's prompts have; None for prose."""
    if not target.document:
        return None
    raise OptionError(
        f"promptlift does not write the form {target.document!r} yet", remedy="use another target"
    )
