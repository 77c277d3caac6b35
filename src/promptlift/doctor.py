"""Check the installation and the machine, and suggest fixes."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptlift.engines.vllm.launch import GIB, choose_gpu, gib, is_torchrun_variable, read_gpus
from promptlift.errors import PromptliftError
from promptlift.files import cache_folder

__all__ = ["Diagnosis", "Status", "check_core", "check_machine", "check_models", "check_run"]

Status = Literal["ok", "note", "fail"]

_PACKAGES = ("av", "numpy", "pillow", "mistral-common", "tiktoken", "pydantic", "httpx2")
_SHM = Path("/dev/shm")  # noqa: S108 - looked at, never written


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of one check.

    Attributes:
        name: What was looked at.
        status: ``ok``; ``note`` for what some uses need or will trip over; ``fail`` for what
            every use needs, or what was asked for and is not there.
        detail: What was found.
        remedy: What to do where the status is not ``ok``.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def check_core() -> Iterator[Diagnosis]:
    """Python, packages, cache directory and disk, vocabulary."""
    system = f"{platform.system()} {platform.machine()}"
    detail = f"Python {platform.python_version()} on {system}, {sys.executable}"
    yield Diagnosis("Python", "ok", detail)
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    yield Diagnosis("packages", "ok", ", ".join(versions))

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "set PROMPTLIFT_CACHE to a writable directory; runs work without one, but slower"
        yield Diagnosis("cache", "note", f"{folder}: {error.strerror}", remedy)
    else:
        status: Status = "note" if free < GIB else "ok"
        yield Diagnosis("cache", status, f"{folder}, {gib(free)} free", "free space on that disk")

    from promptlift.tokens import PIXTRAL, counter_for

    try:
        tokens = counter_for(PIXTRAL)("Test prompt")
    except PromptliftError as error:
        yield _failed("vocabulary", error)
    else:
        yield Diagnosis("vocabulary", "ok", f"'Test prompt' is {tokens} tokens of tekken")


def _failed(name: str, error: PromptliftError, status: Status = "fail") -> Diagnosis:
    return Diagnosis(name, status, error.message, error.remedy)


def check_machine(environ: Mapping[str, str] | None = None) -> Iterator[Diagnosis]:
    """GPUs and their free memory, torchrun's variables, shared memory in a container."""
    environ = os.environ if environ is None else environ
    try:
        gpus = read_gpus(environ)
    except PromptliftError as error:
        yield _failed("GPU", error, "note")
        gpus = []
    else:
        if not gpus:
            yield Diagnosis("GPU", "ok", "none found; the embedded engine and servers need none")
    for gpu in gpus:
        status: Status = "note" if gpu.free < gpu.total * 3 // 4 else "ok"
        detail = f"{gpu.index}: {gpu.name}, {gib(gpu.free)} of {gib(gpu.total)} free"
        remedy = "run nvidia-smi, and end the processes that hold the memory"
        yield Diagnosis("GPU", status, detail, remedy)

    # An engine that promptlift starts is kept from these; another vLLM would hang on them.
    found = sorted(name for name, value in environ.items() if is_torchrun_variable(name, value))
    detail = f"set: {', '.join(found)}" if found else "none of its variables is set"
    remedy = f"before you start a vLLM of your own: unset {' '.join(found)}"
    yield Diagnosis("torchrun", "note" if found else "ok", detail, remedy)

    if _SHM.is_dir():
        size = shutil.disk_usage(_SHM).total
        remedy = "in Docker, run with --ipc=host or --shm-size=8g"
        yield Diagnosis("shared memory", "note" if size < GIB else "ok", gib(size), remedy)


