"""The server as a process of its own, spoken to over HTTP: every route, and what it refuses."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from fault.damage import DAMAGES, FORMATS, damaged, make
from promptlift.client import Client
from promptlift.errors import (
    ConfigEngineError,
    InputError,
    OptionError,
    TransientEngineError,
    VideoNotFound,
    VideoUnreadable,
)
from promptlift.facts import Facts
from promptlift.record import Record
from promptlift.testing import synthetic_video
from stubs.served import Served, alive, children_of, command, events, eventually

PROMPT = "a red hot-air balloon drifts over the hills"
KEY, OTHER_KEY = "one-key-of-this-server", "another-of-its-keys"
NOWHERE = "0" * 32
ERROR = {"title", "status", "code", "message", "remedy", "retryable"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for everything here."""
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """A clip of two seconds."""
    return synthetic_video(folder / "clip.mp4", seconds=2, size=(320, 180))


@pytest.fixture(scope="module")
def server(folder: Path, clip: Path) -> Iterator[Served]:
    """A server with the embedded engine, that may read one folder."""
    shared = folder / "shared"
    shared.mkdir()
    (shared / "inner.mp4").write_bytes(clip.read_bytes())
    (shared / "way-out.mp4").symlink_to(clip)
    (shared / "loop").symlink_to(shared / "loop")
    (folder / "shared-not").mkdir()
    (folder / "shared-not/c.mp4").write_bytes(clip.read_bytes())
    (shared / "folder").mkdir()
    with Served(folder / "data", allow_paths=[str(shared)], upload_bytes=4 << 20) as served:
        yield served


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[Served]:
    """A server with two keys; our connections bring the first."""
    with Served(folder / "locked", keys=[KEY, OTHER_KEY]) as served:
        yield served


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is a problem of that kind, and give it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said.keys() >= ERROR
    assert (said["status"], said["code"]) == (status, code)
    assert said["message"]
    assert said["remedy"]
    return said


_PART = b'--x\r\nContent-Disposition: form-data; name="'
_REST = (
    b'prompt"\r\n\r\nhalf',
    b'video"; filename="a"\r\n\r\n\x00\x01',
    b'a"\r\n\r\n\xff\r\n--x--\r\n',
)


