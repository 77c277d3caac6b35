"""The device that an engine runs on: its memory now, and the context that fits into it.

The need is ``weights + working space + sequences * context * bytes per token``. vLLM takes its
share as a fraction of the device's whole memory, and refuses to start when less than that is
free; so the fraction is derived from what is free now.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from promptlift.engines.settings import VLLM_CONTEXT, VllmSettings
from promptlift.engines.vllm.checkpoint import Checkpoint
from promptlift.errors import ConfigEngineError, OptionError

__all__ = ["GIB", "Gpu", "MemoryPlan", "choose_gpu", "free_ram", "gib", "plan_memory", "read_gpus"]

GIB = 1 << 30
WORKING_SPACE = 3 * GIB
"""An upper estimate: CUDA's own context, activations of the vision tower, captured graphs."""
MARGIN = GIB // 2
"""Left to others: a share of all that is free fails when another process takes a little."""

_LARGEST_SHARE = 0.95
_CPU_WORKING_SPACE = 2 * GIB
_MIN_SEQUENCES = 2
_STEP = 256
_SHORTEST = 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, as it is now.

    Attributes:
        index: Its position in the order of the PCI bus.
        uuid: Its identity.
        name: Its product name.
        total: Bytes of its memory.
        free: Bytes that are free.
    """

    index: int
    uuid: str
    name: str
    total: int
    free: int


def read_gpus(environ: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs that this process may use, by ``nvidia-smi``; an empty list where there are none.

    Args:
        environ: Where CUDA_VISIBLE_DEVICES is read, which has indices or beginnings of UUIDs;
            None for this process's environment.
    """
    query = "--query-gpu=index,uuid,name,memory.total,memory.free"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = []
    for line in done.stdout.splitlines():
        # A line that lacks a value, such as "[N/A]" for the memory, is no usable GPU.
        with suppress(ValueError):
            index, uuid, name, total, free = (part.strip() for part in line.split(","))
            gpus.append(Gpu(int(index), uuid, name, int(total) << 20, int(free) << 20))
    visible = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    names = [name.strip() for name in visible.split(",") if name.strip()]
    prefixes = tuple(name for name in names if name.startswith("GPU-"))
    return [gpu for gpu in gpus if str(gpu.index) in names or gpu.uuid.startswith(prefixes)]


def choose_gpu(gpus: list[Gpu], index: int | None) -> Gpu | None:
    """The GPU of that index, else the one with most free memory; None where there is none.

    Raises:
        OptionError: There is none of that index.
    """
    if index is None:
        return max(gpus, key=lambda gpu: gpu.free, default=None)
    for gpu in gpus:
        if gpu.index == index:
            return gpu
    known = ", ".join(str(gpu.index) for gpu in gpus) or "none"
    raise OptionError(f"there is no GPU {index} to use", remedy=f"the GPUs are: {known}")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How much memory the engine gets, and for what.

    Attributes:
        context: Tokens of prompt and answer; None to leave it to vLLM.
        share: Fraction of the GPU's whole memory that vLLM may take; None on a CPU.
        variables: Environment variables that select the device.
        note: The plan in words, for the person who starts it.
        on_cpu: Whether it runs on the CPU.
    """

    context: int | None
    share: float | None
    variables: Mapping[str, str]
    note: str
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
    shape, weights, context = checkpoint.shape, checkpoint.weight_bytes, settings.context
    if gpu is not None:
        usable, space = gpu.free - MARGIN, WORKING_SPACE
        where = f"GPU {gpu.index} ({gpu.name}, {gib(gpu.free)} of {gib(gpu.total)} free)"
        if weights is not None and settings.quantization == "fp8":
            weights //= 2
    elif ram is not None:
        usable, space = ram, _CPU_WORKING_SPACE
        where = f"the CPU ({gib(ram)} of memory free)"
    else:
        # A device that cannot be inspected, such as another maker's GPU: vLLM plans for itself.
        if context is None and shape is not None:
            context = min(VLLM_CONTEXT, shape.longest)
        note = f"{checkpoint.name}: there is no NVIDIA GPU whose memory could be read"
        return MemoryPlan(context, None, {}, note)
    wanted_memory, cache = usable, GIB
    if weights is None or shape is None:
        note = f"{checkpoint.name} on {where}; its need is not known in advance"
    else:
        fixed, per_token = weights + space, shape.bytes_per_token
        wanted = context or min(VLLM_CONTEXT, shape.longest)
        room = max(0, usable - fixed) // (_MIN_SEQUENCES * per_token)
        least = context or min(_SHORTEST, wanted)
        if room < least:
            need = fixed + _MIN_SEQUENCES * least * per_token
            raise ConfigEngineError(
                f"{checkpoint.name} does not fit on {where}: it needs {gib(need)}",
                remedy="free memory, choose another --gpu, ask for a smaller --context, or halve "
                "the weights with --quantization fp8 (Ada, Hopper and later GPUs)",
            )
        context = min(wanted, max(least, room // _STEP * _STEP))
        cache = _MIN_SEQUENCES * context * per_token
        wanted_memory = fixed + settings.sequences * context * per_token
        note = (
            f"{checkpoint.name} on {where}: {gib(fixed + cache)} for the weights and two requests "
            f"of {context:,} tokens"
        )
        if context < wanted:
            note += f" (memory does not allow {wanted:,})"
    if gpu is None:
        # Without it vLLM takes nine tenths of main memory. It is in whole GiB.
        variables = {"VLLM_CPU_KVCACHE_SPACE": str(max(1, math.ceil(cache / GIB)))}
        return MemoryPlan(context, None, variables, note, on_cpu=True)
    share = min(min(usable, wanted_memory) / gpu.total, _LARGEST_SHARE)
    # The order of the PCI bus is nvidia-smi's; CUDA's own default puts the fastest first.
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(gpu.index)}
    return MemoryPlan(context, math.floor(share * 1000) / 1000, variables, note)


def free_ram() -> int:
    """Bytes of main memory that are available without swapping."""
    return psutil.virtual_memory().available


def gib(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / GIB:.1f} GiB"
