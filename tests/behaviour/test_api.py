"""The library calls, as a user makes them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import promptlift
from promptlift.api import BackgroundLoop
from promptlift.testing import FakeEngine, synthetic_video

GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right."
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A balloon at sunset."""
    path = tmp_path_factory.mktemp("clips") / "balloon.mp4"
    synthetic_video(path, seconds=1.5, size=(320, 180))
    return path


def test_one_call_does_the_job(clip: Path) -> None:
    """`upsample` with nothing set up gives a prompt that holds the user's words."""
    record = promptlift.upsample(clip, "a red balloon drifts over the hills")
    assert record.status == "ok"
    assert (
        record.prompt == "a red balloon drifts over the hills. The camera pans slowly to the right."
    )


def test_errors_are_raised(clip: Path) -> None:
    """The library raises what the pipeline only records."""
    with pytest.raises(promptlift.VideoNotFound):
        promptlift.upsample(clip.with_name("missing.mp4"), "x")
    with pytest.raises(promptlift.OptionError, match="Did you mean 'frames'"):
        promptlift.upsample(clip, "x", frame=3)
    with pytest.raises(promptlift.OptionError, match="no engine 'gpt'"):
        promptlift.upsample(clip, "x", engine="gpt")


def test_an_engine_of_the_callers_stays_open(clip: Path) -> None:
    """Closing the upsampler does not close an engine that it did not make."""
    engine = FakeEngine([GOOD])
    with promptlift.Upsampler(engine=engine) as upsampler:
        assert upsampler.upsample(clip, "a red balloon over the hills").prompt == GOOD
        assert upsampler.upsample(clip, "a red balloon").prompt == GOOD
    assert engine.closed is False
    assert len(engine.requests) == 2


def test_async_use(clip: Path) -> None:
    """Many items under way at once, from async code."""
    engine = FakeEngine([GOOD])

    async def both() -> list[promptlift.Record]:
        async with promptlift.Upsampler(engine=engine) as upsampler:
            prompts = ["a red balloon", "a balloon over hills"]
            return await asyncio.gather(*(upsampler.upsample_async(clip, p) for p in prompts))

    assert [record.prompt for record in asyncio.run(both())] == [GOOD, GOOD]


def test_sync_use_inside_a_notebook(clip: Path) -> None:
    """A sync call works where an event loop is running already."""

    async def cell() -> str | None:
        return promptlift.upsample(clip, "a red balloon", engine=FakeEngine([GOOD])).prompt

    assert asyncio.run(cell()) == GOOD


def test_plan_of_a_file_is_the_plan_of_its_size(clip: Path) -> None:
    """`plan` takes a video or its size."""
    of_file = promptlift.plan(clip, "Test prompt")
    assert of_file == promptlift.plan(promptlift.Size(320, 180), "Test prompt")
    assert of_file.source.prompt_tokens == 509


def test_pictures_are_a_video(clip: Path, tmp_path: Path) -> None:
    """A list of images is taken as frames."""
    from PIL import Image

    paths = []
    for number, colour in enumerate([(200, 40, 30), (180, 60, 40), (160, 80, 60)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (320, 200), colour).save(paths[-1])
    record = promptlift.upsample(paths, "a red wall", engine=FakeEngine([GOOD]), on_reject="best")
    assert record.video.probe is not None
    assert record.video.probe.frame_count == 3
    assert len(record.frames) == 2


def test_sync_calls_share_one_loop_in_one_thread_until_it_is_stopped() -> None:
    """Connections survive between two calls; no thread is left, and a later call starts anew."""

    async def where() -> tuple[str, int]:
        return threading.current_thread().name, id(asyncio.get_running_loop())

    loop, before = BackgroundLoop(), threading.active_count()
    assert loop.run(where()) == loop.run(where())
    loop.stop()
    loop.stop()
    assert threading.active_count() == before
    assert loop.run(where())[0] == "promptlift"
    loop.stop()
