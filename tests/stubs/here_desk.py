"""The desk of a run on a cluster, in this process."""

from __future__ import annotations

from typing import Any

from promptlift.scale.desk import Desk
from promptlift.scale.parcels import Fate

__all__ = ["HereDesk"]


class HereDesk:
    """The desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return getattr(self._desk, name)(*args, **kwargs)

    def tell(self, name: str, *args: Any) -> None:
        """Call it."""
        self.call(name, *args)

    def claim(self, ticket: int, key: str, sifted: bool) -> Fate:
        """Claim."""
        return self._desk.claim(ticket, key, sifted=sifted)
