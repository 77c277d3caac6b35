"""One video, many prompts: it is looked at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest

import promptlift
from promptlift.config import Options
from promptlift.core.facts import Facts
from promptlift.core.video import Frame, Size, Strip
from promptlift.errors import VideoNotFound, VideoUnreadable
from promptlift.facts import measure
from promptlift.frames import Source, open_video
from promptlift.frames.look import hint_frames
from promptlift.frames.reader import Reader
from promptlift.pipeline import seeing
from promptlift.pipeline.sights import Sights
from promptlift.testing import FakeEngine, synthetic_video

BOX = Size(160, 90)
T = TypeVar("T")


class Counter:
    """Runs what looks at a video in this process, and counts how often."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, function: Callable[..., T], /, *args: Any) -> T:
        """See `promptlift.pipeline.seeing.Runner`."""
        self.calls.append(function.__name__.strip("_"))
        return await asyncio.to_thread(function, *args)


@pytest.fixture
def counter() -> Counter:
    """A count of the real looks."""
    return Counter()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Half a second of a balloon."""
    return synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))


def test_ten_prompts_decode_a_video_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upsampler looks at a video once, whatever is asked about it."""
    opened: list[Source] = []

    def counted(source: Source) -> AbstractContextManager[Reader]:
        opened.append(source)
        return open_video(source)

    monkeypatch.setattr("promptlift.pipeline.seeing.open_video", counted)
    with promptlift.Upsampler(engine=FakeEngine(), on_reject="best") as upsampler:
        for number in range(10):
            upsampler.upsample(clip, f"a balloon number {number}")
    assert len(opened) == 2, "a survey and a look"


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


def test_frames_are_read_while_the_video_is_measured(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that will be asked for are looked at before the facts are there, and only once."""
    told: list[str] = []
    looked = threading.Event()

    def slow_measure(strip: Strip) -> Facts:
        assert looked.wait(30), "nobody looks while the video is measured"
        told.append("measured")
        return measure(strip)

    def told_look(*args: Any, **options: Any) -> tuple[Frame, ...]:
        told.append("looked")
        looked.set()
        return hint_frames(*args, **options)

    monkeypatch.setattr(seeing, "measure", slow_measure)
    monkeypatch.setattr(seeing, "hint_frames", told_look)
    with promptlift.Upsampler(engine=FakeEngine(), on_reject="best") as upsampler:
        record = upsampler.upsample(clip, "a balloon")
    assert told == ["looked", "measured"]
    assert len(record.frames) == 2


def test_a_look_ahead_changes_no_record(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With frames that were read ahead the record is what it is without, but for the times."""
    records = []
    for ahead in (True, False):
        if not ahead:
            monkeypatch.setattr(Sights, "expect", lambda *_: None)
        with promptlift.Upsampler(engine="embedded") as upsampler:
            records.append(upsampler.upsample(clip, "a balloon").model_dump(exclude={"timings"}))
    for record in records:
        for attempt in record["attempts"]:
            del attempt["seconds"]
    assert records[0] == records[1]


def test_a_wrong_guess_is_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other frames are planned once the facts are there, those are shown."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))
    expect = Sights.expect

    def smaller(sights: Sights, source: Source, options: Options, count: int, size: Size) -> None:
        expect(sights, source, options, count + 1, Size(size.width // 2, size.height // 2))

    monkeypatch.setattr(Sights, "expect", smaller)
    with promptlift.Upsampler(engine=FakeEngine(), on_reject="best") as upsampler:
        record = upsampler.upsample(clip, "a balloon")
    assert [(frame.width, frame.height) for frame in record.frames] == [(160, 90)] * 2


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


def test_only_a_survey_under_way_in_this_process_is_heard_of(clip: Path, counter: Counter) -> None:
    """Elsewhere, before it, after it and of bytes nothing is told; in the midst the size is."""

    async def ask() -> list[int | None]:
        sights, elsewhere = Sights(), Sights(run=counter)
        heard = [await sights.decoded(clip), await sights.decoded(clip.read_bytes())]
        for asked, isolated in ((sights, False), (elsewhere, False), (Sights(0), False)):
            survey = asyncio.create_task(asked.survey(clip, isolated=isolated))
            heard.append(await asked.decoded(clip))
            await survey
        heard.append(await sights.decoded(clip))
        return [None if info is None else info.width for info in heard]

    assert asyncio.run(ask()) == [None, None, 160, None, None, None]


def test_a_look_that_fails_ahead_fails_again_when_it_is_wanted(tmp_path: Path) -> None:
    """What goes wrong before anybody asks is told to who asks then, and not before."""

    async def ahead() -> None:
        sights = Sights()
        sights.expect(tmp_path / "none.mp4", Options(), 2, BOX)
        noise = tmp_path / "noise.mp4"
        noise.write_bytes(b"no video" * 99)
        sights.expect(noise, Options(), 2, BOX)
        await asyncio.sleep(0.2)
        with pytest.raises(VideoUnreadable):
            await sights.look(noise, Options(), 2, BOX)

    asyncio.run(ahead())