class TestUpsample:
    """One video, one prompt, one record."""

    def test_a_form_with_the_video_gives_the_record(self, server: Served, clip: Path) -> None:
        """What the command gives for the same clip is what the form gives, key and text."""
        import promptlift

        answer = server.http.post(
            "/v1/upsample",
            files={"video": ("clip.mp4", clip.read_bytes())},
            data={"prompt": PROMPT, "frames": "3"},
        )
        assert answer.status_code == 200, answer.text
        record = Record.model_validate_json(answer.content)
        local = promptlift.upsample(clip, PROMPT, frames=3, engine="embedded")
        assert (record.key, record.prompt) == (local.key, local.prompt)
        assert record.video.name == "clip.mp4"
        assert server.uploads() == [], "it goes with the request"

    def test_an_upload_by_its_id_gives_the_same(self, server: Served, clip: Path) -> None:
        """A second answer is the stored one, under the name that its client gave, unless fresh."""
        upload = server.upload(clip)
        asked = {"upload_id": upload, "prompt": f"{PROMPT}, twice"}
        first = server.http.post("/v1/upsample", json=asked)
        again = server.http.post("/v1/upsample", json=asked)
        assert first.status_code == again.status_code == 200
        assert "x-promptlift-cached" not in first.headers
        assert again.headers["x-promptlift-cached"] == "yes"
        assert Record.model_validate_json(first.content).model_dump(mode="json") == again.json()
        fresh = server.http.post("/v1/upsample", json={**asked, "fresh": True})
        assert fresh.status_code == 200
        assert "x-promptlift-cached" not in fresh.headers
        named = {"video": ("mine.mp4", clip.read_bytes())}
        other = server.http.post("/v1/upsample", files=named, data={"prompt": asked["prompt"]})
        assert other.headers["x-promptlift-cached"] == "yes"
        assert other.json()["video"]["name"] == "mine.mp4"

    def test_words_need_no_video(self, server: Served) -> None:
        """As JSON, as a form and as a job; with neither there is nothing to do."""
        for how in ({"json": {"prompt": PROMPT}}, {"files": {"prompt": (None, PROMPT)}}):
            answer = server.http.post("/v1/upsample", **how)
            assert answer.status_code == 200, answer.text
            record = Record.model_validate_json(answer.content)
            assert (record.status, record.prompt, record.facts) == ("unchanged", PROMPT, None)
        job = server.http.post("/v1/jobs", json={"prompt": PROMPT}).json()
        assert job["video"] == ""
        for body in ({}, {"prompt": "  "}):
            answer = server.http.post("/v1/upsample", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "no_video")
        with Client(str(server.http.base_url)) as client:
            assert client.upsample(prompt=PROMPT).key == record.key

    def test_pictures_come_as_files_uploads_or_through_the_client(
        self, server: Served, clip: Path, tmp_path: Path
    ) -> None:
        """All give one key, which other pictures do not; what does not go together is named."""
        import promptlift

        for name in ("first", "last", "cup"):
            Image.new("RGB", (64, 48), {"first": "red", "last": "blue"}.get(name)).save(
                tmp_path / f"{name}.png"
            )
        first, last, cup = (tmp_path / f"{name}.png" for name in ("first", "last", "cup"))
        files = [
            ("image", (first.name, first.read_bytes())),
            ("last_image", (last.name, last.read_bytes())),
            ("references", (cup.name, cup.read_bytes())),
            ("references", ("again.png", cup.read_bytes())),
        ]
        before = server.uploads()
        answer = server.http.post("/v1/upsample", files=files, data={"prompt": PROMPT})
        assert answer.status_code == 200, answer.text
        record = Record.model_validate_json(answer.content)
        assert record.video.name == "first.png"
        names = [(one.role, one.name) for one in record.pictures]
        assert names == [("last", "last.png"), ("reference", "cup.png"), ("reference", "again.png")]
        eventually(lambda: server.uploads() == before)  # they go with the request
        given = promptlift.Pictures.of(None, first, last, [cup, cup])
        with Client(str(server.http.base_url)) as client:
            assert client.upsample(given, PROMPT).key == record.key
            assert (
                client.upsample(promptlift.Pictures.of(first, None, cup), PROMPT).key != record.key
            )
        eventually(lambda: server.uploads() == before)
        video = server.upload(clip)
        job = server.http.post(
            "/v1/jobs", json={"upload_id": video, "prompt": PROMPT, "image": video}
        )
        assert job.status_code == 422
        assert "give a video or image, not both" in job.text
        wrong = server.http.post("/v1/upsample", json={"prompt": PROMPT, "last_image": video})
        assert "give image or a video with last_image" in wrong.text

    def test_the_stream_tells_the_stages_and_ends_with_the_record(
        self, server: Served, clip: Path
    ) -> None:
        """Stages in their order, facts and plan as soon as they are known, the record last."""
        answer = server.http.post(
            "/v1/upsample",
            params={"stream": "1"},
            files={"video": clip.read_bytes()},
            data={"prompt": f"{PROMPT}, streamed"},
        )
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = list(events(answer))
        names = [name for name, _ in told]
        stages = [said["stage"] for name, said in told if name == "stage"]
        assert stages == ["prepare", "ask"]
        assert [n for n in names if n != "stage"] == [
            *("queued", "facts", "plan", "frames", "text", "record")
        ]
        said = dict(told)
        assert Facts.model_validate(said["facts"]).kind is not None
        assert said["text"]["text"] == said["record"]["prompt"]
        assert len(said["frames"]["frames"]) == 2

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("frames", 0),
            ("size", "12-passwd"),
            ("target_tokenizer", "/etc/passwd"),
            ("isolated", False),
            ("prompt", "x" * 20_001),
        ],
    )
    def test_a_field_that_does_not_fit_is_named(
        self, server: Served, name: str, value: object
    ) -> None:
        """The field is named, and what it held is not repeated."""
        answer = server.http.post("/v1/upsample", json={"upload_id": NOWHERE, name: value})
        said = problem(answer, 422, "invalid")
        assert name in said["message"]
        assert "passwd" not in answer.text

    def test_values_mean_what_they_mean_on_the_command_line(
        self, server: Served, clip: Path
    ) -> None:
        """A size with a large X and a rate as a fraction, in JSON and in a form."""
        import promptlift

        local = promptlift.upsample(
            clip, PROMPT, strategy="fps", fps="30000/1001", size="320x180", engine="embedded"
        )
        fields = {"prompt": PROMPT, "strategy": "fps", "fps": "30000/1001", "size": "320X180"}
        upload = server.upload(clip)
        as_json = server.http.post("/v1/upsample", json={**fields, "upload_id": upload})
        form = server.http.post("/v1/upsample", files={"video": clip.read_bytes()}, data=fields)
        assert as_json.json()["key"] == form.json()["key"] == local.key

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            *(("application/json", body) for body in (b"", b"[" * 100_000, b"\xff\xfe")),
            ("application/json", b'{"frames": 1e400}'),
            *(("multipart/form-data; boundary=x", body) for body in (b"", b"\x00" * 1000)),
            *(("multipart/form-data; boundary=x", _PART + rest) for rest in _REST),
        ],
    )
    def test_a_damaged_body_is_refused(self, server: Served, kind: str, body: bytes) -> None:
        """Broken, deep or cut off: one problem, and nothing in the folder of uploads."""
        before = server.uploads()
        answer = server.http.post("/v1/upsample", content=body, headers={"content-type": kind})
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert server.uploads() == before

    @pytest.mark.parametrize(
        "fields",
        [
            [("frames", "many")],
            [("nobody", "x")],
            [("upload_id", NOWHERE)],
            [("prompt", "a"), ("prompt", "b")],
            [("prompt", "x" * 300_000)],
        ],
        ids=["value", "name", "video", "twice", "long"],
    )
    def test_a_form_with_a_wrong_field_is_refused(
        self, server: Served, clip: Path, fields: list[tuple[str, str]]
    ) -> None:
        """And the video that stands before it is deleted again."""
        parts: list[tuple[str, Any]] = [("video", ("a.mp4", clip.read_bytes()))]
        parts += [(name, (None, value.encode())) for name, value in fields]
        before = server.uploads()
        problem(server.http.post("/v1/upsample", files=parts), 422, "invalid")
        assert server.uploads() == before


