"""Videos that clients have sent: a private folder, random names, a quota, an age.

What a client calls its file is a label and never a part of a path. An upload is there once its
``.json`` is, which is written last; whatever else lies in the folder at a start is a leftover.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from promptlift.core.record import Probe
from promptlift.core.video import VideoInfo
from promptlift.errors import PromptliftError, VideoRefused
from promptlift.files import write_atomic
from promptlift.frames.sniff import check_video
from promptlift.server.errors import Refusal, without_paths
from promptlift.server.paths import content_of
from promptlift.server.settings import Settings

__all__ = ["Incoming", "Upload", "Uploads", "label"]

Inspect = Callable[[Path], Awaitable[VideoInfo]]

_BUFFER_BYTES = 2**20
_HEAD_BYTES = 64 * 1024
_LONGEST_LABEL = 120
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


class Upload(BaseModel):
    """One video that is kept.

    Attributes:
        id: 32 random hexadecimal digits.
        owner: Whose key it came with.
        name: What the client calls it; a label only.
        bytes: How large it is.
        content: Hash of its content.
        probe: What it is.
        created: Seconds since 1970.
        once: It goes with the request that brought it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    name: str
    bytes: int
    content: str
    probe: Probe
    created: float
    once: bool = False


class Uploads:
    """The folder.

    Args:
        folder: Made where it is missing; for its owner alone.
        settings: The limits.
        inspect: Says what a file is, or raises `VideoError`; where it cannot hurt.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        inspect: Inspect,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._inspect = inspect
        self._clock = clock
        self._kept: dict[str, Upload] = {}
        self._holds: Counter[str] = Counter()
        self._coming = 0
        self.bytes = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._load()

    def __len__(self) -> int:
        return len(self._kept)

    def path(self, upload: Upload) -> Path:
        """Where the bytes are."""
        return self._folder / upload.id

    def get(self, upload_id: str, owner: str) -> Upload:
        """The upload of that id.

        Raises:
            Refusal: There is none, or it came with another key.
        """
        upload = self._kept.get(upload_id)
        if upload is None or upload.owner != owner:
            raise Refusal(
                404,
                "upload_not_found",
                "there is no such upload",
                remedy="send the video to /v1/uploads; uploads are kept for "
                f"{self._settings.upload_age / 3600:g} hours",
            )
        return upload

    def hold(self, upload_id: str) -> None:
        """Keep an upload however old it is, until it is let go as often."""
        self._holds[upload_id] += 1

    def let_go(self, upload_id: str) -> None:
        """Take back one `hold`; what was brought for one request only goes with its last."""
        self._holds[upload_id] -= 1
        if self._holds[upload_id] <= 0:
            del self._holds[upload_id]
            upload = self._kept.get(upload_id)
            if upload is not None and upload.once:
                self.remove(upload_id)

    def remove(self, upload_id: str) -> bool:
        """Delete an upload, unless work still needs it.

        Returns:
            Whether it is gone.
        """
        if self._holds[upload_id] > 0:
            return False
        upload = self._kept.pop(upload_id, None)
        if upload is not None:
            self.bytes -= upload.bytes
            self.path(upload).with_suffix(".json").unlink(missing_ok=True)
            self.path(upload).unlink(missing_ok=True)
        return True

    def sweep(self) -> None:
        """Delete what is too old."""
        oldest = self._clock() - self._settings.upload_age
        for upload in [one for one in self._kept.values() if one.created < oldest]:
            self.remove(upload.id)

    def begin(self, name: str, owner: str, *, once: bool = False) -> Incoming:
        """Take in a new one.

        Raises:
            Refusal: There is no room for any.
        """
        if len(self._kept) + self._coming >= self._settings.upload_count:
            raise _no_room(f"{len(self._kept)} uploads are kept, and that is the limit")
        return Incoming(self, label(name), owner, once=once)

    def opened(self, path: Path) -> int:
        """Make the file of an upload that begins; counts it."""
        handle = os.open(path, _FLAGS, 0o600)
        self._coming += 1
        return handle

    def closed(self) -> None:
        """One fewer is coming in."""
        self._coming -= 1

    def grow(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            Refusal: They are more than the quota.
        """
        if self.bytes + size > self._settings.upload_quota:
            raise _no_room("the uploads fill the room that the server has for them")
        self.bytes += size

    def shrink(self, size: int) -> None:
        """Count bytes that are gone."""
        self.bytes -= size

    def new_path(self) -> Path:
        """A name that nobody can guess."""
        return self._folder / secrets.token_hex(16)

    async def keep(self, path: Path, size: int, name: str, owner: str, *, once: bool) -> Upload:
        """Look at a file that is all there, and keep it.

        Raises:
            VideoError: It is none that is taken.
        """
        info = await self._inspect(path)
        if info.duration is not None and info.duration > self._settings.video_seconds:
            raise VideoRefused(
                f"the video is {float(info.duration):.0f} s long, and the server takes "
                f"{self._settings.video_seconds:g} s",
                remedy="cut it",
            )
        content = await asyncio.to_thread(content_of, path)
        upload = Upload(
            id=path.name,
            owner=owner,
            name=name,
            bytes=size,
            content=content,
            probe=Probe.of(info),
            created=round(self._clock(), 3),
            once=once,
        )
        await asyncio.to_thread(
            write_atomic, path.with_suffix(".json"), upload.model_dump_json().encode()
        )
        self._kept[upload.id] = upload
        return upload

    def _load(self) -> None:
        for entry in self._folder.glob("*.json"):
            with suppress(OSError, ValidationError):
                upload = Upload.model_validate_json(entry.read_bytes())
                if upload.id == entry.stem and self.path(upload).is_file():
                    self._kept[upload.id] = upload
                    self.bytes += upload.bytes
        for entry in self._folder.iterdir():
            if entry.stem not in self._kept:
                with suppress(OSError):
                    entry.unlink()


