"""The engines: which vLLM there is, which checkpoint, what is up, what a server says."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

from promptlift.doctor.finding import Finding
from promptlift.engines.vllm.gpus import choose_gpu, read_gpus
from promptlift.errors import PromptliftError

__all__ = ["check_models"]

_A_DAY = 86_400


def check_models(
    *,
    checkpoint_dir: Path | None = None,
    vllm_python: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
) -> Iterator[Finding]:
    """Look at every engine; what was asked for by name must be there.

    Args:
        checkpoint_dir: The folder of the Cosmos checkpoints.
        vllm_python: The interpreter that has vLLM.
        base_url: Address of a server.
        api_key_env: The variable that holds its key.
    """
    yield _vllm(vllm_python)
    if checkpoint_dir is not None:
        yield from _checkpoint(checkpoint_dir)
    yield _running()
    yield _llamacpp()
    if base_url is not None:
        yield from _server(base_url, api_key_env)


def _vllm(python: str | None) -> Finding:
    from promptlift.engines.vllm.installation import find_installation

    try:
        found = find_installation(python)
    except PromptliftError as error:
        # Missing vLLM hinders nobody who did not ask for it.
        return Finding("vLLM", "note" if python is None else "fail", error.message, error.remedy)
    beside = [f"torch {found.torch}"] if found.torch else []
    beside += [f"transformers {found.transformers}"] if found.transformers else []
    detail = f"{found.version} ({', '.join(beside)}), {found.python}"
    if found.clashes:
        remedy = "install vLLM again in an environment of its own, so that pip chooses the versions"
        return Finding("vLLM", "note", f"{detail}; {'; '.join(found.clashes)}", remedy)
    return Finding("vLLM", "ok", detail)


def _checkpoint(folder: Path) -> Iterator[Finding]:
    """The checkpoint must be whole, and is held against the GPU's free memory."""
    from promptlift.engines.vllm.checkpoint import open_checkpoint
    from promptlift.engines.vllm.memory import free_ram, plan_memory
    from promptlift.engines.vllm.settings import VllmSettings

    settings = VllmSettings(checkpoint_dir=folder)
    try:
        checkpoint = open_checkpoint(None, folder)
        yield Finding("checkpoint", "ok", f"{checkpoint.name} in {checkpoint.source} is whole")
        plan = plan_memory(checkpoint, settings, choose_gpu(read_gpus(), None), free_ram())
    except PromptliftError as error:
        yield Finding("checkpoint", "fail", error.message, error.remedy)
        return
    yield Finding("memory", "ok", plan.note)


def _running() -> Finding:
    from promptlift.engines.vllm.control import healthy
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    if state is None:
        return Finding("engine", "ok", "none is up")
    minutes = (time.time() - state.since) / 60
    detail = f"{state.model} on vLLM {state.version}, {state.status}, up for {minutes:.0f} min"
    if state.status == "ready" and not healthy(state.endpoint):
        remedy = "see `promptlift engine logs`, or end it with `promptlift engine down`"
        return Finding("engine", "fail", f"{detail}, but it does not answer", remedy)
    return Finding("engine", "ok", detail)


def _llamacpp() -> Finding:
    if importlib.util.find_spec("xllamacpp") is None:
        detail = "not installed; GGUF models cannot be run"
        return Finding("llama.cpp", "note", detail, "pip install 'promptlift[llamacpp]'")
    version = importlib.metadata.version("xllamacpp")
    return Finding("llama.cpp", "ok", f"xllamacpp {version}")


def _server(base_url: str, api_key_env: str | None) -> Iterator[Finding]:
    from promptlift.engines.openai import OpenAIEngine

    async def ask() -> Finding:
        engine = OpenAIEngine(base_url, api_key_env=api_key_env, retries=0, timeout=10)
        try:
            info = await engine.describe()
        finally:
            await engine.close()
        context = f"{info.context:,} tokens" if info.context else "context not told"
        family = info.family or "unknown"
        return Finding(
            "server", "ok", f"{info.model} on {info.version}, {context}, counts as {family}"
        )

    try:
        yield asyncio.run(ask())
    except PromptliftError as error:
        yield Finding("server", "fail", error.message, error.remedy)
        if base_url.startswith("https:") and (late := _clock_is_late()):
            yield late


def _clock_is_late() -> Finding | None:
    """A clock that lies in the past makes every certificate look invalid."""
    installed = Path(__file__).stat().st_mtime
    behind = installed - time.time()
    if behind < _A_DAY:
        return None
    detail = f"at least {behind / _A_DAY:.0f} days behind: promptlift was installed after now"
    return Finding(
        "clock", "fail", detail, "set the time; certificates are not valid before theirs"
    )
