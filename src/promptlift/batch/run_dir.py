"""A run's folder as those see it who tell of it: the journal, the readings and the manifest.

Nothing is written and nothing is locked, so that it serves while others work in the folder, on
another machine, or on a copy that may only be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promptlift.batch.current import Current
from promptlift.batch.journal import Index
from promptlift.batch.manifest import Manifest
from promptlift.batch.readings import Reading, readings
from promptlift.errors import OptionError

__all__ = ["RunDir", "open_run"]

_REMEDY = "name the folder that `promptlift batch` was given with -o"


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run as it is now.

    Attributes:
        path: The folder.
        index: Its journal.
        readings: What was read of its inputs, in their order.
        manifest: What it is; None where it was lost.
        current: Tells its results from those of other settings before it.
    """

    path: Path
    index: Index
    readings: tuple[Reading, ...]
    manifest: Manifest | None
    current: Current

    @property
    def complete(self) -> bool:
        """Whether every input was read to its end, so that no row is unknown."""
        return bool(self.readings) and all(reading.complete for reading in self.readings)


@contextmanager
def open_run(run_dir: Path, *, source: str | None = None) -> Iterator[RunDir]:
    """Read the journal of a run, and let go of it at the end.

    Args:
        run_dir: The folder.
        source: The one input whose rows are wanted; None for all.

    Raises:
        OptionError: The folder is no run, or there is no such input.
        OutputError: It cannot be read.
    """
    if not run_dir.is_dir():
        what = "is a file" if run_dir.exists() else "is not there"
        raise OptionError(f"the folder {str(run_dir)!r} {what}", remedy=_REMEDY)
    manifest = Manifest.read(run_dir)
    found = tuple(readings(run_dir))
    with Index.load(run_dir) as index:
        if manifest is None and not found and not index.runs:
            raise OptionError(f"{str(run_dir)!r} is not the folder of a run", remedy=_REMEDY)
        current = Current(index, manifest)
        yield RunDir(run_dir, index, _chosen(found, source), manifest, current)


def _chosen(found: tuple[Reading, ...], source: str | None) -> tuple[Reading, ...]:
    if source is None:
        return found
    chosen = tuple(reading for reading in found if reading.source == source)
    if not chosen:
        names = ", ".join(repr(reading.source) for reading in found) or "none"
        raise OptionError(
            f"the run has no input {source!r}", remedy=f"name one that it has read: {names}"
        )
    return chosen
