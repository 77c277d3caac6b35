"""Gauges and counters of a vLLM server, from the text that Prometheus reads."""

from __future__ import annotations

import math
import re

__all__ = ["total"]


def total(metrics: str, *names: str) -> float | None:
    """Sum of metrics over all their labels, such as the engines of a data-parallel server.

    Args:
        metrics: The text of ``/metrics``.
        names: The metrics, without ``vllm:``.

    Returns:
        None where none of them is there.
    """
    wanted = "|".join(map(re.escape, names))
    # A label's value may hold a brace, as a model's name can; the last one closes the labels.
    found = re.findall(rf"^vllm:(?:{wanted})(?:{{.*}})? (\S+)", metrics, re.MULTILINE)
    values = [value for value in map(_number, found) if value is not None]
    return sum(values) if values else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
