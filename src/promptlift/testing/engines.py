"""An engine for tests that answers from a script.

It implements `promptlift.engines.base.Engine` and passes its conformance suite.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.errors import ItemEngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptlift.types import Size

__all__ = ["FakeEngine"]

Reply = str | Completion

_ANSWER = (
    "A robot arm lifts a cup from the table. The camera stays fixed while the arm moves slowly "
    "across the frame."
)


def count_words(text: str) -> int:
    """Count words where a test needs numbers and no tokenizer."""
    return len(text.split())


class FakeEngine:
    """Answers from a script and keeps every request.

    Args:
        replies: What to answer: texts or whole completions, one per call, the last one repeated;
            or a function of the request, which may raise an `EngineError`.
        context: As in `EngineInfo`. A request whose prompt and `max_tokens` do not fit is refused
            with `ItemEngineError`, as a server refuses it. None for no limit.
        family: As in `EngineInfo`.
        max_images: As in `EngineInfo`; a request with more is refused with `ItemEngineError`.
        count_text: Tokens of a text; words by default.
        count_image: Tokens of a picture of a size; none by default.
        name: As in `EngineInfo`.
        model: As in `EngineInfo`.
        revision: As in `EngineInfo`.

    Attributes:
        requests: Every request so far, refused ones included, in the order of the calls.
        closed: Whether `close` was called.
    """

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[Request], Reply] = (_ANSWER,),
        *,
        context: int | None = 4096,
        family: str | None = "pixtral",
        max_images: int = 16,
        count_text: Callable[[str], int] = count_words,
        count_image: Callable[[Size], int] | None = None,
        name: str = "fake",
        model: str = "scripted",
        revision: str = "1",
    ) -> None:
        self.requests: list[Request] = []
        self.closed = False
        self._replies = replies
        self._given = 0
        self._count_text = count_text
        self._count_image = count_image
        self._info = EngineInfo(name, model, revision, "1", context, family, max_images)

    async def describe(self) -> EngineInfo:
        """Say what the constructor was told."""
        return self._info

    async def complete(self, request: Request) -> Completion:
        """Give the next reply, cut to `max_tokens` and counted.

        Raises:
            ItemEngineError: Too many images, or the prompt does not fit the context.
        """
        self.requests.append(request)
        prompt_tokens = self._checked(request)
        reply = self._next(request)
        if isinstance(reply, Completion):
            return reply
        text = self._cut(reply, request.sampling.max_tokens)
        return Completion(
            text,
            "stop" if text == reply else "length",
            prompt_tokens,
            self._count_text(text),
        )

    async def close(self) -> None:
        """Remember that it was called."""
        self.closed = True

    def _checked(self, request: Request) -> int:
        info, images = self._info, len(request.frames)
        if images > info.max_images:
            raise ItemEngineError(
                f"{images} images are more than the {info.max_images} that the model takes",
                remedy="ask for fewer frames",
            )
        texts = (request.system, request.text, *chain.from_iterable(request.follow_ups))
        tokens = sum(map(self._count_text, texts))
        if self._count_image is not None:
            tokens += sum(self._count_image(frame.size) for frame in request.frames)
        if info.context is not None and tokens + request.sampling.max_tokens > info.context:
            raise ItemEngineError(
                f"{tokens} tokens of prompt and {request.sampling.max_tokens} of answer do not "
                f"fit the context of {info.context}",
                remedy="ask for fewer or smaller frames",
            )
        return tokens

    def _next(self, request: Request) -> Reply:
        if callable(self._replies):
            return self._replies(request)
        reply = self._replies[min(self._given, len(self._replies) - 1)]
        self._given += 1
        return reply

    def _cut(self, text: str, max_tokens: int) -> str:
        while text and self._count_text(text) > max_tokens:
            text = text[: max(text.rstrip().rfind(" "), 0)]
        return text
