"""What every run needs: Python, the packages, the codecs, a cache, and a whole run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from promptlift.doctor.finding import Finding
from promptlift.errors import PromptliftError

__all__ = ["check_core", "check_run"]

_PACKAGES = ("av", "numpy", "pillow", "mistral-common", "tiktoken", "pydantic", "httpx2")
_DECODERS = ("h264", "hevc", "vp9", "libdav1d", "mpeg4", "prores", "mjpeg")
_LITTLE_DISK = 1 << 30


def check_core() -> Iterator[Finding]:
    """Python, packages, codecs, cache and disk."""
    yield _python()
    yield _packages()
    yield _codecs()
    yield _cache()
    yield _vocabulary()


def check_run() -> Iterator[Finding]:
    """A clip is drawn, looked at and described from end to end, with the embedded engine."""
    from promptlift.api import upsample
    from promptlift.testing import synthetic_video

    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = synthetic_video(Path(folder) / "clip.mp4", seconds=1, size=(320, 180))
            record = upsample(clip, "a red balloon drifts over hills", engine="embedded")
    except PromptliftError as error:
        yield Finding("a whole run", "fail", error.message, error.remedy)
        return
    seconds = time.perf_counter() - start
    words = len((record.prompt or "").split())
    good = record.status in ("ok", "repaired")
    detail = f"{words} words for a clip of one second, {seconds:.1f} s with drawing it"
    yield Finding("a whole run", "ok" if good else "fail", detail)


def _python() -> Finding:
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok", f"{detail}, {sys.executable}")


def _packages() -> Finding:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", remedy)
    return Finding("packages", "ok", ", ".join(found))


def _codecs() -> Finding:
    import av

    absent = [name for name in _DECODERS if name not in av.codecs_available]
    writes = "libx264" in av.codecs_available
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    if absent or not writes:
        what = [f"no decoder for {', '.join(absent)}"] if absent else []
        what += [] if writes else ["no H.264 encoder"]
        remedy = "install the wheel of PyAV instead of a build of your own: pip install av"
        return Finding("codecs", "note", "; ".join(what), remedy)
    return Finding("codecs", "ok", f"libavcodec {ffmpeg}, all decoders and the H.264 encoder")


def _cache() -> Finding:
    import shutil

    folder = Path(os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "set PROMPTLIFT_CACHE to a folder that can be written; runs work without, slower"
        return Finding("cache folder", "note", f"{folder}: {error.strerror}", remedy)
    detail = f"{folder}, {free / (1 << 30):.1f} GiB free"
    if free < _LITTLE_DISK:
        return Finding("cache folder", "note", detail, "make room on the disk")
    return Finding("cache folder", "ok", detail)


def _vocabulary() -> Finding:
    from promptlift.tokenizers.tekken import load_counter

    try:
        tokens = load_counter()("Test prompt")
    except PromptliftError as error:
        return Finding("vocabulary", "fail", error.message, error.remedy)
    return Finding("vocabulary", "ok", f"'Test prompt' is {tokens} tokens of tekken")
