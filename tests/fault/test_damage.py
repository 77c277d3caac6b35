"""Damaged files: no crash, no hang, and nothing told that is not so.

Every copy is looked at in a child process, many to a child; a journal tells which file it was
that took the child down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from fault.damage import DAMAGES, FORMATS, HUNG, Verdict, damaged, examine, make
from fault.jobs import leave, segfault
from promptlift.errors import VideoTimeout
from promptlift.video import IsolationLimits, isolated_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

R = TypeVar("R")

SEEDS = range(9)
LIMITS = IsolationLimits(wall_seconds=200, cpu_seconds=200)
# Pillow rounds a GIF's times to hundredths of a second, so they tell no frame's number.
TIMED = {kind for kind in FORMATS if "." in kind}


def _examined(paths: list[Path], journal: Path, *, is_timed: bool) -> list[Verdict]:
    return _watched(journal, examine, paths, journal, is_timed=is_timed)


def _watched(journal: Path, function: Callable[..., R], *args: object, **kwargs: object) -> R:
    """Call in a child; if it dies, fail with the name of the file that it had come to."""
    try:
        return isolated_call(function, *args, limits=LIMITS, **kwargs)
    except VideoTimeout as error:
        how = "hangs" if f"status {HUNG}" in str(error) else f"ends the process: {error}"
        pytest.fail(f"{journal.read_text()} {how}")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_sound_file_passes(tmp_path: Path, kind: str) -> None:
    """The checks find nothing in the file that the copies are made of, and all its frames."""
    sound = make(kind, tmp_path)
    sound = sound.rename(sound.with_name(f"cut_{sound.name}"))
    (verdict,) = _examined([sound], tmp_path / "journal", is_timed=kind in TIMED)
    assert verdict.faults == ()
    assert verdict.error == ""
    assert verdict.frames == (4 if kind == "png" else 14)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_copies_do_no_harm(tmp_path: Path, kind: str) -> None:
    """Each copy gives sound frames or one clear error, within its time; no child dies."""
    content = make(kind, tmp_path).read_bytes()
    paths = []
    for damage in DAMAGES:
        for seed in SEEDS:
            path = tmp_path / f"{damage}_{seed}_{kind}"
            path.write_bytes(damaged(content, damage, seed))
            paths.append(path)
    verdicts = _examined(paths, tmp_path / "journal", is_timed=kind in TIMED)
    assert [verdict.name for verdict in verdicts] == [path.name for path in paths]
    assert [(verdict.name, verdict.faults) for verdict in verdicts if verdict.faults] == []
    # Videos often play on, or the checks above would have had nothing to look at; of a
    # damaged picture Pillow gives nothing.
    if kind in TIMED:
        assert sum(verdict.frames > 0 for verdict in verdicts) > len(verdicts) / 4


def test_a_file_that_kills_the_child_is_named(tmp_path: Path) -> None:
    """The harness tells a crash from a hang, and which file it was."""
    journal = tmp_path / "journal"
    journal.write_text("bad.mp4")
    with pytest.raises(pytest.fail.Exception, match=r"bad\.mp4 ends the process.*SIGSEGV"):
        _watched(journal, segfault)
    with pytest.raises(pytest.fail.Exception, match=r"bad\.mp4 hangs"):
        _watched(journal, leave, HUNG)
