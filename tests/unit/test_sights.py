"""One video, many prompts: it is looked at once."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

import promptlift
from promptlift.config import Options
from promptlift.core.budget import Budget
from promptlift.core.record import Record
from promptlift.core.tokens import FAMILIES, calibrate
from promptlift.core.video import Frame, Size
from promptlift.engines.base import EngineInfo
from promptlift.errors import VideoNotFound, VideoUnreadable
from promptlift.frames import Source, open_video
from promptlift.frames.crew import Crew
from promptlift.frames.reader import Reader
from promptlift.pipeline import seeing
from promptlift.pipeline.foresight import Foresight, Shape
from promptlift.pipeline.item import upsample_item
from promptlift.pipeline.seeing import Runner
from promptlift.pipeline.sights import Sights
from promptlift.testing import FakeEngine, synthetic_video

BOX = Size(160, 90)
T = TypeVar("T")


class Counter:
    """Runs what looks at a video, in this process unless told otherwise, and counts how often."""

    def __init__(self, run: Runner = asyncio.to_thread) -> None:
        self.calls: list[str] = []
        self._run = run

    async def __call__(self, function: Callable[..., T], /, *args: Any) -> T:
        """See `promptlift.pipeline.seeing.Runner`."""
        self.calls.append(function.__name__.strip("_"))
        return await self._run(function, *args)


@pytest.fixture
def counter() -> Counter:
    """A count of the real looks."""
    return Counter()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Half a second of a balloon."""
    return synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """What is opened from here on, once for each time that it is."""
    found: list[Source] = []

    def noted(source: Source) -> Reader:
        found.append(source)
        return open_video(source)

    monkeypatch.setattr(seeing, "open_video", noted)
    return found


def test_ten_prompts_decode_a_video_once(clip: Path, opened: list[Source]) -> None:
    """An upsampler looks at a video once, whatever is asked about it."""
    with promptlift.Upsampler(engine=FakeEngine(), on_reject="best") as upsampler:
        for number in range(10):
            upsampler.upsample(clip, f"a balloon number {number}")
    assert opened == [clip]


async def looks(sights: Sights, clip: Path, *wanted: tuple[Options, int, Size]) -> None:
    """Look at a clip so and so, one after the other."""
    for options, count, size in wanted:
        assert await sights.look(clip, options, count, size)


def test_other_frames_are_another_look(clip: Path, counter: Counter) -> None:
    """Another size, count or strategy reads again; the same does not."""
    one, first = Options(), Options(strategy="first")
    wanted = [(one, 2, BOX), (one, 2, BOX), (one, 3, BOX), (one, 2, Size(80, 45)), (first, 2, BOX)]
    asyncio.run(looks(Sights(run=counter), clip, *wanted))
    assert counter.calls == ["look"] * 4


def test_a_replaced_file_is_seen_anew(clip: Path, counter: Counter) -> None:
    """A video that is replaced under the same name is another video."""

    async def both() -> None:
        sights = Sights(run=counter)
        first = await sights.survey(clip, isolated=False)
        synthetic_video(clip, seconds=1, size=(160, 90))
        assert (await sights.survey(clip, isolated=False)).content != first.content

    asyncio.run(both())
    assert counter.calls == ["survey", "survey"]


def test_memory_is_bounded(clip: Path, counter: Counter) -> None:
    """When the pictures are too many the oldest are forgotten, and read again when needed."""
    sights = Sights(3 * 2 * BOX.pixels, counter)
    asyncio.run(looks(sights, clip, *[(Options(), count, BOX) for count in (2, 1, 3, 2)]))
    assert counter.calls == ["look"] * 4
    assert sights._held <= 3 * 2 * BOX.pixels


def test_what_is_asked_for_again_is_kept_longest(clip: Path, counter: Counter) -> None:
    """Of two videos' pictures, those that were wanted last stay when memory is needed."""
    sights = Sights(4 * 3 * BOX.pixels, counter)
    wanted = [(Options(), count, BOX) for count in (1, 2, 1, 3, 1)]
    asyncio.run(looks(sights, clip, *wanted))
    assert counter.calls == ["look"] * 3


def test_bytes_are_not_remembered(clip: Path, counter: Counter) -> None:
    """Bytes have no name to know them by."""

    async def twice() -> None:
        sights = Sights(run=counter)
        for _ in range(2):
            await sights.survey(clip.read_bytes(), isolated=False)

    asyncio.run(twice())
    assert counter.calls == ["survey", "survey"]


def test_a_failure_is_not_remembered(tmp_path: Path, clip: Path) -> None:
    """A file that appears after a failed look is seen."""

    async def early_and_late() -> None:
        sights, late = Sights(), tmp_path / "late.mp4"
        with pytest.raises(VideoNotFound):
            await sights.survey(late, isolated=False)
        late.write_bytes(clip.read_bytes())
        assert (await sights.survey(late, isolated=False)).info.width == 160

    asyncio.run(early_and_late())


def test_items_wait_for_one_look(clip: Path, counter: Counter) -> None:
    """Eight items that ask together share one look."""

    async def together() -> list[int]:
        sights = Sights(run=counter)
        asked = [sights.look(clip, Options(), 2, BOX) for _ in range(8)]
        return [len(frames) for frames in await asyncio.gather(*asked)]

    assert asyncio.run(together()) == [2] * 8
    assert counter.calls == ["look"]


