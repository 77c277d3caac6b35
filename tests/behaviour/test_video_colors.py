"""Colours come out as they went in, whatever the file's matrix, range, depth or curve."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from promptlift.types import Frame, Size, VideoInfo
from promptlift.video import open_video


def _clip(
    image: NDArray[np.uint8],
    pixels: str = "yuv420p",
    *,
    tags: tuple[int, int] | None = None,
    matrix: Colorspace = Colorspace.ITU601,
    full_range: bool = False,
    codec: str = "libx264",
    container: str = "mp4",
    options: dict[str, str] | None = None,
) -> bytes:
    """Encode one picture nearly without loss; `tags` are FFmpeg's matrix and transfer numbers."""
    data = io.BytesIO()
    wanted = ColorRange.JPEG if full_range else ColorRange.MPEG
    with av.open(data, "w", format=container) as made:
        stream = made.add_stream(codec, rate=10, options=options or {"crf": "1"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.color_range = wanted
        source = av.VideoFrame.from_ndarray(image, "rgba" if image.shape[2] == 4 else "rgb24")
        frame = source.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=wanted)
        if tags is not None:
            stream.codec_context.colorspace, stream.codec_context.color_trc = tags
            frame.colorspace, frame.color_trc = tags
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return data.getvalue()


def _plain(colour: tuple[int, ...], width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    return np.full((height, width, len(colour)), colour, dtype=np.uint8)


def _first(data: bytes, box: Size = Size(160, 160)) -> tuple[Frame, VideoInfo]:  # noqa: B008
    with open_video(data) as reader:
        _, luma = reader.samples()
        assert luma is not None
        assert max(luma.images.shape[1:]) == 128
        return reader.first(1, box)[0], reader.info


@pytest.mark.parametrize(
    ("pixels", "tag", "matrix", "full_range"),
    [
        ("yuv420p", 1, Colorspace.ITU709, False),
        ("yuv420p", 5, Colorspace.ITU601, False),
        ("yuv420p", 6, Colorspace.ITU601, False),
        ("yuv420p", 1, Colorspace.ITU709, True),
        ("yuv420p", 6, Colorspace.ITU601, True),
        ("yuv444p", 1, Colorspace.ITU709, False),
        ("yuv420p10le", 1, Colorspace.ITU709, False),
        ("yuv420p10le", 9, Colorspace.BT2020, False),
    ],
)
def test_a_tagged_colour_comes_back(
    pixels: str, tag: int, matrix: Colorspace, full_range: bool
) -> None:
    """A plain colour is the same within 2 of 255 through every matrix, range and depth."""
    for colour in (200, 50, 30), (20, 180, 90), (40, 60, 220), (255, 255, 255), (0, 0, 0):
        data = _clip(_plain(colour), pixels, tags=(tag, 1), matrix=matrix, full_range=full_range)
        frame, info = _first(data)
        assert np.abs(frame.image.astype(int) - colour).max() <= 2
        assert info.full_range is full_range
        assert info.bit_depth == (10 if "10" in pixels else 8)


@pytest.mark.parametrize("height", [480, 720])
def test_an_untagged_colour_is_read_as_generators_read_it(height: int) -> None:
    """Where a file does not name its matrix it is BT.601, whatever the size, as FFmpeg has it."""
    data = _clip(_plain((200, 50, 30), 640, height), matrix=Colorspace.ITU601)
    frame, info = _first(data)
    assert np.abs(frame.image.astype(int) - (200, 50, 30)).max() <= 2
    assert info.transfer == "sdr"


def test_rgb_video_is_left_as_it_is() -> None:
    """A video that is stored as RGB has no matrix and full range."""
    data = _clip(
        _plain((201, 3, 99)), "bgr0", codec="ffv1", container="matroska", options={"level": "3"}
    )
    frame, info = _first(data)
    assert frame.image[0, 0].tolist() == [201, 3, 99]
    assert info.full_range


@pytest.mark.parametrize(
    ("codec", "container", "pixels", "options"),
    [
        ("libvpx-vp9", "webm", "yuva420p", {"crf": "1", "b": "0"}),
        ("prores_ks", "mov", "yuva444p10le", {}),
        ("png", "mov", "rgba", {}),
    ],
)
def test_alpha_is_composed_on_black(
    codec: str, container: str, pixels: str, options: dict[str, str]
) -> None:
    """A half transparent grey is half as bright, and what is transparent is black."""
    image = _plain((200, 200, 200, 255))
    image[:, 107:214, 3] = 128
    image[:, 214:, 3] = 0
    data = _clip(image, pixels, codec=codec, container=container, options=options)
    frame, info = _first(data, Size(320, 320))
    assert info.has_alpha
    levels = frame.image[120, [50, 160, 270]].mean(axis=1)
    assert np.abs(levels - [200, 100, 0]).max() <= 3


@pytest.mark.parametrize(("trc", "transfer"), [(16, "pq"), (18, "hlg")])
def test_hdr_is_tone_mapped(trc: int, transfer: str) -> None:
    """Diffuse white of an HDR video is bright on an SDR screen, and grey stays grey."""
    code = round(255 * (0.58 if trc == 16 else 0.75))
    data = _clip(_plain((code, code, code)), "yuv420p10le", tags=(9, trc), matrix=Colorspace.BT2020)
    frame, info = _first(data)
    assert info.transfer == transfer
    assert np.abs(frame.image.astype(int) - 229).max() <= 3


def test_scaling_does_not_alias() -> None:
    """Lines one pixel wide become grey when shrunk eightfold, as Lanczos makes them."""
    image = _plain((0, 0, 0), 640, 480)
    image[:, ::2] = 255
    (frame, _) = _first(_clip(image, "yuv444p"), Size(80, 80))
    inner = frame.image[4:-4, 4:-4]
    assert frame.size == Size(80, 60)
    assert np.abs(inner.astype(int) - 127).max() <= 4