class TestUploads:
    """Videos on the server's disk."""

    def test_bytes_alone_are_kept_until_they_are_deleted(self, server: Served, clip: Path) -> None:
        """The answer says what the video is; the file is for its owner alone."""
        answer = server.http.post(
            "/v1/uploads", params={"name": "mine.mp4"}, content=clip.read_bytes()
        )
        assert answer.status_code == 201
        said = answer.json()
        assert said["name"] == "mine.mp4"
        assert said["bytes"] == clip.stat().st_size
        assert (said["probe"]["width"], said["probe"]["height"]) == (320, 180)
        assert re.fullmatch("[0-9a-f]{32}", said["id"])
        address = f"/v1/uploads/{said['id']}"
        assert server.http.get(address).json() == said
        for path, mode in (
            (server.data, 0o700),
            (server.data / "server.db", 0o600),
            (server.data / "uploads", 0o700),
            (server.data / "uploads" / said["id"], 0o600),
        ):
            assert path.stat().st_mode & 0o777 == mode, path
        assert server.http.delete(address).status_code == 204
        assert said["id"] not in server.uploads()
        problem(server.http.delete(address), 404, "upload_not_found")
        asked = {"upload_id": said["id"]}
        problem(server.http.post("/v1/upsample", json=asked), 404, "upload_not_found")

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "video_unreadable"),
            (b"#EXTM3U\nfile:///etc/passwd\n", "video_refused"),
            (b"ffconcat version 1.0\nfile /etc/passwd\n", "video_refused"),
            (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 4096, "video_unreadable"),
        ],
    )
    def test_what_is_no_video_is_refused_and_not_kept(
        self, server: Served, content: bytes, code: str
    ) -> None:
        """By its content, whatever it is called; the message holds no path."""
        before = server.uploads()
        answer = server.http.post("/v1/uploads", params={"name": "a.mp4"}, content=content)
        problem(answer, 422, code)
        assert str(server.data) not in answer.text
        assert server.uploads() == before

    def test_an_upload_past_the_limit_is_cut_while_it_streams(
        self, server: Served, clip: Path
    ) -> None:
        """No more than a little over the limit is read of a body without an end."""
        before, sent = server.uploads(), 0

        def endless() -> Iterator[bytes]:
            nonlocal sent
            yield clip.read_bytes()
            while True:
                sent += 65_536
                yield b"\x00" * 65_536

        try:
            answer = server.http.post("/v1/uploads", content=endless())
            problem(answer, 413, "too_large")
        except (httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
            pass  # the server closed while we were still writing, which ends it as well
        assert sent < 64 << 20
        assert server.uploads() == before
        assert server.http.get("/healthz").status_code == 200

    def test_a_body_that_says_it_is_too_large_is_not_read(self, server: Served) -> None:
        """The length is believed where it is too large."""
        for path, kind, size in (
            ("/v1/uploads", "video/mp4", 100 << 20),
            ("/v1/upsample", "application/json", 2 << 20),
        ):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            with socket.create_connection(server.address, 30) as line:
                line.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
                answer = line.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b'"too_large"' in answer


class TestPaths:
    """Files of the server, and the way to others."""

    def test_a_file_below_the_folder_is_read(self, server: Served, clip: Path) -> None:
        """By its whole name or from the folder on."""
        for path in ("inner.mp4", "folder/../inner.mp4", str(clip.parent / "shared/inner.mp4")):
            answer = server.http.post("/v1/facts", json={"path": path})
            assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize(
        "path",
        [
            *("../clip.mp4", "../shared-not/c.mp4", "loop", "folder/../../clip.mp4", "way-out.mp4"),
            *("/etc/passwd", "folder", "missing.mp4", "\x00", "inner.mp4\x00.png", "~/x"),
            *("file:///etc/passwd", "http://127.0.0.1/x", "a" * 4000, "concat:inner.mp4"),
        ],
    )
    def test_everything_else_has_one_answer(self, server: Served, path: str) -> None:
        """Outside, through a link, absent or no file: nobody learns which."""
        answer = server.http.post("/v1/facts", json={"path": path})
        said = problem(answer, 404, "path_not_found")
        assert said["message"] == "there is no such file below the folders that are allowed"

    @pytest.mark.parametrize("name", ["../../x.mp4", "..\\..\\x", "a\x00b", ""])
    def test_the_name_of_a_file_is_only_a_label(
        self, server: Served, clip: Path, name: str
    ) -> None:
        """Nothing is written outside of the folder, and the label has no folder in it."""
        around = sorted(server.data.rglob("*"))
        content = clip.read_bytes()
        answer = server.http.post("/v1/uploads", params={"name": name}, content=content)
        assert answer.status_code == 201
        said = answer.json()
        assert "/" not in said["name"]
        assert "\\" not in said["name"]
        assert ".." not in said["name"].split("/")
        new = set(server.data.rglob("*")) - set(around)
        assert {path.name for path in new} == {said["id"]}


class TestLooks:
    """What can be told without the engine."""

    def test_the_budget_of_a_video(self, server: Served, clip: Path) -> None:
        """Its size is probed; the famous numbers of a size: two frames of 1280x720 do not fit."""
        said = server.http.post("/v1/budget", json={"source": "1280x720", "prompt": "Test"}).json()
        assert (said["source"]["fits"], said["chosen"]["fits"]) == (False, True)
        assert (said["chosen"]["width"], said["chosen"]["height"]) == (912, 512)
        said = server.http.post("/v1/budget", json={"upload_id": server.upload(clip)}).json()
        assert (said["source"]["width"], said["source"]["height"]) == (320, 180)
        form = server.http.post("/v1/budget", files={"video": clip.read_bytes()})
        assert form.json() == said
        asked = {"source": "1280x720", "frames": 64, "context": 100}
        problem(server.http.post("/v1/budget", json=asked), 422, "budget")
        problem(server.http.post("/v1/budget", json={}), 422, "no_video")
        asked = {"source": "1280x720", "model": "nobody"}
        assert server.http.post("/v1/budget", json=asked).status_code == 422

    def test_the_facts(self, server: Served, clip: Path) -> None:
        """The same as are measured in this process."""
        from promptlift.video import analyse

        said = server.http.post("/v1/facts", files={"video": clip.read_bytes()})
        assert Facts.model_validate_json(said.content) == analyse(clip).facts


class TestSmall:
    """Records, the engine, health, and what every answer has."""

    def test_the_engine_and_that_it_does_not_sleep(self, server: Served) -> None:
        """The embedded engine holds no GPU."""
        said = server.http.get("/v1/engine").json()
        assert (said["name"], said["state"], said["can_sleep"]) == ("embedded", "ready", False)
        for what in ("sleep", "wake"):
            answer = server.http.post(f"/v1/engine/{what}")
            problem(answer, 409, "engine_does_not_sleep")

    def test_health_and_metrics(self, server: Served) -> None:
        """Alive, ready, and counted by the route's pattern, not by what was asked for."""
        assert server.http.get("/healthz").json() == {"status": "ok"}
        assert server.http.get("/readyz").json() == {"status": "ok"}
        server.http.get(f"/v1/jobs/{NOWHERE}")
        text = server.http.get("/metrics").text
        assert 'route="/v1/jobs/{job_id}",status="404"' in text
        assert 'promptlift_queue_waiting{engine="embedded"} 0.0' in text
        assert NOWHERE not in text

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/v1/upsample", 405, "method"),
            ("POST", "/v1/upsample", 415, "media_type"),
            ("GET", "/v1/jobs?limit=0", 422, "invalid"),
            ("GET", f"/v1/jobs/{NOWHERE}", 404, "job_not_found"),
            ("POST", "/v1/facts", 415, "media_type"),
            ("GET", f"/v1/records/{'0' * 64}", 404, "record_not_found"),
            ("GET", f"/v1/jobs/{NOWHERE}/events", 404, "job_not_found"),
        ],
    )
    def test_every_error_is_a_problem(
        self, server: Served, method: str, path: str, status: int, code: str
    ) -> None:
        """Also where no route of ours was reached."""
        problem(server.http.request(method, path), status, code)

    @pytest.mark.parametrize("path", ["/nothing", "/v1/engine"])
    def test_every_answer_has_the_headers(self, server: Served, path: str) -> None:
        """Nothing may be sniffed, framed, cached or told to others."""
        headers = server.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not {"access-control-allow-origin", "server"} & set(headers)

    def test_the_page_of_another_site_is_refused(self, server: Served) -> None:
        """By its origin, and by what the browser says of it; the own page and programs are not."""
        asked = {"source": "640x360"}
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            answer = server.http.post("/v1/budget", json=asked, headers=headers)
            problem(answer, 403, "foreign_origin")
        own = {"origin": server.url, "sec-fetch-site": "same-origin"}
        assert server.http.post("/v1/budget", json=asked, headers=own).status_code == 200

    def test_a_foreign_name_is_refused(self, server: Served) -> None:
        """A name that points at this machine is not a name of this server."""
        for host in ("evil.example", "evil.example:8765", "localhost.evil.example", ""):
            answer = server.http.get("/v1/engine", headers={"host": host})
            problem(answer, 421, "unknown_host")
        for host in ("localhost:1", "127.0.0.1", "[::1]:8765", "192.168.1.7"):
            assert server.http.get("/v1/engine", headers={"host": host}).status_code == 200

    def test_the_log_holds_no_prompt(self, server: Served, clip: Path) -> None:
        """Nor the name of a file."""
        asked = {"upload_id": server.upload(clip), "prompt": "a very private cucumber"}
        assert server.http.post("/v1/upsample", json=asked).status_code == 200
        log = server.log.read_text()
        assert "POST /v1/upsample 200" in log
        assert "cucumber" not in log
        assert "clip.mp4" not in log


