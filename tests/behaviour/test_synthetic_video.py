"""The made-up video: it is what was asked for, the same every time, and moves as it says."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from promptlift.errors import OptionError
from promptlift.testing import synthetic_pictures, synthetic_video

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from promptlift.testing import Motion

SMALL = (320, 180)


def _pictures(motion: Motion, *, seconds: float = 1, seed: int = 0) -> NDArray[np.float32]:
    pictures = synthetic_pictures(seconds=seconds, size=SMALL, fps=4, motion=motion, seed=seed)
    return np.stack(list(pictures)).astype(np.float32)


def test_the_file_is_what_was_asked_for(tmp_path: Path) -> None:
    """Size, rate, length and codec are those of the call; the path comes back."""
    rate = Fraction(24000, 1001)
    path = synthetic_video(tmp_path / "a.mp4", seconds=1.5, size=(128, 96), fps=rate)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (128, 96)
        assert stream.average_rate == rate
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(stream)) == 36


def test_the_same_call_gives_the_same_file(tmp_path: Path) -> None:
    """Two files of one call are equal byte for byte; another seed is another landscape."""
    first = synthetic_video(tmp_path / "a.mp4", seconds=0.5, size=(64, 48), seed=3)
    second = synthetic_video(tmp_path / "b.mp4", seconds=0.5, size=(64, 48), seed=3)
    other = synthetic_video(tmp_path / "c.mp4", seconds=0.5, size=(64, 48), seed=4)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_a_static_camera_moves_nothing_but_the_balloon() -> None:
    """Almost all of the picture stays exactly as it is; the balloon does not."""
    pictures = _pictures("static")
    changed = np.abs(pictures[0] - pictures[-1]).max(-1) > 2
    assert 0.02 < changed.mean() < 0.2
    assert not changed[120:].any()


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """An odd size or an unknown motion is one clear error, and no file is left."""
    with pytest.raises(OptionError, match="65x48"):
        synthetic_video(tmp_path / "a.mp4", size=(65, 48))
    with pytest.raises(OptionError, match=r"'roll'.*static, pan, tilt, zoom, shake"):
        synthetic_video(tmp_path / "a.mp4", motion="roll")  # type: ignore[arg-type]
    assert not (tmp_path / "a.mp4").exists()
