"""What the driver and the stages agree on, without Ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from promptlift.batch.invocation import Invocation
from promptlift.engines.base import EngineInfo
from promptlift.scale.asking import Post
from promptlift.scale.desk import AnyDesk
from promptlift.scale.parcels import Back
from promptlift.scale.settings import ScaleSettings

__all__ = ["AnyCluster", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """What the stages of one run share.

    Attributes:
        desk: Where rows come from.
        post: What each engine's actor is given.
        who: The engine.
        scale: How it is spread.
        engines: The fewest and the most engines.
        gpus: GPUs of each engine.
    """

    desk: AnyDesk
    post: Post
    who: EngineInfo
    scale: ScaleSettings
    engines: tuple[int, int]
    gpus: int


class AnyCluster(Protocol):
    """Where a run is spread; `promptlift.scale.ray.Cluster`."""

    @property
    def cpus(self) -> int:
        """Processors that the cluster counts now."""
        ...

    @property
    def gpus(self) -> int:
        """GPUs that the cluster counts now."""
        ...

    def desk(self, *args: Any, **kwargs: Any) -> AnyDesk:
        """A desk; see `promptlift.scale.desk.Desk`."""
        ...

    def describe(self, invocation: Invocation) -> EngineInfo:
        """Who answers, told by an engine that is started on a GPU for that."""
        ...

    def results(self, work: Work) -> Iterator[list[Back]]:
        """Do what the desk has, and give what became of each row as soon as that is known."""
        ...
