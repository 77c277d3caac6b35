"""The engine sleeps while the server has nothing to do, on a stand-in for vLLM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from promptlift.engines import bring_up, read_state, take_down
from promptlift.testing import synthetic_video
from stubs.served import Served, eventually
from vllm_stub.make import Stub, make_stub

pytestmark = pytest.mark.skipif(os.name != "posix", reason="vLLM needs process groups")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A stand-in for vLLM, with a state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield make_stub(tmp_path / "stub")
    take_down()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of half a second."""
    return synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))


def owned(stub: Stub) -> dict[str, Any]:
    """The settings of a server that starts the engine itself."""
    settings = {"model": str(stub.model), "python": str(stub.python)}
    return {"engine": "vllm", "engine_settings": settings}


@pytest.mark.parametrize("started_by", ["server", "engine up"])
def test_it_sleeps_when_idle_and_wakes_for_work(
    stub: Stub, clip: Path, tmp_path: Path, started_by: str
) -> None:
    """Asleep when idle; what is known wakes nobody; twenty at once wake it once."""
    settings: dict[str, Any] = {"engine": "vllm"}
    if started_by == "server":
        settings = owned(stub)
    else:
        bring_up(stub.settings())
    with Served(tmp_path / "data", **settings, idle_sleep=1.0) as server:
        asked = {"upload_id": server.upload(clip), "prompt": "a cat", "on_reject": "best"}
        first = server.http.post("/v1/upsample", json=asked)
        assert first.status_code == 200, first.text
        assert first.json()["engine"]["name"] == "vllm"
        assert server.http.get("/v1/engine").json()["can_sleep"]
        # It may have slept before the first request already, where the upload took that long.
        woken = stub.count("/wake_up")
        eventually(partial(is_told, server, "asleep"))
        assert server.http.get("/readyz").status_code == 200
        assert server.http.post("/v1/upsample", json=asked).content == first.content
        assert is_told(server, "asleep")
        assert stub.count("/wake_up") == woken
        with ThreadPoolExecutor(20) as many:
            ask = partial(asked_alone, server.url, asked)
            assert list(many.map(ask, range(20))) == [200] * 20
        assert stub.count("/wake_up") == woken + 1
        eventually(partial(is_told, server, "asleep"))
        assert server.stop() == 0
    if started_by == "engine up":
        state = read_state()
        assert state is not None
        assert state.status == "sleeping"
    assert stub.count("start") == 1


def asked_alone(url: str, asked: dict[str, Any], number: int) -> int:
    """The status of a request for work that was not done before, over a connection of its own."""
    body = {**asked, "prompt": f"a cat {number}"}
    return httpx2.post(f"{url}/v1/upsample", json=body, timeout=120, trust_env=False).status_code


def test_it_sleeps_when_it_is_told_to(stub: Stub, clip: Path, tmp_path: Path) -> None:
    """By the routes, and not while it works; one that dies asleep is started for new work."""
    with Served(tmp_path / "data", **owned(stub)) as server:
        eventually(partial(is_told, server, "ready"))
        asleep, awake = ("sleep", "asleep"), ("wake", "ready")
        for route, state in (asleep, asleep, awake, asleep):
            answer = server.http.post(f"/v1/engine/{route}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == state
        (engine,) = (
            one for one in map(psutil.Process, stub.processes()) if "--" not in one.cmdline()
        )
        engine.kill()
        eventually(lambda: not is_told(server, "asleep"))
        body = {"upload_id": server.upload(clip), "prompt": "a dog", "on_reject": "best"}
        assert server.http.post("/v1/upsample", json=body).status_code == 200
        assert stub.count("start") == 2
        stub.behave(thinks=1)
        asked = stub.count("/v1/chat/completions")
        server.http.post("/v1/jobs", json={**body, "prompt": "a cat"})
        eventually(lambda: stub.count("/v1/chat/completions") > asked)
        refused = server.http.post("/v1/engine/sleep")
        assert (refused.status_code, refused.json()["code"]) == (409, "engine_working")
        assert int(refused.headers["retry-after"]) > 0
    assert (stub.count("/sleep"), stub.count("/wake_up")) == (2, 1)


def is_told(server: Served, state: str) -> bool:
    """Whether the server says now that its engine is in that state."""
    return bool(server.http.get("/v1/engine").json()["state"] == state)