def test_a_failed_look_fails_for_all_who_wait(tmp_path: Path, counter: Counter) -> None:
    """A file that is no video is looked at once for those who ask together, and each is told."""
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"no video" * 99)

    async def together() -> list[Any]:
        sights = Sights(run=counter)
        asked = [sights.survey(path, isolated=False) for _ in range(4)]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(error) for error in asyncio.run(together())] == [VideoUnreadable] * 4
    assert counter.calls == ["survey"]


def test_who_gives_up_takes_nothing_from_the_others(clip: Path, counter: Counter) -> None:
    """When the item that began a look is cancelled, the other that waits for it gets its frames."""

    async def one_leaves() -> int:
        sights = Sights(run=counter)
        leaver = asyncio.create_task(sights.look(clip, Options(), 2, BOX))
        stayer = asyncio.create_task(sights.look(clip, Options(), 2, BOX))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        return len(await stayer)

    assert asyncio.run(one_leaves()) == 2
    assert counter.calls == ["look"]


async def upsampled(clip: Path, sights: Sights, **options: Any) -> Record:
    """The record of one item, seen through those."""
    made = Options(on_reject="best", **options)
    return (await upsample_item(clip, "a balloon", FakeEngine(), made, sights=sights)).record


@pytest.mark.parametrize("strategy", ["spread", "fps"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_the_survey_takes_the_frames_along(
    clip: Path, opened: list[Source], strategy: str, elsewhere: bool
) -> None:
    """One item decodes its video once, in a thread or in another process."""

    async def once() -> Record:
        if not elsewhere:
            return await upsampled(clip, Sights(), strategy=strategy)
        async with Crew(1, preload=seeing.PRELOAD) as crew:
            counter = Counter(crew.call)
            record = await upsampled(clip, Sights(run=counter), strategy=strategy)
        assert counter.calls == ["survey"]
        return record

    record = asyncio.run(once())
    assert len(record.frames) == (2 if strategy == "spread" else 1)
    assert elsewhere or opened == [clip]


@pytest.mark.parametrize("strategy", ["first", "scenes"])
def test_other_frames_are_read_by_themselves(
    clip: Path, opened: list[Source], strategy: str
) -> None:
    """Those that are counted from the start, or chosen when all was seen, are not foreseen."""
    assert asyncio.run(upsampled(clip, Sights(), strategy=strategy)).frames
    assert opened == [clip, clip]


def test_frames_in_passing_change_no_record(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is what it is when they are read by themselves, but for the times."""
    records = []
    for passing in (True, False):
        if not passing:
            monkeypatch.setattr(Foresight, "__call__", lambda *_: None)
        with promptlift.Upsampler(engine="embedded") as upsampler:
            records.append(upsampler.upsample(clip, "a balloon").model_dump(exclude={"timings"}))
    for record in records:
        for attempt in record["attempts"]:
            del attempt["seconds"]
    assert records[0] == records[1]


def test_a_wrong_guess_is_no_harm(
    clip: Path, opened: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other frames are planned once the facts are there, those are shown."""
    monkeypatch.setattr(Foresight, "__call__", lambda *_: Shape(2, Size(80, 45)))
    record = asyncio.run(upsampled(clip, Sights()))
    assert [(frame.width, frame.height) for frame in record.frames] == [(160, 90)] * 2
    assert len(opened) == 2


def test_nobody_waits_long_for_an_engine(clip: Path, opened: list[Source]) -> None:
    """While the engine takes long to say who it is the video is surveyed, and read again then."""

    class Slow(FakeEngine):
        async def describe(self) -> EngineInfo:
            while not surveyed.is_set():
                await asyncio.sleep(0.01)
            return await super().describe()

    surveyed = threading.Event()

    async def through() -> Record:
        sights, made = Sights(), Options(on_reject="best")
        item = asyncio.create_task(upsample_item(clip, "a cat", Slow(), made, sights=sights))
        await asyncio.sleep(0)
        assert (await asyncio.wait_for(sights.survey(clip, isolated=False), 60)).info.width == 160
        surveyed.set()
        return (await item).record

    assert len(asyncio.run(through()).frames) == 2
    assert len(opened) == 2


@pytest.mark.parametrize("content", [b"", b"no video" * 99])
def test_nothing_is_expected_of_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    """The failure of the survey is what is raised, and nobody waits for more."""
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with (
        promptlift.Upsampler(engine=FakeEngine()) as upsampler,
        pytest.raises(VideoUnreadable),
    ):
        upsampler.upsample(path, "a balloon")


def test_frames_that_cannot_be_had_in_passing_are_told_of_when_they_are_wanted(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey that succeeds stays one; who looks hears what is wrong."""

    def broken(*_: Any, **__: Any) -> tuple[Frame, ...]:
        raise VideoUnreadable("there is no picture in it", remedy="give a video")

    monkeypatch.setattr(seeing, "hint_frames", broken)
    outcome = asyncio.run(upsample_item(clip, "a cat", FakeEngine(), Options(), sights=Sights()))
    assert isinstance(outcome.error, VideoUnreadable)
    assert outcome.record.facts is not None


def test_every_family_can_be_planned_for_elsewhere() -> None:
    """What tells another process of the plan gets there, whatever the model."""
    learnt = calibrate([(Size(side, side), side) for side in (64, 448, 896)])
    for family in (*FAMILIES.values(), learnt):
        budget = Budget(family, 8192, 300, 200)
        told = Foresight(Options(), FakeEngine()._info, budget)
        assert pickle.loads(pickle.dumps(told)).budget.family.name == family.name
