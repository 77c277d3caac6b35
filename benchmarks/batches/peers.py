"""The others: datatrove and curator, in an environment of their own in the user's cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

from batches.contenders import Peer

_PINS = (
    *("datatrove==0.10.1", "orjson==3.13.0", "xxhash==3.8.2", "aiosqlite==0.22.1"),
    *("bespokelabs-curator==0.1.31", "litellm==1.83.7"),
)


def peers() -> list[Peer]:
    """Those that can be run here; says which cannot, and why."""
    try:
        python = _environment()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(f"datatrove and curator are left out, as they cannot be installed: {said[-300:]}\n")
        return []
    return [
        Peer("datatrove 0.10.1", "datatrove_job.py", python),
        Peer("curator 0.1.31", "curator_job.py", python),
    ]


def _environment() -> Path:
    """The environment's Python; made where it is missing or of other pins."""
    place = Path(platformdirs.user_cache_dir("promptlift")) / "batch-peers"
    python, marker = place / "bin" / "python", place / "made-from"
    recipe = hashlib.sha256(f"{_PINS} {sys.version_info[:2]}".encode()).hexdigest()
    if marker.exists() and marker.read_text() == recipe:
        return python
    shutil.rmtree(place, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(place))
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PINS)
    marker.write_text(recipe)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
