"""Pictures, moving pictures and lists of pictures are videos too."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.make import coded_picture, read_number
from promptlift.errors import VideoRefused, VideoUnreadable
from promptlift.types import Frame, Instant, PacketIndex, Size
from promptlift.video import Limits, open_video, probe

_BOX = Size(4096, 4096)
_DURATIONS = [100, 300, 50, 250]  # milliseconds


def _picture(number: int, width: int = 160, height: int = 120) -> Image.Image:
    return Image.fromarray(coded_picture(number, width, height))


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def _moving(kind: str, durations: list[int] | int = _DURATIONS) -> bytes:
    pictures = [_picture(number) for number in range(4)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return _saved(
        pictures[0], kind, save_all=True, append_images=pictures[1:], duration=durations, **options
    )


def _at(source: bytes, *times: str) -> tuple[Frame, ...]:
    with open_video(source) as reader:
        return reader.frames_at([Instant.exact(Fraction(time)) for time in times], _BOX)


def _numbers(frames: tuple[Frame, ...]) -> list[int | None]:
    return [read_number(frame.image) for frame in frames]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_picture_is_a_video_of_one_frame(kind: str) -> None:
    """A picture of any format gives one frame at time 0 and is called a still."""
    data = _saved(_picture(77), kind)
    info = probe(data)
    assert (info.container, info.codec) == (kind.lower(), kind.lower())
    assert (info.size, info.frame_count, info.is_still) == (Size(160, 120), 1, True)
    assert (info.duration, info.frame_rate, info.size_bytes) == (None, None, len(data))
    frames = _at(data, "0", "0.5", "100")
    assert _numbers(frames) == [77]
    assert frames[0].time == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_moving_picture_keeps_the_time_of_each_frame(kind: str) -> None:
    """Frames of a moving picture are shown for as long as the file says, each for itself."""
    data = _moving(kind)
    info = probe(data)
    assert (info.frame_count, info.is_still) == (4, False)
    assert info.duration == Fraction(7, 10)
    assert info.frame_rate == Fraction(40, 7)
    frames = _at(data, "0.05", "0.39", "0.42", "0.449", "0.5")
    assert _numbers(frames) == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [0, Fraction(1, 10), Fraction(2, 5), Fraction(9, 20)]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_photo_is_turned_upright(orientation: int, turn: Image.Transpose) -> None:
    """A photo taken with the camera on its side is shown upright, and so is its size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = _picture(99, 160, 96).transpose(turn)  # the inverse of what the tag asks for
    data = _saved(stored, "JPEG", exif=exif, quality=95)
    info = probe(data)
    assert info.size == Size(160, 96)
    assert (info.coded_width, info.coded_height) == stored.size
    assert (info.rotation % 180 == 90) == (orientation >= 5)
    assert _numbers(_at(data, "0")) == [99]


def test_transparency_is_composed_on_black() -> None:
    """What is transparent is black, and what is half transparent is half as bright."""
    pixels = np.full((64, 96, 4), 200, dtype=np.uint8)
    pixels[..., 3] = np.repeat([255, 128, 0], 32)
    data = _saved(Image.fromarray(pixels), "PNG")
    (frame,) = _at(data, "0")
    assert probe(data).has_alpha
    assert frame.image[32, [16, 48, 80]].tolist() == [[200] * 3, [100] * 3, [0] * 3]


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    """A 16-bit depth map is brought to 8 bits by scale, not by cutting off."""
    grey = np.repeat(np.array([[0, 16384, 32768, 65535]], dtype=np.uint16), 16, axis=1)
    data = _saved(Image.fromarray(np.repeat(grey, 16, axis=0)), "PNG")
    assert probe(data).bit_depth == 16
    (frame,) = _at(data, "0")
    assert frame.image[8, [8, 24, 40, 56], 0].tolist() == [0, 63, 127, 255]


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """Palettes, greys, inks and bits all give three components of 8 bits."""
    kind = "TIFF" if mode == "CMYK" else "PNG"
    source = _picture(5).convert("L") if mode == "I;16" else _picture(5)
    (frame,) = _at(_saved(source.convert(mode), kind), "0")
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (120, 160, 3)


def test_a_list_of_pictures_is_a_video(tmp_path: Path) -> None:
    """Pictures in a list are shown one a second, as files and as bytes."""
    sources: list[str | Path | bytes] = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        path.write_bytes(_saved(_picture(number), "PNG"))
        sources.append(path if number else str(path))
    sources.append(_saved(_picture(3), "WEBP", lossless=True))
    with open_video(sources) as reader:
        info = reader.info
        frames = reader.frames_at([Instant.exact(Fraction(n, 2)) for n in range(8)], _BOX)
        name = reader.content_id
        assert reader.index == PacketIndex()
    assert (info.container, info.codec, info.size_bytes) == ("images", "png", 0)
    assert (info.duration, info.frame_rate) == (Fraction(4), Fraction(1))
    assert info.frame_count == 4
    assert _numbers(frames) == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [0, 1, 2, 3]
    with open_video(sources[::-1]) as reader:
        assert _numbers(reader.first(2, _BOX)) == [3, 2]
        assert reader.content_id != name


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_cut_picture_is_one_clean_error(kind: str) -> None:
    """A picture that was cut off anywhere is said to be so, however its format fails."""
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = _saved(Image.fromarray(noise), kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(VideoUnreadable, match="cut off") as caught:
            _at(data[: int(len(data) * share)], "0")
        assert "object at" not in str(caught.value)


def test_a_decompression_bomb_is_refused() -> None:
    """A small file of very many pixels is refused by its header, before it is decoded."""
    bomb = _saved(Image.new("1", (20_000, 9_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(VideoRefused, match="over the limit"):
        probe(bomb)
    with pytest.raises(VideoRefused, match=r"160x120 is over the limit of 1000 pixels"):
        probe(_saved(_picture(0), "PNG"), limits=Limits(max_pixels=1000))


def test_a_picture_is_fitted_into_its_box() -> None:
    """Pictures are shrunk to fit and never enlarged."""
    with open_video(_saved(_picture(12, 640, 480), "PNG")) as reader:
        (small,) = reader.first(1, Size(64, 64))
        (large,) = reader.first(1, Size(2000, 2000))
        strip = reader.thumbnails(side=32)
    assert (small.size, large.size) == (Size(64, 48), Size(640, 480))
    assert read_number(small.image) == 12
    assert strip.images.shape == (1, 24, 32, 3)
    assert strip.times == (Fraction(0),)
    assert (strip.contiguous, strip.source) == (True, Size(640, 480))
