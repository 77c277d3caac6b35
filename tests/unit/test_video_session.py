"""A video is opened once: analysed, planned for, and read, in this process or in another."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from promptlift.errors import BudgetError, VideoNotFound
from promptlift.testing import synthetic_video
from promptlift.types import Size
from promptlift.video.reader import FrameChoice
from promptlift.video.session import (
    AnalysedError,
    VideoAnalysis,
    analyse,
    analyse_and_read,
    frame_count,
    read_frames,
)
from promptlift.video.workers import isolated_call

if TYPE_CHECKING:
    from pathlib import Path

CHOICE = FrameChoice("spread", 2, Fraction(2), exact=False)


@dataclass(frozen=True)
class Plan:
    """As many frames as there are, of one size; or an error."""

    size: Size | None

    def __call__(self, analysis: VideoAnalysis) -> tuple[int, Size]:
        """See `FramePlan`."""
        if self.size is None:
            raise BudgetError("2 frames do not fit", remedy="show fewer")
        return frame_count(analysis.info, CHOICE.count), self.size


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds."""
    return synthetic_video(tmp_path_factory.mktemp("session") / "a.mp4", seconds=2, size=(160, 90))


def test_another_process_gives_the_same(clip: Path) -> None:
    """Analysis and frames are plain values, the same wherever they are made."""
    analysis, frames = analyse_and_read(clip, CHOICE, Plan(Size(64, 36)), detail="low")
    other, copies = isolated_call(analyse_and_read, clip, CHOICE, Plan(Size(64, 36)), detail="low")
    assert other == analysis == analyse(clip, detail="low")
    assert [frame.time for frame in frames] == [Fraction(1, 2), Fraction(3, 2)]
    for one, two, three in zip(
        frames, copies, read_frames(clip, CHOICE, Size(64, 36)), strict=True
    ):
        assert one.size == Size(64, 36)
        assert one.time == two.time == three.time
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.image, three.image)


@pytest.mark.parametrize("isolated", [False, True])
def test_a_plan_that_fails_leaves_the_analysis(clip: Path, isolated: bool) -> None:
    """The error carries it, also from another process; a file that is missing has none."""
    arguments = (clip, CHOICE, Plan(None))
    with pytest.raises(AnalysedError) as caught:
        isolated_call(analyse_and_read, *arguments) if isolated else analyse_and_read(*arguments)
    assert isinstance(caught.value.error, BudgetError)
    assert caught.value.error.remedy == "show fewer"
    assert caught.value.analysis == analyse(clip)
    with pytest.raises(VideoNotFound):
        analyse_and_read(clip.with_name("missing.mp4"), CHOICE, Plan(None))
