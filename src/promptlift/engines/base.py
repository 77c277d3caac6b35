"""The port: what every engine does, and nothing more.

A new engine is a class with three async methods; it is done when it passes the suite in
``tests/contract/test_engines.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from promptlift.types import EngineInfo, FinishReason, Sampling

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.targets.documents import VideoFormat
    from promptlift.types import Control, Frame, Kind

__all__ = [
    "Completion",
    "CountsTokens",
    "Engine",
    "EngineInfo",
    "FinishReason",
    "FollowUp",
    "Request",
    "Sampling",
    "Sleeps",
    "StreamsText",
    "Wraps",
    "innermost",
]


class FollowUp(NamedTuple):
    """An answer of the engine, and what is said to it.

    Attributes:
        answer: The assistant turn.
        text: The user turn after it.
    """

    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to an engine: images first, then text.

    Attributes:
        text: The user turn, made from a template.
        frames: The hint frames, already at their planned size.
        system: The system turn; empty for none.
        sampling: How the answer is drawn.
        short_prompt: The user's own words, for engines that compose from them.
        facts: What was measured, for engines that compose from it; None if not measured.
        source_kind: The kind of control video that the frames are of; None for a camera picture.
        controls: What the generator is made to follow, as far as the user says.
        nouns: What is in view, as far as the user says, for engines that compose from it.
        is_region: Whether the prompt is of a part of the picture only.
        key: The item's key.
        follow_ups: Turns after the first user turn, in order; an engine that reads no text
            ignores them.
        schema: JSON schema of an object that the answer is to be; None for plain text. An engine
            that can holds the model to it while it writes; the text must ask for the same, and
            the answer must be checked, as others cannot and an answer may be cut. Portable are
            ``type``, ``properties``, ``required``, ``additionalProperties``, ``items``, ``enum``,
            ``minItems``, ``maxItems`` and ``maxLength``.
        video: The video to be generated; None where the answer need not agree with it.
    """

    text: str
    frames: tuple[Frame, ...]
    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    short_prompt: str = ""
    facts: Facts | None = None
    source_kind: Kind | None = None
    controls: tuple[Control, ...] = ()
    nouns: tuple[str, ...] = ()
    is_region: bool = False
    key: str = ""
    follow_ups: tuple[FollowUp, ...] = ()
    schema: Mapping[str, Any] | None = None
    video: VideoFormat | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An engine's answer.

    Attributes:
        text: As the engine gave it, nothing cleaned.
        finish_reason: ``stop`` when the engine ended by itself, ``length`` when it was cut, else
            the engine's own word.
        prompt_tokens: Tokens of the whole prompt as the engine counted them; None if it does not.
        completion_tokens: Tokens of the answer; None if the engine does not count.
        unchanged: Why the text is the short prompt itself, for an engine that only adds to it;
            empty for an answer.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    unchanged: str = field(default="", kw_only=True)

    @property
    def is_thought(self) -> bool:
        """Whether it ends, or was cut, before the model came to its answer."""
        return self.text.lstrip().startswith("<think>") and "</think>" not in self.text


class Engine(Protocol):
    """One model behind one door."""

    async def describe(self) -> EngineInfo:
        """Say who answers, asking the server where there is one.

        Raises:
            EngineError: Nobody answers, or the settings are wrong.
        """
        ...

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            TransientEngineError: The same request may succeed later.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: Every request would fail.
        """
        ...

    async def close(self) -> None:
        """Give back what the engine holds; safe to call twice."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What an engine may offer besides: counting a prompt without answering it."""

    async def count(self, request: Request) -> int | None:
        """Tokens of a request's whole prompt, images included; None where it cannot be counted.

        Raises:
            EngineError: Nobody answers, or the settings are wrong.
        """
        ...


@runtime_checkable
class Sleeps(Protocol):
    """What an engine may offer besides: giving its memory back while nobody asks it anything.

    Whoever asks an engine that sleeps wakes it, once however many ask; `Engine.describe` does not.
    """

    def can_sleep(self) -> bool:
        """Whether it can now: an engine may have to be there first."""
        ...

    def asleep(self) -> bool:
        """Whether it sleeps."""
        ...

    async def sleep(self) -> bool:
        """Put it to sleep, unless it works; requests that come meanwhile wait, and wake it.

        Returns:
            Whether it sleeps now.

        Raises:
            EngineError: It does not answer.
        """
        ...

    async def wake(self) -> None:
        """Wake it before it is needed.

        Raises:
            EngineError: It does not answer.
        """
        ...


@runtime_checkable
class StreamsText(Protocol):
    """What an engine may offer besides: the text of an answer while it is written."""

    async def stream(self, request: Request, on_text: Callable[[str], None]) -> Completion:
        """Answer one request as `Engine.complete` does, once, passing on each piece as it comes.

        The pieces are only a draft. An error that may pass is not tried again: the pieces are
        void then, and the caller may ask `Engine.complete`.

        Args:
            request: What is asked.
            on_text: Called with each new piece of the text; not called where the answer came
                whole.

        Raises:
            TransientEngineError: The answer broke off, or the same request may succeed later.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: Every request would fail.
        """
        ...


@runtime_checkable
class Wraps(Protocol):
    """An engine that stands before another, as a limit does; what is learnt is the inner one's."""

    @property
    def inner(self) -> Engine:
        """The engine that it passes requests to."""
        ...


def innermost(engine: Engine) -> Engine:
    """The engine that answers in the end, behind all that stands before it."""
    while isinstance(engine, Wraps):
        engine = engine.inner
    return engine
