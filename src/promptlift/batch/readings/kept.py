"""The rows that a run's folder has, of each of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promptlift.batch.journal.folder import INPUTS
from promptlift.batch.readings.files import (
    Header,
    blocks,
    complete_path,
    parts_of,
    read_end,
    read_header,
    rows_in,
)
from promptlift.batch.rows import Row

__all__ = ["Reading", "readings"]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file of a reading."""

    path: Path
    header: Header
    rows: int | None  # where it is complete


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is known of the rows of one input.

    That is its last complete reading, and of later ones that are under way or were cut off what
    is not in it.

    Attributes:
        source: The input's description.
        name: Its name in the folder.
        turn: Of the last writer that read it.
        complete: Whether it has been read to its end, and nobody began anew since.
        total: Its rows; None where it is not complete.
        layers: The files, each of rows to be added to those before it.
    """

    source: str
    name: str
    turn: int
    complete: bool
    total: int | None
    layers: tuple[_Layer, ...]

    def rows(self) -> Iterator[Row]:
        """The rows, in the order of the input.

        The digests of one layer are kept in memory where there are several, and nothing where
        there is one. A file that is replaced meanwhile is read as it was.
        """
        earlier: set[bytes] = set()
        for at, layer in enumerate(self.layers):
            last = at == len(self.layers) - 1
            mine: set[bytes] = set()
            for row in _rows(layer):
                name = bytes.fromhex(row.digest)
                if name in earlier:
                    continue
                if not last:
                    mine.add(name)
                yield row
            earlier |= mine


def _rows(layer: _Layer) -> Iterator[Row]:
    try:
        file = layer.path.open("rb")
    except FileNotFoundError:  # a part that became complete since: its rows are found there
        path = complete_path(layer.path.parent, layer.path.name.partition(".")[0])
        if not path.exists():
            return
        file = path.open("rb")
    with file:
        for block in blocks(file, 0):
            yield from rows_in(block)


def readings(run_dir: Path) -> list[Reading]:
    """The readings in a run's folder, live, finished or dead; sorted by their descriptions."""
    folder = run_dir / INPUTS
    names = {path.name.partition(".")[0] for path in folder.glob("[!.]*.jsonl")}
    names |= {path.name.partition(".")[0] for path in folder.glob("[!.]*.part")}
    found = (_reading(folder, name) for name in names)
    return sorted((r for r in found if r is not None), key=lambda reading: reading.source)


def _reading(folder: Path, name: str) -> Reading | None:
    """The layers of an input: its last complete reading, and the cut off ones after it."""
    paths = [complete_path(folder, name), *parts_of(folder, name)]
    found = [layer for path in paths if (layer := _layer(path)) is not None]
    found.sort(key=lambda layer: (layer.header.turn, layer.header.writer))
    whole = max((at for at, layer in enumerate(found) if layer.rows is not None), default=0)
    if not found:
        return None
    last = found[-1]
    complete = last.rows is not None
    layers = tuple(found[whole:])
    return Reading(last.header.source, name, last.header.turn, complete, last.rows, layers)


def _layer(path: Path) -> _Layer | None:
    """A file with its header; None where it is gone or has none yet."""
    try:
        with path.open("rb") as file:
            header = read_header(file)
            end = read_end(file)
    except FileNotFoundError:
        return None
    if header is None:
        return None
    return _Layer(path, header, end[1].rows if end else None)
