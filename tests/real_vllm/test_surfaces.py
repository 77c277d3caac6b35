"""The real vLLM behind the batch, the sweep and the server: its words, and predicted counts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.base import Completion, Request
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.record import Record
from promptlift.store.index import Index
from promptlift.sweep import LADDER
from promptlift.testing import synthetic_video
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine
from stubs.served import Served, events

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

SIZES = [(320, 180), (640, 480), (1280, 720)]


def test_every_row_of_a_batch_costs_what_was_predicted(ready: Machine, tmp_path: Path) -> None:
    """Each record holds the model's own words; a second run asks nothing."""
    for number, size in enumerate(SIZES):
        synthetic_video(tmp_path / f"{number}.mp4", seconds=0.5, size=size)
    rows = [{"video": f"{n % 3}.mp4", "prompt": f"a balloon over {n} dunes"} for n in range(24)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run_dir = tmp_path / "run"
    command = ("batch", "run", str(tmp_path / "in.jsonl"), "-o", str(run_dir), "--engine", "vllm")
    for _ in range(2):
        done = ready.command(*command, "--attempts", "1", "--on-reject", "best")
        assert done.returncode in (0, 1), done.stderr
    with Index(run_dir) as index:
        records = [json.loads(index.raw_record(key)) for key, _ in index.items()]
    assert len(records) == len(rows)
    for record in records:
        assert record["attempts"][0]["text"] == REPLY
        assert record["tokens"]["actual"] == record["tokens"]["predicted"]
        assert record["error"] is None
    lines = [part.read_text().count('"kind":"result"') for part in (run_dir / "parts").iterdir()]
    assert sum(lines) == len(rows)


def test_every_size_of_a_sweep_costs_what_was_predicted(ready: Machine) -> None:
    """Two frames of each size of the ladder, and of an odd one: all pass, all counts agree."""
    sizes = ",".join(["333x777", *map(str, LADDER)])
    asked = ("sweep", "--engine", "vllm", "--sizes", sizes, "-n", "2", "--answers")
    done = ready.command(*asked, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == len(LADDER) + 1
    for row in rows:
        assert row["counted_tokens"] == row["predicted_tokens"]
        assert (row["context"], row["bare_request"], row["answered"]) == (9216, "passes", True)
        assert row["answer"] == REPLY


def test_the_pieces_are_the_answer_and_come_before_it(ready: Machine, tmp_path: Path) -> None:
    """What a reader of the stream puts together is word for word what the model wrote.

    It is there before the reviewed text is, and a job says the same in the end.
    """
    clip = synthetic_video(tmp_path / "balloon.mp4", seconds=1, fps=8, size=(320, 180))
    with Served(tmp_path / "data", engine="vllm") as server:
        server.http.timeout = 300
        body = {
            "upload_id": server.upload(clip),
            "prompt": "a red balloon over golden dunes",
            "attempts": 1,
            "on_reject": "best",
        }
        streamed = _streamed(server, "POST", "/v1/upsample", params={"stream": "1"}, json=body)
        names = [name for name, _ in streamed]
        assert names.index("attempt") < names.index("piece") < names.index("text")
        assert names[-1] == "record"
        assert "piece" not in names[names.index("text") :]
        record = Record.model_validate(streamed[-1][1])
        assert record.engine is not None
        assert record.engine.name == "vllm"
        assert _pieces(streamed) == record.attempts[-1].text == REPLY
        again = server.http.post("/v1/jobs", json={**body, "fresh": True}).json()["id"]
        followed = _streamed(server, "GET", f"/v1/jobs/{again}/events")
        assert REPLY.startswith(_pieces(followed))
        assert followed[-1][1]["prompt"] == record.prompt
    assert ready.status()


def test_an_answer_is_held_to_a_schema(ready: Machine) -> None:
    """A model that knows one sentence writes JSON all the same, and ends."""
    schema = {
        "type": "object",
        "properties": {"sky": {"enum": ["snow", "rain"]}, "sun": {"type": "boolean"}},
        "required": ["sky", "sun"],
        "additionalProperties": False,
    }

    async def ask() -> Completion:
        engine = VllmEngine()
        try:
            return await engine.complete(Request("Weather?", (), schema=schema))
        finally:
            await engine.close()

    answer = asyncio.run(ask())
    assert set(json.loads(answer.text)) == {"sky", "sun"}
    assert answer.finish_reason == "stop"
    assert ready.status()


def _streamed(server: Served, method: str, path: str, **how: Any) -> list[tuple[str, Any]]:
    with server.http.stream(method, path, **how) as answer:
        assert answer.status_code == 200
        return list(events(answer))


def _pieces(streamed: list[tuple[str, Any]]) -> str:
    return "".join(value["piece"] for name, value in streamed if name == "piece")
