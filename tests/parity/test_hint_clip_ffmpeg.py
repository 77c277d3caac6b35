"""The hint clip is what the classic ffmpeg command gives: size, instants and picture."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from click.testing import CliRunner

from media.make import ffmpeg
from promptlift.cli.main import cli
from promptlift.types import Size
from promptlift.video import FrameChoice, hint_frames, open_video

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LEAST_DECIBELS = 38.0
RATES = ["24000/1001", "30", "60", "1"]


def _decoded(path: Path) -> NDArray[np.float64]:
    with av.open(str(path)) as container:
        return np.stack(
            [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        ).astype(np.float64)


def _assert_same(video: Path, folder: Path, *, pixels: str = "yuv420p") -> None:
    """Compare our clip with that of the command that people used to make them with."""
    picture = "scale=320:-2:flags=lanczos,fps=2"
    coding = ["-c:v", "libx264", "-crf", "18", "-preset", "medium", "-pix_fmt", pixels]
    classic, clip = folder / "theirs.mp4", folder / "ours.mp4"
    ffmpeg("-i", video, "-vf", picture, "-vframes", "2", *coding, classic)
    options = ["--strategy", "fps", "--frames", "2", "-o", str(clip)]
    result = CliRunner().invoke(cli, ["hint", str(video), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    theirs, ours = _decoded(classic), _decoded(clip)
    assert ours.shape == theirs.shape
    for one, other in zip(ours, theirs, strict=True):
        assert np.mean((one - other) ** 2) <= 255**2 / 10 ** (LEAST_DECIBELS / 10)


def _test_card(
    path: Path, size: str, rate: str, *, matrix: str = "", pixels: str = "yuv420p"
) -> Path:
    """Saturated bars, thin lines and moving squares: the hardest case for colours."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d=1"]
    convert = ["-vf", f"scale=out_color_matrix={matrix}"] if matrix else []
    tags = ["-colorspace", matrix] if matrix else []
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", pixels]
    ffmpeg(*picture, *convert, *coding, *tags, str(path))
    return path


@pytest.mark.parametrize(
    ("size", "rate", "matrix", "pixels"),
    [
        ("640x480", "24000/1001", "", "yuv420p"),
        ("640x362", "30", "", "yuv420p"),  # scales to an odd height
        ("1280x720", "30", "bt709", "yuv420p"),
        ("1280x720", "30", "smpte170m", "yuv420p"),
        *(("640x480", "30", "", p) for p in ("yuv444p", "yuv422p", "yuv420p10le", "gray")),
        ("640x480", "30", "", "yuvj420p"),
    ],
)
def test_a_test_card_gives_the_same_clip(
    tmp_path: Path, size: str, rate: str, matrix: str, pixels: str
) -> None:
    """Standard and high definition, at usual rates, in either matrix; what is not 8-bit 4:2:0
    becomes so, as FFmpeg makes it when told to, and full range stays.
    """
    card = _test_card(tmp_path / "card.mp4", size, rate, matrix=matrix, pixels=pixels)
    told = "yuvj420p" if pixels == "yuvj420p" else "yuv420p"
    _assert_same(card, tmp_path, pixels=told)


@pytest.mark.parametrize("size", ["641x361", "322x241"])
def test_odd_sizes_give_the_same_clip(tmp_path: Path, size: str) -> None:
    """Odd sources come out as wide and as high as FFmpeg has them."""
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d=1"]
    video = tmp_path / "card.mkv"
    ffmpeg(*source, "-c:v", "ffv1", "-pix_fmt", "yuv420p", str(video))
    _assert_same(video, tmp_path)


@pytest.mark.parametrize(("turn", "mirror"), [("90", ""), ("180", ""), ("270", "-display_hflip")])
def test_a_turned_video_gives_the_same_clip(tmp_path: Path, turn: str, mirror: str) -> None:
    """Telephones store pictures lying down and say how to hold them."""
    card, turned = _test_card(tmp_path / "card.mp4", "640x480", "30"), tmp_path / "turned.mp4"
    flags = ["-display_rotation", turn, *filter(None, [mirror])]
    ffmpeg(*flags, "-i", str(card), "-c", "copy", str(turned))
    _assert_same(turned, tmp_path)


