"""Open a video safely: regular local files and bytes only, identified by content.

Nothing here, and nothing that reads through it, follows a name that stands inside a file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from promptlift.errors import OptionError, VideoError, VideoNotFound, VideoRefused, VideoUnreadable
from promptlift.files import GIT_LFS_REMEDY, LFS_POINTER, content_id

if TYPE_CHECKING:
    from promptlift.types import Box, Role, VideoInfo
    from promptlift.video.reader import FrameChoice, Reader

__all__ = [
    "DEFAULT_LIMITS",
    "MEDIA_SUFFIXES",
    "ImageSource",
    "Limits",
    "Opened",
    "Pictures",
    "Source",
    "VideoRegion",
    "check_video",
    "combined_content",
    "content_of",
    "image_format",
    "looks_like_path",
    "open_source",
    "open_video",
    "probe",
    "unreadable_error",
]

_MEDIA_NAMES = """
mp4 mov m4v mkv webm avi mpg mpeg m2v ts m2ts mts vob wmv asf flv f4v ogv ogg mxf nut 3gp 3g2 mj2
y4m ivf obu av1 h263 h264 264 h265 265 hevc h266 266 vvc dv gxf wtv rm rmvb mjpeg mjpg
gif webp png apng avif jpg jpeg bmp tif tiff
"""
MEDIA_SUFFIXES = frozenset(f".{name}" for name in _MEDIA_NAMES.split())
"""With which the names of videos and pictures end, in small letters."""
# A root, a drive, a home, this folder or the one above, a scheme.
_PATH_START = re.compile(r"[/\\]|[A-Za-z]:[/\\]|~[\w.-]*[/\\]|\.\.?[/\\]|[A-Za-z][\w+.-]*://|data:")
_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,4}")

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
    (0, b"#EXTM3U", "an HLS playlist"),
    (0, b"ffconcat version", "a concat script"),
    (0, b"<?xml", "an XML document"),
    (0, b"<MPD", "a DASH playlist"),
    (0, b"v=0", "an SDP description"),
    (0, b"[playlist]", "a playlist"),
)
_OTHERS = (
    (0, b"ID3", "an MP3 sound file"),
    (0, b"\xff\xfb", "an MP3 sound file"),
    (0, b"\xff\xf3", "an MP3 sound file"),
    (8, b"WAVE", "a WAV sound file"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
)

_REMEDY = "give a video, or a picture as JPEG, PNG, WebP or GIF"


def _kind_of(head: bytes, kinds: Sequence[tuple[int, bytes, str]]) -> str | None:
    return next((name for place, magic, name in kinds if head.startswith(magic, place)), None)


def image_format(head: bytes) -> str | None:
    """Name the picture format that Pillow reads (``gif``, ``webp``, ...), or None."""
    return _kind_of(head, _PICTURES)


def looks_like_path(text: str) -> bool:
    """Whether a text is the name of a file, there or not, rather than words."""
    if os.path.lexists(text):
        return True
    folder, name = os.path.split(text.replace("\\", "/"))
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 - the text need not be a path
    if _PATH_START.match(text) or suffix.lower() in MEDIA_SUFFIXES:
        return True
    if any(map(str.isspace, text)):  # as in "black/white film", but "my clips/one"
        return bool(folder) and os.path.isdir(folder)  # noqa: PTH112 - likewise
    return bool(folder) or _SUFFIX.fullmatch(suffix) is not None


def check_video(name: str, head: bytes) -> None:
    """Refuse what is certainly no video before a demuxer sees it.

    Raises:
        VideoRefused: A playlist or script, which would make a player open other files.
        VideoUnreadable: A sound file, a document, an archive, a kind of picture that is not read.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    playlist = _kind_of(text, _PLAYLISTS)
    if playlist is not None:
        why = f"{name}: it is {playlist}, not a video"
        raise VideoRefused(why, remedy="give the video file itself")
    if text[:9].lower() in (b"<!doctype", b"<html>"):
        raise unreadable_error(name, "it is an HTML page, not a video")
    other = _kind_of(head, _OTHERS)
    if other is not None:
        raise unreadable_error(name, f"it is {other}, which is not read")


