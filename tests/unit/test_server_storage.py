"""What the server keeps: jobs in the journal, and videos in a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from promptlift.batch.journal import Index
from promptlift.core.record import Failure, Record, Video
from promptlift.core.video import VideoInfo
from promptlift.errors import VideoRefused, VideoUnreadable
from promptlift.frames import probe
from promptlift.server.errors import Refusal
from promptlift.server.intake import read_asked
from promptlift.server.ledger import Ledger, read_jobs
from promptlift.server.models import UpsampleAsked
from promptlift.server.settings import Settings
from promptlift.server.uploads import Uploads, label
from promptlift.server.wishes import Wish
from promptlift.testing import synthetic_video

KEY = "ab" * 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small video."""
    path = synthetic_video(tmp_path_factory.mktemp("m") / "c.mp4", seconds=0.3, size=(64, 48))
    return path.read_bytes()


class TestLedger:
    """Jobs beside results."""

    def test_jobs_are_read_again_and_batches_pass_over_them(self, tmp_path: Path) -> None:
        """Across segments; an index of the same folder sees results only, and no damage."""

        async def scene() -> None:
            for turn in range(2):
                ledger = Ledger(tmp_path)
                await ledger.job({"id": f"j{turn}", "step": "accepted", "x": "ä\n"}, now=True)
                record = Record(
                    status="ok", video=Video(name="a"), short_prompt="", target="t", promptlift="1"
                )
                await ledger.result(KEY, record, record.model_dump_json())
                standing = ledger.standing(KEY)
                assert standing is not None
                assert (standing.state, standing.retryable) == ("ok", False)
                assert ledger.record(KEY) == record
                ledger.close()

        asyncio.run(scene())
        assert [(job["id"], job["x"]) for job in read_jobs(tmp_path)] == [
            *(("j0", "ä\n"), ("j1", "ä\n")),
        ]
        with Index.load(tmp_path) as index:
            assert index.damage == []
            assert sum(index.counts().values()) == 1

    def test_a_job_is_on_the_disk_when_it_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An fsync that began after its line was written ended before; those who wait share it."""
        ledger = Ledger(tmp_path)
        segment = next((tmp_path / "segments").iterdir())
        synced: list[str] = []
        real = os.fsync

        def noting(handle: int) -> None:
            content = segment.read_text()
            real(handle)
            synced.append(content)

        monkeypatch.setattr(os, "fsync", noting)

        async def accept(number: int) -> None:
            await ledger.job({"id": f"job-{number:03}"}, now=True)
            assert any(f"job-{number:03}" in content for content in synced)

        async def scene() -> None:
            await asyncio.gather(*(accept(number) for number in range(300)))
            ledger.close()

        asyncio.run(scene())
        assert 1 <= len(synced) < 30

    def test_a_disk_that_fails_accepts_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error is the caller's, and the next job is tried anew."""
        from promptlift.errors import OutputError

        ledger = Ledger(tmp_path)
        real = os.fsync

        def failing(handle: int) -> None:
            raise OSError(5, "Input/output error")

        async def scene() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", failing)
                with pytest.raises(OutputError, match="not on the disk"):
                    await ledger.job({"id": "lost"}, now=True)
            assert os.fsync is real
            await ledger.job({"id": "kept"}, now=True)
            ledger.close()

        asyncio.run(scene())

    def test_a_failure_is_kept_with_its_code(self, tmp_path: Path) -> None:
        """As a batch keeps it."""

        async def scene() -> None:
            ledger = Ledger(tmp_path)
            failure = Failure(code="budget", message="m", remedy="r", retryable=False)
            record = Record(
                status="failed",
                video=Video(name=""),
                short_prompt="",
                target="t",
                promptlift="1",
                error=failure,
            )
            await ledger.result(KEY, record, record.model_dump_json())
            standing = ledger.standing(KEY)
            assert standing is not None
            assert (standing.state, standing.code) == ("failed", "budget")
            with pytest.raises(KeyError):
                ledger.record("cd" * 32)
            ledger.close()

        asyncio.run(scene())

    def test_a_wish_survives_the_journal(self) -> None:
        """Every field that differs from the default."""
        asked = UpsampleAsked(
            upload_id="0" * 32, prompt="ä <b>", size="96x64", controls=("edge", "depth"), fps=29.97
        )
        wish = Wish(asked, "owner", "clip.mp4")
        assert Wish.from_json(wish.to_json()) == wish
        options = wish.asked.options()
        assert str(options.size) == "96x64"
        assert options.controls == ("edge", "depth")
        assert options.fps == Fraction("29.97")
        assert options.isolated


