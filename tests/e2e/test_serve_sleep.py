"""The engine sleeps while the server has nothing to do, on a stand-in for vLLM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from promptlift.engines.vllm.state import read_state
from promptlift.engines.vllm.up import bring_up, take_down
from promptlift.testing import synthetic_video
from stubs.served import Served, eventually
from vllm_stub.make import make_stub

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


def test_it_sleeps_and_wakes_when_it_is_told_to(up: None, tmp_path: Path) -> None:
    """By the routes, twice each without harm; the server's end leaves the engine up."""
    with Served(tmp_path / "data", engine="vllm") as server:
        for route, state, inside in (
            ("sleep", "asleep", "sleeping"),
            ("sleep", "asleep", "sleeping"),
            ("wake", "ready", "ready"),
            ("wake", "ready", "ready"),
        ):
            answer = server.http.post(f"/v1/engine/{route}")
            assert answer.status_code == 200, answer.text
            # An engine that is slow to answer for itself is unknown for a moment.
            assert answer.json()["state"] in (state, "unknown")
            eventually(partial(is_told, server, state))
            assert status() == inside
        assert server.stop() == 0
    assert status() == "ready"


def is_told(server: Served, state: str) -> bool:
    """Whether the server says now that its engine is in that state."""
    return bool(server.http.get("/v1/engine").json()["state"] == state)
