"""One video, many prompts: it is decoded once."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from promptlift.errors import BudgetError, VideoError, VideoNotFound
from promptlift.options import Options
from promptlift.pipeline import (
    EngineProfile,
    Prepared,
    VideoCache,
    prepare,
    profile_of,
    upsample_item,
)
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.tokens import family
from promptlift.types import Size
from promptlift.video import (
    AnalysedError,
    FrameChoice,
    ProcessPool,
    VideoAnalysis,
    analyse,
    analyse_and_read,
    isolated_call,
)

T = TypeVar("T")
FRAME_BYTES = 160 * 90 * 3


class Counter:
    """Decodes videos in a thread, and counts how often."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run it."""
        self.calls.append(function.__name__)
        return await asyncio.to_thread(function, *args, **kwargs)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Half a second of a balloon."""
    path = tmp_path_factory.mktemp("cache") / "clip.mp4"
    return synthetic_video(path, seconds=0.5, size=(160, 90)).read_bytes()


@pytest.fixture
def clip(tmp_path: Path, made: bytes) -> Path:
    """A file of its own for each test."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(made)
    return path


def prepared_each(videos: VideoCache, source: Any, *each: dict[str, Any]) -> list[Prepared]:
    """Prepare items with these options, one after the other."""

    async def work() -> list[Prepared]:
        profile = await profile_of(FakeEngine())
        return [
            await prepare(source, "a balloon", Options(**options), profile, videos)
            for options in each
        ]

    return asyncio.run(work())


def test_many_prompts_decode_a_video_once(clip: Path) -> None:
    """Items that come one after the other, and items that come together."""
    counter = Counter()

    async def work() -> None:
        videos = VideoCache(run=counter)
        for number in range(3):
            await upsample_item(clip, f"balloon {number}", FakeEngine(), Options(), videos=videos)
        await asyncio.gather(
            *(
                upsample_item(clip, f"hill {number}", FakeEngine(), Options(), videos=videos)
                for number in range(8)
            )
        )

    asyncio.run(work())
    assert counter.calls == ["analyse_and_read"]


def test_other_frames_are_read_and_the_same_are_not(clip: Path) -> None:
    """Another size, count or strategy reads again; the facts stay."""
    counter = Counter()
    each: list[dict[str, Any]] = [
        {},
        {},
        {"frames": 1},
        {"size": Size(80, 45)},
        {"strategy": "first"},
        {"strategy": "first"},
    ]
    items = prepared_each(VideoCache(run=counter), clip, *each)
    assert counter.calls == ["analyse_and_read", *["read_frames"] * 3]
    assert [len(item.frames) for item in items] == [2, 2, 1, 2, 2, 2]
    assert items[3].frames[0].size == Size(80, 45)


def test_what_is_read_in_passing_is_what_is_read_alone(clip: Path) -> None:
    """The frames are the same picture for picture, with and without a cache, in any process."""

    async def work() -> None:
        profile = await profile_of(FakeEngine())
        async with ProcessPool(1) as pool:
            caches = [VideoCache(0), VideoCache(), VideoCache(run=pool.call)]
            for strategy in ("spread", "scenes"):
                options = Options(strategy=strategy, frames=3)
                one, *others = [
                    await prepare(clip, "a balloon", options, profile, videos) for videos in caches
                ]
                for other in others:
                    assert [f.time for f in other.frames] == [f.time for f in one.frames]
                    assert all(
                        (a.image == b.image).all()
                        for a, b in zip(other.frames, one.frames, strict=True)
                    )
                    assert (other.key, other.plan) == (one.key, one.plan)

    asyncio.run(work())


def test_a_replaced_file_is_read_anew(clip: Path, tmp_path: Path) -> None:
    """A video that is replaced under the same name is another video."""
    videos = VideoCache()
    (first,) = prepared_each(videos, clip, {})
    synthetic_video(clip, seconds=0.25, size=(160, 90))
    (second,) = prepared_each(videos, clip, {})
    assert first.key != second.key


def test_memory_is_bounded_and_the_oldest_goes_first(clip: Path) -> None:
    """When the pictures are too many the oldest are forgotten, and read again when needed."""
    counter = Counter()
    videos = VideoCache(3 * 2 * FRAME_BYTES, counter)
    prepared_each(videos, clip, {}, {"frames": 1}, {"frames": 3}, {"frames": 3}, {})
    assert counter.calls.count("read_frames") + counter.calls.count("analyse_and_read") == 4


def test_a_failure_is_not_remembered(tmp_path: Path, clip: Path) -> None:
    """A file that appears after a failure is read; all who waited for the failure hear of it."""
    missing = tmp_path / "later.mp4"
    videos = VideoCache()

    async def together(profile: EngineProfile) -> list[Prepared]:
        work = (prepare(missing, "a balloon", Options(), profile, videos) for _ in range(3))
        return await asyncio.gather(*work)

    async def work() -> None:
        profile = await profile_of(FakeEngine())
        assert all(isinstance(item.error, VideoNotFound) for item in await together(profile))
        missing.write_bytes(b"no video at all")
        assert all(isinstance(item.error, VideoError) for item in await together(profile))
        missing.write_bytes(clip.read_bytes())
        assert not any(item.error for item in await together(profile))

    asyncio.run(work())


def test_who_gives_up_takes_nothing_from_the_others(clip: Path) -> None:
    """When the item that began to read is cancelled, the other that waits gets its frames."""
    counter = Counter()

    async def work() -> Prepared:
        profile = await profile_of(FakeEngine())
        videos = VideoCache(run=counter)
        one, other = (
            asyncio.create_task(prepare(clip, "a balloon", Options(), profile, videos))
            for _ in range(2)
        )
        while not counter.calls:
            await asyncio.sleep(0)
        one.cancel()
        return await other

    assert asyncio.run(work()).error is None
    assert counter.calls == ["analyse_and_read"]


@pytest.mark.parametrize("name", ["pixtral", "llava-onevision"])
def test_an_item_can_be_sent_to_another_process(clip: Path, name: str) -> None:
    """What is prepared is plain data, and so is who will answer."""
    (item,) = prepared_each(VideoCache(), clip, {})
    profile = EngineProfile(asyncio.run(profile_of(FakeEngine())).info, family(name))
    assert pickle.loads(pickle.dumps(item)).key == item.key
    sent = pickle.loads(pickle.dumps(profile)).family
    assert sent.image(Size(640, 360)) == family(name).image(Size(640, 360))


def plan_nothing(analysis: VideoAnalysis) -> NoReturn:
    """Frames that no budget allows; see `FramePlan`."""
    del analysis
    raise BudgetError("2 frames do not fit", remedy="show fewer")


@pytest.mark.parametrize("isolated", [False, True])
def test_a_plan_that_fails_leaves_the_analysis(clip: Path, isolated: bool) -> None:
    """The error carries it, also from another process; a file that is missing has none."""
    choice = FrameChoice("spread", 2, Fraction(2), exact=False)
    arguments = (clip, choice, plan_nothing)
    with pytest.raises(AnalysedError) as caught:
        isolated_call(analyse_and_read, *arguments) if isolated else analyse_and_read(*arguments)
    assert isinstance(caught.value.error, BudgetError)
    assert caught.value.error.remedy == "show fewer"
    assert caught.value.analysis == analyse(clip)
    with pytest.raises(VideoNotFound):
        analyse_and_read(clip.with_name("missing.mp4"), choice, plan_nothing)
