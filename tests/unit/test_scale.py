"""What a run on a cluster is made of, without the cluster: desk, first stage, second stage."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import Index, Writer, open_folder
from promptlift.batch.rows import Row
from promptlift.batch.runner import EngineDown, RunSettings
from promptlift.batch.runner.items import Item, Meanings
from promptlift.config import Options
from promptlift.core.video import Frame, Size
from promptlift.engines.base import EngineInfo
from promptlift.engines.embedded import EmbeddedEngine
from promptlift.errors import OptionError, VideoUnreadable
from promptlift.frames import Source
from promptlift.pipeline.foresight import Foreseen
from promptlift.pipeline.seeing import Survey
from promptlift.scale.asking import Asker, Post, engine_of
from promptlift.scale.desk import Desk
from promptlift.scale.looking import Looker, Recorder, Replay
from promptlift.scale.parcels import Back, Fate, Seen, pack, unpack
from promptlift.scale.settings import ScaleSettings
from promptlift.testing import synthetic_video
from stubs.here_desk import HereDesk
from stubs.openai_server import StubServer

WHO = EngineInfo("embedded", "composer", "1", "0", None, None, 64)
KEYS = [f"{number:064x}" for number in range(4)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An empty run."""
    folder = tmp_path / "run"
    open_folder(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small clip."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    synthetic_video(path, seconds=0.5, size=(64, 48), fps=8)
    return str(path)


@pytest.fixture
def looker() -> Iterator[Looker]:
    """The first stage, with its child."""
    looker = Looker(30)
    yield looker
    looker.close()


def desk_in(run_dir: Path, **settings: Any) -> Desk:
    """A desk for two that come for rows."""
    return Desk(run_dir, Options(), WHO, None, **{"parcel": 8, "spread": 2, **settings})


def rows(count: int) -> list[Row]:
    """Rows whose videos are not there."""
    return [Row.of(number, f"/nowhere/{number}.mp4", "a kite") for number in range(count)]


def item_of(video: str, prompt: str = "a kite over the dunes") -> Item:
    """One row's work, its content not known yet."""
    return Item(Row.of(0, video, prompt), Meanings(Options(), WHO).plain)


def always(fate: Fate) -> Callable[[int, str, bool], Fate]:
    """A desk that says the same of every row."""
    return lambda *_: fate


def test_few_rows_are_spread_and_many_travel_together(run_dir: Path) -> None:
    """A parcel is as large as it may be only while enough lies on the desk for everyone."""
    desk = desk_in(run_dir, parcel=4, spread=2)
    assert desk.take() == []
    assert desk.offer(rows(20), None).begun == 20
    sizes = []
    desk.finish()
    while (taken := desk.take()) is not None:
        sizes.append(len(taken))
    assert sizes[:3] == [4, 4, 4]
    assert sizes[-1] == 1
    assert sum(sizes) == 20


def test_rows_that_never_come_back_are_laid_out_again(run_dir: Path) -> None:
    """A row is open from the offer until it is back, whoever has taken it."""
    desk = desk_in(run_dir)
    desk.offer(rows(3), None)
    taken = [ticket for _ in range(3) for ticket, _ in desk.take() or []]
    desk.finish()
    assert desk.take() is None
    assert desk.back(taken[:2]) == 1
    assert desk.again() == 1
    again = desk.take()
    assert again is not None
    assert [ticket for ticket, _ in again] == taken[2:]
    desk.back(taken)
    assert desk.again() == 0


def test_nobody_is_asked_about_a_row_that_was_told_of_or_is_back(run_dir: Path) -> None:
    """Not while its parcel is under way, and not when a parcel that is back is done once more."""
    desk = desk_in(run_dir)
    desk.offer(rows(3), None)
    assert desk.settled([0, 1, 2]) == []
    told = Back(0, "done", "00" * 32, "ok")
    desk.settle(told)
    assert desk.settled([0, 1, 2]) == [told]
    desk.back([0, 1])
    assert desk.settled([0, 1, 2]) == [Back(0, "left"), Back(1, "left")]


def test_one_row_of_a_key_is_asked_and_says_so_every_time(run_dir: Path) -> None:
    """A task that was lost may claim again and is told the same; another row only follows."""
    desk = desk_in(run_dir)
    assert desk.claim(0, KEYS[0], sifted=False) == "ask"
    assert desk.claim(1, KEYS[0], sifted=False) == "follow"
    assert desk.claim(0, KEYS[0], sifted=False) == "ask"
    assert desk.claim(1, KEYS[1], sifted=True) == "ask"


def test_what_was_finished_before_is_not_asked_under_another_name(run_dir: Path) -> None:
    """A key that is only known once a file was hashed is looked up then."""
    with Writer(run_dir, turn=1) as writer:
        writer.result(KEYS[0], "ok", None, False, "{}")
    desk = desk_in(run_dir)
    assert desk.turn() == 2
    assert desk.claim(0, KEYS[0], sifted=False) == ("before", "ok")
    assert desk.claim(0, KEYS[0], sifted=True) == "ask"  # the user wants it again


def test_a_limit_turns_rows_away(run_dir: Path) -> None:
    """No more are begun than may be, and it is said that there were more."""
    desk = desk_in(run_dir)
    offered = desk.offer(rows(5), 2)
    assert (offered.begun, offered.more, offered.waiting) == (2, True, 2)
    assert not desk.offer(rows(2), 2).more


def test_a_desk_that_is_left_gives_nothing_more(run_dir: Path) -> None:
    """Rows on it stay undone, rows under way are told to leave, and actors hear of it."""
    desk = desk_in(run_dir)
    desk.offer(rows(3), None)
    assert desk.report("one", {}) == "go on"
    desk.leave()
    assert desk.take() is None
    assert desk.claim(0, KEYS[0], sifted=False) == "leave"
    assert desk.report("one", {}) == "leave"
    desk.break_off()
    assert desk.report("one", {}) == "break off"
    assert desk.offer(rows(3), None).begun == 0


def test_addresses_are_shared_out_evenly(run_dir: Path) -> None:
    """Each engine gets the address that fewest live ones use; without any there is none."""
    desk = desk_in(run_dir, addresses=("http://a", "http://b"))
    given = [desk.address(name) for name in "1234"]
    assert sorted(map(str, given)) == ["http://a", "http://a", "http://b", "http://b"]
    assert desk_in(run_dir).address("1") is None


def test_counts_of_actors_are_added_up(run_dir: Path) -> None:
    """What was counted stays, whoever counted it; what is under way is that of the latest word."""
    desk = desk_in(run_dir)
    desk.report("one", {"requests": 2, "in_flight": 1, "limit": 4, "paused": None})
    desk.report("two", {"requests": 3, "in_flight": 2, "limit": 4, "paused": "it waits"})
    desk.report("one", {"requests": 5, "in_flight": 3, "limit": 4, "paused": None})
    counts = desk.counts()
    assert (counts["requests"], counts["in_flight"], counts["limit"]) == (8, 5, 8)
    assert (counts["engines"], counts["paused"]) == (2, "it waits")


def test_what_travels_comes_out_as_it_went_in(clip: str, looker: Looker) -> None:
    """Frames, errors and keys survive the journey."""
    (seen,) = looker.look_at([(7, item_of(clip))], always("ask"), WHO)
    (out,) = unpack(pack([seen]))
    assert isinstance(out, Seen)
    assert (out.ticket, out.item, out.fate, out.lines) == (7, seen.item, "ask", seen.lines)
    (before,), (after,) = seen.looks, out.looks
    assert isinstance(before.found, tuple)
    assert isinstance(after.found, tuple)
    assert [f.image.tobytes() for f in after.found] == [f.image.tobytes() for f in before.found]


def test_the_first_stage_hashes_plans_and_decodes(clip: str, looker: Looker) -> None:
    """A row that is to be asked comes with survey, frames, key and what the journal should say."""
    (seen,) = looker.look_at([(0, item_of(clip))], always("ask"), WHO)
    assert isinstance(seen.survey, Survey)
    assert seen.item.key == item_of(clip).keyed(seen.survey.content)
    assert len(seen.looks) == 1
    assert len(seen.lines) == 1
    assert b'"kind":"video"' in seen.lines[0]


def test_the_first_stage_decodes_a_clip_once(
    clip: str, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint frames come with the survey, from the process that decodes."""
    again = Mock(side_effect=AssertionError("it is read again"))
    monkeypatch.setattr("promptlift.pipeline.sights.look", again)
    (seen,) = looker.look_at([(0, item_of(clip))], always("ask"), WHO)
    assert isinstance(seen.looks[0].found, tuple)
    assert seen.looks[0].found


@pytest.mark.parametrize("fate", ["follow", "leave", ("before", "ok")])
def test_a_row_that_is_not_asked_is_not_decoded(clip: str, looker: Looker, fate: Fate) -> None:
    """It is hashed, which tells its key, and nothing more."""
    (seen,) = looker.look_at([(0, item_of(clip))], always(fate), WHO)
    assert (seen.fate, seen.survey, seen.looks) == (fate, None, ())
    assert seen.item.key is not None


def test_a_damaged_video_is_a_row(tmp_path: Path, looker: Looker) -> None:
    """Its error travels, and the rows beside it are looked at."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all")
    good = tmp_path / "good.mp4"
    synthetic_video(good, seconds=0.5, size=(64, 48), fps=8)
    work = [(0, item_of(str(bad))), (1, item_of(str(good)))]
    first, second = looker.look_at(work, always("ask"), WHO)
    assert isinstance(first.survey, Exception)
    assert first.looks == ()
    assert isinstance(second.survey, Survey)


def test_a_defect_of_ours_ends_the_run_and_says_where(
    clip: str, looker: Looker, asker: Asker
) -> None:
    """What is no video's fault is not lost on the way: it comes back as the run's error."""

    def broken(*_: object) -> Fate:
        raise ZeroDivisionError("a defect")

    (back,) = asker.ask(looker.look_at([(0, item_of(clip))], broken, WHO))
    assert back.fate == "fatal"
    assert "ZeroDivisionError: a defect" in str(back.error)


class Eyes:
    """Looks, and counts how often; sees nothing or a failure."""

    def __init__(self, frames: tuple[Frame, ...] | None = ()) -> None:
        self.times = 0
        self._frames = frames

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """Fail."""
        self.times += 1
        raise VideoUnreadable("there is no picture in it", remedy="give a video")

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See, or fail."""
        self.times += 1
        if self._frames is None:
            raise VideoUnreadable("it ends too soon", remedy="give a whole video")
        return self._frames


async def recorded(eyes: Eyes) -> Seen:
    """What a recorder holds after a survey and a look."""
    recorder = Recorder(eyes)
    with pytest.raises(VideoUnreadable):
        await recorder.survey("x", isolated=False)
    with contextlib.suppress(VideoUnreadable):
        await recorder.look("x", Options(), 2, Size(64, 48))
    looks = tuple(recorder.looks)
    return Seen(0, item_of("x"), "ask", survey=recorder.survey_, looks=looks)


def test_a_recording_is_shown_without_looking() -> None:
    """Survey and frames come from it, failures too; a smaller plan is looked at anew."""

    async def replay() -> None:
        seen, eyes = await recorded(Eyes()), Eyes()
        shown = Replay(seen, eyes)
        with pytest.raises(VideoUnreadable, match="no picture"):
            await shown.survey("x", isolated=False)
        assert await shown.look("x", Options(), 2, Size(64, 48)) == ()
        assert eyes.times == 0
        await shown.look("x", Options(), 2, Size(32, 24))
        assert eyes.times == 1
        blind = Replay(await recorded(Eyes(None)), eyes)
        with pytest.raises(VideoUnreadable, match="too soon"):
            await blind.look("x", Options(), 2, Size(64, 48))

    asyncio.run(replay())


def desk_of(run_dir: Path) -> HereDesk:
    """A desk with nothing on it."""
    who = asyncio.run(EmbeddedEngine().describe())
    return HereDesk(Desk(run_dir, Options(), who, None, parcel=1, spread=1))


def posted(run_dir: Path) -> Post:
    """An actor's orders, with the embedded engine."""
    return Post(Invocation.of("embedded", {}, Options()), run_dir, RunSettings(concurrency=2), 1)


@pytest.fixture
def asker(run_dir: Path) -> Iterator[Asker]:
    """The second stage."""
    asker = Asker(posted(run_dir), None, desk_of(run_dir))
    yield asker
    asker.close()


def seen_of(looker: Looker, *videos: str) -> list[Seen]:
    """Rows that were looked at."""
    who = asyncio.run(EmbeddedEngine().describe())
    meaning = Meanings(Options(), who).plain
    work = [(n, Item(Row.of(n, video, f"kite {n}"), meaning)) for n, video in enumerate(videos)]
    return looker.look_at(work, always("ask"), who)


def test_the_second_stage_answers_and_keeps_the_journal(
    run_dir: Path, clip: str, looker: Looker, asker: Asker
) -> None:
    """Each row is in the journal when it is back: good ones, bad ones, and those that follow."""
    good, bad = seen_of(looker, clip, "/nowhere/x.mp4")
    follows = replace(good, ticket=2, fate="follow")
    left = replace(good, ticket=3, fate="leave")
    backs = asker.ask([good, bad, follows, left])
    assert [(back.ticket, back.fate) for back in backs] == [
        (0, "done"),
        (1, "done"),
        (2, "follow"),
        (3, "left"),
    ]
    assert (backs[0].state, backs[1].state) == ("ok", "failed")
    assert (backs[1].code, backs[1].retryable) == ("video_not_found", False)
    with Index.load(run_dir) as index:
        standing = index.state(backs[0].key)
        assert standing is not None
        assert standing.state == "ok"
        assert index.key_of(good.item.row.digest) == backs[0].key
        assert index.record(backs[0].key)["short_prompt"] == "kite 0"


def test_what_no_item_is_to_blame_for_ends_the_run(
    run_dir: Path, clip: str, looker: Looker
) -> None:
    """An engine that is away for too long ends the run, and no item is marked."""
    settings = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "family": "pixtral"}
    post = replace(
        posted(run_dir),
        invocation=Invocation.of("openai", settings, Options()),
        settings=RunSettings(concurrency=1, patience=0.01),
    )
    asker = Asker(post, None, desk_of(run_dir))
    try:
        (back,) = asker.ask(seen_of(looker, clip))
    finally:
        asker.close()
    assert back.fate == "fatal"
    assert isinstance(back.error, EngineDown)
    with Index.load(run_dir) as index:
        assert index.counts().total() == 0
        assert all(run.end is not None for run in index.runs)


