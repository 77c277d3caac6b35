"""Stop asking an engine that is down, and find out when it is back.

One failure says nothing. When one follows another and no answer comes between, the engine is down,
and every item would only use up its tries. So the breaker opens: one request at a time goes
through, at growing intervals, until one is answered or patience is over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic

from promptlift.errors import TransientEngineError

__all__ = ["Breaker", "EngineDown"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class EngineDown(TransientEngineError):
    """The engine has been down for longer than the run has patience; nothing is marked."""

    code = "engine_down"


class Breaker:
    """Closed while answers come.

    Args:
        patience: Seconds that it stays open before it gives up.
        told: Called with True when it opens, and False when it closes again.
        clock: Gives seconds.

    Attributes:
        last: The latest failure; None for none.
    """

    def __init__(
        self,
        patience: float,
        told: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.last: TransientEngineError | None = None
        self._patience = patience
        self._told = told
        self._clock = clock
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._pause = _FIRST_PAUSE
        self._probing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._opened_at is not None

    async def admit(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait until a request makes sense.

        Args:
            pause: Waits so many seconds; what it raises ends the waiting.

        Raises:
            EngineDown: Patience is over.
        """
        if not self.is_open:
            return
        async with self._probing:
            if self._opened_at is not None:
                self._check_patience(self._opened_at)
                await pause(self._pause * random.uniform(0.5, 1))  # noqa: S311
                self._pause = min(_LONGEST_PAUSE, self._pause * 2)

    def answered(self) -> None:
        """Note that the engine answered, if only with a refusal."""
        self._in_a_row = 0
        if self.is_open:
            self._opened_at, self._pause = None, _FIRST_PAUSE
            self._told(False)

    def failed(self, error: TransientEngineError, in_flight: int) -> None:
        """Note a failure that may pass.

        Args:
            error: The failure.
            in_flight: Requests under way, which may all fail at once without meaning more.
        """
        self.last = error
        self._in_a_row += 1
        if self._in_a_row >= 8 + in_flight:
            self.open(error)

    def open(self, error: TransientEngineError) -> None:
        """Hold requests back: the engine is away for sure."""
        self.last = error
        if not self.is_open:
            self._opened_at = self._clock()
            self._told(True)

    def _check_patience(self, since: float) -> None:
        waited = self._clock() - since
        if waited < self._patience:
            return
        why = self.last.message if self.last else "no answer"
        remedy = self.last.remedy if self.last else "look at the engine"
        raise EngineDown(
            f"the engine has not answered for {waited:.0f} s: {why}",
            remedy=f"{remedy}; then run the same command again, which goes on where this stopped",
        )
