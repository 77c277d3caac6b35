"""Where a run's rows come from: an input that is read now, or what the folder has of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from promptlift.batch.readings import readings
from promptlift.batch.rows import Row
from promptlift.errors import InputError

__all__ = ["Feed", "KeptRows"]

_CHUNK = 1000


class Feed(Protocol):
    """Rows in lists; see `promptlift.batch.readings.Spool`."""

    @property
    def total(self) -> int | None:
        """How many rows there are; None while that is not known."""
        ...

    def chunks(self) -> Iterator[list[Row]]:
        """The rows as they come; blocks while none are there."""
        ...

    def stop(self) -> None:
        """Have `chunks` end; from any thread."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class KeptRows:
    """The rows of all readings in a run's folder.

    Args:
        run_dir: The folder.
        shard: ``(i, n)`` to hand on only the i-th of n parts, counted from 1.

    Raises:
        InputError: There are none.
    """

    def __init__(self, run_dir: Path, shard: tuple[int, int] | None) -> None:
        self.total: int | None = None
        self._shard = shard
        self._stopped = False
        self._readings = readings(run_dir)
        if not self._readings:
            raise InputError(
                f"{str(run_dir)!r} holds no rows", remedy="run `promptlift batch` with an input"
            )

    def chunks(self) -> Iterator[list[Row]]:
        """See `Feed`."""
        rows = chain.from_iterable(reading.rows() for reading in self._readings)
        mine = (row for row in rows if self._shard is None or row.in_shard(self._shard))
        seen = 0
        while (chunk := list(islice(mine, _CHUNK))) and not self._stopped:
            seen += len(chunk)
            yield chunk
        if not self._stopped:
            self.total = seen

    def stop(self) -> None:
        """See `Feed`."""
        self._stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