def test_an_animation_gives_the_same_clip(tmp_path: Path) -> None:
    """A GIF has colours of a palette, and is read by other means than a video."""
    video = tmp_path / "card.gif"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=1", str(video))
    _assert_same(video, tmp_path)


@pytest.mark.parametrize("name", ["example1_input_video.mp4", "nurec2.mp4"])
def test_the_cosmos_samples_give_the_same_clip(
    cosmos_assets: Path, tmp_path: Path, name: str
) -> None:
    """NVIDIA's own clips, HEVC and H.264."""
    _assert_same(cosmos_assets / name, tmp_path)


def _counting_video(path: Path, times: list[Fraction], rate: Fraction | int = 1000) -> Path:
    """Frames of plain grey, 2 levels apart, at these times: the level tells the frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32), _level(number), np.uint8), format="gray"
            )
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _level(number: int) -> int:
    return 4 + number * 2


def _numbers_by_ffmpeg(video: Path, folder: Path, count: int, fps: str) -> list[int]:
    """Which frames the fps filter lets through."""
    raw = folder / "frames.gray"
    output = ["-frames:v", str(count), "-f", "rawvideo", "-pix_fmt", "gray", str(raw)]
    ffmpeg("-i", str(video), "-vf", f"fps={fps}", *output)
    levels = np.frombuffer(raw.read_bytes(), np.uint8).reshape(-1, 32 * 32)
    return [round((float(np.median(level)) - 4) / 2) for level in levels]


def _numbers_by_us(video: Path, count: int, fps: str) -> list[int]:
    with open_video(video) as reader:
        frames = hint_frames(reader, FrameChoice("fps", count, Fraction(fps)), box=Size(32, 32))
    return [round((float(np.median(frame.image)) - 4) / 2) for frame in frames]


@pytest.mark.parametrize("wanted", ["2", "0.75", "30000/1001"])
@pytest.mark.parametrize("rate", RATES)
def test_the_same_frames_are_picked_at_every_rate(tmp_path: Path, rate: str, wanted: str) -> None:
    """Frame by frame what FFmpeg's filter picks, its repetitions aside, up to its last."""
    times = [number / Fraction(rate) for number in range(min(111, int(4 * Fraction(rate)) + 1))]
    video = _counting_video(tmp_path / "count.mkv", times, Fraction(rate))
    picked = _numbers_by_ffmpeg(video, tmp_path, 6, wanted)
    once = list(dict.fromkeys(picked))
    assert once
    assert _numbers_by_us(video, 6, wanted) == once


@pytest.mark.parametrize("seed", range(2))
def test_the_same_frames_are_picked_of_a_variable_rate(tmp_path: Path, seed: int) -> None:
    """Frames at uneven times, from 10 ms to 700 ms apart."""
    random = np.random.default_rng(seed)
    gaps = random.choice([10, 33, 40, 100, 700], 40)
    times = [Fraction(int(time), 1000) for time in np.cumsum(gaps) - gaps[0]]
    video = _counting_video(tmp_path / "count.mkv", times)
    once = list(dict.fromkeys(_numbers_by_ffmpeg(video, tmp_path, 6, "2")))
    assert _numbers_by_us(video, 6, "2") == once


def test_a_clip_too_short_for_the_filter_still_gives_a_frame(tmp_path: Path) -> None:
    """Where FFmpeg writes no frame at all, we give the one there is."""
    video = _counting_video(tmp_path / "count.mkv", [Fraction(0), Fraction(1, 30)])
    assert _numbers_by_ffmpeg(video, tmp_path, 2, "2") == []
    assert _numbers_by_us(video, 2, "2") == [1]
