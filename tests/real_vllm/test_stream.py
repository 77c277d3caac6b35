"""The real vLLM behind a real server: the words come over the API as it writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptlift.record import Record
from promptlift.testing import synthetic_video
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine
from stubs.served import Served, events

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_the_pieces_are_the_answer_and_come_before_it(ready: Machine, tmp_path: Path) -> None:
    """What a reader puts together is word for word what the record says that the model wrote.

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
        told = streamed(server, "POST", "/v1/upsample", params={"stream": "1"}, json=body)
        names = [name for name, _ in told]
        assert names.index("attempt") < names.index("piece") < names.index("text")
        assert names[-1] == "record"
        assert "piece" not in names[names.index("text") :]
        record = Record.model_validate(told[-1][1])
        assert record.engine is not None
        assert record.engine.name == "vllm"
        assert pieces(told) == record.attempts[-1].text == REPLY
        again = server.http.post("/v1/jobs", json={**body, "fresh": True}).json()["id"]
        followed = streamed(server, "GET", f"/v1/jobs/{again}/events")
        assert REPLY.startswith(pieces(followed))
        assert followed[-1][1]["prompt"] == record.prompt
    assert ready.status()


def streamed(server: Served, method: str, path: str, **how: Any) -> list[tuple[str, Any]]:
    """All events of one answer."""
    with server.http.stream(method, path, **how) as answer:
        assert answer.status_code == 200
        return list(events(answer))


def pieces(told: list[tuple[str, Any]]) -> str:
    """The draft that a reader has in the end."""
    return "".join(said["piece"] for name, said in told if name == "piece")
