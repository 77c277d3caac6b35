"""Odd but readable video files, and what is true of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from media.make import RATE, Recipe, encode, ffmpeg

__all__ = ["ODD", "Odd"]

_X264 = {"preset": "veryfast", "crf": "16"}
_PLAIN = Recipe(options=_X264)
_B = Recipe(options=_X264, b_frames=3)
_SHORT_GOP = _B.but(gop=10)


@dataclass(frozen=True)
class Odd:
    """A file and the truth about it.

    Attributes:
        make: Writes the file into a folder and gives its path.
        numbers: The numbers of the frames that are shown, in order.
        times: The time of each, from the first one shown.
        size: Displayed size.
        tolerance: How far a time may be off, for containers with a coarse clock.
        facts: What `VideoInfo` has to say.
    """

    make: Callable[[Path], Path]
    numbers: tuple[int, ...]
    times: tuple[Fraction, ...]
    size: tuple[int, int] = (160, 120)
    tolerance: Fraction = Fraction(0)
    facts: tuple[tuple[str, Any], ...] = ()


_MILLISECOND = Fraction(1, 1000)


def _even(count: int, rate: Fraction = RATE) -> tuple[Fraction, ...]:
    return tuple(number / rate for number in range(count))


def _odd(
    name: str,
    recipe: Recipe,
    *,
    size: tuple[int, int] | None = None,
    tolerance: Fraction = Fraction(0),
    **facts: Any,
) -> Odd:
    """A file that is encoded in one go and shows each of its frames."""
    return Odd(
        lambda folder: encode(folder / name, recipe),
        tuple(range(recipe.frames)),
        _even(recipe.frames),
        size or (recipe.width, recipe.height),
        tolerance,
        tuple(facts.items()),
    )


def _turned(name: str, turn: int, mirror: tuple[str, ...] = ()) -> Odd:
    """A picture that is stored turned back, and says how to turn it upright."""

    def make(folder: Path) -> Path:
        stored = encode(folder / f"stored-{name}", _PLAIN)
        turned = folder / f"turned-{name}"
        filters = {90: "transpose=2", 180: "hflip,vflip", 270: "transpose=1", 0: "hflip"}[turn]
        ffmpeg("-i", stored, "-vf", filters, "-c:v", "libx264", "-crf", "16", "-bf", "0", turned)
        ffmpeg("-display_rotation", str(-turn), *mirror, "-i", turned, "-c", "copy", folder / name)
        return folder / name

    return Odd(make, tuple(range(45)), _even(45), facts=(("rotation", turn),))


def _remuxed(
    name: str,
    recipe: Recipe,
    before: tuple[str, ...],
    after: tuple[str, ...],
    *,
    first: int = 0,
    tolerance: Fraction = Fraction(0),
) -> Odd:
    """A file whose packets the ffmpeg program copies into another."""

    def make(folder: Path) -> Path:
        source = encode(folder / f"source-{name}.mp4", recipe)
        ffmpeg(*before, "-i", source, "-c", "copy", *after, folder / name)
        return folder / name

    count = recipe.frames - first
    return Odd(make, tuple(range(first, recipe.frames)), _even(count), tolerance=tolerance)


_VFR = tuple(n * 40 + (n // 7) ** 2 * 90 + (700 if n > 30 else 0) for n in range(45))
_HDR = {"x265-params": "log-level=none:pools=none:frame-threads=1", "preset": "ultrafast"}
_PQ = Recipe("libx265", pixels="yuv420p10le", options=_HDR, colour=(9, 16, 9), white=148, frames=20)


def _vfr() -> Odd:
    recipe = _B.but(stamps=_VFR, clock=Fraction(1, 1000))
    return Odd(
        lambda folder: encode(folder / "vfr.mp4", recipe),
        tuple(range(45)),
        tuple(Fraction(stamp, 1000) for stamp in _VFR),
        # The muxer gives the last frame the clock's idea of one frame and a little rounding.
        facts=(("duration", Fraction(92267, 16000)), ("frame_rate", Fraction(720000, 92267))),
    )


def _beside(name: str, recipe: Recipe, source: tuple[str, ...], *options: str) -> Odd:
    """A file in which the video comes second, behind what the ffmpeg program makes."""

    def make(folder: Path) -> Path:
        video, path, other = encode(folder / "alone.mp4", recipe), folder / name, source
        if "-frames:v" in source:
            ffmpeg(*source, folder / "cover.png")
            other = ("-i", str(folder / "cover.png"))
        ffmpeg(*other, "-i", video, "-map", "0", "-map", "1", "-c:v", "copy", *options, path)
        return path

    return Odd(make, tuple(range(45)), _even(45), facts=(("duration", Fraction(3)),))


_OPEN_GOP = Recipe(frames=120, gop=30, b_frames=3,
                   options={**_X264, "x264-params": "open-gop=1:scenecut=0"})  # fmt: skip
_HEVC_OPEN = Recipe("libx265", frames=120, gop=30, options={
    "preset": "ultrafast",
    "x265-params": "open-gop=1:bframes=3:scenecut=0:log-level=none:pools=none:frame-threads=1",
})  # fmt: skip
_VP9 = Recipe("libvpx-vp9", gop=15, options={"deadline": "realtime", "cpu-used": "8", "crf": "20"})

ODD: dict[str, Odd] = {
    "b-frames": _odd("b.mp4", _B, container="mp4", codec="h264", frame_rate=RATE,
                     duration=Fraction(3), frame_count=45, is_still=False),
    "faststart": _odd("faststart.mp4", _B.but(muxer={"movflags": "faststart"})),
    "fragmented": _odd("fragmented.mp4", _SHORT_GOP.but(
        muxer={"movflags": "frag_keyframe+empty_moov+default_base_moof"}), frame_count=45),
    "hybrid-fragmented": _odd("hybrid.mp4", _SHORT_GOP.but(
        muxer={"movflags": "frag_keyframe"}), frame_count=45),
    "mjpeg-avi": _odd("m.avi", Recipe("mjpeg", pixels="yuvj420p", full_range=True,
                                      options={"q:v": "3"}), container="avi", codec="mjpeg"),
    "mpeg4-avi": _odd("m4.avi", Recipe("mpeg4", gop=12, options={"q:v": "3"})),
    "mpeg4-b-avi": _odd("m4b.avi", Recipe("mpeg4", gop=12, b_frames=2)),
    "h264-b-avi": _odd("h264b.avi", _SHORT_GOP),
    "wmv": _odd("w.wmv", Recipe("wmv2", gop=12), tolerance=_MILLISECOND, container="asf"),
    "flv": _odd("f.flv", Recipe("flv", gop=12), tolerance=_MILLISECOND),
    "h264-flv": _odd("h.flv", _SHORT_GOP, tolerance=_MILLISECOND),
    "odd-444": _odd("444.mp4", _PLAIN.but(width=161, height=121, pixels="yuv444p")),
    "gray": _odd("gray.mp4", _PLAIN.but(pixels="gray")),
    "full-range": _odd("full.mp4", _PLAIN.but(full_range=True), full_range=True),
    "av1": _odd("a.mp4", Recipe("libsvtav1", pixels="yuv420p", gop=20,
                                options={"preset": "12", "crf": "20"}), codec="libdav1d"),
    "av1-webm": _odd("a.webm", Recipe("libsvtav1", gop=20,
                                      options={"preset": "12", "crf": "20"}),
                     tolerance=_MILLISECOND, container="webm"),
    "vp9-odd": _odd("odd.webm", _VP9.but(width=161, height=121), tolerance=_MILLISECOND),
    "vp9-alpha": _odd("alpha.webm", _VP9.but(pixels="yuva420p", alpha=255),
                      tolerance=_MILLISECOND, has_alpha=True),
    "vp8": _odd("vp8.webm", Recipe("libvpx", gop=15, options={"deadline": "realtime"}),
                tolerance=_MILLISECOND),
    "prores-4444": _odd("p.mov", Recipe("prores_ks", pixels="yuva444p10le", alpha=255, frames=15),
                        container="mov", has_alpha=True, bit_depth=12),
    "vfr": _vfr(),
    "rotated-90": _turned("r90.mp4", 90),
    "rotated-180": _turned("r180.mp4", 180),
    "rotated-270": _turned("r270.mp4", 270),
    "mirrored": _turned("mirror.mp4", 0, ("-display_hflip",)),
    "anamorphic": _odd("sar.mp4", _PLAIN.but(aspect=Fraction(16, 11)), size=(233, 120),
                       sample_aspect_ratio=Fraction(16, 11), coded_width=160),
    "pq": _odd("pq.mp4", _PQ, transfer="pq", bit_depth=10),
    "hlg": _odd("hlg.mp4", _PQ.but(colour=(9, 18, 9), white=190), transfer="hlg", bit_depth=10),
    "interlaced": _odd("mbaff.mp4", _SHORT_GOP.but(
        options={**_X264, "x264-params": "tff=1", "flags": "+ildct+ilme"})),
    "mpeg-ts": _odd("m.ts", _SHORT_GOP, container="mpegts"),
    "mkv": _odd("m.mkv", _SHORT_GOP, tolerance=_MILLISECOND, container="matroska"),
    "ts-offset": _remuxed("offset.ts", _SHORT_GOP, (), ("-output_ts_offset", "36000")),
    "mkv-offset": _remuxed("offset.mkv", _SHORT_GOP, (), ("-output_ts_offset", "5"),
                           tolerance=_MILLISECOND),
    "edit-list": _remuxed("edit.mp4", _B, ("-ss", "1"), (), first=15),
    "negative-times": _remuxed("negative.mp4", _SHORT_GOP, (),
                               ("-movflags", "negative_cts_offsets")),
    "live-webm": _odd("live.webm", _VP9.but(muxer={"live": "1"}), tolerance=_MILLISECOND),
    "one-frame": _odd("one.mp4", _PLAIN.but(frames=1), frame_count=1, is_still=True),
    "two-frames": _odd("two.mp4", _PLAIN.but(frames=2), frame_count=2),
    "cover-first": _beside("cover.mp4", _B, ("-f", "lavfi", "-i", "color=red:s=640x640",
                           "-frames:v", "1"), "-disposition:v:0", "attached_pic"),
    "two-streams": _beside("two.mp4", _B, ("-f", "lavfi", "-i", "color=red:s=64x64:r=15:d=3"),
                           "-c:v:0", "mpeg4"),
    "with-sound": _beside("sound.mp4", _SHORT_GOP, ("-f", "lavfi", "-i", "sine=duration=3.5"),
                          "-c:a", "aac"),
    "strip-16x2048": _odd("tall.mp4", _PLAIN.but(width=16, height=2048, frames=10)),
    "raw-h264": _odd("raw.h264", _PLAIN.but(container="h264"), container="h264"),
    "raw-h264-b": _odd("rawb.h264", _SHORT_GOP.but(container="h264")),
    "raw-hevc": _odd("raw.h265", Recipe("libx265", options=_HDR, gop=15, container="hevc")),
    "open-gop": _odd("open.mp4", _OPEN_GOP),
    "open-gop-hevc": _odd("openhevc.mp4", _HEVC_OPEN),
    "open-gop-ts": _odd("open.ts", _OPEN_GOP),
    "open-gop-mkv": _odd("open.mkv", _OPEN_GOP, tolerance=_MILLISECOND),
    "intra-refresh": _odd("refresh.mp4", _PLAIN.but(
        frames=120, options={**_X264, "x264-params": "intra-refresh=1:keyint=30"})),
}  # fmt: skip
