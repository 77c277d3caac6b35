"""What the processor has: cores to use, and the instructions that the wheels were built with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["default_threads", "lacking", "physical_cores"]

_CPUS = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")
_ARM = ("arm64", "aarch64")

# The published x86 wheels are built with these; without one of them the process dies of an
# illegal instruction, where no Python code can catch it.
_BUILT_WITH = ("AVX2", "FMA", "BMI2", "F16C")
_ASK = "import xllamacpp; print(xllamacpp.get_system_info())"


def default_threads() -> int:
    """One thread less than there are physical cores, at least 1.

    llama.cpp's threads wait for each other in a loop: where one of them has to share its core
    with another program, all of them wait.
    """
    return max(1, physical_cores() - 1)


def physical_cores(cpus: Path = _CPUS) -> int:
    """Physical cores that this process may run on; two threads of one core count once."""
    try:
        usable: Iterable[int] = os.sched_getaffinity(0)  # type: ignore[attr-defined,unused-ignore]
        siblings = {_siblings(cpus / f"cpu{number}") for number in usable}
        return max(1, len(siblings))
    except (AttributeError, OSError):
        logical = os.cpu_count() or 1
        return logical if platform.machine().lower() in _ARM else max(1, logical // 2)


def _siblings(cpu: Path) -> str:
    return (cpu / "topology" / "thread_siblings_list").read_text().strip()


def lacking(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """Instructions that the installed xllamacpp needs and the processor has not.

    Where the processor does not tell what it has, nothing is said to be lacking. Where it lacks
    something, xllamacpp is tried in a child, as it may have been built for this processor.
    """
    try:
        flags = cpuinfo.read_text().lower().split()
    except OSError:
        return ()
    if "sse2" not in flags:
        return ()
    missing = tuple(name for name in _BUILT_WITH if name.lower() not in flags)
    return tuple(name for name in missing if name in _needed()) if missing else ()


def _needed() -> tuple[str, ...]:
    """What the installed xllamacpp was built with; all of it where it does not live to tell."""
    tried = subprocess.run(  # noqa: S603  # a constant, by this interpreter
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=False, timeout=60
    )
    if tried.returncode != 0:
        return _BUILT_WITH
    return tuple(name for name in _BUILT_WITH if f" {name} = 1" in tried.stdout)
