"""Damaged videos sent to the server: each has its answer, and the server is as well as before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from fault.damage import DAMAGES, FORMATS, damaged, make
from promptlift.record import Record
from stubs.served import Served, alive, children_of

SEEDS = range(3)
REFUSALS = {"video_unreadable", "video_refused", "video_timeout"}


def test_damaged_videos_are_answered_and_leave_nothing(tmp_path: Path) -> None:
    """A record or a problem of the video; no process more, no file left, no path told."""
    copies = [
        damaged(content, damage, seed)
        for kind in FORMATS
        for content in [make(kind, tmp_path).read_bytes()]
        for damage in DAMAGES
        for seed in SEEDS
    ]
    assert len(copies) >= 100
    with Served(tmp_path / "data", decoders=2, queue=len(copies)) as server:

        def send(content: bytes) -> httpx2.Response:
            return server.http.post(
                "/v1/upsample", files={"video": content}, data={"prompt": "a counter counts"}
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, copies))
        for answer in answers:
            if answer.status_code == 200:
                assert Record.model_validate_json(answer.content).status != "failed"
            else:
                assert answer.status_code == 422, answer.text
                assert answer.json()["code"] in REFUSALS
                assert str(tmp_path) not in answer.text
        assert {answer.status_code for answer in answers} == {200, 422}
        children = children_of(server.process.pid)
        assert len(children) <= 2
        assert server.uploads() == []
        assert server.http.get("/readyz").status_code == 200
        assert server.stop() == 0
        assert not any(map(alive, children))
