"""Hint frames written out: clips, PNGs and sheets, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from promptlift.cli.media import hint
from promptlift.errors import OutputError, PromptliftError
from promptlift.testing import synthetic_pictures, synthetic_video
from promptlift.types import Frame, Size
from promptlift.video.clip import write_clip
from promptlift.video.export import write_hints, write_pngs
from promptlift.video.reader import hint_frames
from promptlift.video.source import open_video

RATE = Fraction(2)


@cache
def _frames(count: int = 3, size: tuple[int, int] = (96, 54)) -> tuple[Frame, ...]:
    pictures = synthetic_pictures(seconds=count / 4, size=size, fps=4)
    return tuple(
        Frame(Fraction(number, 4), picture, Fraction(number, 4))
        for number, picture in enumerate(pictures)
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 160x90."""
    return synthetic_video(
        tmp_path_factory.mktemp("encode") / "clip.mp4", seconds=2, size=(160, 90), fps=30
    )


def _left(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestClip:
    """The hint clip."""

    def test_it_holds_the_frames_at_the_rate(self, tmp_path: Path) -> None:
        """As many frames as given, of their size, a period apart, in their colours to the
        precision of the codec.
        """
        frames, target = _frames(3), tmp_path / "a.mp4"
        write_clip(frames, target, fps=Fraction(24000, 1001))
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert stream.average_rate == Fraction(24000, 1001)
            times = [round((frame.time or 0) * 24000) for frame in container.decode(stream)]
        assert times == [0, 1001, 2002]
        with open_video(target) as reader:
            back = reader.first(3, Size(96, 54))
        for given, got in zip(frames, back, strict=True):
            difference = given.image.astype(float) - got.image.astype(float)
            assert 10 * np.log10(255**2 / np.mean(difference**2)) > 31
            assert np.abs(difference.mean((0, 1))).max() < 1.5

    @pytest.mark.parametrize(("matrix", "number"), [("bt709", 1), ("smpte170m", 6), (None, 2)])
    def test_the_tags_of_the_video_are_kept(
        self, tmp_path: Path, video: Path, matrix: str | None, number: int
    ) -> None:
        """A clip made from a video says of its colours what the video said, no more."""
        source, target = tmp_path / "source.mp4", tmp_path / "a.mp4"
        with av.open(str(video)) as given, av.open(str(source), "w") as made:
            stream = made.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
            if matrix is not None:
                stream.colorspace = number
            for frame in given.decode(video=0):
                if matrix is not None:
                    frame.colorspace = number
                made.mux(stream.encode(frame))
            made.mux(stream.encode())
        with open_video(source, native=True) as reader:
            frames = hint_frames(reader, box=Size(80, 46), stretch=True)
        write_clip(frames, target, fps=RATE)
        with av.open(str(target)) as container:
            assert int(next(container.decode(video=0)).colorspace) == number


class TestPngs:
    """A folder of pictures."""

    def test_the_pictures_are_the_frames(self, tmp_path: Path) -> None:
        """Without loss, in order, in a folder that is made."""
        frames = _frames(3)
        write_pngs(frames, tmp_path / "out")
        assert _left(tmp_path / "out") == ["hint_01.png", "hint_02.png", "hint_03.png"]
        for frame, name in zip(frames, _left(tmp_path / "out"), strict=True):
            with Image.open(tmp_path / "out" / name) as picture:
                assert np.array_equal(np.asarray(picture), frame.image)

    def test_frames_of_an_earlier_call_are_not_mixed_in(self, tmp_path: Path) -> None:
        """Fewer frames than last time would leave old ones behind: refused, nothing touched."""
        (tmp_path / "notes.txt").write_text("mine")
        write_pngs(_frames(3), tmp_path)
        before = [(tmp_path / name).read_bytes() for name in _left(tmp_path)]
        with pytest.raises(OutputError, match=r"earlier call, such as hint_03\.png"):
            write_pngs(_frames(2), tmp_path)
        assert [(tmp_path / name).read_bytes() for name in _left(tmp_path)] == before


class TestTargets:
    """The name of the target says what is written; what cannot be written is one error."""

    def test_the_name_decides(self, tmp_path: Path) -> None:
        """.mp4, .png and a name without a suffix, in either case of letters; each frame's pixels
        lie unchanged on a sheet, side by side and not over another.
        """
        frames = _frames(3, (240, 136))
        for name in ("a.MP4", "b.Png", "folder"):
            write_hints(frames, tmp_path / name, fps=RATE)
        with av.open(str(tmp_path / "a.MP4")) as container:
            assert "mp4" in container.format.name
        assert len(_left(tmp_path / "folder")) == 3
        with Image.open(tmp_path / "b.Png", formats=["PNG"]) as picture:
            sheet = np.asarray(picture.convert("RGB"))
        for number, frame in enumerate(frames):
            left, top = 28 + number % 2 * (240 + 22), 28 + number // 2 * (136 + 34 + 22)
            assert np.array_equal(sheet[top : top + 136, left : left + 240], frame.image)

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
    @pytest.mark.parametrize("name", ["a.mp4", "out"])
    def test_a_disk_that_takes_no_more(self, tmp_path: Path, name: str) -> None:
        """When writing fails half-way, what was there stays and nothing else is left."""
        code = f"""
import resource, signal
from fractions import Fraction
from pathlib import Path
from promptlift.types import Frame
from promptlift.errors import OutputError
from promptlift.video.export import write_hints
import numpy
noise = numpy.random.default_rng(0).integers(0, 256, (3, 90, 160, 3), dtype=numpy.uint8)
frames = [Frame(Fraction(0), p, Fraction(0)) for p in noise]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_hints(frames, Path({str(tmp_path / name)!r}), fps=Fraction(2))
except OutputError as error:
    print(error)
"""
        if name != "out":
            (tmp_path / name).write_text("old")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("cannot write")
        assert _left(tmp_path) == ([] if name == "out" else [name])
        if name != "out":
            assert (tmp_path / name).read_text() == "old"


class TestCommand:
    """``promptlift hint``."""

    @staticmethod
    def _run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(hint, [str(argument) for argument in arguments])

    def test_one_line_for_each_frame_on_stderr(self, tmp_path: Path, video: Path) -> None:
        """Its time, its size, and whether it is the nearest keyframe; stdout stays empty."""
        result = self._run(video, "-o", tmp_path / "a.mp4", "--strategy", "fps")
        assert result.exit_code == 0
        assert result.stderr.splitlines() == ["0.233 s  320x180", "0.733 s  320x180"]
        assert result.stdout == ""
        long = synthetic_video(tmp_path / "long.mp4", seconds=16, size=(64, 36), fps=2)
        result = self._run(long, "-o", tmp_path / "a.png", "-n", "1")
        assert result.stderr.endswith("(nearest keyframe)\n")
        result = self._run(long, "-o", tmp_path / "a.png", "-n", "1", "--exact")
        assert result.stderr == "8.000 s  320x180\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("missing.mp4", "-o", "a.mp4"),
            ("clip.mp4", "-o", "a.avi"),
            ("clip.mp4", "-o", "a.mp4", "-n", "0"),
            ("clip.mp4", "-o", "a.mp4", "--strategy", "fps", "--fps", "0"),
            ("clip.mp4", "-o", "nowhere/a.mp4"),
            ("clip.mp4", "-o", "a.mp4", "--fps", "5000"),
        ],
        ids=lambda arguments: " ".join(arguments),
    )
    def test_a_mistake_is_an_error_of_ours_and_leaves_nothing(
        self,
        tmp_path: Path,
        video: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
    ) -> None:
        """Each becomes one line and exit code 2, and no file appears."""
        monkeypatch.chdir(tmp_path)
        Path("clip.mp4").write_bytes(video.read_bytes())
        result = self._run(*arguments)
        assert isinstance(result.exception, PromptliftError)
        assert result.exception.exit_code == 2
        assert _left(tmp_path) == ["clip.mp4"]
