"""What Prometheus reads, in a registry of our own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters that the parts of the server add to.

    Attributes:
        gauge: Makes a gauge of a name, a text and the names of its labels.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        settings: dict[str, Any] = {"namespace": "promptlift", "registry": self._registry}
        counter: Callable[..., Counter] = partial(Counter, **settings)
        seconds: Callable[..., Histogram] = partial(Histogram, buckets=_SECONDS, **settings)
        self.gauge: Callable[..., Gauge] = partial(Gauge, **settings)
        route = ("method", "route", "status")
        self.requests = counter("requests", "Requests by route and status.", route)
        text = "Seconds from a request's head to the end of its answer."
        self.seconds = seconds("request_seconds", text, ("route",))
        text = "Videos and prompts worked on, by what became of them."
        self.items = counter("items", text, ("engine", "status"))
        text = "Seconds of each stage of an item."
        self.stages = seconds("stage_seconds", text, ("engine", "stage"))
        text = "Tokens as the engine counted them."
        self.tokens = counter("engine_tokens", text, ("engine", "kind"))
        text = "Requests answered with a stored result, without asking the engine."
        self.cached_results = counter("cached_results", text)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
