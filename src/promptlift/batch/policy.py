"""What is done again: the table of the design, as a function."""

from __future__ import annotations

from typing import Literal

__all__ = ["FIT", "Retry", "State", "wanted"]

State = Literal["ok", "repaired", "rejected", "failed"]
Retry = Literal["failed", "rejected", "all"]

FIT: frozenset[str] = frozenset({"ok", "repaired"})
"""The states with a result that is fit to use."""


def wanted(state: str | None, *, retryable: bool, retry: Retry | None) -> bool:
    """Whether an item is to be asked.

    Args:
        state: What stands of it; None for nothing.
        retryable: Whether its failure may pass by itself.
        retry: What the user wants to be done again besides.
    """
    if state is None:
        return True
    if state == "failed":
        return retryable or retry in ("failed", "all")
    return state == "rejected" and retry in ("rejected", "all")
