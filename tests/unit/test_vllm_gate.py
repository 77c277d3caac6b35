"""The gate in front of vLLM's server: no path is open without the key."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from promptlift.engines.vllm import environment

FOLDER = Path(environment.__file__).parent / "gate"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, loaded by path as it is no part of the package."""
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    spec = importlib.util.spec_from_file_location("promptlift_gate", FOLDER / "promptlift_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _through(gate: ModuleType, scope: dict[str, Any]) -> tuple[bool, list[Any]]:
    """Whether it got through, and what was sent instead."""
    passed, sent = [], []

    async def app(*_: object) -> None:
        passed.append(True)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {}

    asyncio.run(gate.Gate(app)(scope, receive, send))
    return bool(passed), sent


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/sleep", "/collective_rpc", "/metrics"])
def test_the_key_opens_every_path_and_nothing_else_does(gate: ModuleType, path: str) -> None:
    """The right bearer passes; none, a wrong one and half of one get 401 and nothing more."""
    scope = {"type": "http", "path": path, "method": "POST"}
    assert _through(gate, scope | {"headers": [(b"authorization", b"Bearer secret")]})[0]
    for headers in ([], [(b"authorization", b"Bearer secre")], [(b"authorization", b"secret")]):
        passed, sent = _through(gate, scope | {"headers": headers})
        assert not passed
        assert sent[0]["status"] == 401


def test_options_is_no_way_around(gate: ModuleType) -> None:
    """The check of vLLM itself lets that method pass; the gate does not."""
    scope = {"type": "http", "path": "/sleep", "method": "OPTIONS", "headers": []}
    assert not _through(gate, scope)[0]


def test_the_servers_own_start_and_end_pass(gate: ModuleType) -> None:
    """Messages of the server itself carry no headers."""
    assert _through(gate, {"type": "lifespan"})[0]


def test_it_needs_nothing_but_python() -> None:
    """It is loaded in whatever environment vLLM lives in, with no promptlift there."""
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import promptlift_gate"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
    assert [path.name for path in FOLDER.glob("*.py")] == ["promptlift_gate.py"]
