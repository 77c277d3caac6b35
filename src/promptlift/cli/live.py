"""One line on a terminal that says what is being done; nothing at all elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["Live"]


class Live:
    """A context manager around some work.

    Args:
        first: What is being done at first.
        quiet: Show nothing, on a terminal either.
    """

    def __init__(self, first: str, *, quiet: bool = False) -> None:
        self.shown = not quiet and sys.stderr.isatty()
        self._first = first
        self._exit = ExitStack()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        # Retries are part of the work; what becomes of them is said in one line at the end.
        logging.getLogger("stamina").setLevel(logging.ERROR)
        if self.shown:
            from rich.console import Console

            status = Console(stderr=True).status(self._first)
            self._status = self._exit.enter_context(status)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def close(self) -> None:
        """Take the line away, before something is printed; safe to call twice."""
        self._exit.close()
        self._status = None

    def update(self, text: str) -> None:
        """Say what is being done now."""
        if self._status is not None:
            self._status.update(text)
