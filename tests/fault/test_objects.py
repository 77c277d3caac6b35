"""Runs at a URL that are killed: with the machine's disk still there, and with it gone.

The store is a folder that fsspec opens as ``file://``; the real command runs in its own process.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fault.command import Process
from fault.desk import Desk, desk_in, until
from fault.ledger import finished
from fault.scene import make_clips
from fault.server import Plan
from loaders.desk import ThreadPool
from promptlift.cli.main import _run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

ROWS = 12
NEVER = ("--upload-every", "1h")
OFTEN = ("--upload-every", "0.05s")


@dataclass
class Remote:
    """A run at a URL.

    Attributes:
        desk: Clips, engine and command.
        store: The folder behind the URL.
        cache: The cache of this machine.
    """

    desk: Desk
    store: Path
    cache: Path

    @property
    def url(self) -> str:
        """Where the run is."""
        return f"file://{self.store}"

    def start(self, *more: str) -> Process:
        """Start the run."""
        return self.desk.batch.start_other(*self._command(more))

    def run(self, *more: str) -> tuple[int, list[int]]:
        """Run to the end in this process; gives the exit code and the items that were asked."""
        before = len(self.desk.server.asked)
        with contextlib.chdir(self.desk.folder):
            code = _run(self._command(more))
        return code, self.desk.server.asked[before:]

    def _command(self, more: Sequence[str]) -> list[str]:
        batch = self.desk.batch
        engine = ["--engine", "openai", "--base-url", batch.base_url]
        command = ["batch", "run", "in.jsonl", "-o", self.url, *engine]
        return [*command, *batch.arguments, *more]

    def here(self) -> int:
        """Results on this machine's disk."""
        return sum(len(finished(folder)) for folder in (self.cache / "runs").glob("*"))

    def there(self) -> int:
        """Results in the store."""
        return len(finished(self.store)) if (self.store / "parts").is_dir() else 0

    def kill_when(self, process: Process, many: int) -> tuple[int, int]:
        """Kill it when the disk has so many results; gives those of the disk and of the store."""
        until(lambda: self.here() >= many)
        process.kill()
        return self.here(), self.there()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips, made once."""
    return make_clips(tmp_path_factory.mktemp("made") / "clips")


@pytest.fixture
def remote(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A run that has not begun, and an engine that takes a moment."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("promptlift.batch.runner.ProcessPool", ThreadPool)
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(cache))
    with desk_in(tmp_path, clips, plan=Plan(delay=0.2, mended=True)) as desk:
        desk.put(desk.rows(ROWS))
        yield Remote(desk, tmp_path / "store" / "run", cache)


def exported(url: str, folder: Path) -> list[dict[str, Any]]:
    """The export of the run, as a machine sees it that has nothing of it."""
    output = folder / "out.jsonl"
    assert _run(["batch", "export", url, "-o", str(output), "--quiet"]) == 0
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_a_run_at_a_url_is_finished_and_read_elsewhere(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything is in the store at the end; a machine with an empty cache reads it by the URL,
    and goes on with it without asking again.
    """
    code, asked = remote.run(*NEVER)
    assert (code, sorted(asked)) == (0, list(range(ROWS)))
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "another machine"))
    assert [row["id"] for row in exported(remote.url, tmp_path)] == [
        f"row {take}" for take in range(ROWS)
    ]
    capsys.readouterr()
    assert _run(["batch", "status", remote.url, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run_dir"], said["total"], said["state"]) == (remote.url, ROWS, "finished")
    assert _run(["batch", "show", remote.url, "row 3"]) == 0
    assert capsys.readouterr().out.startswith("row 3: ")
    assert (
        _run(["batch", "report", remote.url, "-o", str(tmp_path / "run.html"), "--no-frames"]) == 0
    )
    assert remote.url in (tmp_path / "run.html").read_text()
    assert remote.run(*NEVER) == (0, [])


def test_a_kill_costs_what_was_in_flight_or_is_lost_with_the_disk(
    remote: Remote, tmp_path: Path
) -> None:
    """What was never uploaded is uploaded by the next run, or asked again where it is gone."""
    here, there = remote.kill_when(remote.start(*NEVER), ROWS // 3)
    assert (there, here >= ROWS // 3) == (0, True)
    once = list(remote.desk.server.asked)
    code, asked = remote.run(*NEVER, "--limit", "2")
    assert (code, len(asked), remote.there()) == (75, 2, here + 2)
    assert len({*once, *asked}) <= here + 4 + 2

    here, there = remote.kill_when(remote.start(*NEVER), here + 3)
    assert here > there
    shutil.rmtree(remote.cache)
    code, asked = remote.run(*OFTEN)
    assert code == 0
    assert len(asked) == len(set(asked)) == ROWS - there
    rows = exported(remote.url, tmp_path)
    assert len({row["key"] for row in rows}) == len(rows) == ROWS
