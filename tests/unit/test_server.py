"""The server's parts by themselves: queue, events, keys, rates, messages, uploads and database."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.engines.registry import parse_engine
from promptlift.errors import (
    BudgetError,
    ConfigEngineError,
    EngineBusy,
    ItemEngineError,
    OptionError,
    OutputError,
    PromptliftError,
    TransientEngineError,
    VideoNotFound,
    VideoTimeout,
)
from promptlift.record import Record, Video
from promptlift.server.config import ServerConfig
from promptlift.server.db import JobStore
from promptlift.server.engines import EnginePool
from promptlift.server.errors import ApiError, failure_of, hide_paths, status_of
from promptlift.server.jobs import Event
from promptlift.server.scheduler import FairQueue
from promptlift.server.security import ApiKeyAuth, RateLimiter
from promptlift.server.uploads import Uploads
from promptlift.testing import synthetic_video
from promptlift.types import VideoInfo
from promptlift.video.source import probe

KEYS = ("first-key-of-the-server", "second-key-of-the-server")


def test_work_that_is_cancelled_late_or_stopped_gives_up_its_place() -> None:
    """Waiting, running, or before its first step; what runs may end within the grace."""

    async def scene() -> None:
        begun: list[str] = []
        gate, queue = asyncio.Event(), FairQueue(10, 1)

        def submit(name: str, **how: Any) -> asyncio.Task[str]:
            async def work() -> str:
                begun.append(name)
                await gate.wait()
                return name

            return queue.submit("a", work, **how)

        new = submit("new")
        new.cancel()
        running, waiting, last = map(submit, ("running", "waiting", "last"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        running.cancel()
        await asyncio.sleep(0.01)
        assert all(task.cancelled() for task in (new, running, waiting))
        for _ in range(2):
            with pytest.raises(ApiError, match="time for this request is over"):
                await submit("late", seconds=0.05)
        stopped = submit("stopped")
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await queue.stop(30)
        assert await last == "last"
        for task in (stopped, None):
            with pytest.raises(ApiError, match="about to end"):
                await (task or submit("after the end"))
        assert begun == ["running", "last"]
        assert queue.idle_for() > 0

    asyncio.run(scene())


def test_an_event_is_one_block_whatever_it_holds() -> None:
    """Line breaks of a text are escaped, so that nobody can forge an event."""
    block = Event(3, "text", json.dumps({"text": "a\r\n\nevent: record\u2028\n"})).encode()
    assert block.count(b"\n") == 4
    assert block.endswith(b"\nid: 3\n\n")


class TestKeysAndRates:
    """Who may send requests, and how many."""

    @given(st.text())
    def test_no_text_but_a_key_is_accepted(self, text: str) -> None:
        """In either header."""
        auth = ApiKeyAuth(KEYS)
        assert (auth.owner({"x-api-key": text}) is not None) == (text in KEYS)
        bearer = auth.owner({"authorization": f"Bearer {text}"})
        assert (bearer is not None) == (text.strip() in KEYS)

    def test_a_burst_and_then_the_rate(self) -> None:
        """Each client has its own bucket, which fills again; a flood of clients is forgotten."""
        now = [0.0]
        rates = RateLimiter(2.0, lambda: now[0])
        assert [rates.take("a") for _ in range(20)] == [0.0] * 20
        assert rates.take("a") == pytest.approx(0.5)
        assert rates.take("b") == 0.0
        now[0] = 1.0
        assert [rates.take("a") for _ in range(2)] == [0.0, 0.0]
        assert rates.take("a") > 0
        for number in range(20_000):
            rates.take(str(number))
        assert rates.take("a") == 0.0
        assert {RateLimiter(0).take("a") for _ in range(100)} == {0.0}

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"host": "0.0.0.0"}, "--insecure-no-auth"),
            ({"host": "gpu-box"}, "--api-key-file"),
            ({"keys": ("short",)}, "5 characters"),
            ({"allow_paths": (Path("/no/such/folder"),)}, "not a directory"),
        ],
    )
    def test_mistakes_of_the_configuration(
        self, tmp_path: Path, settings: dict[str, Any], words: str
    ) -> None:
        """With what to do, and without the key."""
        with pytest.raises(OptionError, match=words) as caught:
            ServerConfig(data=tmp_path, **settings)
        assert "short" not in str(caught.value)
        assert KEYS[0] not in repr(ServerConfig(data=tmp_path, keys=KEYS))

    @pytest.mark.parametrize(
        ("also", "words"),
        [
            (("embedded",), "two engines are called 'embedded'"),
            (("a=embedded", "a=embedded"), "two engines are called 'a'"),
            (("emdedded",), "emdedded"),
        ],
    )
    def test_engines_that_cannot_be_told_apart(
        self, tmp_path: Path, also: tuple[str, ...], words: str
    ) -> None:
        """No server starts with them."""
        with pytest.raises(OptionError, match=words):
            specs = tuple(map(parse_engine, also))
            EnginePool(ServerConfig(data=tmp_path, engine="embedded", also=specs))


class TestMessages:
    """Errors as a client may see them."""

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("/data/uploads/01: it hangs", "the video: it hangs"),
            ("'/data/uploads/01' hangs", "the video hangs"),
            ("read '/srv/my logs/e.log', then", "read (a file of the server), then"),
            ("cannot open /etc/passwd: no", "cannot open (a file of the server): no"),
            ("(/no/such/file)", "((a file of the server))"),
            ("http://localhost:8000/v1/models is down", "http://localhost:8000/v1/models is down"),
            ("the server has no /v1/models", "the server has no /v1/models"),
            ("2 and/or 3 of 4/5, application/json", "2 and/or 3 of 4/5, application/json"),
        ],
    )
    def test_only_paths_are_hidden(self, text: str, shown: str) -> None:
        """Addresses, routes and fractions are left as they are."""
        assert hide_paths(text, "/data/uploads/01") == shown
        error = VideoTimeout(text, remedy=text)
        failure = failure_of(error, "/data/uploads/01")
        assert (failure.message, failure.remedy) == (shown, shown)

    @pytest.mark.parametrize(
        ("cls", "status"),
        [
            *((BudgetError, 422), (OptionError, 422), (VideoTimeout, 422), (VideoNotFound, 404)),
            *((OutputError, 507), (TransientEngineError, 503), (EngineBusy, 503)),
            *((ConfigEngineError, 503), (ItemEngineError, 502)),
        ],
    )
    def test_each_error_has_its_status(self, cls: type[PromptliftError], status: int) -> None:
        """By its code alone, since that is what is stored."""
        assert status_of(cls.code) == status
        assert status_of("internal") == 500


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small video."""
    path = tmp_path_factory.mktemp("clip") / "c.mp4"
    return synthetic_video(path, seconds=0.3, size=(64, 48), motion="static").read_bytes()


