"""How a run is spread over a cluster; nothing here changes an answer."""

from __future__ import annotations

from dataclasses import dataclass

from promptlift.batch.mirror import EVERY_S
from promptlift.errors import OptionError

__all__ = ["ScaleSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSettings:
    """How a run is spread over a cluster.

    Attributes:
        address: Of the Ray cluster: ``auto`` for the one that this machine is part of, ``local``
            for one of this machine alone, or ``HOST:PORT``.
        engines: The fewest and the most engines at a time; None for one for each address, or
            with GPUs one to begin with and one for each GPU at most.
        addresses: Base URLs that the engines are shared out over; empty where there is one
            engine setting for all.
        decode_cpus: Processors that Ray counts for one decoding task. A decoder is given one
            thread for each that is counted, at least.
        engine_cpus: Processors that Ray counts for one engine's actor, which encodes pictures,
            reviews answers and writes the journal.
        parcel: The most rows that travel together.
        losses: How often the same task may lose its process before its rows are left for another
            round. While a node is lost and not yet missed, each try counts.
        upload_every: Seconds between two uploads of an engine's journal, where the run is at a URL.
    """

    address: str = "auto"
    engines: tuple[int, int] | None = None
    addresses: tuple[str, ...] = ()
    decode_cpus: float = 1.0
    engine_cpus: float = 0.5
    parcel: int = 8
    losses: int = 100
    upload_every: float = EVERY_S

    def pool(self, *, cpus: float, gpus: int | None) -> tuple[int, int]:
        """The fewest and the most engines.

        The fewest leave room for one decoder on the processors that are there now, since engines
        keep theirs, and would wait for ever for what nobody decodes.

        Args:
            cpus: Processors of the cluster now.
            gpus: GPUs of the cluster now; None where engines need none.
        """
        each = max(1, len(self.addresses))
        least, most = self.engines or ((each, each) if gpus is None else (1, max(1, gpus)))
        room = int((cpus - self.decode_cpus) / self.engine_cpus)
        return max(1, min(least, room)), most

    def __post_init__(self) -> None:
        if self.engines is not None and not 1 <= self.engines[0] <= self.engines[1]:
            raise OptionError(
                f"the engines are {self.engines[0]}:{self.engines[1]}",
                remedy="give the fewest and the most, such as 1:8",
            )
