"""One video, many prompts: it is looked at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import promptlift
from promptlift.config import Options
from promptlift.core.video import Size
from promptlift.errors import VideoNotFound
from promptlift.pipeline import sights as module
from promptlift.pipeline.sights import Sights
from promptlift.testing import FakeEngine, synthetic_video

BOX = Size(160, 90)


class Counter:
    """Counts how often the real functions are called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for name in ("survey", "look"):
            monkeypatch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            return function(*args, **kwargs)

        return call


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """A count of the real looks."""
    return Counter(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Half a second of a balloon."""
    return synthetic_video(tmp_path / "clip.mp4", seconds=0.5, size=(160, 90))


def test_ten_prompts_decode_a_video_once(clip: Path, counter: Counter) -> None:
    """An upsampler looks at a video once, whatever is asked about it."""
    with promptlift.Upsampler(engine=FakeEngine(), on_reject="best") as upsampler:
        for number in range(10):
            upsampler.upsample(clip, f"a balloon number {number}")
    assert sorted(counter.calls) == ["look", "survey"]


def test_other_frames_are_another_look(clip: Path, counter: Counter) -> None:
    """Another size, count or strategy reads again; the same does not."""
    sights = Sights()
    for count, size in [(2, BOX), (2, BOX), (3, BOX), (2, Size(80, 45))]:
        sights.look(clip, Options(), count, size)
    sights.look(clip, Options(strategy="first"), 2, BOX)
    assert counter.calls == ["look"] * 4


def test_a_replaced_file_is_seen_anew(clip: Path, counter: Counter) -> None:
    """A video that is replaced under the same name is another video."""
    sights = Sights()
    first = sights.survey(clip, isolated=False)
    synthetic_video(clip, seconds=1, size=(160, 90))
    assert sights.survey(clip, isolated=False).content != first.content
    assert counter.calls == ["survey", "survey"]


def test_memory_is_bounded(clip: Path, counter: Counter) -> None:
    """When the pictures are too many the oldest are forgotten, and read again when needed."""
    sights = Sights(most_bytes=3 * 2 * BOX.pixels)
    for count in (2, 1, 3, 2):
        sights.look(clip, Options(), count, BOX)
    assert counter.calls == ["look"] * 4
    assert sights._held <= 3 * 2 * BOX.pixels


def test_bytes_are_not_remembered(clip: Path, counter: Counter) -> None:
    """Bytes have no name to know them by."""
    sights = Sights()
    for _ in range(2):
        sights.survey(clip.read_bytes(), isolated=False)
    assert counter.calls == ["survey", "survey"]


def test_a_failure_is_not_remembered(tmp_path: Path, clip: Path) -> None:
    """A file that appears after a failed look is seen."""
    sights, late = Sights(), tmp_path / "late.mp4"
    with pytest.raises(VideoNotFound):
        sights.survey(late, isolated=False)
    late.write_bytes(clip.read_bytes())
    assert sights.survey(late, isolated=False).info.width == 160


def test_threads_wait_for_one_look(clip: Path, counter: Counter) -> None:
    """Eight threads that ask together share one look, also where it fails for all."""
    sights, start = Sights(), threading.Barrier(8)

    def ask(_: int) -> int:
        start.wait()
        return len(sights.look(clip, Options(), 2, BOX))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [2] * 8
    assert counter.calls == ["look"]
