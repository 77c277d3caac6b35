"""What vLLM is started with: the interpreter, the arguments, the environment, and the key."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.checkpoint import Checkpoint
from promptlift.engines.vllm.launch import (
    PYTHON_VARIABLE,
    LaunchPlan,
    MemoryPlan,
    engine_environment,
    find_installation,
    is_torchrun_variable,
    plan_launch,
    serve_arguments,
)
from promptlift.errors import ConfigEngineError
from vllm_stub.make import make_stub


def _python(folder: Path, vllm: str | None) -> Path:
    """An interpreter that says it has that vLLM."""
    folder.mkdir(parents=True)
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho noise\necho '{json.dumps(vllm)}'\n")
    python.chmod(0o755)
    return python


def test_the_named_interpreter_is_asked_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions are from that interpreter's own metadata; the option goes before the variable."""
    by_option = _python(tmp_path / "option", "0.32.0+cpu")
    monkeypatch.setenv(PYTHON_VARIABLE, str(_python(tmp_path / "variable", "0.33.0+cu130")))
    assert find_installation(str(by_option)) == (str(by_option), "0.32.0+cpu")
    assert find_installation()[1] == "0.33.0+cu130"


@pytest.mark.parametrize("name", ["missing/python", "without/python", "broken/python", "ours"])
def test_a_named_interpreter_without_vllm_is_an_error(tmp_path: Path, name: str) -> None:
    """Whoever names an interpreter does not get another one's vLLM; ours is asked in earnest."""
    _python(tmp_path / "without", None)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "python").write_text("no program")
    named = sys.executable if name == "ours" else str(tmp_path / name)
    with pytest.raises(ConfigEngineError, match="is not a Python that has vLLM"):
        find_installation(named)


def test_without_a_name_ours_goes_before_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ``vllm``, which may be a link, lies beside its interpreter."""
    python = _python(tmp_path / "env", "0.31.0")
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(sys, "executable", str(_python(tmp_path / "none", None)))
    with pytest.raises(ConfigEngineError, match="vLLM is not installed") as raised:
        find_installation()
    assert "--vllm-python" in raised.value.remedy
    assert PYTHON_VARIABLE in raised.value.remedy
    command = python.with_name("vllm")
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    (tmp_path / "vllm").symlink_to(command)
    assert find_installation()[1] == "0.31.0"
    monkeypatch.setattr(sys, "executable", str(_python(tmp_path / "ours", "0.33.0")))
    assert find_installation()[1] == "0.33.0"


COSMOS = Checkpoint(source="/models/cosmos", name="nvidia/cosmos", mistral=True)
HUB = Checkpoint(source="Qwen/Qwen2.5-VL-7B-Instruct", name="Qwen/Qwen2.5-VL-7B-Instruct")
GPU = MemoryPlan(9216, 0.71, {"CUDA_VISIBLE_DEVICES": "2"}, "")
CPU = MemoryPlan(9216, None, {}, "", on_cpu=True)


def _plan(
    version: str = "0.32.0",
    checkpoint: Checkpoint = COSMOS,
    memory: MemoryPlan = GPU,
    **settings: Any,
) -> LaunchPlan:
    settings_ = VllmSettings(**settings)
    return LaunchPlan(settings_, "/opt/vllm/bin/python", version, checkpoint, memory)


def _arguments(*given: Any, **named: Any) -> list[str]:
    return serve_arguments(_plan(*given, **named), port=8123)


def _value(arguments: list[str], flag: str) -> str | None:
    return arguments[arguments.index(flag) + 1] if flag in arguments else None


@pytest.mark.parametrize("version", ["0.9.2", "0.32.0+cpu"])
def test_every_version_gets_the_cosmos_model(version: str) -> None:
    """On loopback, behind the middleware; the format is named as 0.9.2 prefers the other one."""
    arguments = _arguments(version)
    assert arguments[0] == "/models/cosmos"
    expected = {
        "--served-model-name": "nvidia/cosmos",
        "--host": "127.0.0.1",
        "--port": "8123",
        "--middleware": "promptlift_auth.AuthMiddleware",
        "--tokenizer-mode": "mistral",
        "--config-format": "mistral",
        "--load-format": "mistral",
        "--max-model-len": "9216",
        "--gpu-memory-utilization": "0.710",
        "--limit-mm-per-prompt": '{"image": 2}',
    }
    assert {flag: _value(arguments, flag) for flag in expected} == expected
    assert {"--enable-prefix-caching", "--enable-sleep-mode"} <= set(arguments)
    assert "--api-key" not in arguments
    # 0.9.2 logs every prompt by default; later ones refuse this flag.
    assert ("--disable-log-requests" in arguments) is (version == "0.9.2")
    guidance = (
        None if version == "0.9.2" else '{"backend": "guidance", "disable_any_whitespace": true}'
    )
    assert _value(arguments, "--structured-outputs-config") == guidance


def test_other_models_and_devices() -> None:
    """A model's own format; a context that is not known; whole prompts on the CPU."""
    unknown = dataclasses.replace(GPU, context=None)
    arguments = _arguments("0.32.0", HUB, unknown)
    assert "--tokenizer-mode" not in arguments
    assert "--load-format" not in arguments
    assert _value(arguments, "--max-model-len") == "auto"
    assert _value(_arguments("0.9.2", HUB, unknown), "--max-model-len") is None
    on_cpu = _arguments(memory=CPU)
    assert "--no-enable-chunked-prefill" in on_cpu
    assert _value(on_cpu, "--max-num-batched-tokens") == "9216"
    assert not {"--gpu-memory-utilization", "--enable-sleep-mode"} & set(on_cpu)


