"""Videos found on the disk: one, those of a folder, those of a pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from promptlift.batch.inputs.base import unreadable
from promptlift.batch.inputs.places import prompt_beside
from promptlift.batch.rows import Row
from promptlift.errors import InputError

__all__ = ["SUFFIXES", "Videos"]

_VIDEOS = """
mp4 mov m4v mkv webm avi mpg mpeg m2v ts m2ts mts vob wmv asf flv f4v ogv ogg mxf nut 3gp 3g2 mj2
y4m ivf obu av1 h263 h264 264 h265 265 hevc h266 266 vvc dv gxf wtv rm rmvb mjpeg mjpg
"""
_PICTURES = "gif webp png apng avif jpg jpeg bmp tif tiff"
SUFFIXES = frozenset(f".{name}" for name in (_VIDEOS + _PICTURES).split())
"""How the name of a video or a picture ends, in small letters."""
_WILD = re.compile(r"[*?[]")
_ANY_DEPTH = "**"
_Inode: TypeAlias = tuple[int, int]


class Videos:
    """One video, or all videos and pictures of a folder or a pattern.

    Folders are walked in the order of names, each sorted for itself, so that the order is the
    same in every run and memory grows with one folder and not with all. Hidden files and folders
    are left out; links are followed, but not in circles.

    Args:
        source: The video, the folder or the pattern (``*``, ``?``, ``[...]`` within a name,
            ``**`` for folders of any depth).
        prompt: The short prompt of those that have no text beside them.

    Raises:
        InputError: The folder, or the part of the pattern without wildcards, is not there.
    """

    def __init__(self, source: str | Path, prompt: str | None) -> None:
        path = Path(source)
        self._prompt = prompt
        self._pattern: tuple[str, ...] = (_ANY_DEPTH, "*")
        if not os.path.lexists(path):
            path, self._pattern = _split(path)
        self._root = path.absolute()
        self.description = str(Path(source).absolute())
        self._single = not self._root.is_dir()
        if not os.path.lexists(self._root):
            raise InputError(f"there is no {str(self._root)!r}", remedy="check the path")

    @property
    def stamp(self) -> None:
        """None: only a walk tells whether files have come or gone."""
        return None

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        if self._single:
            yield self._row(0, str(self._root))
            return
        count = 0
        for found in _walk(str(self._root), self._pattern, frozenset({0}), ()):
            if isinstance(found, tuple):
                yield Row.broken(count, found[0], found[1], video=found[0])
            else:
                yield self._row(count, found)
            count += 1
        if not count:
            raise InputError(
                f"there is no video or picture in {self.description!r}",
                remedy="check the path; a list of videos must be named itself",
            )

    def _row(self, number: int, path: str) -> Row:
        try:
            prompt = prompt_beside(path) or self._prompt or ""
        except InputError as error:
            return Row.broken(number, path, error, video=path)
        return Row.of(number, path, prompt)


def _split(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder before the first wildcard, and the rest."""
    parts = pattern.parts
    first = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
    # Two in a row say no more than one.
    rest = [part for at, part in enumerate(parts) if at >= first]
    rest = [
        part for at, part in enumerate(rest) if rest[at - 1 : at] != [part] or part != _ANY_DEPTH
    ]
    if rest and rest[-1] == _ANY_DEPTH:
        rest.append("*")
    return Path(*parts[:first]), tuple(rest)


def _walk(
    folder: str, pattern: tuple[str, ...], places: frozenset[int], above: tuple[_Inode, ...]
) -> Iterator[str | tuple[str, InputError]]:
    """The videos below a folder, and the folders that cannot be read.

    Args:
        folder: The folder.
        pattern: The parts of the pattern.
        places: The parts that a name in this folder may be: several after ``**``.
        above: The folders on the way here, to see circles of links.
    """
    try:
        status = Path(folder).stat()
        me = (status.st_dev, status.st_ino)
        if me in above:
            return
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.path, _is_folder(entry)) for entry in entries)
    except OSError as error:
        yield folder, unreadable(folder, error)
        return
    places |= {place + 1 for place in places if pattern[place] == _ANY_DEPTH}
    for name, path, is_folder in found:
        if name.startswith("."):
            continue
        fits = frozenset(place for place in places if fnmatchcase(name, pattern[place]))
        if not is_folder:
            if len(pattern) - 1 in fits and Path(name).suffix.lower() in SUFFIXES:
                yield path
        elif below := _below(fits, pattern):
            yield from _walk(path, pattern, below, (*above, me))


def _below(fits: frozenset[int], pattern: tuple[str, ...]) -> frozenset[int]:
    """The parts that a name inside a folder may be, from those that the folder is."""
    inside = (place if pattern[place] == _ANY_DEPTH else place + 1 for place in fits)
    return frozenset(place for place in inside if place < len(pattern))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False
