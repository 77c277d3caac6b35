"""The engine sleeps while the server has nothing to do, on a stand-in for vLLM."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from promptlift.engines import bring_up, read_state, take_down
from promptlift.testing import synthetic_video
from stubs.served import Served, eventually
from vllm_stub.make import Stub, make_stub

pytestmark = pytest.mark.skipif(os.name != "posix", reason="vLLM needs process groups")


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stand-in for vLLM that is up, with a state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bring_up(make_stub(tmp_path / "stub").settings())
    yield
    take_down()


def status() -> str:
    """What the engine's own file says of it."""
    state = read_state()
    return "" if state is None else state.status


def test_it_sleeps_when_idle_and_wakes_for_work(up: None, tmp_path: Path) -> None:
    """Asleep after a second without work; a new request wakes it, a known one does not."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))
    with Served(tmp_path / "data", engine="vllm", idle_sleep=1.0) as server:
        asked = {"upload_id": server.upload(clip), "prompt": "a cat", "on_reject": "best"}
        first = server.http.post("/v1/upsample", json=asked)
        assert first.status_code == 200, first.text
        said = server.http.get("/v1/engine").json()
        assert (said["name"], said["can_sleep"]) == ("vllm", True)
        eventually(lambda: status() == "sleeping")
        assert server.http.get("/v1/engine").json()["state"] == "asleep"
        assert server.http.post("/v1/upsample", json=asked).content == first.content
        assert status() == "sleeping"
        other = server.http.post("/v1/upsample", json={**asked, "prompt": "a dog"})
        assert other.status_code == 200, other.text
        assert other.json()["engine"]["name"] == "vllm"
        eventually(lambda: status() == "sleeping")


@pytest.fixture
def owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stub, dict[str, Any]]:
    """A stand-in for vLLM, and the settings of a server that starts it itself."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stub = make_stub(tmp_path / "stub")
    started = {"model": str(stub.model), "python": str(stub.python)}
    return stub, {"engine": "vllm", "engine_settings": started}


def calls(stub: Stub, path: str) -> int:
    """How often the stand-in was asked for something."""
    return sum(call.partition("?")[0] == path for call in stub.calls())


def test_one_that_the_server_started_sleeps_and_wakes_for_work(
    owned: tuple[Stub, dict[str, Any]], tmp_path: Path
) -> None:
    """Asleep when idle; what is known wakes nobody; twelve at once wake it once."""
    stub, settings = owned
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))
    with Served(tmp_path / "data", **settings, idle_sleep=1.0) as server:
        asked = {"upload_id": server.upload(clip), "prompt": "a cat", "on_reject": "best"}
        first = server.http.post("/v1/upsample", json=asked)
        assert first.status_code == 200, first.text
        assert server.http.get("/v1/engine").json()["can_sleep"]
        # It may have slept before the first request already, where the upload took that long.
        woken = calls(stub, "/wake_up")
        eventually(partial(is_told, server, "asleep"))
        assert server.http.get("/readyz").status_code == 200
        assert server.http.post("/v1/upsample", json=asked).content == first.content
        assert is_told(server, "asleep")
        assert calls(stub, "/wake_up") == woken
        with ThreadPoolExecutor(12) as many:
            ask = partial(asked_alone, server.url, asked)
            assert list(many.map(ask, range(12))) == [200] * 12
        assert calls(stub, "/wake_up") == woken + 1
        eventually(partial(is_told, server, "asleep"))
        assert server.stop() == 0
    assert calls(stub, "start") == 1


def asked_alone(url: str, asked: dict[str, Any], number: int) -> int:
    """The status of a request for work that was not done before, over a connection of its own."""
    body = {**asked, "prompt": f"a cat {number}"}
    return httpx2.post(f"{url}/v1/upsample", json=body, timeout=120, trust_env=False).status_code


def test_one_that_the_server_started_sleeps_when_it_is_told_to(
    owned: tuple[Stub, dict[str, Any]], tmp_path: Path
) -> None:
    """By the routes, and not while it works; one that dies asleep is started for new work."""
    stub, settings = owned
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))
    with Served(tmp_path / "data", **settings) as server:
        eventually(partial(is_told, server, "ready"))
        asleep, awake = ("sleep", "asleep"), ("wake", "ready")
        for route, state in (asleep, asleep, awake, asleep):
            answer = server.http.post(f"/v1/engine/{route}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == state
        os.kill(running_stub(stub), signal.SIGKILL)
        eventually(lambda: not is_told(server, "asleep"))
        body = {"upload_id": server.upload(clip), "prompt": "a dog", "on_reject": "best"}
        assert server.http.post("/v1/upsample", json=body).status_code == 200
        assert calls(stub, "start") == 2
        stub.behave(thinks=2)
        asked = calls(stub, "/v1/chat/completions")
        server.http.post("/v1/jobs", json={**body, "prompt": "a cat"})
        eventually(lambda: calls(stub, "/v1/chat/completions") > asked)
        refused = server.http.post("/v1/engine/sleep")
        assert (refused.status_code, refused.json()["code"]) == (409, "engine_working")
        assert int(refused.headers["retry-after"]) > 0
    assert (calls(stub, "/sleep"), calls(stub, "/wake_up")) == (2, 1)


def running_stub(stub: Stub) -> int:
    """The process id of the stand-in that serves that model."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            said = path.read_bytes().split(b"\0")
            if b"serve" in said and str(stub.model).encode() in said and b"--" not in said:
                return int(path.parent.name)
    raise AssertionError("it does not run")


def is_told(server: Served, state: str) -> bool:
    """Whether the server says now that its engine is in that state."""
    return bool(server.http.get("/v1/engine").json()["state"] == state)
