"""The computer: GPUs, what a launcher left in the environment, containers."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from promptlift.doctor.finding import Finding
from promptlift.engines.vllm.environment import is_torchrun_variable
from promptlift.engines.vllm.gpus import Gpu, gib, read_gpus
from promptlift.errors import PromptliftError

__all__ = ["check_machine"]

_SHM = Path("/dev/shm")  # noqa: S108 - looked at, never written
_LITTLE_SHM = 1 << 30
_LOOPBACK = "127.0.0.1"


def check_machine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """GPUs and their free memory, torchrun's variables, shared memory in a container."""
    environ = os.environ if environ is None else environ
    yield from _gpus(environ)
    yield _launcher(environ)
    yield _start_method()
    yield _ports()
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
        holders = _holders(gpu.uuid)
        detail += f"; held by {', '.join(holders)}" if holders else ""
        return Finding("GPU", "note", detail, "end what is no longer needed")
    return Finding("GPU", "ok", detail)


def _holders(uuid: str) -> list[str]:
    """The processes that hold a GPU's memory, as nvidia-smi tells; none where it does not."""
    query = "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
    return [
        f"{name} ({pid}, {used})" for who, pid, name, used in filter(_is_row, rows) if who == uuid
    ]


def _is_row(row: list[str]) -> bool:
    return len(row) == 4


def _launcher(environ: Mapping[str, str]) -> Finding:
    """An engine that promptlift owns is kept from these; another vLLM would hang on them."""
    found = sorted(name for name, value in environ.items() if is_torchrun_variable(name, value))
    if not found:
        return Finding("torchrun", "ok", "none of its variables is set")
    detail = f"set: {', '.join(found)}"
    remedy = "nothing to do for engines that promptlift starts; unset them for a vLLM of your own"
    return Finding("torchrun", "note", detail, remedy)


def _start_method() -> Finding:
    """An engine that promptlift owns is spawned in any case; another vLLM goes by this."""
    method = (
        multiprocessing.get_start_method(allow_none=True)
        or multiprocessing.get_all_start_methods()[0]
    )
    detail = f"{method} by default; the engine is always a process of its own"
    return Finding("start method", "ok", detail)


def _ports() -> Finding:
    """Whether a server may listen on loopback at all."""
    try:
        with socket.create_server((_LOOPBACK, 0)) as free:
            return Finding(
                "ports", "ok", f"loopback has free ports, such as {free.getsockname()[1]}"
            )
    except OSError as error:
        detail = f"nothing can listen on {_LOOPBACK}: {error.strerror}"
        return Finding("ports", "note", detail, "allow loopback; vLLM and llama.cpp need it")


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
