"""What each version of vLLM calls the same thing: the one place that knows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from promptlift.engines.vllm.checkpoint import Checkpoint
from promptlift.engines.vllm.environment import GATE
from promptlift.engines.vllm.memory import MemoryPlan
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.errors import ConfigEngineError

__all__ = ["HOST", "Dialect", "dialect", "serve_arguments"]

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a range of versions is spoken to.

    Attributes:
        since: The first version of the range.
        quiet: Keeps prompts out of the log.
        auto_context: Whether ``--max-model-len auto`` takes the largest context that fits.
        reload: Whether the weights that a level 2 sleep dropped can be loaded again.
    """

    since: tuple[int, int, int]
    quiet: tuple[str, ...]
    auto_context: bool
    reload: bool


# Newest first. Later versions log no prompt unless told to; ``auto`` is from 0.15.1 on, and the
# endpoint that reloads weights (/collective_rpc) is not in 0.9.2.
_DIALECTS = (
    Dialect((0, 15, 1), quiet=(), auto_context=True, reload=True),
    Dialect((0, 11, 0), quiet=(), auto_context=False, reload=True),
    Dialect((0, 9, 0), quiet=("--disable-log-requests",), auto_context=False, reload=False),
)


def dialect(version: str) -> Dialect:
    """The dialect of a version; later ones than are known are taken for the latest.

    Raises:
        ConfigEngineError: It is older than any that is known.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
    for known in _DIALECTS:
        if numbers >= known.since[: len(numbers)]:
            return known
    raise ConfigEngineError(
        f"vLLM {version} is too old", remedy="install 0.9.2, or 0.29 or later, and name its Python"
    )


def serve_arguments(
    version: str,
    checkpoint: Checkpoint,
    memory: MemoryPlan,
    settings: VllmSettings,
    *,
    port: int,
    fast_loader: bool,
) -> list[str]:
    """The arguments of ``vllm serve``; the key is not among them.

    Args:
        version: Version of the vLLM that gets them.
        checkpoint: The model.
        memory: What was decided about memory.
        settings: What was asked for.
        port: Where it listens, on loopback.
        fast_loader: Whether fastsafetensors is installed beside vLLM.
    """
    known = dialect(version)
    arguments = [checkpoint.source, "--served-model-name", checkpoint.name]
    arguments += ["--host", HOST, "--port", str(port), "--middleware", GATE]
    arguments += ["--disable-uvicorn-access-log", *known.quiet]
    arguments += ["--enable-prefix-caching", "--max-num-seqs", str(settings.sequences)]
    arguments += ["--limit-mm-per-prompt", json.dumps({"image": settings.images})]
    if checkpoint.mistral:
        arguments += ["--tokenizer-mode", "mistral", "--config-format", "mistral"]
    arguments += ["--load-format", _load_format(checkpoint, memory, settings, fast_loader)]
    arguments += _context(known, memory)
    if memory.on_cpu:
        arguments += _whole_prompts(memory)
    if memory.share is not None:
        arguments += ["--gpu-memory-utilization", f"{memory.share:.3f}"]
        arguments += ["--enable-sleep-mode"] if settings.sleep else []
    if settings.fast_start:
        arguments.append("--enforce-eager")
    if settings.quantization is not None:
        arguments += ["--quantization", settings.quantization]
    return [*arguments, *settings.arguments]


def _load_format(
    checkpoint: Checkpoint, memory: MemoryPlan, settings: VllmSettings, fast_loader: bool
) -> str:
    # The fast loader takes every *.safetensors in the folder, so there must be one kind of them.
    if settings.fast_start and fast_loader and memory.gpu and not checkpoint.several_formats:
        return "fastsafetensors"
    return "mistral" if checkpoint.mistral else "auto"


def _context(known: Dialect, memory: MemoryPlan) -> list[str]:
    if memory.context is not None:
        return ["--max-model-len", str(memory.context)]
    return ["--max-model-len", "auto"] if known.auto_context else []


def _whole_prompts(memory: MemoryPlan) -> list[str]:
    """Never a prompt in parts on the CPU.

    In 0.32, v1/worker/gpu_model_runner.py sets the random generator of a seeded request back
    after each part; the CPU's generator cannot be, and the engine dies over it.
    """
    if memory.context is None:
        return []
    return ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(memory.context)]
