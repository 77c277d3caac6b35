"""Numbers as a person reads them at a glance."""

from __future__ import annotations

from promptlift.batch.writers import WriterSeen

__all__ = ["rate", "span", "writer_told"]


def span(seconds: float) -> str:
    """A length of time: ``0.04 s``, ``9.5 s``, ``4 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    hours = whole // 3600
    if hours < 48:
        return f"{hours} h {whole % 3600 // 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def rate(per_second: float, what: str) -> str:
    """A rate in the unit that gives a number above one: ``3.2 rows/s``, ``14 rows/min``."""
    if per_second >= 1 or per_second == 0:
        return f"{_short(per_second)} {what}/s"
    if per_second * 60 >= 1:
        return f"{_short(per_second * 60)} {what}/min"
    return f"{_short(per_second * 3600)} {what}/h"


def writer_told(writer: WriterSeen, *, now: float) -> str:
    """What is known of a writer besides whether it lives."""
    if writer.life == "ended":
        return writer.reason
    ago = span(max(0.0, now - writer.last)) if writer.last is not None else "an unknown time"
    if writer.life == "killed":
        return f"or its machine is gone; last heard of {ago} ago"
    if writer.life == "silent":
        return f"for {ago}, though there is a process {writer.pid}"
    flying = writer.counts.get("in_flight")
    parts = [f"{flying} in flight" if flying is not None else "", rate(writer.rate, "rows")]
    paused = writer.counts.get("paused")
    parts.append(f"PAUSED: {paused}" if paused else "")
    return ", ".join(part for part in parts if part)


def _short(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"