def unreadable_error(name: str, why: str, remedy: str = _REMEDY) -> VideoError:
    """Build the one error for a file that gives no picture."""
    return VideoUnreadable(f"{name}: {why}", remedy=remedy)


ImageSource: TypeAlias = str | os.PathLike[str] | bytes


@dataclass(frozen=True, slots=True)
class VideoRegion:
    """A part of the picture of a video, as a source: its hint frames are cut to it.

    Attributes:
        video: The video, a path or the bytes of a file.
        region: A box, or the path of a mask video that is white where the region is.
        choice: Which frames are cut.
    """

    video: ImageSource
    region: Box | str
    choice: FrameChoice


Source: TypeAlias = ImageSource | Sequence[ImageSource] | VideoRegion


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a model is shown beside or instead of a video.

    Attributes:
        video: The video; None for none.
        others: Further pictures, each with its role.

    Raises:
        OptionError: They do not go together.
    """

    video: Source | None
    others: tuple[tuple[Role, ImageSource], ...]

    def __post_init__(self) -> None:
        if self.video is not None and self.image is not None:
            raise OptionError(
                f"both a video{_named(self.video)} and --image{_named(self.image)} are given",
                remedy="remove one of them",
            )
        if self.main is None and (last := dict(self.others).get("last")) is not None:
            raise OptionError(
                f"--last-image{_named(last)} is given without --image or a video",
                remedy="give the first frame with --image as well",
            )

    @classmethod
    def of(
        cls,
        video: Source | None,
        image: ImageSource | None = None,
        last_image: ImageSource | None = None,
        references: Sequence[ImageSource] = (),
    ) -> Source | Pictures | None:
        """What these are together; the video itself where there is nothing else."""
        if image is None and last_image is None and not references:
            return video
        named: list[tuple[Role, ImageSource | None]] = [("first", image), ("last", last_image)]
        named += [("reference", one) for one in references]
        return cls(video, tuple((role, one) for role, one in named if one is not None))

    @property
    def image(self) -> ImageSource | None:
        """The picture of the first frame."""
        return dict(self.others).get("first")

    @property
    def main(self) -> Source | None:
        """The video, or the picture of the first frame."""
        return self.video if self.video is not None else self.image

    @property
    def rest(self) -> tuple[tuple[Role, ImageSource], ...]:
        """All but `main`."""
        return tuple(one for one in self.others if one[0] != "first")


def combined_content(video: str, others: Sequence[tuple[str, str]]) -> str:
    """One name for a video's content and those of further pictures with their roles.

    Args:
        video: Of the video; empty for none.
        others: Roles and contents.
    """
    main = dict(others).get("first", video)
    rest = [one for one in others if one[0] != "first"]
    if not rest:
        return main
    return f"sha256:{hashlib.sha256(json.dumps([main, rest]).encode()).hexdigest()}"


def _named(source: Source) -> str:
    return f" ({printable(os.fspath(source))})" if isinstance(source, str | os.PathLike) else ""


_HEAD_BYTES = 64 * 1024
_LONGEST_NAME = 200  # characters of a path in a message


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is taken on before it is refused.

    Attributes:
        max_pixels: Most pixels of one decoded picture; the default takes 8192x8192.
        max_bytes: Most bytes of one file.
    """

    max_pixels: int = 8192 * 8192 * 11 // 10
    max_bytes: int = 64 * 2**30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that is open for reading.

    Attributes:
        file: The bytes; closed by whoever called `open_source`.
        name: What to call it in a message, safe to print.
        size: Length in bytes.
        head: The first 64 KiB.
    """

    file: BinaryIO
    name: str
    size: int
    head: bytes


def open_source(source: ImageSource, limits: Limits = DEFAULT_LIMITS) -> Opened:
    """Open a regular file, or bytes, for reading.

    Raises:
        VideoNotFound: There is no such file, or it may not be read.
        VideoRefused: It is a directory, a pipe or a device, or it is too large.
        VideoUnreadable: It is empty, or a Git LFS pointer.
    """
    name = "the given bytes" if isinstance(source, bytes) else printable(os.fspath(source))
    file = io.BytesIO(source) if isinstance(source, bytes) else _open_path(source, name)
    try:
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise VideoUnreadable(f"{name}: it is empty", remedy="copy or download the file again")
        if size > limits.max_bytes:
            raise VideoRefused(
                f"{name}: {size} bytes are more than the limit of {limits.max_bytes}",
                remedy="cut the video, or raise the limit",
            )
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        if head.startswith(LFS_POINTER):
            why = f"{name}: it is a Git LFS pointer, not the file itself"
            raise VideoUnreadable(why, remedy=GIT_LFS_REMEDY)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Opened(file, name, size, head)


def content_of(path: str | os.PathLike[str]) -> str:
    """Hash of a file's content, see `promptlift.files.content_id`; nothing is decoded.

    Raises:
        VideoError: It cannot be read.
    """
    opened = open_source(path)
    with opened.file as file:
        return content_id(file, opened.size)


def printable(name: str) -> str:
    """Give a file name without control characters and undecodable bytes, for messages."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= _LONGEST_NAME else f"...{shown[-_LONGEST_NAME:]}"


