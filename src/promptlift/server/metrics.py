"""What Prometheus reads, in a registry of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "Gauges", "Metrics"]

Look: TypeAlias = Callable[[], float]
Gauges: TypeAlias = Mapping[str, tuple[str, Look | Mapping[str, Look]]]
"""What is looked up when it is asked for: name to help and function, or one for each engine."""

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters that the parts of the server add to.

    Args:
        gauges: See `Gauges`.
    """

    def __init__(self, gauges: Gauges) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "promptlift_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "promptlift_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.items = Counter(
            "promptlift_items",
            "Videos and prompts worked on, by what became of them.",
            ("engine", "status"),
            registry=self._registry,
        )
        self.stages = Histogram(
            "promptlift_stage_seconds",
            "Seconds of each stage of an item.",
            ("engine", "stage"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.tokens = Counter(
            "promptlift_engine_tokens",
            "Tokens as the engine counted them.",
            ("engine", "kind"),
            registry=self._registry,
        )
        self.cached_results = Counter(
            "promptlift_cached_results",
            "Requests answered with a stored result, without asking the engine.",
            registry=self._registry,
        )
        for name, (text, looks) in gauges.items():
            self._look(f"promptlift_{name}", text, looks)

    def _look(self, name: str, text: str, looks: Look | Mapping[str, Look]) -> None:
        if isinstance(looks, Mapping):
            gauge = Gauge(name, text, ("engine",), registry=self._registry)
            for engine, look in looks.items():
                gauge.labels(engine).set_function(look)
        else:
            Gauge(name, text, registry=self._registry).set_function(looks)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
