"""Memory: what is free now, what the model needs, and how long its context can be.

The need is ``weights + working space + sequences * context * bytes per token``. vLLM wants its
share as a fraction of the device's whole memory, and refuses to start when less than that is
free; so the fraction is made from what is free now.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptlift.engines.vllm.checkpoint import Checkpoint
from promptlift.engines.vllm.gpus import GIB, Gpu, gib
from promptlift.engines.vllm.settings import DEFAULT_CONTEXT, VllmSettings
from promptlift.errors import ConfigEngineError

__all__ = ["MemoryPlan", "free_ram", "plan_memory"]

WORKING_SPACE = 3 * GIB
"""Estimated from above: CUDA's own context, activations of the vision tower, captured graphs."""
MARGIN = GIB // 2
"""Left to others: a share that is all of what is free fails when a neighbour takes a little."""
_LARGEST_SHARE = 0.95
_CPU_WORKING_SPACE = 2 * GIB
_MIN_SEQUENCES = 2
_STEP = 256
_SHORTEST = 1024


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What the engine is told about memory.

    Attributes:
        context: Tokens of prompt and answer; None to leave it to vLLM.
        share: Fraction of the GPU's whole memory that vLLM may take; None on a CPU.
        variables: Environment variables that select the device.
        note: What was decided, for the person who starts it.
        gpu: The NVIDIA GPU that it runs on; None where there is none.
        on_cpu: Whether it runs on the CPU.
    """

    context: int | None
    share: float | None
    variables: Mapping[str, str]
    note: str
    gpu: Gpu | None = None
    on_cpu: bool = False


def plan_memory(
    checkpoint: Checkpoint, settings: VllmSettings, gpu: Gpu | None, ram: int | None
) -> MemoryPlan:
    """The context and the share of memory for this model on this device.

    Args:
        checkpoint: The model.
        settings: What was asked for.
        gpu: The NVIDIA GPU as it is now; None where there is none.
        ram: Bytes of free main memory where vLLM is built for the CPU, else None.

    Raises:
        ConfigEngineError: It cannot fit.
    """
    if gpu is not None:
        return _on_gpu(checkpoint, settings, gpu)
    if ram is not None:
        return _on_cpu(checkpoint, settings, ram)
    return _on_something_else(checkpoint, settings)


def _on_something_else(checkpoint: Checkpoint, settings: VllmSettings) -> MemoryPlan:
    """A device that cannot be looked into, another maker's GPU say: vLLM must know itself."""
    context = settings.context
    if context is None and checkpoint.shape is not None:
        context = min(DEFAULT_CONTEXT, checkpoint.shape.longest)
    note = f"{checkpoint.name}: there is no NVIDIA GPU whose memory could be read"
    return MemoryPlan(context, None, {}, note)


def _on_gpu(checkpoint: Checkpoint, settings: VllmSettings, gpu: Gpu) -> MemoryPlan:
    usable = gpu.free - MARGIN
    where = f"GPU {gpu.index} ({gpu.name}, {gib(gpu.free)} of {gib(gpu.total)} free)"
    fixed = None
    if checkpoint.weight_bytes is not None:
        halved = settings.quantization == "fp8"
        fixed = checkpoint.weight_bytes // (2 if halved else 1) + WORKING_SPACE
    remedy = _remedy(settings, gpu)
    context, note = _choose_context(checkpoint, settings, fixed, usable, where, remedy)
    share = min(usable / gpu.total, _LARGEST_SHARE)
    if fixed is not None and checkpoint.shape is not None and context is not None:
        wanted = fixed + settings.sequences * context * checkpoint.shape.bytes_per_token
        share = min(share, wanted / gpu.total)
    # The order of the PCI bus is nvidia-smi's; CUDA's own default puts the fastest first.
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(gpu.index)}
    return MemoryPlan(context, math.floor(share * 1000) / 1000, variables, note, gpu)


def _on_cpu(checkpoint: Checkpoint, settings: VllmSettings, ram: int) -> MemoryPlan:
    where = f"the CPU ({gib(ram)} of memory free)"
    fixed = None
    if checkpoint.weight_bytes is not None:
        fixed = checkpoint.weight_bytes + _CPU_WORKING_SPACE
    remedy = "use a machine with more memory, or a smaller model"
    context, note = _choose_context(checkpoint, settings, fixed, ram, where, remedy)
    cache = GIB
    if checkpoint.shape is not None and context is not None:
        cache = _MIN_SEQUENCES * context * checkpoint.shape.bytes_per_token
    # Without it vLLM takes nine tenths of main memory. It is in whole GiB.
    variables = {"VLLM_CPU_KVCACHE_SPACE": str(max(1, math.ceil(cache / GIB)))}
    return MemoryPlan(context, None, variables, note, on_cpu=True)


def _choose_context(
    checkpoint: Checkpoint,
    settings: VllmSettings,
    fixed: int | None,
    usable: int,
    where: str,
    remedy: str,
) -> tuple[int | None, str]:
    """The context, and a sentence that says which and why."""
    shape = checkpoint.shape
    if fixed is None or shape is None:
        return settings.context, f"{checkpoint.name} on {where}; its need is not known in advance"
    room = max(0, usable - fixed) // (_MIN_SEQUENCES * shape.bytes_per_token)
    wanted = settings.context or min(DEFAULT_CONTEXT, shape.longest)
    context = wanted if room >= wanted else room // _STEP * _STEP
    if context < min(_SHORTEST, wanted) or (settings.context and context < wanted):
        need = fixed + _MIN_SEQUENCES * (settings.context or _SHORTEST) * shape.bytes_per_token
        raise ConfigEngineError(
            f"{checkpoint.name} does not fit on {where}: it needs {gib(need)}", remedy=remedy
        )
    need = fixed + _MIN_SEQUENCES * context * shape.bytes_per_token
    note = (
        f"{checkpoint.name} on {where}: {gib(need)} for the weights and two requests of "
        f"{context:,} tokens"
    )
    if context < wanted:
        note += f" (memory does not allow {wanted:,})"
    return context, note


def _remedy(settings: VllmSettings, gpu: Gpu) -> str:
    ways = ["free the GPU's memory", "choose another with --gpu"]
    if settings.context is not None:
        ways.append("ask for a smaller --context")
    if gpu.can_fp8 and settings.quantization is None:
        ways.append("halve the weights with --quantization fp8, which this GPU computes in")
    return ", or ".join(ways)


def free_ram() -> int:
    """Bytes of main memory that can be had without swapping."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
