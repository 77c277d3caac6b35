"""Results of a batch on disk: append-only parts, an index over them, the folder, a remote copy."""

from __future__ import annotations

from promptlift.store.index import Index, PartDamage
from promptlift.store.results import PartName, writer_process
from promptlift.store.run_dir import open_run

__all__ = ["Index", "PartDamage", "PartName", "open_run", "writer_process"]