class Store:
    """Uploads with a clock that can be set, and a probe in this process."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now = 1000.0
        self.uploads = Uploads(
            folder,
            Settings(data=folder, **settings),
            self.inspect,
            clock=lambda: self.now,
        )

    async def inspect(self, path: Path) -> VideoInfo:
        """Look at the file."""
        return probe(path)

    async def put(self, content: bytes, name: str = "a.mp4", *, once: bool = False) -> str:
        """Send a file in pieces; its id."""
        async with self.uploads.begin(name, "owner", once=once) as incoming:
            for start in range(0, len(content), 1000):
                await incoming.write(content[start : start + 1000])
            return (await incoming.finish()).id


class TestUploads:
    """The folder."""

    def test_a_restart_finds_what_was_kept(self, tmp_path: Path, clip: bytes) -> None:
        """And nothing else: leftovers are deleted."""
        one = asyncio.run(Store(tmp_path).put(clip))
        (tmp_path / ("e" * 32)).write_bytes(b"half a file")
        (tmp_path / "damaged.json").write_bytes(b"{")
        (tmp_path / ("f" * 32 + ".json")).write_bytes((tmp_path / f"{one}.json").read_bytes())
        again = Store(tmp_path).uploads
        assert sorted(path.name for path in tmp_path.iterdir()) == [one, f"{one}.json"]
        assert again.get(one, "owner").bytes == len(clip) == again.bytes
        with pytest.raises(Refusal):
            again.get(one, "another")

    def test_old_ones_go_unless_they_are_needed(self, tmp_path: Path, clip: bytes) -> None:
        """The age counts from the upload; a job keeps its video however old."""
        store = Store(tmp_path, upload_age=100.0)
        old, held = (asyncio.run(store.put(clip)) for _ in range(2))
        store.uploads.hold(held)
        store.now += 99
        new = asyncio.run(store.put(clip))
        store.now += 2
        store.uploads.sweep()
        assert {path.name for path in tmp_path.glob("?" * 32)} == {held, new}
        with pytest.raises(Refusal):
            store.uploads.get(old, "owner")
        store.uploads.let_go(held)
        store.uploads.sweep()
        assert {path.name for path in tmp_path.glob("?" * 32)} == {new}
        assert store.uploads.bytes == len(clip)

    def test_what_came_for_one_request_goes_with_its_last_use(
        self, tmp_path: Path, clip: bytes
    ) -> None:
        """Held twice, it goes when both have let go."""
        store = Store(tmp_path)
        one = asyncio.run(store.put(clip, once=True))
        store.uploads.hold(one)
        store.uploads.hold(one)
        assert not store.uploads.remove(one)
        store.uploads.let_go(one)
        assert (tmp_path / one).exists()
        store.uploads.let_go(one)
        assert list(tmp_path.iterdir()) == []

    def test_the_quota_counts_what_is_on_its_way(self, tmp_path: Path, clip: bytes) -> None:
        """Two at once that fit only one by one: the second is refused, and leaves nothing."""
        big = clip + (3 << 20).to_bytes(4, "big") + b"free" + b"\0" * ((3 << 20) - 8)
        store = Store(tmp_path, upload_quota=5 << 20)

        async def scene() -> list[Any]:
            both = (store.put(big), store.put(big))
            return list(await asyncio.gather(*both, return_exceptions=True))

        done = asyncio.run(scene())
        assert [type(one) for one in done if not isinstance(one, str)] == [Refusal]
        assert store.uploads.bytes == len(big)
        assert len(list(tmp_path.glob("?" * 32))) == 1

    def test_the_number_is_limited(self, tmp_path: Path, clip: bytes) -> None:
        """Whatever their size."""
        store = Store(tmp_path, upload_count=2)
        first = [asyncio.run(store.put(clip)) for _ in range(2)]
        with pytest.raises(Refusal) as caught:
            asyncio.run(store.put(clip))
        assert caught.value.status_code == 507
        store.uploads.remove(first[0])
        asyncio.run(store.put(clip))

    def test_a_video_that_is_too_long_is_refused(self, tmp_path: Path, clip: bytes) -> None:
        """And not kept."""
        with pytest.raises(VideoRefused, match="0 s long"):
            asyncio.run(Store(tmp_path, video_seconds=0.1).put(clip))
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_video_is_refused_by_its_first_bytes(self, tmp_path: Path) -> None:
        """Before the rest has come; and the message names no file."""
        store = Store(tmp_path)

        async def scene() -> None:
            async with store.uploads.begin("a", "owner") as incoming:
                await incoming.write(b"#EXTM3U\n" + b"x" * (1 << 20))

        with pytest.raises(VideoRefused, match=r"^the video: it is an HLS playlist"):
            asyncio.run(scene())
        with pytest.raises(VideoUnreadable, match=r"^the video: ") as caught:
            asyncio.run(store.put(b"\0" * 5000))
        assert str(tmp_path) not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            *(("a.mp4", "a.mp4"), ("../../a.mp4", "a.mp4"), ("C:\\x\\a.mp4", "a.mp4")),
            *(("/", ""), ("a\x00\x1b[31mb\n", "a[31mb"), ("\u202egpj.exe", "gpj.exe")),
            *(("é😀", "é😀"), ("x" * 500, "x" * 120), ("\udcff", "")),
        ],
    )
    def test_a_name_is_a_label(self, name: str, shown: str) -> None:
        """Without folders, control characters and those that turn text around."""
        assert label(name) == shown


def form(*parts: tuple[str, bytes], boundary: str = "line") -> bytes:
    """A multipart body; a part whose name ends in ``!`` is a file."""
    body = b""
    for name, content in parts:
        file = '; filename="../a.mp4"' if name.endswith("!") else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.rstrip("!")}"{file}'
        body += head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def request(pieces: list[bytes]) -> Request:
    """A request whose body comes in these pieces."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    header = (b"content-type", b"multipart/form-data; boundary=line")
    scope = {"type": "http", "method": "POST", "headers": [header], "state": {"owner": "owner"}}
    return Request(scope, receive)


