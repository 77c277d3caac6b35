"""One server with several engines: each is asked by its name, and none waits for another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptlift.errors import InputError
from promptlift.testing import synthetic_video
from stubs.running import GatedServer
from stubs.served import Served, command, eventually

PROMPT = "a red hot-air balloon drifts over the hills"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is quick to look at."""
    folder = tmp_path_factory.mktemp("clips")
    return synthetic_video(folder / "clip.mp4", seconds=0.5, size=(160, 90), motion="static")


@pytest.fixture(scope="module")
def stub() -> Iterator[GatedServer]:
    """A model for all tests."""
    with GatedServer() as made:
        yield made


@pytest.fixture
def model(stub: GatedServer) -> Iterator[GatedServer]:
    """The model, asked nothing yet, whose gate is opened in the end."""
    stub.received.clear()
    yield stub
    stub.gate.set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stub: GatedServer) -> Iterator[Served]:
    """The embedded engine first, a model beside it, and one that is not there."""
    also = [
        f"model=openai:base_url={stub.base_url},retries=0",
        f"dead=openai:base_url={NOWHERE},retries=0",
    ]
    with Served(tmp_path_factory.mktemp("served") / "data", also=also, parallel=2) as made:
        eventually(lambda: engines_of(made)["model"]["state"] == "ready")
        yield made


def engines_of(server: Served) -> dict[str, Any]:
    """All engines by their labels, as our client tells them."""
    with server.client() as client:
        return client.engines()


def engine_of(answer: Any) -> str:
    """Who gave a record, by the record."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["engine"]["name"])


def test_each_is_asked_by_its_name_and_the_first_without(
    server: Served, clip: Path, model: GatedServer
) -> None:
    """As JSON, as a form, in a stream and as a job; each answer is kept under its own key."""
    asked = {"upload_id": server.upload(clip), "prompt": PROMPT}
    post = server.http.post
    assert engine_of(post("/v1/upsample", json=asked)) == "embedded"
    assert engine_of(post("/v1/upsample", json={**asked, "engine": "embedded"})) == "embedded"
    assert model.asked == []
    named = {**asked, "engine": "model"}
    assert engine_of(post("/v1/upsample", json=named)) == "openai"
    files = {"video": (clip.name, clip.read_bytes())}
    form = post("/v1/upsample", files=files, data={"prompt": PROMPT, "engine": "model"})
    assert form.headers["x-promptlift-cached"] == "yes"
    assert engine_of(form) == "openai"
    job = post("/v1/jobs", json=named).json()["id"]
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "finished")
    assert server.http.get(f"/v1/jobs/{job}").json()["record"] == form.json()
    assert len(model.asked) == 1
    assert post("/v1/hints", json=named).headers["content-type"] == "image/png"


def test_all_of_them_are_listed_and_the_first_is_the_engine(server: Served) -> None:
    """The list says how each is doing; a dead one takes nothing from the server's readiness."""
    eventually(lambda: engines_of(server)["dead"]["trouble"])
    engines = engines_of(server)
    assert list(engines) == ["embedded", "model", "dead"]
    assert [one["state"] for one in engines.values()] == ["ready", "ready", "unknown"]
    assert engines["dead"]["trouble"]["retryable"]
    assert engines["model"]["trouble"] is None
    first = server.http.get("/v1/engine").json()
    assert first == {name: engines["embedded"][name] for name in first}
    other = server.http.get("/v1/engine", params={"engine": "model"}).json()
    assert other == {name: engines["model"][name] for name in other}
    assert server.http.get("/readyz").status_code == 200
    metrics = server.http.get("/metrics").text
    assert 'promptlift_engine_up{engine="model"} 1.0' in metrics
    assert 'promptlift_engine_up{engine="dead"} 0.0' in metrics