def test_an_actor_that_is_told_to_stop_leaves_its_rows(
    run_dir: Path, clip: str, looker: Looker
) -> None:
    """Once the desk says so, nothing more is sent, and rows come back as they were."""
    desk = desk_of(run_dir)
    desk.tell("leave")
    asker = Asker(posted(run_dir), None, desk)
    try:
        seen = seen_of(looker, clip)
        while (backs := asker.ask(seen))[0].fate != "left":
            assert backs[0].fate == "done"  # it asks the desk only once a second
    finally:
        asker.close()


def test_an_actor_that_is_told_to_break_off_waits_for_no_answer(
    run_dir: Path, clip: str, looker: Looker
) -> None:
    """Rows that the engine has come back as they were, so that Ray need not wait for them."""
    desk = desk_of(run_dir)
    with StubServer(faults=["hang"]) as server:
        settings = {"base_url": server.base_url}
        invocation = Invocation.of("openai", settings, Options())
        asker = Asker(replace(posted(run_dir), invocation=invocation), None, desk)
        try:
            with ThreadPoolExecutor(1) as aside:
                asked = aside.submit(asker.ask, seen_of(looker, clip))
                while not server.chats and not asked.done():
                    time.sleep(0.01)
                desk.tell("break_off")
                (back,) = asked.result(30)
        finally:
            asker.close()
    assert back.fate == "left"
    with Index.load(run_dir) as index:
        assert index.counts().total() == 0


