"""Many items: rows read from any input, the run that loses nothing, its status and its export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.batch.runner import BatchRun, RunSettings
    from promptlift.batch.status import RowResult, raw_record, row_results

__all__ = ["BatchRun", "RowResult", "RunSettings", "raw_record", "row_results"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "runner" if name in ("BatchRun", "RunSettings") else "status"
    return getattr(import_module(f"{__name__}.{home}"), name)
