"""Videos that clients send or name, and the bodies of their requests.

Uploads lie in a private folder under random names. What a client calls its file is a label and
never a part of a path. Whatever the database does not know of is a leftover, and goes at a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from promptlift.errors import PromptliftError, VideoRefused
from promptlift.server.config import ServerConfig
from promptlift.server.db import JobStore
from promptlift.server.errors import ApiError, invalid_request, without_paths
from promptlift.server.schemas import UploadResponse, VideoFields
from promptlift.server.security import media_type
from promptlift.types import VideoInfo
from promptlift.video.source import content_of

__all__ = [
    "Upload",
    "Uploads",
    "allowed_path",
    "body_schema",
    "read_body",
]

M = TypeVar("M", bound=VideoFields)

_FILE_FIELD = "video"
_PICTURE_FIELDS = ("image", "last_image", "references")
_MOST_FILES = 11
_CHUNK_BYTES = 2**20
_LONGEST_LABEL = 120
_MOST_FIELDS = 64
_LONGEST_FIELD = 256 * 1024


def allowed_path(folders: Iterable[Path], name: str) -> Path:
    """The file of the server that a client names; relative names are below the first folder.

    Args:
        folders: Below which clients may name files.
        name: As the client gives it; links are followed before it is compared.

    Raises:
        ApiError: No folder is allowed; or the file does not exist, is no file, or lies
            elsewhere. These have one answer, so that nobody learns what lies elsewhere.
    """
    roots = [folder.resolve() for folder in folders]
    if not roots:
        raise ApiError(
            403,
            "no_paths",
            "this server reads no files for its clients",
            remedy="upload the video, or start the server with --allow-path",
        )
    try:
        path = (roots[0] / name).resolve(strict=True)
        allowed = path.is_file() and any(path.is_relative_to(root) for root in roots)
    except (OSError, ValueError, RuntimeError):
        allowed = False
    if not allowed:
        raise ApiError(
            404,
            "path_not_found",
            "there is no such file below the folders that are allowed",
            remedy="check the path, or upload the video",
        )
    return path


class Upload(UploadResponse):
    """One video on the server's disk.

    Attributes:
        owner: The key that it came with.
        once: It goes with the request or the job that brought it.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    once: bool = False


@dataclass(eq=False)
class Uploads:
    """The uploads, with their quota and their expiry.

    Attributes:
        folder: Made where it is missing; for its owner alone.
        config: The limits.
        store: Where they are written down.
        inspect: Probes a file in a process of its own, or raises `VideoError`.
        total_bytes: Bytes of all of them, and of those that are coming.
    """

    folder: Path
    config: ServerConfig
    store: JobStore
    inspect: Callable[[Path], Awaitable[VideoInfo]]
    total_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._uploads: dict[str, Upload] = {}
        self._holds: Counter[str] = Counter()
        self._incoming = 0
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for value in self.store.uploads():
            upload = Upload.model_validate_json(value)
            if self.path(upload).is_file():
                self._uploads[upload.id] = upload
                self.total_bytes += upload.bytes
        for entry in self.folder.iterdir():
            if entry.name not in self._uploads:
                with contextlib.suppress(OSError):
                    entry.unlink()

    def path(self, upload: Upload) -> Path:
        """Where the bytes are."""
        return self.folder / upload.id

    def get(self, upload_id: str, owner: str) -> Upload:
        """The upload of that id.

        Raises:
            ApiError: There is none, or it came with another key.
        """
        upload = self._uploads.get(upload_id)
        if upload is None or upload.owner != owner:
            raise ApiError(
                404,
                "upload_not_found",
                "there is no such upload",
                remedy="send the video to /v1/uploads; uploads are kept for "
                f"{self.config.upload_age / 3600:g} hours",
            )
        return upload

    def hold(self, upload_ids: Iterable[str]) -> None:
        """Keep uploads, however old, until they are released as often."""
        self._holds.update(upload_ids)

    def release(self, upload_ids: Iterable[str]) -> None:
        """Take back one `hold` of each; what was sent for one request only goes with its last."""
        for upload_id in upload_ids:
            self._holds[upload_id] -= 1
            if self._holds[upload_id] <= 0:
                del self._holds[upload_id]
                upload = self._uploads.get(upload_id)
                if upload is not None and upload.once:
                    self.remove(upload_id)

    def remove(self, upload_id: str) -> bool:
        """Delete an upload, unless work still needs it.

        Returns:
            Whether it is gone.
        """
        if self._holds[upload_id] > 0:
            return False
        upload = self._uploads.pop(upload_id, None)
        if upload is not None:
            self.total_bytes -= upload.bytes
            self.path(upload).unlink(missing_ok=True)
            self.store.remove_upload(upload_id)
        return True

    def sweep(self, *, leftovers: bool = False) -> None:
        """Delete what is too old.

        Args:
            leftovers: Also what came with jobs that no longer exist.
        """
        for one in list(self._uploads.values()):
            if one.expires < time.time() or (leftovers and one.once):
                self.remove(one.id)

    async def receive(
        self, name: str, owner: str, chunks: AsyncIterable[bytes], *, once: bool = False
    ) -> Upload:
        """Take in a video; it is written to the disk as it comes.

        Args:
            name: What the client calls it.
            owner: The key that it comes with.
            chunks: Its bytes.
            once: It goes with the request or the job that brings it.

        Raises:
            ApiError: It is too large, there is no room, or the disk is full.
            VideoError: It is no video, or none that is accepted.
        """
        if len(self._uploads) + self._incoming >= self.config.upload_count:
            raise _no_room(f"{len(self._uploads)} uploads are kept, and that is the limit")
        # What a client calls a file is a label: no folder, nothing unprintable, not long.
        label = "".join(filter(str.isprintable, PureWindowsPath(name).name))[-_LONGEST_LABEL:]
        path = self.folder / secrets.token_hex(16)
        size = 0
        self._incoming += 1
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                async for chunk in chunks:
                    if self.total_bytes + len(chunk) > self.config.upload_quota:
                        raise _no_room("the uploads fill the room that the server has for them")
                    self.total_bytes += len(chunk)
                    size += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            info = await self.inspect(path)
            if info.duration is not None and info.duration > self.config.video_seconds:
                raise VideoRefused(
                    f"the video is {float(info.duration):.0f} s long, and the server takes "
                    f"{self.config.video_seconds:g} s",
                    remedy="shorten the video, for example with `ffmpeg -t 60 -i IN -c copy OUT`",
                )
            upload = Upload(
                id=path.name,
                owner=owner,
                name=label,
                bytes=size,
                content=await asyncio.to_thread(content_of, path),
                probe=info,
                expires=round(time.time() + self.config.upload_age, 3),
                once=once,
            )
            await self.store.add_upload(upload.id, upload.model_dump_json())
            self._uploads[upload.id] = upload
            return upload
        except OSError as error:
            raise _no_room(f"the upload cannot be written: {error.strerror}") from error
        except PromptliftError as error:
            raise without_paths(error, path) from None
        finally:
            self._incoming -= 1
            if path.name not in self._uploads:
                self.total_bytes -= size
                path.unlink(missing_ok=True)


