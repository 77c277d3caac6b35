"""The ways to get hint frames that the benchmark compares. Each gives RGB pictures.

The ffmpeg program is the one on the PATH, else the static build that imageio-ffmpeg brings.

``promptlift``  this package, in-process
``ffmpeg``      the usual shell command into a hint clip, and the clip read back
``opencv``      seek or read with OpenCV, full size, through a PNG on the disk, as
                Cosmos-Transfer1's `extract_video_frames` does
``decode``      nothing but decoding the packets that are needed, with PyAV, no scaling: the floor
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

WIDTH = 320
FPS = 2


def promptlift(clip: Path, strategy: str, count: int) -> int:
    """Open, choose, decode and scale."""
    from promptlift.core.hints import clip_size
    from promptlift.frames import open_video
    from promptlift.frames.look import hint_frames

    with open_video(clip) as reader:
        box = clip_size(reader.info.size, WIDTH)
        return len(hint_frames(reader, strategy=strategy, count=count, fps=Fraction(FPS), box=box))


def ffmpeg(clip: Path, strategy: str, count: int) -> int:
    """The command that people keep in their scripts, with the rate that spreads the frames."""
    import cv2
    import imageio_ffmpeg

    scale = f"scale={WIDTH}:-2:flags=lanczos"
    if strategy == "first":
        filters = scale
    elif strategy == "fps":
        filters = f"{scale},fps={FPS}"
    else:
        rate = Fraction(count) / _duration(clip)
        filters = f"{scale},fps={rate.numerator}/{rate.denominator}"
    with tempfile.TemporaryDirectory() as folder:
        hint = str(Path(folder) / "hint.mp4")
        program = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
        command = [program, "-y", "-loglevel", "error", "-i", str(clip)]
        command += ["-vf", filters, "-vframes", str(count), "-c:v", "libx264", "-crf", "18"]
        subprocess.run([*command, "-preset", "medium", hint], check=True)
        video = cv2.VideoCapture(hint)
        found = 0
        while video.read()[0]:
            found += 1
    return found


def opencv(clip: Path, strategy: str, count: int) -> int:
    """Frames through full-size PNG files."""
    import cv2

    video = cv2.VideoCapture(str(clip))
    total, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in _numbers(strategy, count, int(total), rate):
            if strategy != "first":
                video.set(cv2.CAP_PROP_POS_FRAMES, number)
            good, picture = video.read()
            if good:
                path = str(Path(folder) / f"frame_{found}.png")
                cv2.imwrite(path, picture)
                found += cv2.imread(path) is not None
    return found


def decode(clip: Path, strategy: str, count: int) -> int:
    """Decode from the keyframe before each wanted frame to that frame, each packet once."""
    import av

    found = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base = stream.time_base
        assert base is not None
        rate, total = stream.average_rate, stream.frames
        assert rate is not None
        wanted = [
            int(Fraction(number) / rate / base)
            for number in _numbers(strategy, count, total, float(rate))
        ]
        keys = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
        position = -1
        frames = container.decode(stream)
        for target in wanted:
            key = max((k for k in keys if k <= target), default=0)
            if key > position >= 0 or (position < 0 < key):
                container.seek(target, stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                position = frame.pts or 0
                if position >= target:
                    found += 1
                    break
    return found


def _numbers(strategy: str, count: int, total: int, rate: float) -> list[int]:
    if strategy == "first":
        return list(range(count))
    if strategy == "fps":
        return [round((n + 0.5) * rate / FPS) - 1 for n in range(count)]
    return [int(total * (n + 0.5) / count) for n in range(count)]


def _duration(clip: Path) -> Fraction:
    import av

    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return stream.duration * stream.time_base


WAYS: dict[str, Callable[[Path, str, int], Any]] = {
    "promptlift": promptlift,
    "ffmpeg": ffmpeg,
    "opencv": opencv,
    "decode": decode,
}