def test_what_a_person_adds_comes_last() -> None:
    """The last of two equal flags counts, and so the person's."""
    added = ("--max-num-seqs", "4")
    arguments = _arguments(arguments=added, quantization="fp8", sleep=False, images=8)
    assert tuple(arguments[-2:]) == added
    assert _value(arguments, "--quantization") == "fp8"
    assert "--enable-sleep-mode" not in arguments
    assert json.loads(_value(arguments, "--limit-mm-per-prompt") or "") == {"image": 8}
    assert "--enforce-eager" in _arguments(fast_start=True)


def test_a_version_that_is_too_old_is_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    stub = make_stub(tmp_path, version="0.6.3.post1")
    with pytest.raises(ConfigEngineError, match=r"vLLM 0\.6\.3\.post1 is too old"):
        plan_launch(stub.settings())


TORCHRUN = {
    "RANK": "3",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "0",
    "ROLE_NAME": "default",
    "MASTER_ADDR": "node0",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    "OMP_NUM_THREADS": "1",
}


def _environment(parent: dict[str, str], **plan: Any) -> dict[str, str]:
    return engine_environment(_plan(**plan), parent, key="secret")


def test_torchruns_variables_are_dropped() -> None:
    """None of them reaches the engine, all else does, and the parent's mapping stays as it was."""
    assert all(is_torchrun_variable(name, value) for name, value in TORCHRUN.items())
    parent = TORCHRUN | {"HF_HOME": "/data/hf", "CRANK": "1"}
    before = dict(parent), dict(os.environ)
    clean = _environment(parent)
    assert not TORCHRUN.keys() & clean.keys()
    assert (clean["HF_HOME"], clean["CRANK"]) == ("/data/hf", "1")
    assert (parent, dict(os.environ)) == before
    assert _environment({"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "8", "somebody chose it"
    hindrances = ("VLLM_ATTENTION_BACKEND", "PYTORCH_CUDA_ALLOC_CONF", "PYTHONHOME")
    assert not _environment(dict.fromkeys(hindrances, "x")).keys() & set(hindrances)
    assert "/our/modules" not in _environment({"PYTHONPATH": "/our/modules"})["PYTHONPATH"]


def test_the_environment_has_what_the_engine_needs() -> None:
    """Spawn, the key, the device; no statistics, and stages in the log whatever was set."""
    parent = {"VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": "0,1,2", "PATH": "/usr/bin"}
    clean = _environment(parent)
    expected = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_API_KEY": "secret",
        "CUDA_VISIBLE_DEVICES": "2",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "INFO",
        "VLLM_SERVER_DEV_MODE": "1",
        # Commands of an environment that nobody activated, such as ninja, come first.
        "PATH": f"/opt/vllm/bin{os.pathsep}/usr/bin",
    }
    assert {name: clean[name] for name in expected} == expected
    assert "VLLM_SERVER_DEV_MODE" not in _environment({}, sleep=False)


MIDDLEWARE = Path(_environment({})["PYTHONPATH"]) / "promptlift_auth.py"


def _passes(monkeypatch: pytest.MonkeyPatch, scope: dict[str, Any]) -> tuple[bool, list[Any]]:
    """Whether a request gets through the middleware, and what is sent instead."""
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    spec = importlib.util.spec_from_file_location("promptlift_auth", MIDDLEWARE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    passed, sent = [], []

    async def app(*_: object) -> None:
        passed.append(True)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {}

    asyncio.run(module.AuthMiddleware(app)(scope, receive, send))
    return bool(passed), sent


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/sleep", "/collective_rpc", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_the_key_is_needed_on_every_path(
    monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    """The right bearer passes; none, a wrong one and half of one get 401 and nothing more."""
    scope = {"type": "http", "path": path, "method": method}
    right = {"headers": [(b"authorization", b"Bearer secret")]}
    assert _passes(monkeypatch, scope | right) == (True, [])
    for headers in ([], [(b"authorization", b"Bearer secre")], [(b"authorization", b"secret")]):
        passed, sent = _passes(monkeypatch, scope | {"headers": headers})
        assert not passed
        assert sent[0]["status"] == 401
    assert _passes(monkeypatch, {"type": "lifespan"})[0], "the server's own start has no headers"