def test_the_address_takes_the_place_of_the_settings() -> None:
    """An engine of several is made with its own, and never tries again by itself."""
    invocation = Invocation.of("openai", {"base_url": "http://a/v1", "model": "m"}, Options())
    assert invocation.patient_settings == {"base_url": "http://a/v1", "model": "m", "retries": 0}
    assert engine_of(invocation, "http://b/v1") is not engine_of(invocation)
    assert Invocation.of("embedded", {}, Options()).patient_settings == {}


@pytest.mark.parametrize(
    ("settings", "cpus", "gpus", "pool"),
    [
        (ScaleSettings(), 16, None, (1, 1)),
        (ScaleSettings(), 16, 8, (1, 8)),
        (ScaleSettings(), 16, 0, (1, 1)),
        (ScaleSettings(addresses=("a", "b", "c")), 16, None, (3, 3)),
        (ScaleSettings(engines=(4, 9)), 16, None, (4, 9)),
        (ScaleSettings(engines=(4, 9), engine_cpus=1), 3, None, (2, 9)),
        (ScaleSettings(engines=(4, 4), engine_cpus=1), 1, None, (1, 4)),
    ],
)
def test_the_fewest_engines_leave_room_for_a_decoder(
    settings: ScaleSettings, cpus: float, gpus: int | None, pool: tuple[int, int]
) -> None:
    """Engines that take every processor would wait for ever for what nobody decodes."""
    assert settings.pool(cpus=cpus, gpus=gpus) == pool


def test_engines_are_counted_upwards() -> None:
    """The most are no fewer than the fewest."""
    with pytest.raises(OptionError, match="8:1"):
        ScaleSettings(engines=(8, 1))
