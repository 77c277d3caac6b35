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
from stubs.openai_checks import Asked
from stubs.openai_server import StubServer
from stubs.served import Served, command, eventually

PROMPT = "a red balloon drifts over the hills"


class Model:
    """A model behind an OpenAI-compatible server that answers when it is let.

    Attributes:
        gate: While it is shut, nothing is answered.
        free: So many answers are given although the gate is shut.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.free = threading.Semaphore(0)
        self.server = StubServer("vllm-0.32", reply=self._reply).start()

    def _reply(self, asked: Asked) -> str:
        if not self.free.acquire(blocking=False):
            self.gate.wait(60)
        said = asked.text.rpartition(": ")[2]
        return (
            f"{said}. It all happens in one take. The light is even and soft, the shadows are "
            "short, and the colours of the grass and of the sky stay as they are from the first "
            "moment to the last, while the wind moves the leaves a little."
        )

    @property
    def asked(self) -> list[str]:
        """The texts of all chat requests so far."""
        return [one.asked.text for one in list(self.server.received) if one.asked is not None]

    @property
    def settings(self) -> dict[str, Any]:
        """What a server needs to ask it."""
        return {"engine": "openai", "engine_settings": {"base_url": self.server.base_url}}


@pytest.fixture
def model() -> Iterator[Model]:
    """A model for one test."""
    made = Model()
    yield made
    made.gate.set()
    made.server.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of half a second."""
    return synthetic_video(tmp_path_factory.mktemp("clip") / "c.mp4", seconds=0.5, size=(160, 90))


def submitted(server: Served, upload: str, count: int, **asked: Any) -> list[str]:
    """Leave so many jobs with a server; their ids."""
    ids = []
    for number in range(count):
        body = {"upload_id": upload, "prompt": f"{PROMPT} {number}", **asked}
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