def _open_path(path: str | os.PathLike[str], name: str) -> BinaryIO:
    # The kind is checked before opening, because opening a device can do something, and again
    # on the open file, because the name may mean another file by then. O_NONBLOCK keeps the
    # open of a named pipe from waiting for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _check_regular(name, Path(path).stat().st_mode)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        why, remedy = (
            f"cannot be opened ({getattr(error, 'strerror', None) or error})",
            "check the name",
        )
        code = getattr(error, "errno", None)
        if code in (errno.ENOENT, errno.ENOTDIR):
            why, remedy = "no such file", "check the name and the folder"
        elif code in (errno.EACCES, errno.EPERM):
            why, remedy = "no permission to read it", "make the file readable for this user"
        raise VideoNotFound(f"{name}: {why}", remedy=remedy) from error
    try:
        _check_regular(name, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _check_regular(name: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise VideoRefused(
        f"{name}: it is {kind}, not a file", remedy="give a regular file, or the bytes themselves"
    )


def open_video(source: Source, *, limits: Limits = DEFAULT_LIMITS, native: bool = False) -> Reader:
    """Open a video for reading; use it in a ``with`` statement.

    Args:
        source: A path, the bytes of a file, a list of either, one picture each, or a region of
            a video.
        limits: What is refused as too large.
        native: Give `promptlift.video.clip.NativeFrame` where the video's own colours can be
            kept, for a clip.

    Returns:
        A reader that holds the file open.

    Raises:
        VideoNotFound: There is no such file, or it may not be read.
        VideoRefused: It is not a regular file, it is a playlist, or it is too large.
        VideoUnreadable: No picture can be had from it.
        SpecError: The region's mask cannot be used, or next to nothing of the picture is left.
    """
    # PyAV and Pillow are for the process that decodes; one with children for that needs neither.
    from promptlift.video.images import ImageFile, ImageList
    from promptlift.video.movie import MovieReader

    if isinstance(source, VideoRegion):
        from promptlift.video.region import open_region

        return open_region(source, limits)
    if not isinstance(source, str | bytes | os.PathLike):
        return ImageList(tuple(source), limits)
    opened = open_source(source, limits)
    try:
        kind = image_format(opened.head)
        if kind is not None:
            return ImageFile(opened, kind, limits)
        return MovieReader(opened, limits, native=native)
    except BaseException:
        opened.file.close()
        raise


def probe(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Say what a video is; decodes its first frame only.

    Raises:
        VideoError: As `open_video`.
    """
    with open_video(source, limits=limits) as reader:
        return reader.info
