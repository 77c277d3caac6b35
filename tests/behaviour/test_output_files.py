"""What stands at an output path already: links stay, devices are written into, modes are kept."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptlift.cli.main import cli
from promptlift.testing import synthetic_video

PROMPT = "a robot arm picks a box"
WRITERS = {
    "out.json": ("run", "-q", "clip.mp4", PROMPT, "-o"),
    "out.mp4": ("hint", "clip.mp4", "-o"),
    "out.png": ("hint", "clip.mp4", "-o"),
    "out.jsonl": ("batch", "export", "done", "-o"),
    "out.html": ("batch", "report", "done", "-o"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip and a finished run over it."""
    path = tmp_path_factory.mktemp("outputs")
    synthetic_video(path / "clip.mp4", seconds=1, size=(160, 90))
    promptlift(path, "batch", "run", "clip.mp4", "--prompt", PROMPT, "-o", "done")
    return path


def promptlift(folder: Path, *arguments: str) -> None:
    """Run the command in a folder."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_and_a_fifo_stay(folder: Path, tmp_path: Path, name: str) -> None:
    """A private file behind a link has the new content, and stays private; a FIFO is fed."""
    target, link = tmp_path / "target", tmp_path / name
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to("target")
    promptlift(folder, *WRITERS[name], str(link))
    assert link.readlink() == Path("target")
    assert target.read_bytes() not in (b"", b"old")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == [name, "target"]
    if name in ("out.mp4", "out.jsonl"):
        link.unlink()
        os.mkfifo(link)
        with subprocess.Popen(["cat", str(link)], stdout=subprocess.PIPE) as reader:
            try:
                promptlift(folder, *WRITERS[name], str(link))
                received, _ = reader.communicate(timeout=30)
            finally:
                reader.kill()
        assert stat.S_ISFIFO(link.stat().st_mode)
        assert len(received) > 50