class TestForms:
    """Multipart bodies as they come in."""

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 10**6])
    def test_a_form_is_the_same_in_whatever_pieces(
        self, tmp_path: Path, clip: bytes, size: int
    ) -> None:
        """The file lies on the disk byte for byte; the fields have their values."""
        store = Store(tmp_path)
        body = form(("prompt", "ä cat".encode()), ("video!", clip), ("frames", b"3"))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        asked, upload = asyncio.run(read_asked(request(pieces), UpsampleAsked, store.uploads))
        assert (asked.prompt, asked.frames) == ("ä cat", 3)
        assert upload is not None
        assert upload.name == "a.mp4"
        assert store.uploads.path(upload).read_bytes() == clip
        store.uploads.let_go(upload.id)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "parts",
        [
            *([("prompt", b"a"), ("prompt", b"b")], [("nobody", b"x"), ("video!", b"")]),
            [(f"f{number}", b"") for number in range(100)],
            [("prompt", b"x" * (300 * 1024))],
        ],
    )
    def test_forms_that_are_refused(self, tmp_path: Path, parts: list[tuple[str, bytes]]) -> None:
        """Twice the same field, unknown, too many, too long; nothing is left."""
        store = Store(tmp_path)
        with pytest.raises(Refusal) as caught:
            asyncio.run(read_asked(request([form(*parts)]), UpsampleAsked, store.uploads))
        assert caught.value.status_code == 422
        assert list(tmp_path.iterdir()) == []

    def test_a_file_goes_where_the_fields_are_wrong(self, tmp_path: Path, clip: bytes) -> None:
        """What was on the disk already is taken away."""
        store = Store(tmp_path)
        body = form(("video!", clip), ("frames", b"many"))
        with pytest.raises(Refusal, match="frames"):
            asyncio.run(read_asked(request([body]), UpsampleAsked, store.uploads))
        assert list(tmp_path.iterdir()) == []

    def test_a_client_that_goes_away_leaves_nothing(self, tmp_path: Path, clip: bytes) -> None:
        """In the middle of its file."""
        store = Store(tmp_path)

        async def broken() -> AsyncIterator[Message]:
            yield {"type": "http.request", "body": form(("video!", clip))[:2000], "more_body": True}
            yield {"type": "http.disconnect"}

        messages = broken()
        made = request([])
        made._receive = lambda: anext(messages)
        with pytest.raises(ClientDisconnect):
            asyncio.run(read_asked(made, UpsampleAsked, store.uploads))
        assert list(tmp_path.iterdir()) == []
