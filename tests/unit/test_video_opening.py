"""Only the file that was given is opened, only as data, and only within bounds."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.make import Recipe, encode, ffmpeg, read_number
from promptlift.errors import VideoRefused, VideoUnreadable
from promptlift.types import Instant, Size
from promptlift.video import decode
from promptlift.video.source import Limits, content_of, open_video, printable, probe

_RECIPE = Recipe(frames=5, options={"preset": "ultrafast", "crf": "16"})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of five frames."""
    return encode(tmp_path_factory.mktemp("safe") / "clip.mp4", _RECIPE)


def _first_number(path: str | Path | bytes) -> int | None:
    with open_video(path) as reader:
        return read_number(reader.first(1, Size(999, 999))[0].image)


@pytest.mark.parametrize(
    "name",
    [
        "-dash.mp4",
        "concat:a.mp4",
        "subfile,,start,0,end,0,,:x.mp4",
        "%03d.mp4",
        "a b\n\t\x1b[31m.mp4",
        "ünïcödé 视频.mp4",
        "wrong.jpg",
        "wrong.m3u8",
    ],
)
def test_a_name_is_only_a_name(
    clip: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that looks like an option, a protocol, a pattern or another format opens its file."""
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert _first_number(name) == 0
    assert _first_number(Path(name)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow Unicode names only")
def test_a_name_that_is_not_utf_8_opens(clip: Path, tmp_path: Path) -> None:
    """Names are bytes on Linux; one that no text can hold still names its file."""
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\xff.mp4")
    Path(name).write_bytes(clip.read_bytes())
    assert _first_number(name) == 0
    assert printable(name).endswith(r"caf\xe9\xff.mp4")


def test_a_nested_open_is_refused_even_if_the_demuxer_is_let_in(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the look at the content and the list of demuxers to fail, no second file is opened."""
    (tmp_path / "secret.mp4").write_bytes(clip.read_bytes())
    script = tmp_path / "script.mp4"
    script.write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with av.open(str(script)) as followed:  # what a reader without these walls does
        frame = next(followed.decode(video=0))
        assert read_number(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) == 0
    monkeypatch.setattr(decode, "check_video", lambda *_: None)
    with pytest.raises(VideoUnreadable):
        _first_number(script)
    monkeypatch.setattr(decode, "_DEMUXERS", f"{decode._DEMUXERS},concat")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoUnreadable):
        _first_number(script)


def test_too_many_pixels_are_refused_before_decoding(clip: Path) -> None:
    """A picture above the limit is refused by the size in the header."""
    with pytest.raises(VideoRefused, match=r"160x120 pictures are over the limit of 19199 pixels"):
        probe(clip, limits=Limits(max_pixels=160 * 120 - 1))
    assert probe(clip, limits=Limits(max_pixels=160 * 120)).width == 160


def test_a_picture_that_grows_on_the_way_is_not_decoded(tmp_path: Path) -> None:
    """The limit holds for the pictures in the stream, whatever its header says."""
    plain = Recipe("mpeg2video", frames=10, rate=Fraction(25), container="mpeg2video")
    small = encode(tmp_path / "small.m2v", plain).read_bytes()
    large = encode(tmp_path / "large.m2v", plain.but(width=1600, height=1200)).read_bytes()
    instants = [Instant.exact(Fraction(number, 25)) for number in range(20)]
    with open_video(small + large, limits=Limits(max_pixels=200 * 200)) as reader:
        sizes = {frame.size for frame in reader.frames_at(instants, Size(9999, 9999))}
    assert sizes == {Size(160, 120)}


def test_a_file_that_is_too_long_is_refused(clip: Path) -> None:
    """A file above the limit is refused before it is read."""
    size = clip.stat().st_size
    with pytest.raises(VideoRefused, match=f"{size} bytes are more than the limit of 1000"):
        probe(clip, limits=Limits(max_bytes=1000))
    with pytest.raises(VideoRefused, match="more than the limit"):
        probe(clip.read_bytes(), limits=Limits(max_bytes=size - 1))


def test_8192_by_8192_is_read(tmp_path: Path) -> None:
    """The largest picture that is taken gives its frames, scaled."""
    small = encode(tmp_path / "small.mp4", _RECIPE.but(frames=1, width=64, height=64))
    path = tmp_path / "huge.mov"
    ffmpeg("-i", small, "-vf", "scale=8192:8192:flags=neighbor", "-c:v", "mjpeg", "-q:v", "9", path)
    with open_video(path) as reader:
        assert reader.info.size == Size(8192, 8192)
        instants = [Instant.exact(Fraction(number, 15)) for number in range(1)]
        frames = reader.frames_at(instants, Size(320, 320))
    assert [read_number(frame.image) for frame in frames] == [0]
    assert frames[0].size == Size(320, 320)


def test_a_large_file_is_named_by_samples(tmp_path: Path) -> None:
    """Above 64 MiB the name says that it is sampled; the size, head, tail and blocks are in it."""
    path = tmp_path / "large.bin"
    size = 70 * 2**20
    names = set()
    for change in (None, 0, (size - 2**20) * 8 // 17, size - 1):
        with path.open("wb") as file:
            file.truncate(size)
            if change is not None:
                file.seek(change)
                file.write(b"x")
        names.add(content_of(path))
    with path.open("ab") as file:
        file.write(b"\0")
    names.add(content_of(path))
    assert all(name.startswith("sha256-sampled:") for name in names)
    assert len(names) == 5
