"""The environment variables of the engine: a cleaned copy, never the parent's own.

torchrun exports ``TORCHELASTIC_USE_AGENT_STORE``; with it set, torch makes every tcp:// store a
client, so that vLLM's private rendezvous waits for a server that nobody started. RANK and its
kin send vLLM to the wrong device or world. None of them is meant for the engine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["GATE", "engine_environment", "is_torchrun_variable"]

GATE = "promptlift_gate.Gate"
"""The middleware, importable in the engine through PYTHONPATH, that asks for the key everywhere."""

_GATE_FOLDER = Path(__file__).parent / "gate"
_TORCHRUN = frozenset(
    (
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        "GROUP_RANK",
        "GROUP_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING",
        "NCCL_ASYNC_ERROR_HANDLING",
    )
)
_TORCHRUN_PREFIXES = ("ROLE_", "MASTER_", "TORCHELASTIC_")
_FOREIGN = frozenset(
    (
        # Set by Cosmos's own scripts for vLLM 0.9.2 and unknown to, or in the way of, later ones.
        "VLLM_ATTENTION_BACKEND",
        "VLLM_USE_V1",
        # Of the Python that runs promptlift.
        "PYTHONHOME",
        "__PYVENV_LAUNCHER__",
        # Tuned for another model; 0.9.2 cannot sleep with expandable segments.
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_ALLOC_CONF",
    )
)


def is_torchrun_variable(name: str, value: str) -> bool:
    """Whether torchrun or torch-elastic set this for a worker of its own.

    OMP_NUM_THREADS counts at the value torchrun gives it, where nobody chose one.
    """
    if name == "OMP_NUM_THREADS":
        return value == "1"
    return name in _TORCHRUN or name.startswith(_TORCHRUN_PREFIXES)


def engine_environment(
    parent: Mapping[str, str],
    *,
    key: str,
    python: str,
    same_python: bool,
    extra: Mapping[str, str],
    dev_mode: bool,
) -> dict[str, str]:
    """A new environment for the engine.

    Args:
        parent: The environment to start from; it is not changed.
        key: The key that every request must carry. It goes here, and not on the command line,
            because every user of the machine may read command lines.
        python: The interpreter that runs vLLM.
        same_python: Whether that is the one that runs promptlift; the module path of one is of
            no use to another.
        extra: What the device needs; see `promptlift.engines.vllm.memory`.
        dev_mode: Open vLLM's endpoints for sleeping and waking.
    """
    clean = {
        name: value
        for name, value in parent.items()
        if not is_torchrun_variable(name, value) and name not in _FOREIGN
    }
    modules = [str(_GATE_FOLDER)]
    if same_python and clean.get("PYTHONPATH"):
        modules.append(clean["PYTHONPATH"])
    clean |= {
        "PATH": os.pathsep.join([str(Path(python).parent), clean.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(modules),
        "PYTHONUNBUFFERED": "1",
        # A folder called vllm where the user stands must not be taken for the package.
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
    }
    if dev_mode:
        clean["VLLM_SERVER_DEV_MODE"] = "1"
    return clean | dict(extra)