def _no_room(message: str) -> ApiError:
    return ApiError(
        507,
        "no_room",
        message,
        remedy="delete uploads, wait until old ones go, or raise the server's limits",
        retry_after=60,
    )


# Bodies: JSON or a form.


async def read_body(request: Request, model: type[M], uploads: Uploads) -> M:
    """Read a body: JSON, or a form, which may bring the video and the pictures themselves.

    Args:
        request: The request.
        model: What the fields are.
        uploads: Where a file goes.

    Returns:
        The fields. Their upload, where they name one or the form brought one, is held: release it.

    Raises:
        ApiError: It is not what is wanted, or too much of it.
        VideoError: The file is no video.
    """
    kind = media_type(request.headers)
    sent: list[str] = []
    try:
        if kind == "application/json":
            read = model.model_validate_json(await request.body())
        elif kind == "multipart/form-data":
            fields = await _read_form(request, model, uploads, sent)
            read = model(**fields)
        else:
            raise ApiError(
                415,
                "media_type",
                "the body is neither JSON nor a form",
                remedy="send application/json, or multipart/form-data with the file in `video`",
            )
    except ValidationError as error:
        for one in sent:
            uploads.remove(one)
        raise invalid_request(error.errors(include_url=False, include_context=False)) from None
    except (HTTPException, MultiPartException) as error:
        for one in sent:
            uploads.remove(one)
        if isinstance(error, ApiError):
            raise
        message = getattr(error, "detail", None) or str(error)
        remedy = "send it as browsers and curl do: -F video=@clip.mp4"
        raise ApiError(422, "invalid", f"the form is damaged: {message}", remedy=remedy) from None
    uploads.hold(read.upload_ids)
    return read


async def _read_form(
    request: Request, model: type[M], uploads: Uploads, sent: list[str]
) -> dict[str, Any]:
    """The fields of a form, with uploads in the place of its files; their ids are put in `sent`."""
    fields: dict[str, Any] = {}
    async with request.form(
        max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD
    ) as form:
        for name, value in form.multi_items():
            field, given = name, value
            is_picture = name in _PICTURE_FIELDS and name in model.model_fields
            if isinstance(value, UploadFile) and (is_picture or name == _FILE_FIELD):
                label, owner = value.filename or "", request.state.owner
                upload = await uploads.receive(label, owner, _chunks(value), once=True)
                sent.append(upload.id)
                field, given = "upload_id" if name == _FILE_FIELD else name, upload.id
            if field == "references" and isinstance(given, str):
                fields[field] = [*fields.get(field, ()), *given.split(",")]
            elif field in fields:
                twice = field == "upload_id" and sent
                raise MultiPartException(
                    "it brings a video and names another" if twice else "a field is there twice"
                )
            else:
                fields[field] = given
    return fields


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(_CHUNK_BYTES):
        yield chunk


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI should say of a body that `read_body` reads."""
    plain = model.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "The video itself."}
    files: dict[str, Any] = {_FILE_FIELD: file}
    for name in _PICTURE_FIELDS:
        if name in plain["properties"]:
            files[name] = {
                "oneOf": [plain["properties"][name], {**file, "description": "A picture."}]
            }
    form = {
        **{name: value for name, value in plain.items() if name != "examples"},
        "properties": {**plain["properties"], **files},
    }
    content = {
        "application/json": {"schema": plain},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}
