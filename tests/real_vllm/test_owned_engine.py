"""An engine that belongs to one program: it ends with it, and a failed start says why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.errors import ConfigEngineError
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine
from real_vllm.processes import group_members, wait_until_gone

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

OWNER = """
import asyncio, sys
from promptlift.engines.base import Request
from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.engine import VllmEngine

async def own():
    # Another context than that of the engine that is up, which would be used otherwise.
    settings = VllmSettings(model=sys.argv[1], python=sys.argv[2], context=4096, fast_start=True)
    engine = VllmEngine(settings)
    answer = await engine.complete(Request(text="Test prompt", frames=()))
    print(engine.own.current().engine_pid, answer.text, flush=True)
    await asyncio.sleep(600)

asyncio.run(own())
"""


def test_the_engine_ends_with_its_owner(machine: Machine) -> None:
    """A kill -9 of the program that owns an engine ends the engine's whole group."""
    command = [sys.executable, "-c", OWNER, str(machine.model), str(machine.python)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        group, _, answer = owner.stdout.readline().strip().partition(" ")
        assert answer == REPLY
        assert group_members(int(group))
        os.kill(owner.pid, signal.SIGKILL)
    assert wait_until_gone(int(group)) == []


def test_an_unknown_architecture_is_the_cause(machine: Machine, tmp_path: Path) -> None:
    """A start on a model that vLLM does not know fails: the error says so, and names the log."""
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["NobodyForCausalLM"], "model_type": "llama"})
    )
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    weights = len(header).to_bytes(8, "little") + header + b"\0\0"
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "tokenizer.json").write_text("{}")
    settings = VllmSettings(model=str(tmp_path), python=str(machine.python))

    async def describe() -> None:
        engine = VllmEngine(settings)
        try:
            await engine.describe()
        finally:
            await engine.close()

    with pytest.raises(ConfigEngineError, match="NobodyForCausalLM") as raised:
        asyncio.run(describe())
    assert "does not know the model's architecture" in raised.value.message
    log = Path(raised.value.remedy.rpartition(" ")[2])
    assert "NobodyForCausalLM" in log.read_text()
