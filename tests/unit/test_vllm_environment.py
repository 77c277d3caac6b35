"""The engine's environment variables: cleaned of torchrun's, and never the parent's own."""

from __future__ import annotations

import os

import pytest

from promptlift.engines.vllm.environment import engine_environment, is_torchrun_variable

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "0",
    "GROUP_WORLD_SIZE": "1",
    "ROLE_RANK": "3",
    "ROLE_WORLD_SIZE": "8",
    "ROLE_NAME": "default",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_MAX_RESTARTS": "0",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_ERROR_FILE": "/tmp/error.json",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    "OMP_NUM_THREADS": "1",
}


def _clean(
    parent: dict[str, str], same_python: bool = True, dev_mode: bool = True
) -> dict[str, str]:
    return engine_environment(
        parent,
        key="secret",
        python="/opt/vllm/bin/python",
        same_python=same_python,
        extra={"CUDA_VISIBLE_DEVICES": "2"},
        dev_mode=dev_mode,
    )


@pytest.mark.parametrize("name", TORCHRUN)
def test_every_torchrun_variable_is_dropped(name: str) -> None:
    """None of what torchrun gives its workers reaches the engine; all else does."""
    assert is_torchrun_variable(name, TORCHRUN[name])
    clean = _clean(TORCHRUN | {"HF_HOME": "/data/hf"})
    assert name not in clean
    assert clean["HF_HOME"] == "/data/hf"


def test_the_parents_are_left_alone() -> None:
    """Cleaning makes a copy: neither the mapping that was given nor our own environment changes."""
    parent, ours = dict(TORCHRUN), dict(os.environ)
    _clean(parent)
    assert parent == TORCHRUN
    assert dict(os.environ) == ours


def test_a_number_of_threads_that_somebody_chose_is_kept() -> None:
    """OMP_NUM_THREADS is torchrun's only at torchrun's value."""
    assert _clean({"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "8"


def test_what_the_engine_needs_is_set() -> None:
    """Spawn, the key, the device, no statistics sent, and stages in the log whatever was set."""
    clean = _clean({"VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": "0,1,2,3"})
    assert clean["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert clean["VLLM_API_KEY"] == "secret"
    assert clean["CUDA_VISIBLE_DEVICES"] == "2"
    assert clean["VLLM_NO_USAGE_STATS"] == "1"
    assert clean["VLLM_LOGGING_LEVEL"] == "INFO"
    assert clean["VLLM_SERVER_DEV_MODE"] == "1"
    assert "VLLM_SERVER_DEV_MODE" not in _clean({}, dev_mode=False)


def test_what_cosmos_sets_for_an_old_vllm_is_dropped() -> None:
    """Variables that later versions do not know would only be in the way."""
    assert (
        not {"VLLM_ATTENTION_BACKEND", "VLLM_USE_V1"}
        & _clean({"VLLM_ATTENTION_BACKEND": "FLASHINFER", "VLLM_USE_V1": "0"}).keys()
    )


def test_how_the_parent_divides_its_gpu_memory_is_its_own() -> None:
    """Expandable segments, say, which keep 0.9.2 from sleeping."""
    parent = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    assert "PYTORCH_CUDA_ALLOC_CONF" not in _clean(parent)


def test_modules_of_ours_stay_out_of_another_python() -> None:
    """PYTHONPATH is passed on to our own interpreter only; the gate is on it in any case."""
    ours = _clean({"PYTHONPATH": "/our/modules"})["PYTHONPATH"].split(os.pathsep)
    other = _clean({"PYTHONPATH": "/our/modules"}, same_python=False)["PYTHONPATH"]
    assert ours[1:] == ["/our/modules"]
    assert other == ours[0]
    assert other.endswith("gate")


def test_tools_beside_the_interpreter_are_found() -> None:
    """An environment that nobody activated: its own commands (ninja, say) come first on PATH."""
    assert _clean({"PATH": "/usr/bin"})["PATH"] == f"/opt/vllm/bin{os.pathsep}/usr/bin"