class TestKeys:
    """A server with keys."""

    def test_nothing_goes_without_a_key(self, locked: Served) -> None:
        """Every route of the document but health; and what is no route does not show."""
        with httpx2.Client(base_url=locked.url, trust_env=False) as http:
            paths = http.get("/openapi.json").json()["paths"]
            for path, operations in paths.items():
                for method in operations:
                    answer = http.request(method, path.replace("{", "").replace("}", ""))
                    if path in ("/healthz", "/readyz"):
                        assert answer.status_code == 200
                        continue
                    problem(answer, 401, "unauthorised")
                    assert answer.headers["www-authenticate"] == "Bearer"
            problem(http.get("/nothing"), 401, "unauthorised")
        with (
            Client(locked.url, "a-wrong-key") as client,
            pytest.raises(ConfigEngineError, match="missing or invalid"),
        ):
            client.engines()
        problem(locked.http.post("/v1/facts", json={"path": "/etc/passwd"}), 403, "no_paths")
        problem(locked.http.post("/v1/facts", json={}), 422, "no_video")

    def test_both_keys_open_in_both_headers(self, locked: Served) -> None:
        """And a name of any kind is fine where there is a key."""
        with httpx2.Client(base_url=locked.url, trust_env=False) as http:
            for key in (KEY, OTHER_KEY):
                for headers in ({"authorization": f"bearer {key}"}, {"x-api-key": key}):
                    headers["host"] = "gpu-box.example"
                    assert http.get("/v1/engine", headers=headers).status_code == 200

    def test_another_key_does_not_see_what_is_mine(self, locked: Served, clip: Path) -> None:
        """Neither uploads nor jobs."""
        mine = locked.upload(clip)
        job = locked.http.post("/v1/jobs", json={"upload_id": mine}).json()["id"]
        theirs = {"authorization": f"Bearer {OTHER_KEY}"}
        for path in (f"/v1/uploads/{mine}", f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"):
            assert locked.http.get(path).status_code == 200
            assert locked.http.get(path, headers=theirs).status_code == 404
        asked = locked.http.post("/v1/facts", json={"upload_id": mine}, headers=theirs)
        assert asked.status_code == 404
        assert locked.http.get("/v1/jobs", headers=theirs).json() == {"jobs": []}

    def test_the_keys_are_nowhere_on_the_disk_or_in_the_log(self, locked: Served) -> None:
        """Not even where they were used."""
        locked.http.get("/v1/engine")
        files = [path for path in locked.data.rglob("*") if path.is_file()]
        for path in [*files, locked.log]:
            assert KEY.encode() not in path.read_bytes()


class TestClient:
    """`promptlift.Client`, the same record from another process."""

    def test_jobs_facts_hints_and_the_engine(self, server: Served, clip: Path) -> None:
        """Each call does what its route does."""
        with server.client() as client:
            before = server.uploads()
            assert client.upsample(clip.read_bytes(), PROMPT).prompt
            assert server.uploads() == before, "what was sent for it is deleted again"
            upload = client.upload(clip)
            job = client.submit(upload, f"{PROMPT}, client")
            while job.state in ("queued", "running"):
                job = client.job(job.id)
            assert job.record is not None
            assert job.key is not None
            assert client.record(job.key) == job.record
            assert client.cancel(job.id).state == "finished"
            assert client.facts(upload).kind is not None
            one, six = (client.hints(upload, frames=count) for count in (1, 6))
            assert one.startswith(b"\x89PNG")
            assert len(six) > len(one)
            assert client.engines()["embedded"]["state"] == "ready"
            client.delete(upload)
            with pytest.raises(InputError, match="no such upload"):
                client.facts(upload)

    def test_errors_are_those_of_the_library(
        self, server: Served, clip: Path, tmp_path: Path
    ) -> None:
        """The same classes, with the same remedies."""
        with server.client() as client:
            with pytest.raises(VideoNotFound, match=r"missing\.mp4"):
                client.upsample(tmp_path / "missing.mp4", "x")
            with pytest.raises(VideoUnreadable, match="not a video"):
                client.upsample(b"hello, world", "x")
            with pytest.raises(InputError, match="framez"):
                client.upsample(clip, "x", framez=2)
            with pytest.raises(OptionError, match="target_tokenizer"):
                client.upsample(clip, "x", target_tokenizer=Path("t.json"))

    def test_run_with_a_server_is_run(self, server: Served, clip: Path) -> None:
        """The same text on stdout, the same record, the same errors."""
        run = ("run", str(clip), PROMPT)
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

    def test_a_server_that_is_not_there(self) -> None:
        """One clear error each for a wrong address, a closed port and another program."""
        for url in ("localhost:1", "ftp://x", "", "http://"):
            with pytest.raises(OptionError, match="URL of a server"):
                Client(url)
        with (
            Client("http://127.0.0.1:1", patience=0) as client,
            pytest.raises(TransientEngineError, match="does not answer"),
        ):
            client.engines()


def test_the_document_has_examples_and_every_route(server: Served) -> None:
    """The document names what can be sent and what may come back, problems included."""
    document = server.http.get("/openapi.json").json()
    assert document["info"]["title"] == "promptlift"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            problems = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
            assert problems, path
            for response in problems.values():
                assert list(response["content"]) == ["application/problem+json"]
    body = document["paths"]["/v1/upsample"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["examples"]
    assert body["multipart/form-data"]["schema"]["properties"]["video"]["format"] == "binary"


def test_damaged_videos_are_answered_and_leave_nothing(server: Served, tmp_path: Path) -> None:
    """A record or a problem of the video; no process more, no file left, no path told."""
    before = server.uploads()

    def send(content: bytes) -> httpx2.Response:
        return server.http.post("/v1/upsample", files={"video": content}, data={"prompt": PROMPT})

    with ThreadPoolExecutor(8) as pool:
        sound = [make(kind, tmp_path).read_bytes() for kind in FORMATS]
        copies = [damaged(content, damage, 1) for content in sound for damage in DAMAGES]
        answers = list(pool.map(send, copies))
    for answer in answers:
        if answer.status_code == 200:
            assert Record.model_validate_json(answer.content).status != "failed"
        else:
            assert answer.status_code == 422, answer.text
            assert answer.json()["code"] in ("video_unreadable", "video_refused", "video_timeout")
            assert str(tmp_path) not in answer.text
    assert {answer.status_code for answer in answers} == {200, 422}
    children = children_of(server.process.pid)
    assert len(children) <= 2
    assert all(map(alive, children))
    assert server.uploads() == before
    assert server.http.get("/readyz").status_code == 200