class Incoming:
    """An upload on its way in; written to the disk as it comes. An async context manager.

    Args:
        uploads: The folder.
        name: Its label.
        owner: Whose key it comes with.
        once: It goes with the request that brings it.
    """

    def __init__(self, uploads: Uploads, name: str, owner: str, *, once: bool) -> None:
        self._uploads = uploads
        self._name = name
        self._owner = owner
        self._once = once
        self._path = uploads.new_path()
        self._handle = uploads.opened(self._path)
        self._buffer = bytearray()
        self._size = 0
        self._kept = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        os.close(self._handle)
        self._uploads.closed()
        if not self._kept:
            self._uploads.shrink(self._size)
            self._path.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """Take in a piece.

        Raises:
            Refusal: It is too large, there is no room, or the disk is full.
            VideoError: What has come so far is no video.
        """
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            await self._flush()

    async def finish(self) -> Upload:
        """Keep it; everything has come.

        Raises:
            Refusal: As `write`.
            VideoError: It is no video, or none that is taken.
        """
        await self._flush()
        if not self._size:
            raise Refusal(422, "video_unreadable", "the video is empty", remedy="send the file")
        try:
            await asyncio.to_thread(os.fsync, self._handle)
            upload = await self._uploads.keep(
                self._path, self._size, self._name, self._owner, once=self._once
            )
        except PromptliftError as error:
            raise without_paths(error, self._path) from None
        self._kept = True
        return upload

    async def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if not self._size and data:
            check_video("the video", data[:_HEAD_BYTES])
        self._uploads.grow(len(data))
        self._size += len(data)
        try:
            await asyncio.to_thread(_write_all, self._handle, data)
        except OSError as error:
            raise _no_room(f"the upload cannot be written: {error.strerror}") from error


def label(name: str) -> str:
    """What a client calls a file, as a label: no folder, nothing unprintable, not long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C" and c.isprintable())
    return kept[-_LONGEST_LABEL:].strip()


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _no_room(message: str) -> Refusal:
    return Refusal(
        507,
        "no_room",
        message,
        remedy="delete uploads, wait until old ones go, or raise the server's limits",
        retry_after=60,
    )
