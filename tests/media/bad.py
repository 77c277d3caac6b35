"""Files that are no video, and videos that were cut or damaged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from media.make import Recipe, encode, ffmpeg
from promptlift.errors import VideoError, VideoNotFound, VideoRefused, VideoUnreadable

__all__ = ["BAD", "CUT", "Bad"]

_PLAIN = Recipe(options={"preset": "veryfast", "crf": "16"}, gop=10, b_frames=3)


@dataclass(frozen=True)
class Bad:
    """A file that cannot be read, and how that is said.

    Attributes:
        make: Writes the file into a folder and gives its path.
        error: The class of the error.
        words: What its text holds.
    """

    make: Callable[[Path], Path]
    error: type[VideoError]
    words: str


def _file(name: str, write: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return make


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    return _file(name, lambda path: path.write_bytes(content))


def _cut(name: str, recipe: Recipe, share: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        whole = encode(folder / f"whole-{name}", recipe).read_bytes()
        path = folder / name
        path.write_bytes(whole[: int(len(whole) * share)])
        return path

    return make


def _cut_ts(folder: Path) -> Path:
    """A transport stream that begins between two keyframes, in the middle of a packet."""
    whole = encode(folder / "whole.ts", _PLAIN.but(frames=60)).read_bytes()
    path = folder / "cut.ts"
    path.write_bytes(whole[len(whole) * 3 // 8 + 77 :])
    return path


def _corrupt(folder: Path) -> Path:
    """200 bytes at random places of the middle of the data are overwritten."""
    data = bytearray(encode(folder / "sound.mp4", _PLAIN.but(gop=250)).read_bytes())
    chance = random.Random(7)
    start = data.index(b"mdat") + 2000
    end = data.index(b"moov", start) - 200 if b"moov" in data[start:] else len(data)
    for _ in range(200):
        data[chance.randrange(start, end)] = chance.randrange(256)
    path = folder / "corrupt.mp4"
    path.write_bytes(data)
    return path


def _sound_with_cover(codec: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        cover = path.with_name("cover.png")
        ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", cover)
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-i", cover, "-map", "0", "-map", "1",
               "-c:v", "copy", "-c:a", codec, "-disposition:v:0", "attached_pic", path)  # fmt: skip

    return write


def _no_frames(path: Path) -> None:
    """A video track with no frame in it."""
    source = encode(path.with_name("some.mp4"), _PLAIN)
    ffmpeg("-i", source, "-c", "copy", "-frames:v", "0", path)


def _secret_behind(name: str, text: str) -> Callable[[Path], Path]:
    """A script that names a real video next to it, which must not be opened."""

    def make(folder: Path) -> Path:
        secret = encode(folder / "secret.mp4", _PLAIN)
        path = folder / name
        path.write_text(text.format(path=secret, name=secret.name))
        return path

    return make


_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{path}\n#EXT-X-ENDLIST\n"
_MPD = '<?xml version="1.0"?>\n<MPD><Period><BaseURL>file://{path}</BaseURL></Period></MPD>\n'
_NOISE = random.Random(1).randbytes(100_000)

BAD: dict[str, Bad] = {
    "missing": Bad(lambda folder: folder / "missing.mp4", VideoNotFound, "no such file"),
    "dangling-link": Bad(_file("a.mp4", lambda path: path.symlink_to(path.with_name("nowhere"))),
                         VideoNotFound, "no such file"),
    "below-a-file": Bad(lambda folder: encode(folder / "a.mp4", _PLAIN) / "b.mp4",
                        VideoNotFound, "no such file"),
    "name-too-long": Bad(lambda folder: folder / ("x" * 4000), VideoNotFound, "cannot be opened"),
    "null-in-name": Bad(lambda folder: folder / "a\0b.mp4", VideoNotFound, "cannot be opened"),
    "locked": Bad(_file("locked.mp4", lambda path: encode(path, _PLAIN).chmod(0)),
                  VideoNotFound, "no permission"),
    "directory": Bad(_file("folder.mp4", Path.mkdir), VideoRefused, "a directory"),
    "named-pipe": Bad(_file("pipe.mp4", os.mkfifo), VideoRefused, "a pipe"),
    "device": Bad(lambda _: Path("/dev/zero"), VideoRefused, "a device"),
    "ffconcat": Bad(_secret_behind("list.mp4", "ffconcat version 1.0\nfile '{name}'\n"),
                    VideoRefused, "a concat script"),
    "hls": Bad(_secret_behind("live.mp4", _HLS), VideoRefused, "an HLS playlist"),
    "dash": Bad(_secret_behind("dash.mp4", _MPD), VideoRefused, "not a video"),
    "empty": Bad(_bytes("empty.mp4", b""), VideoUnreadable, "empty"),
    "one-byte": Bad(_bytes("byte.mp4", b"\0"), VideoUnreadable, "not a video"),
    "zeros": Bad(_bytes("zeros.mp4", bytes(9999)), VideoUnreadable, "not a video"),
    "text": Bad(_bytes("u.mp4", b"some notes\n" * 9), VideoUnreadable, "not a video"),
    "html": Bad(_bytes("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>"),
                VideoUnreadable, "an HTML page"),
    "random": Bad(_bytes("random.mp4", _NOISE), VideoUnreadable, "not a video"),
    "pdf": Bad(_bytes("a.mp4", b"%PDF-1.7\n" + _NOISE), VideoUnreadable, "a PDF"),
    "zip": Bad(_bytes("a.mp4", b"PK\x03\x04" + _NOISE), VideoUnreadable, "a ZIP"),
    "heic": Bad(_bytes("a.heic", b"\0\0\0\x18ftypheic" + _NOISE), VideoUnreadable, "a HEIC"),
    "sound": Bad(_file("sound.m4a", lambda path: ffmpeg(
        "-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)),
        VideoUnreadable, "sound but no video"),
    "mp3-with-cover": Bad(_file("song.mp3", _sound_with_cover("libmp3lame")),
                          VideoUnreadable, "an MP3 sound file"),
    "m4a-with-cover": Bad(_file("song.m4a", _sound_with_cover("aac")),
                          VideoUnreadable, "sound but no video"),
    "no-frames": Bad(_file("none.mp4", _no_frames), VideoUnreadable, "no "),
    "no-moov": Bad(_cut("cut.mp4", _PLAIN, 0.6), VideoUnreadable, "cut off"),
    "png-cut": Bad(_bytes("a.png", b"\x89PNG\r\n\x1a\n" + bytes(20)), VideoUnreadable, "damaged"),
    "jpeg-cut": Bad(_bytes("a.jpg", b"\xff\xd8\xff\xe0" + bytes(20)), VideoUnreadable, "damaged"),
    "gif-cut": Bad(_bytes("a.gif", b"GIF89a\x10\x00\x10\x00"), VideoUnreadable, "damaged"),
}  # fmt: skip

CUT: dict[str, Callable[[Path], Path]] = {
    "mkv": _cut("cut.mkv", _PLAIN, 0.6),
    "faststart": _cut("cut.mp4", _PLAIN.but(muxer={"movflags": "faststart"}), 0.6),
    "fragmented": _cut("cutf.mp4", _PLAIN.but(muxer={"movflags": "frag_keyframe+empty_moov"}), 0.6),
    "avi": _cut("cut.avi", Recipe("mpeg4", gop=12, options={"q:v": "3"}), 0.6),
    "flv": _cut("cut.flv", _PLAIN, 0.6),
    "ts-end": _cut("end.ts", _PLAIN, 0.6),
    "ts-start": _cut_ts,
    "corrupt": _corrupt,
}
