"""What a file holds, from its first bytes; its name is never asked."""

from __future__ import annotations

from promptlift.errors import VideoError, VideoRefused, VideoUnreadable

__all__ = ["check_video", "picture_format", "unreadable"]

_PICTURES = (
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (0, b"BM", "bmp"),
)
_PLAYLISTS = (
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat version", "a concat script"),
    (b"<?xml", "an XML document"),
    (b"<MPD", "a DASH playlist"),
    (b"v=0", "an SDP description"),
    (b"[playlist]", "a playlist"),
)
_OTHERS = (
    (0, b"ID3", "an MP3 sound file"),
    (0, b"\xff\xfb", "an MP3 sound file"),
    (0, b"\xff\xf3", "an MP3 sound file"),
    (0, b"\xff\xf1", "an AAC sound file"),
    (0, b"fLaC", "a FLAC sound file"),
    (8, b"WAVE", "a WAV sound file"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)

_REMEDY = "give a video, or a picture as JPEG, PNG, WebP or GIF"


def picture_format(head: bytes) -> str | None:
    """Name the picture format that Pillow reads (``gif``, ``webp``, ...), or None."""
    for offset, magic, name in _PICTURES:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def check_video(name: str, head: bytes) -> None:
    """Refuse what is certainly no video before a demuxer sees it.

    Raises:
        VideoRefused: A playlist or script, which would make a player open other files.
        VideoUnreadable: A sound file, a document, an archive, a kind of picture that is not read.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, kind in _PLAYLISTS:
        if text.startswith(magic):
            raise VideoRefused(
                f"{name}: it is {kind}, not a video", remedy="give the video file itself"
            )
    kind_of = _other_kind(head)
    if kind_of is not None:
        raise unreadable(name, f"it is {kind_of}, which is not read")


def unreadable(name: str, why: str, remedy: str = _REMEDY) -> VideoError:
    """Build the one error for a file that gives no picture."""
    return VideoUnreadable(f"{name}: {why}", remedy=remedy)


def describe(head: bytes) -> str:
    """Say what unrecognised content looks like."""
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not a video"
    if not head.strip(b"\x00"):
        return "it holds nothing but zeros"
    if b"\x00" not in head and _is_text(head):
        return "it is text, not a video"
    return "no known video format was found in it"


def _other_kind(head: bytes) -> str | None:
    for offset, magic, kind in _OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return kind
    return None


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode("utf-8")  # the last character may be cut in half
    except UnicodeDecodeError:
        return len(head) < 8 and head.isascii()
    return True
