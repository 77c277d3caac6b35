"""The clips that the benchmarks run on, made once and kept in the user's cache folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import platformdirs

from promptlift.testing import synthetic_video


def folder() -> Path:
    """Where the clips are kept."""
    made = Path(platformdirs.user_cache_dir("promptlift")) / "bench"
    made.mkdir(parents=True, exist_ok=True)
    return made


def drawn_clips(count: int) -> list[Path]:
    """So many clips of 640x360 and four seconds; made once, which takes some minutes."""
    names = [f"batch_{number:02}.mp4" for number in range(count)]
    return [_scene(name, (640, 360), 4, 24, seed=number) for number, name in enumerate(names)]


def clips(*, large: bool = False) -> dict[str, Path]:
    """Clips by their names in the tables; the large ones take many minutes to make at first."""
    made = {
        "640x360 4 s": _scene("tiny.mp4", (640, 360), 4, 24),
        "640x480 4 s": _scene("small.mp4", (640, 480), 4, 30),
        "1280x720 10 s": _scene("medium.mp4", (1280, 720), 10, 24),
    }
    if large:
        made["1080p 10 min"] = _pattern("long.mp4", "1920x1080", 600, 30, "8M")
        made["4K 60 s"] = _pattern("uhd.mp4", "3840x2160", 60, 30, "18M")
    return made


def _scene(name: str, size: tuple[int, int], seconds: int, fps: int, *, seed: int = 0) -> Path:
    path = folder() / name
    if not path.exists():
        part = path.with_suffix(".part.mp4")
        synthetic_video(part, seconds=seconds, size=size, fps=fps, seed=seed)
        part.replace(path)
    return path


def _pattern(name: str, size: str, seconds: int, fps: int, rate: str) -> Path:
    """A test pattern with noise, which costs a decoder what a camera's picture costs it."""
    path = folder() / name
    if not path.exists():
        part = path.with_suffix(".part.mp4")
        source = f"testsrc2=size={size}:rate={fps}:duration={seconds},noise=alls=12:allf=t"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
        command += ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", "libx264"]
        command += ["-preset", "veryfast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate]
        subprocess.run([*command, "-g", "250", str(part)], check=True)
        part.replace(path)
    return path
