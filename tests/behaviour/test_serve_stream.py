"""A real server that tells an answer while a model over HTTP writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptlift.errors import BudgetError
from promptlift.record import Record
from promptlift.testing import synthetic_video
from stubs.openai_server import Fault, StubServer
from stubs.served import Served, events, eventually

PROMPT = "a red balloon drifts over the hills at sunset"
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera pans gently."
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a balloon."""
    folder = tmp_path_factory.mktemp("clips")
    return synthetic_video(folder / "balloon.mp4", seconds=1, size=(320, 180))


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """The model."""
    with StubServer(reply=GOOD) as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stub: StubServer) -> Iterator[Served]:
    """The server."""
    folder = tmp_path_factory.mktemp("served")
    settings = {"base_url": stub.base_url, "retries": 0}
    with Served(folder / "data", engine="openai", engine_settings=settings) as made:
        yield made


def asked(server: Served, clip: Path, seed: int) -> dict[str, Any]:
    """A request for work that was not done before."""
    return {"upload_id": server.upload(clip), "prompt": PROMPT, "seed": seed}


def streamed(server: Served, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """All events of one request."""
    with server.http.stream("POST", "/v1/upsample", params={"stream": "1"}, json=body) as answer:
        assert answer.status_code == 200
        return list(events(answer))


def pieces(told: list[tuple[str, Any]]) -> str:
    """The draft that a reader has in the end."""
    last = max(at for at, (name, _) in enumerate(told) if name == "attempt")
    return "".join(said["piece"] for name, said in told[last:] if name == "piece")


def test_the_words_come_before_the_answer(server: Served, stub: StubServer, clip: Path) -> None:
    """Some are read while the model still writes; in the end all is as it always was."""
    body = asked(server, clip, 1)
    told: list[tuple[str, Any]] = []
    under_way: list[int] = []
    stub.piece_seconds = 0.04
    with server.http.stream("POST", "/v1/upsample", params={"stream": "1"}, json=body) as answer:
        for name, said in events(answer):
            told.append((name, said))
            if name == "piece" and not under_way:
                under_way.append(stub.at_once)
    stub.piece_seconds = 0.0
    assert under_way == [1], "the first word was read while the model wrote"
    names = [name for name, _ in told]
    assert names.index("attempt") < names.index("piece") < names.index("text")
    assert names.count("piece") > 3
    assert names[-2:] == ["text", "record"]
    assert pieces(told) == GOOD
    assert told[-1][1]["prompt"] == GOOD
    assert told[-1][1]["tokens"]["completion"] == len(GOOD.split())
    again = server.http.post("/v1/upsample", json=body)
    assert again.headers["x-promptlift-cached"] == "yes"
    assert again.json() == told[-1][1]


def test_without_a_stream_none_is_asked_for(server: Served, stub: StubServer, clip: Path) -> None:
    """Nobody would read it; the record is the same but for its times."""
    before = len(stub.chats)
    answer = server.http.post("/v1/upsample", json=asked(server, clip, 2))
    assert answer.json()["prompt"] == GOOD
    assert ["stream" in chat.body for chat in stub.chats[before:]] == [False]


def test_a_failure_is_a_problem_with_its_record(server: Served, clip: Path) -> None:
    """The record says how far the item came; our client raises what the library would."""
    body = {**asked(server, clip, 5), "context": 310}
    answer = server.http.post("/v1/upsample", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "budget")
    assert answer.headers["content-type"] == "application/problem+json"
    record = Record.model_validate(answer.json()["record"])
    assert record.error is not None
    assert record.error.code == "budget"
    assert record.facts is not None
    with server.client() as client:
        with pytest.raises(BudgetError):
            client.upsample(clip, "x", context=310)
        failed, error = client.attempt(clip, "x", context=310)
    assert isinstance(error, BudgetError)
    assert failed is not None
    assert failed.status == "failed"


@pytest.mark.parametrize("fault", ["cut", "error", "no-end"])
def test_a_broken_stream_costs_nobody_the_answer(
    server: Served, stub: StubServer, clip: Path, fault: str
) -> None:
    """What was told is voided by another attempt, and the reviewed text is whole."""
    stub.faults.append(Fault(fault))
    stub.piece_seconds = 0.02
    told = streamed(server, asked(server, clip, 10 + len(fault)))
    stub.piece_seconds = 0.0
    assert [said["number"] for name, said in told if name == "attempt"] == [1, 2]
    assert pieces(told) == ""
    assert dict(told)["record"]["prompt"] == GOOD


def test_a_job_tells_its_draft_to_who_comes_late(
    server: Served, stub: StubServer, clip: Path
) -> None:
    """From its beginning, at once, without ids; events with ids are told from where one was."""
    stub.piece_seconds = 0.04
    job = server.http.post("/v1/jobs", json=asked(server, clip, 3)).json()["id"]
    path = f"/v1/jobs/{job}/events"
    with server.http.stream("GET", path) as answer:
        first = next(said["piece"] for name, said in events(answer) if name == "piece")
    with server.http.stream("GET", path, headers={"last-event-id": "3"}) as answer:
        raw = answer.read().decode()
    stub.piece_seconds = 0.0
    blocks = [dict(line.split(": ", 1) for line in one.splitlines()) for one in raw.split("\n\n")]
    told = [(one["event"], json.loads(one["data"])) for one in blocks if "event" in one]
    assert pieces(told) == GOOD
    assert GOOD.startswith(first)
    assert all(("id" in one) == (one["event"] not in ("attempt", "piece")) for one in blocks if one)
    assert int(next(one["id"] for one in blocks if "id" in one)) == 4
    assert told[-1][0] == "record"
    assert server.http.get(path, headers={"last-event-id": blocks[-2]["id"]}).status_code == 204


def test_a_reader_that_goes_away_ends_the_work(
    server: Served, stub: StubServer, clip: Path
) -> None:
    """In the middle of the words the client leaves, and the model writes for nobody else."""
    stub.faults.append(Fault("slow"))  # it would never end by itself
    body = asked(server, clip, 4)
    with server.http.stream("POST", "/v1/upsample", params={"stream": "1"}, json=body) as answer:
        assert next(name for name, _ in events(answer) if name == "piece") == "piece"
    eventually(lambda: stub.at_once == 0)
    eventually(lambda: 'queue_running{engine="openai"} 0.0' in server.http.get("/metrics").text)