def check_models(
    *,
    checkpoint_dir: Path | None = None,
    vllm_python: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
) -> Iterator[Diagnosis]:
    """Look at every engine; what was asked for by name must be there.

    Args:
        checkpoint_dir: The folder of the Cosmos checkpoints.
        vllm_python: The interpreter that has vLLM.
        base_url: Address of a server.
        api_key_env: The variable that holds its key.
    """
    yield _check_vllm(vllm_python)
    if checkpoint_dir is not None:
        yield from _check_checkpoint(checkpoint_dir)
    yield _check_running_engine()
    if importlib.util.find_spec("xllamacpp") is None:
        remedy = "run `pip install 'promptlift[llamacpp]'`"
        yield Diagnosis("llama.cpp", "note", "not installed; needed for GGUF models", remedy)
    else:
        version = importlib.metadata.version("xllamacpp")
        yield Diagnosis("llama.cpp", "ok", f"xllamacpp {version}")
    if base_url is not None:
        try:
            yield asyncio.run(_check_server(base_url, api_key_env))
        except PromptliftError as error:
            yield _failed("server", error)


def _check_vllm(python: str | None) -> Diagnosis:
    from promptlift.engines.vllm.launch import find_installation

    try:
        interpreter, version = find_installation(python)
    except PromptliftError as error:
        # A missing vLLM is a failure only where --vllm-python asks for it.
        return _failed("vLLM", error, "note" if python is None else "fail")
    return Diagnosis("vLLM", "ok", f"{version}, {interpreter}")


def _check_checkpoint(folder: Path) -> Iterator[Diagnosis]:
    """The checkpoint must be whole, and is held against the GPU's free memory."""
    from promptlift.engines.settings import VllmSettings
    from promptlift.engines.vllm.checkpoint import open_checkpoint
    from promptlift.engines.vllm.launch import free_ram, plan_memory

    settings = VllmSettings(checkpoint_dir=folder)
    try:
        checkpoint = open_checkpoint(None, folder)
        yield Diagnosis("checkpoint", "ok", f"{checkpoint.name} in {checkpoint.source} is whole")
        plan = plan_memory(checkpoint, settings, choose_gpu(read_gpus(), None), free_ram())
    except PromptliftError as error:
        yield _failed("checkpoint", error)
        return
    yield Diagnosis("memory", "ok", plan.note)


def _check_running_engine() -> Diagnosis:
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    if state is None:
        return Diagnosis("engine", "ok", "none is up")
    minutes = (time.time() - state.since) / 60
    detail = f"{state.model} on vLLM {state.version}, {state.status}, up for {minutes:.0f} min"
    if state.status == "ready" and not state.is_healthy():
        remedy = "see `promptlift engine logs`, or end it with `promptlift engine down`"
        return Diagnosis("engine", "fail", f"{detail}, but it does not answer", remedy)
    return Diagnosis("engine", "ok", detail)


async def _check_server(base_url: str, api_key_env: str | None) -> Diagnosis:
    from promptlift.engines.openai import OpenAIEngine
    from promptlift.engines.settings import OpenAISettings

    engine = OpenAIEngine(
        OpenAISettings(base_url=base_url, api_key_env=api_key_env, retries=0, timeout=10)
    )
    try:
        info = await engine.describe()
    finally:
        await engine.close()
    context = f"context of {info.context:,} tokens" if info.context else "context unknown"
    family = info.family or "unknown"
    detail = f"{info.model} on {info.version}, {context}, family {family}"
    return Diagnosis("server", "ok", detail)


def check_run() -> Iterator[Diagnosis]:
    """A clip is drawn, looked at and described from end to end, with the embedded engine."""
    from promptlift.api import upsample
    from promptlift.testing import synthetic_video

    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = synthetic_video(Path(folder) / "clip.mp4", seconds=1, size=(320, 180))
            record = upsample(clip, "a red balloon drifts over hills", engine="embedded")
    except PromptliftError as error:
        yield _failed("test run", error)
        return
    seconds = time.perf_counter() - start
    words = len((record.prompt or "").split())
    good = record.status in ("ok", "unchanged")
    detail = f"{words} words for a clip of one second, {seconds:.1f} s with drawing it"
    yield Diagnosis("test run", "ok" if good else "fail", detail)
