"""An engine that makes another fail on cue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from promptlift.engines import Completion, Engine, Request
from promptlift.errors import EngineError

__all__ = ["Fault", "FaultyEngine"]

Fault = EngineError | Literal["cut", "loop"] | None
"""An error to raise, a way to spoil the answer, or None for no fault."""


class FaultyEngine:
    """Another engine, with faults on cue.

    ``cut`` ends the answer in the middle with finish reason ``length``, and ``loop`` repeats the
    answer's first words over and over, up to `max_tokens` words.

    Args:
        inner: The engine that answers.
        faults: One a call in their order, none after the last; or a function from the request,
            which stays exact when several requests are under way at once.
    """

    def __init__(
        self, inner: Engine, faults: Sequence[Fault] | Callable[[Request], Fault] = ()
    ) -> None:
        self._inner = inner
        self._faults = faults if callable(faults) else iter(faults)
        self.describe = inner.describe
        self.close = inner.close

    async def complete(self, request: Request) -> Completion:
        """Answer as the inner engine does, with this call's fault."""
        faults = self._faults
        fault = faults(request) if callable(faults) else next(faults, None)
        if isinstance(fault, EngineError):
            raise fault
        completion = await self._inner.complete(request)
        words = completion.text.split()
        if fault == "cut":
            half = " ".join(words[: len(words) // 2]).rstrip(".!?")
            return replace(completion, text=half, finish_reason="length")
        if fault == "loop":
            text = " ".join(words[:4] * (request.sampling.max_tokens // 4))
            return replace(completion, text=text, finish_reason="length")
        return completion
