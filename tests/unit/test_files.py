"""Atomic writing: whole or not at all, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptlift.errors import OutputError
from promptlift.files import replacing, write_atomic


def test_new_file_has_the_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    """The file is there, whole, and no temporary file is."""
    write_atomic(tmp_path / "a.txt", b"hello")
    assert (tmp_path / "a.txt").read_bytes() == b"hello"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    """When the writer fails, the old content stands and the temporary file is gone."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    """Writers that choose a format by the name see the right one."""
    with replacing(tmp_path / "clip.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """The error says which folder is missing."""
    with pytest.raises(OutputError, match=r"there is no folder '.*nowhere'. Make it first"):
        write_atomic(tmp_path / "nowhere" / "a.txt", b"")


def test_folder_in_the_way_is_named(tmp_path: Path) -> None:
    """A folder is not overwritten, and what is in it stays."""
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_atomic(tmp_path / "a.txt", b"")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_is_named() -> None:
    """A device without room gives its own reason; /dev/full is one that is always full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(OutputError, match="No space left"),
        replacing(Path("/tmp/promptlift-never-made")),
    ):
        full.write_bytes(b"x" * 100)
    assert not Path("/tmp/promptlift-never-made").exists()


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    """The user's umask holds, as for a file opened plainly."""
    plain = tmp_path / "plain"
    plain.touch()
    write_atomic(tmp_path / "a.txt", b"")
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode
