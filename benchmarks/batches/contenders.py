"""Who does the job: promptlift, and two engines for batches of texts."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batches import job
from batches.server import MODEL
from batches.watch import Took, Watched, run

PROMPTLIFT = (sys.executable, "-m", "promptlift")

_HERE = Path(__file__).parent


class Contender(Protocol):
    """Does the rows of a job, in a folder, against an engine; the same again goes on with it."""

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        ...

    def rows(self, path: Path, rows: list[job.Ask]) -> Path:
        """Write the rows as it reads them."""
        ...

    def begin(self, rows: Path, folder: Path, url: str, slots: int) -> Watched:
        """Start the command that does the rows."""
        ...

    def finish(self, folder: Path) -> Took | None:
        """Write the result, where that is a command of its own."""
        ...

    def answers(self, folder: Path) -> Counter[str]:
        """How many times each prompt has an answer in the result."""
        ...


@dataclass(frozen=True)
class Promptlift:
    """`promptlift batch` and its export."""

    name: str = "promptlift"

    def rows(self, path: Path, rows: list[job.Ask]) -> Path:
        """See `Contender`."""
        return job.write_rows(path, rows)

    def begin(self, rows: Path, folder: Path, url: str, slots: int) -> Watched:
        """See `Contender`."""
        command = [*PROMPTLIFT, "batch", str(rows), "-o", str(folder / "run"), "--quiet"]
        command += ["--engine", "openai", "--base-url", url, "--concurrency", str(slots)]
        return Watched(command, folder / "log")

    def finish(self, folder: Path) -> Took | None:
        """See `Contender`."""
        command = [*PROMPTLIFT, "export", str(folder / "run"), "-o", str(folder / "out.jsonl")]
        return run(command, folder / "export.log")

    def answers(self, folder: Path) -> Counter[str]:
        """See `Contender`."""
        lines = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
        return Counter(line["prompt"] for line in lines if line["status"] == "ok")


@dataclass(frozen=True)
class Peer:
    """A program of the peers' environment: ``SCRIPT ROWS FOLDER URL MODEL SLOTS``.

    It writes one JSON line for each answer, with the short prompt, below ``FOLDER/out``.
    """

    name: str
    script: str
    python: Path

    def rows(self, path: Path, rows: list[job.Ask]) -> Path:
        """See `Contender`."""
        return job.write_shown(path, rows)

    def begin(self, rows: Path, folder: Path, url: str, slots: int) -> Watched:
        """See `Contender`."""
        script = str(_HERE / self.script)
        command = [str(self.python), script, str(rows), str(folder), url, MODEL, str(slots)]
        return Watched(command, folder / "log", _QUIET)

    def finish(self, folder: Path) -> Took | None:  # noqa: ARG002 - it did
        """See `Contender`."""
        return None

    def answers(self, folder: Path) -> Counter[str]:
        """See `Contender`."""
        files = sorted((folder / "out").rglob("*.jsonl"))
        lines = (json.loads(line) for file in files for line in file.read_text().splitlines())
        return Counter(line["prompt"] for line in lines)


_QUIET = {
    "TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    "OPENAI_API_KEY": "none",
    "PYTHONPATH": "",
}