def test_a_name_that_nobody_has_is_answered_with_those_there_are(
    server: Served, clip: Path
) -> None:
    """On every route that takes one, and nothing is kept of the request."""
    upload, jobs = server.upload(clip), server.http.get("/v1/jobs").json()
    asked = {"upload_id": upload, "engine": "gpt"}
    for answer in (
        server.http.post("/v1/upsample", json=asked),
        server.http.post("/v1/upsample", params={"stream": "1"}, json=asked),
        server.http.post("/v1/jobs", json=asked),
        server.http.post("/v1/hints", json=asked),
        server.http.get("/v1/engine", params={"engine": "gpt"}),
        server.http.post("/v1/engine/sleep", params={"engine": "gpt"}),
        server.http.post("/page/jobs", data=asked),
    ):
        assert answer.status_code == 422, answer.text
        said = answer.json()
        assert (said["code"], said["message"]) == (
            "engine_unknown",
            "this server has no engine 'gpt'",
        )
        assert "embedded, model, dead" in said["remedy"]
    assert server.http.get("/v1/jobs").json() == jobs
    assert server.http.delete(f"/v1/uploads/{upload}").status_code == 204


def test_one_that_is_slow_or_dead_holds_up_nobody(
    server: Served, clip: Path, model: GatedServer
) -> None:
    """With every place of two engines taken, the third answers at once."""
    upload = server.upload(clip)
    model.gate.clear()
    jobs = []
    for label in ("model", "dead"):
        for number in range(6):
            body = {"upload_id": upload, "prompt": f"{PROMPT} {number}", "engine": label}
            jobs.append(server.http.post("/v1/jobs", json=body).json()["id"])
    eventually(lambda: len(model.asked) == 2)
    listed = engines_of(server)["model"]
    assert (listed["waiting"], listed["running"]) == (4, 2)
    assert engine_of(server.http.post("/v1/upsample", json={"upload_id": upload})) == "embedded"
    assert len(model.asked) == 2
    model.gate.set()

    def states() -> list[str]:
        return [server.http.get(f"/v1/jobs/{one}").json()["state"] for one in jobs]

    eventually(lambda: states() == ["finished"] * 6 + ["failed"] * 6)


def test_a_job_for_an_engine_that_is_gone_fails_and_asks_no_other(
    tmp_path: Path, clip: Path, model: GatedServer
) -> None:
    """Its label is in the journal; the server that was started without it says why and what to do.

    A job that named none is done by whoever is the first now.
    """
    model.gate.clear()
    also = [f"model=openai:base_url={model.base_url}"]
    with Served(tmp_path / "data", also=also) as server:
        upload = server.upload(clip)
        body = {"upload_id": upload, "prompt": PROMPT}
        named = server.http.post("/v1/jobs", json={**body, "engine": "model"}).json()["id"]
        eventually(lambda: model.asked)
        server.kill()
    with Served(tmp_path / "data", also=["plain=embedded"]) as server:
        job = server.http.get(f"/v1/jobs/{named}").json()
        assert (job["state"], job["error"]["code"]) == ("failed", "engine_unknown")
        assert "'model'" in job["error"]["message"]
        assert "embedded, plain" in job["error"]["remedy"]
        eventually(lambda: server.http.delete(f"/v1/uploads/{upload}").status_code == 204)
    assert len(model.asked) == 1


def test_our_client_and_the_command_name_an_engine(server: Served, clip: Path) -> None:
    """The same names, and the same mistake."""
    with server.client() as client:
        record = client.upsample(clip, PROMPT, engine="model")
        assert record.engine is not None
        assert record.engine.name == "openai"
        with pytest.raises(InputError, match="no engine 'gpt'"):
            client.upsample(clip, PROMPT, engine="gpt")
    run = ("run", str(clip), PROMPT, "--server", server.url, "--engine")
    assert command(*run, "model")[:2] == (0, f"{record.prompt}\n")
    code, _, err = command(*run, "gpt")
    assert code == 2
    assert "Name one of: embedded, model, dead" in err
