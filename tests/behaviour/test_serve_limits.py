"""The server under load, under attack, and killed: nothing accepted is lost, nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from promptlift.client import Client
from promptlift.record import Record
from promptlift.testing import synthetic_video
from stubs.running import GatedServer
from stubs.served import Served, command, eventually

PROMPT = "a red balloon drifts over the hills"
KEYS = ["a-key-for-the-first-one", "a-key-for-the-second"]
BEARER = {"authorization": f"Bearer {KEYS[0]}"}


@pytest.fixture(scope="module")
def stub() -> Iterator[GatedServer]:
    """The model behind all servers."""
    with GatedServer() as made:
        yield made


@pytest.fixture
def model(stub: GatedServer) -> Iterator[GatedServer]:
    """The model, asked nothing yet."""
    stub.received.clear()
    yield stub
    stub.gate.set()


@pytest.fixture(scope="module")
def engine(stub: GatedServer) -> dict[str, Any]:
    """What a server needs to ask the model."""
    return {"engine": "openai", "engine_settings": {"base_url": stub.base_url}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of half a second."""
    return synthetic_video(tmp_path_factory.mktemp("clip") / "c.mp4", seconds=0.5, size=(160, 90))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: dict[str, Any]) -> Iterator[Served]:
    """A server that does one request after the other, for two keys."""
    folder = tmp_path_factory.mktemp("server")
    with Served(folder / "data", keys=KEYS, queue=20, parallel=1, **engine) as made:
        yield made


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that waits for nobody, whose engine does not answer."""
    limits = {"header_seconds": 0.5, "body_seconds": 0.5, "body_rate": 10_000, "rate": 4.0}
    nowhere = {"base_url": "http://127.0.0.1:9/v1", "retries": 0}
    folder = tmp_path_factory.mktemp("strict")
    with Served(folder / "data", engine="openai", engine_settings=nowhere, **limits) as made:
        yield made


def submitted(
    server: Served, upload: str, count: int, prompt: str = PROMPT, **asked: Any
) -> list[str]:
    """Leave so many jobs with a server; their ids."""
    ids = []
    for number in range(count):
        body = {"upload_id": upload, "prompt": f"{prompt} {number}", **asked}
        answer = server.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        ids.append(answer.json()["id"])
    return ids


def states(server: Served, ids: list[str]) -> list[str]:
    """How far each job is."""
    listed = server.http.get("/v1/jobs", params={"limit": 1000}).json()["jobs"]
    known = {job["id"]: job["state"] for job in listed}
    return [known[one] for one in ids]


def ended(server: Served, ids: list[str]) -> bool:
    """Whether all of them have ended."""
    return not {"queued", "running"} & set(states(server, ids))


def test_no_job_is_lost_when_the_server_is_killed_or_ended(
    tmp_path: Path, clip: Path, model: GatedServer, engine: dict[str, Any]
) -> None:
    """Every accepted job ends with its own record, and no process is left over.

    Only what was in flight is asked again, each key has one result, what was cancelled stays so,
    and a server that takes up so many holds hardly more than one that has nothing to do.
    """
    settings = {"parallel": 3, "grace": 0.5, **engine}
    model.gate.clear()
    model.free.release(15)
    with Served(tmp_path / "data", **settings) as server:
        upload = server.upload(clip)
        ids = submitted(server, upload, 30)
        eventually(lambda: len(model.asked) == 18)
        now = states(server, ids)
        assert now.count("finished") == 15
        cancelled = [ids[now.index("running")], ids.pop()]
        for one in cancelled:
            said = server.http.delete(f"/v1/jobs/{one}").json()
            assert (said["state"], said["error"]["code"]) == ("cancelled", "cancelled")
        ids.remove(cancelled[0])
        eventually(lambda: len(model.asked) == 19)
        assert server.http.delete(f"/v1/uploads/{upload}").status_code == 409
        assert len(server.processes()) > 1, "it has decoders"
        server.kill()
    (server.data / "uploads" / ("e" * 32)).write_bytes(b"half a file")
    eventually(lambda: server.processes() == [])
    with Served(tmp_path / "data", **settings) as server:
        eventually(lambda: len(model.asked) == 22)
        assert server.uploads() == [upload], "what is left over is deleted"
        assert server.stop() == 0
        assert server.processes() == []
    model.gate.set()
    with Served(tmp_path / "data", **settings) as server:
        idle = server.memory()
        eventually(lambda: ended(server, ids))
        assert states(server, ids + cancelled) == ["finished"] * 28 + ["cancelled"] * 2
        jobs = [server.http.get(f"/v1/jobs/{one}").json() for one in ids]
        for job in jobs:
            record = Record.model_validate(job["record"])
            assert record.short_prompt == job["prompt"]
            assert str(record.prompt).startswith(record.short_prompt)
        assert len({job["key"] for job in jobs}) == 28
        assert server.memory("VmHWM") < idle + 50 + 70, "the words of the review take 65 MB once"
        asked = Counter(model.asked)
        assert sorted(asked.values()) == [1] * 26 + [3] * 3
        again = submitted(server, upload, 1)[0]
        eventually(lambda: ended(server, [again]))
        assert server.http.get(f"/v1/jobs/{again}").json()["record"] == jobs[0]["record"]
        assert Counter(model.asked) == asked
        eventually(lambda: server.http.delete(f"/v1/uploads/{upload}").status_code == 204)


def test_what_is_old_is_deleted_while_the_server_runs(
    tmp_path: Path, clip: Path, model: GatedServer, engine: dict[str, Any]
) -> None:
    """Then it is asked anew; a job that is not done is done, however old it is."""
    with Served(tmp_path / "data", parallel=1, keep=1.0, **engine) as server:
        upload = server.upload(clip)
        body = {"upload_id": upload, "prompt": f"{PROMPT} 0"}
        record = server.http.post("/v1/upsample", json=body).json()
        (done,) = submitted(server, upload, 1)
        eventually(lambda: ended(server, [done]))
        model.gate.clear()
        (open_,) = submitted(server, upload, 1, seed=7)
        eventually(lambda: server.http.get(f"/v1/jobs/{done}").status_code == 404)
        assert server.http.get(f"/v1/records/{record['key']}").status_code == 404
        model.gate.set()
        eventually(lambda: server.http.get(f"/v1/jobs/{open_}").json()["state"] == "finished")
        answer = server.http.post("/v1/upsample", json=body)
        assert "x-promptlift-cached" not in answer.headers
        assert answer.json()["key"] == record["key"]
    assert len(model.asked) == 3


class TestOneServer:
    """More than it takes, and clients that go away."""

    def test_the_same_work_at_once_is_asked_once(
        self, server: Served, clip: Path, model: GatedServer
    ) -> None:
        """Whoever comes second waits for the first one's answer."""
        model.gate.clear()
        upload = server.upload(clip)
        ids = [submitted(server, upload, 1, f"{PROMPT}, the same")[0] for _ in range(5)]
        eventually(lambda: model.asked)
        model.gate.set()
        eventually(lambda: ended(server, ids))
        assert states(server, ids) == ["finished"] * 5
        assert len(model.asked) == 1

    def test_hundreds_at_once_are_done_or_refused(
        self, server: Served, clip: Path, model: GatedServer
    ) -> None:
        """429 says when to come again, and our client does; every 202 is a job that ends."""
        model.gate.clear()
        upload = server.upload(clip)
        bodies = [{"upload_id": upload, "prompt": f"{PROMPT}, one of many {n}"} for n in range(200)]

        async def hundreds() -> list[httpx2.Response]:
            limits = httpx2.Limits(max_connections=None)
            async with httpx2.AsyncClient(
                base_url=server.url, headers=BEARER, limits=limits, timeout=120, trust_env=False
            ) as http:
                return await asyncio.gather(*(http.post("/v1/jobs", json=one) for one in bodies))

        answers = asyncio.run(hundreds())
        accepted = [a.json()["id"] for a in answers if a.status_code == 202]
        refused = [a for a in answers if a.status_code == 429]
        assert (len(accepted), len(refused)) == (21, 179), "one runs, and twenty wait"
        for answer in refused:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"] == "queue_full"
        threading.Timer(0.2, model.gate.set).start()
        with server.client() as client:
            assert client.upsample(clip, f"{PROMPT}, one more").status == "ok"
        eventually(lambda: ended(server, accepted))
        assert states(server, accepted) == ["finished"] * 21
        assert server.http.get("/readyz").status_code == 200

    def test_one_client_with_much_to_do_does_not_keep_another_waiting(
        self, server: Served, clip: Path, model: GatedServer
    ) -> None:
        """A full queue of one key takes a job of another, which is the next or the one after."""
        model.gate.clear()
        upload = server.upload(clip)
        ids = submitted(server, upload, 1, f"{PROMPT}, mine")
        eventually(lambda: len(model.asked) == 1)
        ids += submitted(server, upload, 20, f"{PROMPT}, mine, too,")
        with Client(server.url, KEYS[1]) as other:
            job = other.submit(clip, f"{PROMPT}, of the other")
            model.gate.set()
            eventually(lambda: other.job(job.id).state == "finished")
        eventually(lambda: ended(server, ids))
        place = [text.endswith("of the other") for text in model.asked].index(True)
        assert place <= 2

    @pytest.mark.parametrize("stream", [0, 1])
    def test_work_for_a_client_that_is_gone_ends(
        self, server: Served, clip: Path, model: GatedServer, stream: int
    ) -> None:
        """The engine is let go, and the place in the queue is free."""
        model.gate.clear()
        asked = {"upload_id": server.upload(clip), "prompt": f"for nobody {stream}"}
        body = json.dumps(asked).encode()
        head = (
            f"POST /v1/upsample?stream={stream} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {KEYS[0]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(server.address, 30) as line:
            line.sendall(head.encode() + body)
            eventually(lambda: len(model.asked) == 1)
        idle = 'queue_running{engine="openai"} 0.0'
        eventually(lambda: idle in server.http.get("/metrics").text)

    def test_a_deadline_ends_what_waits_and_what_runs(
        self, server: Served, clip: Path, model: GatedServer
    ) -> None:
        """Both are answered 504, and neither is asked again by itself."""
        model.gate.clear()
        upload = server.upload(clip)
        body = {"upload_id": upload, "prompt": "in a hurry", "deadline": 0.5}
        (other,) = submitted(server, upload, 1, "in a hurry, too", deadline=0.5)
        answer = server.http.post("/v1/upsample", json=body)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        eventually(lambda: ended(server, [other]))
        job = server.http.get(f"/v1/jobs/{other}").json()
        assert (job["state"], job["error"]["code"]) == ("failed", "deadline")

    def test_memory_stays_bounded_while_a_large_upload_streams(
        self, server: Served, clip: Path
    ) -> None:
        """40 MB sent as one body are never held as one."""
        before = server.memory("VmHWM")
        padding = (40 << 20).to_bytes(4, "big") + b"free" + b"\0" * ((40 << 20) - 8)
        answer = server.http.post("/v1/uploads", content=clip.read_bytes() + padding)
        assert answer.status_code == 201, answer.text
        assert server.memory("VmHWM") - before < 30


class TestStrictServer:
    """Slow and hasty clients, and an engine that is not there."""

    def test_an_engine_that_is_not_there(self, strict: Served, clip: Path) -> None:
        """Alive but not ready; a request says so and may be sent again; looks work all the same."""
        assert strict.http.get("/healthz").status_code == 200
        assert strict.http.get("/readyz").status_code == 503
        upload = strict.upload(clip)
        answer = strict.http.post("/v1/upsample", json={"upload_id": upload})
        assert answer.status_code == 503, answer.text
        assert answer.json()["retryable"] is True
        assert strict.http.post("/v1/facts", json={"upload_id": upload}).status_code == 200
        assert strict.http.get("/v1/engine").json()["state"] == "unknown"

    def test_slow_heads_and_slow_bodies_are_closed(self, strict: Served) -> None:
        """A connection that drips is ended, whatever part of a request it drips."""
        head = b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
        starts = {
            "nothing": (b"", b""),
            "head": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X"),
            "stalled": (head + b"Content-Length: 1000\r\n\r\n", b""),
            "dripping": (head + b"Content-Length: 1000000\r\n\r\n", b"\x00"),
            "after": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G"),
        }
        before = strict.uploads()
        lines = {name: socket.create_connection(strict.address) for name in starts}
        for name, (start, _) in starts.items():
            lines[name].sendall(start)
        open_lines, until = dict(lines), time.monotonic() + 20
        while open_lines:
            assert time.monotonic() < until, open_lines
            for name, line in list(open_lines.items()):
                line.settimeout(0.1)
                try:
                    line.sendall(starts[name][1])
                    if line.recv(65_536) == b"":
                        del open_lines[name]
                except TimeoutError:
                    continue
                except OSError:
                    del open_lines[name]
        for line in lines.values():
            line.close()
        assert strict.http.get("/healthz").status_code == 200
        assert strict.uploads() == before

    def test_a_folder_or_a_port_that_is_taken(self, strict: Served, tmp_path: Path) -> None:
        """One line says who is in the way."""
        with pytest.raises(RuntimeError, match="another server uses the folder"):
            Served(strict.data)
        with pytest.raises(RuntimeError, match="--port"):
            Served(tmp_path / "other", port=strict.address[1])

    def test_too_many_requests_of_one_client(self, strict: Served) -> None:
        """More than the burst is refused, and later let in again."""
        time.sleep(0.3)
        answers = [strict.http.get("/healthz") for _ in range(60)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "rate_limit"
        eventually(lambda: strict.http.get("/healthz").status_code == 200)


class TestStart:
    """What it refuses to start with, and how it ends."""

    def test_keys_that_are_none(self, tmp_path: Path) -> None:
        """Missing, empty or short ones are mistakes, and are not printed."""
        (tmp_path / "empty").write_text("\n")
        (tmp_path / "short").write_text("hunter2")
        for arguments, words in (
            (("--api-key-file", str(tmp_path / "missing")), "No such file"),
            (("--api-key-file", str(tmp_path / "empty")), "is empty"),
            (("--api-key-file", str(tmp_path / "short")), "7 characters"),
            (("--api-key-env", "PROMPTLIFT_NO_SUCH_KEY"), "is not set"),
        ):
            code, _, err = command("serve", *arguments, "--data", str(tmp_path / "data"))
            assert code == 2
            assert words in err
            assert "hunter2" not in err

    def test_the_command_prints_its_address_and_ends_with_sigterm(self, tmp_path: Path) -> None:
        """One line on stdout, the key from the environment, 0 at the end."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "promptlift", "serve", "--port", "0", "--quiet"),
                *("--host", "127.0.0.2", "--data", str(tmp_path / "data")),
                *("--api-key-env", "PROMPTLIFT_TEST_KEY", "--engine", "embedded"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROMPTLIFT_TEST_KEY": KEYS[0]},
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/v1/engine", headers=BEARER, trust_env=False).status_code == 200
        assert httpx2.get(f"{url}/v1/engine", trust_env=False).status_code == 401
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
