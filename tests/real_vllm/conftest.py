"""The real vLLM, its tiny model, and one engine that is up for the whole run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from real_vllm import environment
from real_vllm.processes import wait_until_gone

TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "0",
    "ROLE_RANK": "1",
    "ROLE_NAME": "default",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    "OMP_NUM_THREADS": "1",
}
"""What torchrun exports to a worker; with the agent's store, vLLM waits for ever."""


@dataclass(frozen=True)
class Machine:
    """Where the tests run vLLM: its Python, the model, and a state folder of their own."""

    python: Path
    model: Path
    state_home: Path

    def command(
        self, *arguments: str, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run promptlift as a person does."""
        return subprocess.run(
            [sys.executable, "-m", "promptlift", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"XDG_STATE_HOME": str(self.state_home)} | (environ or {}),
            check=False,
        )

    def up(self, *more: str) -> Sequence[str]:
        """The arguments that start an engine with the tiny model."""
        python = ("--vllm-python", str(self.python))
        return ("engine", "up", str(self.model), *python, "--fast-start", *more)

    def status(self) -> dict[str, object]:
        """What is up, or an empty dictionary."""
        return json.loads(self.command("engine", "status", "--json").stdout) or {}


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The environment with vLLM, and the tiny checkpoint. Skips loudly where there is none."""
    try:
        python = environment.make()
    except environment.EnvironmentUnavailable as reason:
        pytest.skip(f"THE REAL vLLM WAS NOT TESTED, because it cannot be installed here: {reason}")
    model = tmp_path_factory.mktemp("checkpoints") / "tiny-pixtral"
    maker = Path(__file__).with_name("checkpoint.py")
    subprocess.run([str(python), str(maker), str(model)], check=True)
    state_home = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state_home))
        patch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)
        yield Machine(python, model, state_home)


@pytest.fixture(scope="session")
def up(machine: Machine) -> Iterator[Machine]:
    """An engine that `engine up` left, started as a worker of torchrun would start it."""
    started = machine.command(*machine.up(), environ=TORCHRUN)
    assert started.returncode == 0, started.stderr
    yield machine
    state = machine.status()
    down = machine.command("engine", "down").stdout
    assert machine.status() == {}
    if state:
        assert down == "the engine is stopped\n"
        assert wait_until_gone(int(str(state["engine_pid"]))) == []


@pytest.fixture
def ready(up: Machine) -> Machine:
    """The engine that is up, started again where another test has ended it."""
    if not up.status():
        started = up.command(*up.up())
        assert started.returncode == 0, started.stderr
    return up