class TestJobs:
    """Work that outlives its connection, and the server."""

    def test_no_job_is_lost_when_the_server_is_killed_or_ended(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Every accepted job ends with its own record, and no process is left over.

        Only what was in flight is asked again, each key has one result, and a server that takes
        up so many holds hardly more than one that has nothing to do.
        """
        settings = {"parallel": 3, "grace": 0.5, **model.settings}
        model.gate.clear()
        model.free.release(15)
        with Served(tmp_path / "data", **settings) as server:
            ids = submitted(server, server.upload(clip), 40)
            eventually(lambda: len(model.asked) == 18)
            assert states(server, ids).count("finished") == 15
            assert len(server.processes()) > 1, "it has decoders"
            server.kill()
        eventually(lambda: server.processes() == [])
        with Served(tmp_path / "data", **settings) as server:
            eventually(lambda: len(model.asked) == 21)
            assert server.stop() == 0
            assert server.processes() == []
        model.gate.set()
        with Served(tmp_path / "data", **settings) as server:
            idle = server.memory()
            eventually(lambda: ended(server, ids))
            assert states(server, ids) == ["finished"] * 40
            keys = set()
            for number, one in enumerate(ids):
                job = server.http.get(f"/v1/jobs/{one}").json()
                record = Record.model_validate(job["record"])
                assert record.short_prompt == f"{PROMPT} {number}"
                assert record.prompt is not None
                assert record.prompt.startswith(record.short_prompt)
                keys.add(job["key"])
            assert server.memory("VmHWM") < idle + 50
        asked = Counter(model.asked)
        assert len(asked) == len(keys) == 40
        assert sorted(asked.values()) == [1] * 37 + [3] * 3

    def test_what_is_old_is_deleted_while_the_server_runs(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Then it is asked anew; a job that is not done is done, however old it is."""
        settings = {**model.settings, "parallel": 1, "keep": 2.0}
        with Served(tmp_path / "data", **settings) as server:
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

    def test_the_same_work_at_once_is_asked_once(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Whoever comes second waits for the first one's answer."""
        model.gate.clear()
        with Served(tmp_path / "data", **model.settings) as server:
            body = {"upload_id": server.upload(clip), "prompt": PROMPT}
            ids = [server.http.post("/v1/jobs", json=body).json()["id"] for _ in range(5)]
            eventually(lambda: model.asked)
            model.gate.set()
            eventually(lambda: ended(server, ids))
            assert states(server, ids) == ["finished"] * 5
            assert len(model.asked) == 1

    def test_jobs_that_ended_stay_as_they_are(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Cancelled while they wait or run, or finished; over a restart too, with nobody asked."""
        model.gate.clear()
        with Served(tmp_path / "data", parallel=1, **model.settings) as server:
            upload = server.upload(clip)
            ids = submitted(server, upload, 3)
            eventually(lambda: model.asked)
            assert server.http.delete(f"/v1/uploads/{upload}").status_code == 409
            for one in ids[:2]:
                said = server.http.delete(f"/v1/jobs/{one}").json()
                assert (said["state"], said["error"]["code"]) == ("cancelled", "cancelled")
            model.gate.set()
            eventually(lambda: ended(server, ids))
            jobs = [server.http.get(f"/v1/jobs/{one}").json() for one in ids]
            assert [job["state"] for job in jobs] == ["cancelled", "cancelled", "finished"]
            server.kill()
        asked = len(model.asked)
        with Served(tmp_path / "data", **model.settings) as server:
            assert [server.http.get(f"/v1/jobs/{one}").json() for one in ids] == jobs
            again = submitted(server, upload, 3)[2]
            eventually(lambda: ended(server, [again]))
            assert server.http.get(f"/v1/jobs/{again}").json()["record"] == jobs[2]["record"]
            (fresh,) = submitted(server, upload, 1, fresh=True, seed=7)
            eventually(lambda: ended(server, [fresh]))
            assert len(model.asked) == asked + 3, "two that were cancelled, and the fresh one"
            eventually(lambda: server.http.delete(f"/v1/uploads/{upload}").status_code == 204)


class TestPressure:
    """More than it takes."""

    def test_hundreds_at_once_are_done_or_refused(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """429 says when to come again; every 202 is a job that ends; the server stays well."""
        model.gate.clear()
        settings = {"queue": 60, "parallel": 4, **model.settings}
        with Served(tmp_path / "data", **settings) as server:
            upload = server.upload(clip)

            async def hundreds() -> list[httpx2.Response]:
                limits = httpx2.Limits(max_connections=None)
                async with httpx2.AsyncClient(
                    base_url=server.url, limits=limits, timeout=120, trust_env=False
                ) as http:
                    return await asyncio.gather(
                        *(
                            http.post(
                                "/v1/jobs", json={"upload_id": upload, "prompt": f"{PROMPT} {n}"}
                            )
                            for n in range(300)
                        )
                    )

            answers = asyncio.run(hundreds())
            accepted = [a.json()["id"] for a in answers if a.status_code == 202]
            refused = [a for a in answers if a.status_code == 429]
            assert len(accepted) + len(refused) == 300
            assert 60 <= len(accepted) <= 80
            for answer in refused:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["code"] == "queue_full"
            model.gate.set()
            eventually(lambda: ended(server, accepted))
            troubles = [server.http.get(f"/v1/jobs/{one}").json()["error"] for one in accepted]
            assert troubles == [None] * len(accepted)
            assert server.http.get("/readyz").status_code == 200

    def test_a_client_of_ours_waits_until_there_is_room(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """It comes again when it was told to."""
        model.gate.clear()
        with (
            Served(tmp_path / "data", queue=1, parallel=1, **model.settings) as server,
            server.client() as client,
        ):
            upload = client.upload(clip)
            first = [client.submit(upload, f"{PROMPT} {n}").id for n in range(1)]
            eventually(lambda: model.asked)
            first.append(client.submit(upload, f"{PROMPT}, second").id)
            threading.Timer(0.5, model.gate.set).start()
            assert client.upsample(upload, f"{PROMPT}, third").status == "ok"
            eventually(lambda: ended(server, first))

    def test_one_client_with_much_to_do_does_not_keep_another_waiting(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Twenty jobs of one key, then one of another: it is among the next that are begun."""
        keys = ["a-key-for-the-first-one", "a-key-for-the-second"]
        model.gate.clear()
        with Served(tmp_path / "data", keys=keys, parallel=1, **model.settings) as server:
            ids = submitted(server, server.upload(clip), 20)
            eventually(lambda: len(model.asked) == 1)
            with Client(server.url, keys[1]) as other:
                job = other.submit(clip, f"{PROMPT}, of the other")
                model.gate.set()
                eventually(lambda: other.job(job.id).state == "finished")
            eventually(lambda: ended(server, ids))
        place = [text.endswith("of the other") for text in model.asked].index(True)
        assert place <= 2

    def test_too_many_requests_of_one_client(self, tmp_path: Path) -> None:
        """A tenth of a second's worth more than the burst is refused, and later let in again."""
        with Served(tmp_path / "data", rate=2.0) as server:
            codes = [server.http.get("/healthz").status_code for _ in range(30)]
            assert codes[:20] == [200] * 20
            assert 429 in codes
            answer = server.http.get("/healthz")
            assert answer.status_code == 429
            assert answer.json()["code"] == "rate_limit"
            eventually(lambda: server.http.get("/healthz").status_code == 200)

    def test_work_for_a_client_that_is_gone_ends(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Plain or streamed: the engine is let go, and the place in the queue is free."""
        model.gate.clear()
        with Served(tmp_path / "data", parallel=1, **model.settings) as server:
            upload = server.upload(clip)
            for number, stream in enumerate(("0", "1")):
                body = json.dumps({"upload_id": upload, "prompt": f"{PROMPT} {number}"}).encode()
                with socket.create_connection(server.address, 30) as line:
                    line.sendall(
                        f"POST /v1/upsample?stream={stream} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                        "".encode()
                        + body
                    )
                    eventually(lambda wanted=number + 1: len(model.asked) == wanted)
                eventually(
                    lambda: 'queue_running{engine="openai"} 0.0' in server.http.get("/metrics").text
                )

    def test_a_deadline_ends_what_waits_and_what_runs(
        self, tmp_path: Path, clip: Path, model: Model
    ) -> None:
        """Both are answered 504, and neither is asked again by itself."""
        model.gate.clear()
        with Served(tmp_path / "data", parallel=1, **model.settings) as server:
            upload = server.upload(clip)
            body = {"upload_id": upload, "prompt": PROMPT, "deadline": 1.0}
            (other,) = submitted(server, upload, 1, deadline=1.0)
            answer = server.http.post("/v1/upsample", json=body)
            assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
            eventually(lambda: ended(server, [other]))
            job = server.http.get(f"/v1/jobs/{other}").json()
            assert (job["state"], job["error"]["code"]) == ("failed", "deadline")

    def test_slow_heads_and_slow_bodies_are_closed(self, tmp_path: Path) -> None:
        """A connection that drips is ended, whatever part of a request it drips."""
        settings = {"header_seconds": 1.0, "body_seconds": 1.0, "body_rate": 10_000}
        head = b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
        starts = {
            "nothing": (b"", b""),
            "head": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X"),
            "stalled": (head + b"Content-Length: 1000\r\n\r\n", b""),
            "dripping": (head + b"Content-Length: 1000000\r\n\r\n", b"\x00"),
            "after": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G"),
        }
        with Served(tmp_path / "data", **settings) as server:
            lines = {name: socket.create_connection(server.address) for name in starts}
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
            assert server.http.get("/healthz").status_code == 200
            assert server.uploads() == []

    def test_memory_stays_bounded_while_a_large_upload_streams(
        self, tmp_path: Path, clip: Path
    ) -> None:
        """40 MB sent as one body are never held as one."""
        with Served(tmp_path / "data") as server:
            before = server.memory("VmHWM")
            content = clip.read_bytes()
            padding = (40 << 20).to_bytes(4, "big") + b"free" + b"\0" * ((40 << 20) - 8)
            answer = server.http.post("/v1/uploads", content=content + padding)
            assert answer.status_code == 201, answer.text
            assert server.memory("VmHWM") - before < 30


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

    def test_a_folder_or_a_port_that_is_taken(self, tmp_path: Path) -> None:
        """One line says who is in the way."""
        with Served(tmp_path / "data") as server:
            with pytest.raises(RuntimeError, match="another server uses the folder"):
                Served(tmp_path / "data")
            with pytest.raises(RuntimeError, match="--port"):
                Served(tmp_path / "other", port=server.address[1])

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
            env={**os.environ, "PROMPTLIFT_TEST_KEY": "a-key-of-enough-length"},
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"authorization": "Bearer a-key-of-enough-length"}
        assert httpx2.get(f"{url}/v1/engine", headers=headers, trust_env=False).status_code == 200
        assert httpx2.get(f"{url}/v1/engine", trust_env=False).status_code == 401
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")

    def test_an_engine_that_is_not_there(self, tmp_path: Path, clip: Path) -> None:
        """Alive but not ready; a request says so and may be sent again; looks work all the same."""
        settings = {
            "engine": "openai",
            "engine_settings": {"base_url": "http://127.0.0.1:9/v1", "retries": 0},
        }
        with Served(tmp_path / "data", **settings) as server:
            assert server.http.get("/healthz").status_code == 200
            assert server.http.get("/readyz").status_code == 503
            upload = server.upload(clip)
            answer = server.http.post("/v1/upsample", json={"upload_id": upload})
            assert answer.status_code == 503, answer.text
            assert answer.json()["retryable"] is True
            assert server.http.post("/v1/facts", json={"upload_id": upload}).status_code == 200
            assert server.http.get("/v1/engine").json()["state"] == "unknown"

    def test_run_with_a_server_is_run(self, tmp_path: Path, clip: Path) -> None:
        """The same text on stdout, the same record, the same errors."""
        run = ("run", str(clip), PROMPT)
        with Served(tmp_path / "data") as server:
            there = ("--server", server.url)
            done = command(*run, *there)
            assert done == command(*run)
            assert command(*run, *there, "--engine", "embedded") == done
            record = Record.model_validate_json(command(*run, *there, "--json")[1])
            assert (record.video.name, f"{record.prompt}\n") == (clip.name, done[1])
            code, _, err = command(*run, *there, "--target", "none")
            assert (code, len(err.splitlines())) == (2, 1)
            code, _, err = command(*run, *there, "--base-url", "http://x/v1")
            assert code == 2
            assert "--server does not work with" in err
