"""Atomic writing: whole or not at all, and nothing left behind."""

from __future__ import annotations

import os
import stat
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


def test_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    """A private file stays private, also while it is written; a read-only one is replaced."""
    for mode in (0o600, 0o444):
        path = tmp_path / f"{mode:o}.txt"
        path.touch(mode)
        path.chmod(mode)
        with replacing(path) as temporary:
            assert temporary.stat().st_mode & 0o077 == 0
            temporary.write_text("new")
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)


def test_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    """Also through a second link, into another folder, and where nothing is there yet."""
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.txt"
    (tmp_path / "first.txt").symlink_to(target)
    (tmp_path / "second.txt").symlink_to("first.txt")
    for content in (b"made", b"replaced"):
        write_atomic(tmp_path / "second.txt", content)
        assert target.read_bytes() == content
        assert sorted(os.listdir(tmp_path)) == ["elsewhere", "first.txt", "second.txt"]
        assert (tmp_path / "second.txt").is_symlink()
        assert os.listdir(tmp_path / "elsewhere") == ["target.txt"]


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    """A link into a missing directory."""
    (tmp_path / "lost.txt").symlink_to("missing/a.txt")
    with pytest.raises(OutputError, match=r"there is no directory '.*missing'"):
        write_atomic(tmp_path / "lost.txt", b"")
    assert os.listdir(tmp_path) == ["lost.txt"]


def test_device_is_written_into(tmp_path: Path) -> None:
    """A device node of our own, like the one that swallows everything, stays what it is."""
    node = tmp_path / "node.txt"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write_atomic(node, b"x")
    except (PermissionError, OutputError) as error:
        pytest.skip(f"no device node can be made and opened here: {error}")
    assert stat.S_ISCHR(node.stat().st_mode)
    assert os.listdir(tmp_path) == ["node.txt"]


def test_fifo_gets_the_content_only_when_it_is_whole(tmp_path: Path) -> None:
    """A writer that fails writes nothing into what is there."""
    fifo = tmp_path / "fifo.txt"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ZeroDivisionError), replacing(fifo) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError
        write_atomic(fifo, b"whole")
        assert os.read(reader, 100) == b"whole"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
