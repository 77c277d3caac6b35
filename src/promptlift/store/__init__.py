"""Results of a batch on disk: append-only parts, an index over them, the folder, a remote copy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.store.index import Index, PartDamage
    from promptlift.store.results import PartName, writer_process
    from promptlift.store.run_dir import open_run

__all__ = ["Index", "PartDamage", "PartName", "open_run", "writer_process"]

_HOMES = {
    "Index": "index",
    "PartDamage": "index",
    "PartName": "results",
    "open_run": "run_dir",
    "writer_process": "results",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
