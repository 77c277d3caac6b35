"""The spec files that Cosmos generators read, one module for each family."""

from __future__ import annotations

from promptlift.cosmos.formats import predict1, predict2, predict25, transfer1, transfer25
from promptlift.cosmos.items import Format

__all__ = ["FORMATS"]

_ALL = (
    transfer1.SPEC,
    transfer1.BATCH,
    transfer25.FORMAT,
    predict1.FORMAT,
    predict2.FORMAT,
    predict25.FORMAT,
)

FORMATS: dict[str, Format] = {made.name: made for made in _ALL}
