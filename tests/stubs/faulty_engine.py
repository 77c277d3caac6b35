"""An engine that makes another fail on cue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from promptlift.engines import Completion, Engine, EngineInfo, Request
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
        self._faults = faults
        self._calls = 0

    async def describe(self) -> EngineInfo:
        """Say what the inner engine says."""
        return await self._inner.describe()

    async def complete(self, request: Request) -> Completion:
        """Answer as the inner engine does, with this call's fault.

        Raises:
            EngineError: The one that was scripted, or the inner engine's own.
        """
        fault = self._next(request)
        if isinstance(fault, EngineError):
            raise fault
        completion = await self._inner.complete(request)
        return _spoiled(completion, fault, request) if isinstance(fault, str) else completion

    async def close(self) -> None:
        """Close the inner engine."""
        await self._inner.close()

    def _next(self, request: Request) -> Fault:
        if callable(self._faults):
            return self._faults(request)
        self._calls += 1
        return self._faults[self._calls - 1] if self._calls <= len(self._faults) else None


def _spoiled(completion: Completion, how: str, request: Request) -> Completion:
    words = completion.text.split()
    if how == "cut":
        half = " ".join(words[: max(1, len(words) // 2)]).rstrip(".!?")
        return replace(completion, text=half, finish_reason="length")
    phrase = words[:4]
    times = max(1, request.sampling.max_tokens // max(1, len(phrase)))
    return replace(completion, text=" ".join(phrase * times), finish_reason="length")
