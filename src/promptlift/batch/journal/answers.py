"""Answers on their way into the journal, so that what was answered is not asked again.

Between an answer and its result lie the review and whatever else the machine has to do, and a kill
may come there. So an answer is written down the moment it comes, while its request still counts
as in flight, and is forgotten when the item's result is in the journal. What a kill leaves is
given out by the next run in the place of a request.

A writer has a few small parts, begun one after the other; a part goes when everything in it is
settled. So there is never much to read, however long the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from promptlift.batch.journal import lines
from promptlift.batch.journal.folder import ANSWERS
from promptlift.batch.journal.names import here, new_name, process_of, runs
from promptlift.engines.base import Completion, Request

__all__ = ["Answers", "clear_answers"]

_PART_BYTES = 1 << 20
_MOST_BYTES = 64 << 20  # of a part that is read; ours are not a tenth of that
_DEAD_FOR_SURE_S = 86_400


class Answers:
    """One writer's answers without a result, and what others have left. A context manager.

    An error of the disk costs no run: an answer that is not kept is asked for again at worst.

    Args:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / ANSWERS
        self._name = new_name()
        self._left = dict(_left_in(self._folder))
        self._parts: list[_Part] = []
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, request: Request) -> Completion | None:
        """The answer that another run has left to this very request; None for none."""
        return self._left.pop(_digest(request), None) if self._left else None

    def keep(self, request: Request, answer: Completion) -> None:
        """Write an answer down, until its item is settled."""
        said = {"key": request.key, "request": _digest(request), "answer": asdict(answer)}
        with contextlib.suppress(OSError):
            self._part().keep(request.key, lines.encode("answer", said))

    def settle(self, key: str) -> None:
        """Forget an item's answers: its result is in the journal."""
        for part in [part for part in self._parts if part.settle(key)]:
            if part is not self._parts[-1]:
                part.remove()
                self._parts.remove(part)

    def close(self) -> None:
        """Let go of the parts, and remove those with nothing left in them; safe to call twice."""
        for part in self._parts:
            part.close()
        self._parts.clear()

    def _part(self) -> _Part:
        """The part that is written to; a new one where the last has become large."""
        if not self._parts or self._parts[-1].size >= _PART_BYTES:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{self._name}.{self._count}.jsonl"
            self._parts.append(_Part(path))
            self._count += 1
        return self._parts[-1]


def clear_answers(run_dir: Path) -> None:
    """Remove what writers have left who are gone, where nothing of a run is open any more."""
    for path in _parts(run_dir / ANSWERS):
        if _is_gone(path):
            with contextlib.suppress(OSError):
                path.unlink()


class _Part:
    """One file of answers, and which of its items have no result yet."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
        self._open: set[str] = set()

    def keep(self, key: str, line: bytes) -> None:
        self._open.add(key)
        self._write(line)

    def settle(self, key: str) -> bool:
        """Note that an item is settled; gives whether none is open any more."""
        if key in self._open:
            self._open.discard(key)
            with contextlib.suppress(OSError):
                self._write(lines.encode("settled", {"key": key}))
        return not self._open

    def close(self) -> None:
        os.close(self._handle)
        if not self._open:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def remove(self) -> None:
        self._open.clear()
        self.close()

    def _write(self, line: bytes) -> None:
        # One write; a torn one spoils its neighbour at worst, as a line of its own would not.
        self.size += os.write(self._handle, line)


def _digest(request: Request) -> str:
    """What a request asks for: the item, the words, the frames' places and sizes, and how."""
    frames = [(str(frame.time), *frame.image.shape) for frame in request.frames]
    asked = (request.key, request.system, request.text, frames, asdict(request.sampling))
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _left_in(folder: Path) -> Iterator[tuple[str, Completion]]:
    for path in _parts(folder):
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            data = path.read_bytes()
        except OSError:
            continue
        yield from _unsettled(data)


def _unsettled(data: bytes) -> Iterator[tuple[str, Completion]]:
    found: dict[str, dict[str, Completion]] = {}
    for line in data.split(b"\n"):
        fields = _fields(line)
        if fields.get("kind") == "answer":
            with contextlib.suppress(TypeError, KeyError):
                answer = Completion(**fields["answer"])
                found.setdefault(str(fields["key"]), {})[str(fields["request"])] = answer
        elif fields.get("kind") == "settled":
            found.pop(str(fields.get("key")), None)
    for answers in found.values():
        yield from answers.items()


def _fields(line: bytes) -> dict[str, Any]:
    """The fields of a whole line; none of one that is torn or damaged."""
    if lines.check(line):
        with contextlib.suppress(ValueError):
            return lines.fields_of(line)
    return {}


def _parts(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.jsonl"))
    except OSError:
        return []


def _is_gone(path: Path) -> bool:
    """Whether the writer of a part is surely gone: by its process here, by its age elsewhere."""
    process = process_of(path.name.split(".jsonl")[0].rpartition(".")[0])
    if process is not None and process[0] == here():
        return not runs(process[1])
    with contextlib.suppress(OSError):
        return path.stat().st_mtime < time.time() - _DEAD_FOR_SURE_S
    return False
