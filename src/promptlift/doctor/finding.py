"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Status"]

Status = Literal["ok", "note", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: What was looked at.
        status: ``ok``; ``note`` for what some uses need or will trip over; ``fail`` for what
            every use needs, or what was asked for and is not there.
        detail: What was found.
        remedy: What to do; empty where nothing is to be done.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""
