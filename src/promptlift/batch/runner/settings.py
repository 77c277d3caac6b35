"""How a run goes about it; nothing here changes an answer."""

from __future__ import annotations

import os
from dataclasses import dataclass

from promptlift.batch.policy import Retry
from promptlift.errors import OptionError

__all__ = ["RunSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run goes about it.

    Attributes:
        retry: What is done again besides what a rerun always does.
        limit: The most items to begin; None for all.
        stop_after: Seconds after which nothing more is begun; None for never.
        concurrency: The most requests in flight; it begins with as many.
        most: The most requests in flight where `concurrency` is None and it is found out.
        workers: Processes that decode.
        memory: Bytes of pictures that may be held.
        patience: Seconds that an engine may be away.
        decode_seconds: Seconds that one look at one video may take.
        shard: ``(i, n)`` to do the i-th of n parts of the rows only, counted from 1.
        accept_changes: Go on in a folder that was begun with other settings.
    """

    retry: Retry | None = None
    limit: int | None = None
    stop_after: float | None = None
    concurrency: int | None = None
    most: int = 256
    workers: int = max(1, min(8, os.cpu_count() or 1))
    memory: int = 1 << 30
    patience: float = 600.0
    decode_seconds: float = 60.0
    shard: tuple[int, int] | None = None
    accept_changes: bool = False

    def __post_init__(self) -> None:
        for name in ("limit", "stop_after", "concurrency", "workers", "memory", "decode_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionError(f"{name} is {value}", remedy="give a value above 0")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise OptionError(
                f"the shard is {self.shard[0]}/{self.shard[1]}",
                remedy="give one such as 3/8, the third of eight",
            )
