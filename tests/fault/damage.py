"""Damaged copies of small videos, and a look at each of them in a process that may die."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from media.make import RATE, Recipe, coded_picture, encode, read_number
from promptlift.errors import VideoError
from promptlift.types import Frame, Size
from promptlift.video import FrameChoice, Reader, hint_frames, open_video

__all__ = ["DAMAGES", "FORMATS", "HUNG", "Verdict", "damaged", "examine", "make"]

HUNG = 77
"""Exit status of a child that spent too long on one file."""

_PATIENCE = 10.0
_BOX = Size(64, 64)
_LOOKS = (("first", 4), ("fps", 4), ("spread", 4), ("scenes", 2))
_BLOCK = 256

_MOVIES = {
    "h264.mp4": Recipe(gop=15, b_frames=2),
    "hevc.mkv": Recipe("libx265", gop=15, options={"x265-params": "log-level=none"}),
    "mpeg4.avi": Recipe("mpeg4", gop=12),
    "vp9.webm": Recipe("libvpx-vp9", gop=15, options={"cpu-used": "8", "deadline": "realtime"}),
    "mjpeg.avi": Recipe("mjpeg", pixels="yuvj420p"),
    "h264.ts": Recipe(gop=15, b_frames=2),
}
_PICTURES = ("gif", "webp", "png")
FORMATS = (*_MOVIES, *_PICTURES)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file.

    Attributes:
        name: The file.
        error: The class and text of our error, where it gave one.
        frames: How many frames all looks together gave.
        faults: What should not have happened, in words.
    """

    name: str
    error: str
    frames: int
    faults: tuple[str, ...]


def make(kind: str, folder: Path) -> Path:
    """Make a sound file of 45 numbered frames, or of one for PNG, under 100 kB or so."""
    path = folder / (kind if "." in kind else f"moving.{kind}")
    if kind in _MOVIES:
        return encode(path, _MOVIES[kind])
    pictures = [Image.fromarray(coded_picture(number, 160, 120)) for number in range(45)]
    if kind == "png":
        grain = np.random.default_rng(0).integers(0, 60, (120, 160, 3), np.uint8)
        Image.fromarray(coded_picture(0, 160, 120, white=190) + grain).save(path)
    else:
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=70, loop=0)
    return path


def _cut(content: bytearray, random: np.random.Generator) -> bytearray:
    """End it early."""
    return content[: int(random.integers(0, len(content)))]


def _flip(content: bytearray, random: np.random.Generator) -> bytearray:
    """Turn over single bits, one in all or up to one in a hundred bytes."""
    count = int(random.choice([1, 4, 16, 1 + len(content) // 100]))
    for place in random.integers(0, len(content), count):
        content[place] ^= 1 << int(random.integers(0, 8))
    return content


def _flip_head(content: bytearray, random: np.random.Generator) -> bytearray:
    """Turn over bits in the first half kilobyte, where headers are."""
    for place in random.integers(0, min(512, len(content)), 6):
        content[place] ^= 1 << int(random.integers(0, 8))
    return content


def _swap(content: bytearray, random: np.random.Generator) -> bytearray:
    """Exchange a few blocks with each other."""
    for _ in range(int(random.integers(1, 5))):
        first, second = (int(place) for place in random.integers(0, len(content), 2))
        one, other = content[first : first + _BLOCK], content[second : second + _BLOCK]
        content[first : first + len(other)] = other
        content[second : second + len(one)] = one
    return content


DAMAGES: dict[str, Callable[[bytearray, np.random.Generator], bytearray]] = {
    "cut": _cut,
    "flip": _flip,
    "flip_head": _flip_head,
    "swap": _swap,
}


def damaged(content: bytes, damage: str, seed: int) -> bytes:
    """Give a damaged copy; the same one for the same arguments."""
    return bytes(DAMAGES[damage](bytearray(content), np.random.default_rng(seed)))


def examine(paths: Sequence[Path], journal: Path, *, is_timed: bool) -> list[Verdict]:
    """Look at files one by one, in a process that is watched.

    Args:
        paths: The files; what is called ``cut`` is also held to the numbers in its frames.
        journal: Where the name of each file is noted before it is opened.
        is_timed: Whether the times of frames are whole multiples of the frame's duration.
    """
    verdicts = []
    for path in paths:
        journal.write_text(path.name)
        watchdog = threading.Timer(_PATIENCE, os._exit, (HUNG,))
        watchdog.start()
        verdicts.append(_verdict(path, holds_numbers=is_timed and "cut" in path.name))
        watchdog.cancel()
    return verdicts


def _verdict(path: Path, *, holds_numbers: bool) -> Verdict:
    try:
        with open_video(path) as reader:
            seen, faults = _looked_at(reader, holds_numbers=holds_numbers)
    except VideoError as error:
        faults = [] if "\n" not in str(error) and error.remedy else ["its error is not one line"]
        return Verdict(path.name, f"{type(error).__name__}: {error}", 0, tuple(faults))
    except Exception as error:  # noqa: BLE001 - anything else than our own is a fault
        return Verdict(path.name, "", 0, (f"{type(error).__name__}: {error}",))
    return Verdict(path.name, "", seen, tuple(faults))


def _looked_at(reader: Reader, *, holds_numbers: bool) -> tuple[int, list[str]]:
    seen, faults = 0, []
    for strategy, count in _LOOKS:
        frames = hint_frames(reader, FrameChoice(strategy, count, Fraction(3)), box=_BOX)
        seen += len(frames)
        faults += [f"{strategy}: {fault}" for fault in _faults_of(frames, count)]
        if holds_numbers:
            faults += [f"{strategy}: {fault}" for fault in _wrong_numbers(frames)]
    strip = reader.thumbnails(side=64)
    if not len(strip.images) == len(strip.times) >= 1:
        faults.append("strip: pictures and times do not match")
    if list(strip.times) != sorted(set(strip.times)):
        faults.append("strip: times do not ascend")
    return seen, faults


def _faults_of(frames: Sequence[Frame], count: int) -> list[str]:
    """What must hold for any file: no frame counted twice, none of another size than fits."""
    faults = []
    times = [frame.time for frame in frames]
    if not 1 <= len(frames) <= count:
        faults.append(f"{len(frames)} frames for {count}")
    if times != sorted(set(times)):
        faults.append(f"times do not ascend: {[float(time) for time in times]}")
    if any(frame.size.width > _BOX.width or frame.size.height > _BOX.height for frame in frames):
        faults.append("a frame is larger than its box")
    if any(max(frame.size.width, frame.size.height) < _BOX.width // 2 for frame in frames):
        faults.append("a frame is far smaller than its box")
    return faults


def _wrong_numbers(frames: Sequence[Frame]) -> list[str]:
    """Frames that are whole and yet not the ones of the time that is told."""
    told = [(read_number(frame.image), frame.time * RATE, frame.corrupt) for frame in frames]
    return [
        f"frame {number} at the time of frame {float(time):g}"
        for number, time, corrupt in told
        if number is not None and not corrupt and abs(number - time) > Fraction(1, 4)
    ]