class Place:
    """Uploads and their database, with a probe in this process."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "uploads"
        self.store = JobStore(folder / "server.db")
        config = ServerConfig(data=folder, **settings)
        self.uploads = Uploads(self.folder, config, self.store, self.inspect)

    async def inspect(self, path: Path) -> VideoInfo:
        """Look at the file."""
        return probe(path)

    async def put(self, content: bytes, *, once: bool = False) -> str:
        """Send a file in pieces; its id."""

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1000):
                yield content[start : start + 1000]

        return (await self.uploads.receive("a.mp4", "owner", chunks(), once=once)).id

    def files(self) -> set[str]:
        """Names in the folder."""
        return {path.name for path in self.folder.iterdir()}


class TestUploads:
    """Videos on the disk, and the forms that bring them."""

    def test_what_is_held_stays(self, tmp_path: Path, clip: bytes) -> None:
        """Old ones go unless work needs them; what came for one request goes with its last use."""

        async def scene() -> None:
            place = Place(tmp_path, upload_age=0.5)
            held, once = await place.put(clip), await place.put(clip, once=True)
            for upload in (held, once, once):
                place.uploads.hold([upload])
            assert not place.uploads.remove(held)
            place.uploads.release([once])
            await asyncio.sleep(0.6)
            place.uploads.sweep()
            assert place.files() == {held, once}
            place.uploads.release([once])
            assert place.files() == {held}
            place.uploads.release([held])
            place.uploads.sweep()
            await place.store.close()
            assert (place.files(), place.uploads.total_bytes) == (set(), 0)
            assert JobStore(tmp_path / "server.db").uploads() == []

        asyncio.run(scene())

    def test_the_limits_count_what_is_on_its_way(self, tmp_path: Path, clip: bytes) -> None:
        """Two at once that fit only one by one: the second is refused, and leaves nothing."""
        big = clip + (3 << 20).to_bytes(4, "big") + b"free" + b"\0" * ((3 << 20) - 8)

        async def scene() -> None:
            place = Place(tmp_path, upload_quota=5 << 20, upload_count=2)
            both = await asyncio.gather(place.put(big), place.put(big), return_exceptions=True)
            assert [type(one) for one in both if not isinstance(one, str)] == [ApiError]
            assert place.uploads.total_bytes == len(big)
            await place.put(clip)
            with pytest.raises(ApiError, match="that is the limit"):
                await place.put(clip)
            assert len(place.files()) == 2
            await place.store.close()

        asyncio.run(scene())


def record(status: Any, prompt: str | None = None) -> Record:
    """The least of a record."""
    return Record(
        status=status, video=Video(name="a"), short_prompt="", prompt=prompt, target="x",
        promptlift="0",
    )  # fmt: skip


class TestJobStore:
    """The database."""

    def test_a_result_is_replaced_by_none_that_is_worse(self, tmp_path: Path) -> None:
        """A failure hides no prompt; a fresh prompt replaces an older one."""

        async def scene() -> None:
            store = JobStore(tmp_path / "server.db")
            stands = ""
            for status in ("failed", "ok", "failed", "rejected", "repaired"):
                made = record(status, stands + status)
                await store.put_result("key", made)
                if status in ("ok", "repaired") or not stands:
                    stands = made.model_dump_json()
                assert store.result("key") == stands
            assert store.result("other") is None
            await store.close()

        asyncio.run(scene())

    def test_everything_can_be_found_and_is_its_owners(self, tmp_path: Path) -> None:
        """The newest first, by words of the request, of the state and of the prompt."""

        async def scene() -> None:
            store = JobStore(tmp_path / "server.db")
            for number in range(30):
                search = f"clip{number}.mp4 a Red balloon"
                await store.add_job(f"{number}", "me", search, f"value {number}")
            await store.add_job("99", "you", "a red balloon", "value 99")
            made = record("ok", "Straße at DUSK")
            await store.put_result("key", made)
            await store.end_job("7", "finished", 2.0, "key", "done")
            assert store.job("7", "me") == "done"
            assert store.job("7", "you") is None
            newest = await store.search("me", [], 2)
            assert newest == [("value 29", None), ("value 28", None)]
            assert len(store.open_jobs()) == 30
            assert len(await store.search("me", ["red", "BALLOON"], 100)) == 30
            for words in (["strasse", "red"], ["finished"], ["clip7.mp4", "dusk"]):
                assert await store.search("me", words, 100) == [("done", made.model_dump_json())]
            assert await store.search("me", ["%"], 100) == []
            await store.close()

        asyncio.run(scene())

    def test_a_full_disk_is_said_and_waited_for(self, tmp_path: Path) -> None:
        """A job is refused; a result waits; it goes on by itself once there is room."""

        async def scene() -> None:
            path = tmp_path / "server.db"
            store = JobStore(path)
            with sqlite3.connect(path, isolation_level=None) as other:
                for table in ("job", "result"):
                    other.execute(
                        f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN "
                        "SELECT RAISE(FAIL, 'database or disk is full'); END"
                    )
                with pytest.raises(OutputError, match="disk is full"):
                    await store.add_job("1", "", "", "")
                waiting = asyncio.create_task(store.put_result("key", record("ok")))
                await asyncio.sleep(0.1)
                assert not waiting.done()
                for table in ("job", "result"):
                    other.execute(f"DROP TRIGGER full_{table}")
            await asyncio.wait_for(waiting, 20)
            assert store.result("key") is not None
            assert await store.writable()
            await store.close()

        asyncio.run(scene())

    def test_what_another_version_wrote_is_refused(self, tmp_path: Path) -> None:
        """As is what is no database."""
        JobStore(tmp_path / "newer.db")
        with sqlite3.connect(tmp_path / "newer.db") as db:
            db.execute("PRAGMA user_version = 9")
        (tmp_path / "text.db").write_bytes(b"no database at all" * 100)
        for name, words in (("newer.db", "another version"), ("text.db", "cannot open")):
            with pytest.raises(OutputError, match=words):
                JobStore(tmp_path / name)
