"""The computer: GPUs, what a launcher left in the environment, containers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from promptlift.doctor.finding import Finding
from promptlift.engines.vllm.environment import is_torchrun_variable
from promptlift.engines.vllm.gpus import Gpu, gib, read_gpus
from promptlift.errors import PromptliftError

__all__ = ["check_machine"]

_SHM = Path("/dev/shm")  # noqa: S108 - looked at, never written
_LITTLE_SHM = 1 << 30


def check_machine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """GPUs and their free memory, torchrun's variables, shared memory in a container."""
    environ = os.environ if environ is None else environ
    yield from _gpus(environ)
    yield _launcher(environ)
    if (shm := _shared_memory()) is not None:
        yield shm


def _gpus(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        gpus = read_gpus(environ)
    except PromptliftError as error:
        yield Finding("GPU", "note", error.message, error.remedy)
        return
    if not gpus:
        yield Finding("GPU", "ok", "none found; the embedded engine and servers need none")
    for gpu in gpus:
        yield _gpu(gpu)


def _gpu(gpu: Gpu) -> Finding:
    held = gpu.total - gpu.free
    detail = f"{gpu.index}: {gpu.name}, {gib(gpu.free)} of {gib(gpu.total)} free"
    if held > gpu.total // 4:
        remedy = "see who holds the rest with nvidia-smi, and end what is no longer needed"
        return Finding("GPU", "note", detail, remedy)
    return Finding("GPU", "ok", detail)


def _launcher(environ: Mapping[str, str]) -> Finding:
    """An engine that promptlift owns is kept from these; another vLLM would hang on them."""
    found = sorted(name for name, value in environ.items() if is_torchrun_variable(name, value))
    if not found:
        return Finding("torchrun", "ok", "none of its variables is set")
    detail = f"set: {', '.join(found)}"
    remedy = "nothing to do for engines that promptlift starts; unset them for a vLLM of your own"
    return Finding("torchrun", "note", detail, remedy)


def _shared_memory() -> Finding | None:
    """What a container gives to processes that share tensors; None where there is no such thing."""
    if not _SHM.is_dir():
        return None
    size = shutil.disk_usage(_SHM).total
    detail = f"{gib(size)} of shared memory"
    if size < _LITTLE_SHM:
        remedy = "in Docker, run with --ipc=host or --shm-size=8g"
        return Finding("shared memory", "note", detail, remedy)
    return Finding("shared memory", "ok", detail)
