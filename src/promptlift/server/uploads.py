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
from pathlib import Path, PureWindowsPath
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptlift.errors import PromptliftError, VideoRefused
from promptlift.server.config import ServerConfig
from promptlift.server.db import JobStore
from promptlift.server.errors import ApiError, invalid_request, without_paths
from promptlift.server.schemas import UploadResponse
from promptlift.types import VideoInfo
from promptlift.video.source import content_of

__all__ = [
    "BodyMiddleware",
    "Upload",
    "Uploads",
    "allowed_path",
    "body_schema",
    "media_type",
    "read_body",
]

M = TypeVar("M", bound=BaseModel)
Inspect = Callable[[Path], Awaitable[VideoInfo]]

FILE_FIELD: Final = "video"
_CHUNK_BYTES = 2**20
_LONGEST_LABEL = 120
_MOST_FIELDS = 64
_LONGEST_FIELD = 256 * 1024
_SMALL_BODY = 2**20


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


class Uploads:
    """The uploads, with their quota and their expiry.

    Args:
        folder: Made where it is missing; for its owner alone.
        config: The limits.
        store: Where they are written down.
        inspect: Probes a file in a process of its own, or raises `VideoError`.
    """

    def __init__(
        self, folder: Path, config: ServerConfig, store: JobStore, inspect: Inspect
    ) -> None:
        self._folder = folder
        self._config = config
        self._store = store
        self._inspect = inspect
        self._uploads: dict[str, Upload] = {}
        self._holds: Counter[str] = Counter()
        self._incoming = 0
        self.bytes = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for value in store.uploads():
            upload = Upload.model_validate_json(value)
            if self.path(upload).is_file():
                self._uploads[upload.id] = upload
                self.bytes += upload.bytes
        for entry in folder.iterdir():
            if entry.name not in self._uploads:
                with contextlib.suppress(OSError):
                    entry.unlink()

    def __len__(self) -> int:
        return len(self._uploads)

    def path(self, upload: Upload) -> Path:
        """Where the bytes are."""
        return self._folder / upload.id

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
                f"{self._config.upload_age / 3600:g} hours",
            )
        return upload

    def hold(self, upload_id: str | None) -> None:
        """Keep an upload, where there is one, however old, until it is released as often."""
        if upload_id is not None:
            self._holds[upload_id] += 1

    def release(self, upload_id: str | None) -> None:
        """Take back one `hold`; what was sent for one request only goes with its last."""
        if upload_id is None:
            return
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
            self.bytes -= upload.bytes
            self.path(upload).unlink(missing_ok=True)
            self._store.remove_upload(upload_id)
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
        if len(self._uploads) + self._incoming >= self._config.upload_count:
            raise _no_room(f"{len(self._uploads)} uploads are kept, and that is the limit")
        # What a client calls a file is a label: no folder, nothing unprintable, not long.
        label = "".join(filter(str.isprintable, PureWindowsPath(name).name))[-_LONGEST_LABEL:]
        path = self._folder / secrets.token_hex(16)
        size = 0
        self._incoming += 1
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                async for chunk in chunks:
                    if self.bytes + len(chunk) > self._config.upload_quota:
                        raise _no_room("the uploads fill the room that the server has for them")
                    self.bytes += len(chunk)
                    size += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if not size:
                message = "the video is empty"
                raise ApiError(422, "video_unreadable", message, remedy="send the file")
            info = await self._inspect(path)
            if info.duration is not None and info.duration > self._config.video_seconds:
                raise VideoRefused(
                    f"the video is {float(info.duration):.0f} s long, and the server takes "
                    f"{self._config.video_seconds:g} s",
                    remedy="cut it",
                )
            upload = Upload(
                id=path.name,
                owner=owner,
                name=label,
                bytes=size,
                content=await asyncio.to_thread(content_of, path),
                probe=info,
                expires=round(time.time() + self._config.upload_age, 3),
                once=once,
            )
            await self._store.add_upload(upload.id, upload.model_dump_json())
            self._uploads[upload.id] = upload
            return upload
        except OSError as error:
            raise _no_room(f"the upload cannot be written: {error.strerror}") from error
        except PromptliftError as error:
            raise without_paths(error, path) from None
        finally:
            self._incoming -= 1
            if path.name not in self._uploads:
                self.bytes -= size
                path.unlink(missing_ok=True)


def _no_room(message: str) -> ApiError:
    return ApiError(
        507,
        "no_room",
        message,
        remedy="delete uploads, wait until old ones go, or raise the server's limits",
        retry_after=60,
    )


# Bodies: JSON or a form, limited in size and in slowness.


def media_type(headers: Headers) -> str:
    """The media type of a body, in lower case and without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, model: type[M], uploads: Uploads) -> tuple[M, Upload | None]:
    """Read a body.

    Args:
        request: The request.
        model: What the fields are.
        uploads: Where a file goes.

    Returns:
        The fields; and the file, held, if there was one: it goes with its last release.

    Raises:
        ApiError: It is not what is wanted, or too much of it.
        VideoError: The file is no video.
    """
    upload: Upload | None = None
    try:
        if media_type(request.headers) == "application/json":
            return model.model_validate_json(await request.body()), None
        if media_type(request.headers) == "multipart/form-data":
            async with request.form(
                max_files=1, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD
            ) as form:
                fields = dict(form)
                if len(fields) < len(form.multi_items()):
                    raise MultiPartException("a field is there twice")
                if isinstance(file := fields.get(FILE_FIELD), UploadFile):
                    del fields[FILE_FIELD]
                    name, owner = file.filename or "", request.state.owner
                    upload = await uploads.receive(name, owner, _chunks(file), once=True)
                    uploads.hold(upload.id)
                return model(**fields), upload
    except ValidationError as error:
        if upload is not None:
            uploads.release(upload.id)
        raise invalid_request(error.errors(include_url=False, include_context=False)) from None
    except (HTTPException, MultiPartException) as error:
        if isinstance(error, ApiError):
            raise
        message = getattr(error, "detail", None) or str(error)
        remedy = "send it as browsers and curl do: -F video=@clip.mp4"
        raise ApiError(422, "invalid", f"the form is damaged: {message}", remedy=remedy) from None
    raise ApiError(
        415,
        "media_type",
        "the body is neither JSON nor a form",
        remedy="send application/json, or multipart/form-data with the file in `video`",
    )


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(_CHUNK_BYTES):
        yield chunk


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI should say of a body that `read_body` reads."""
    plain = model.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "The video itself."}
    form = {
        **{name: value for name, value in plain.items() if name != "examples"},
        "properties": {FILE_FIELD: file, **plain["properties"]},
    }
    content = {
        "application/json": {"schema": plain},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


class BodyMiddleware:
    """Ends a request whose body is too large, or comes too slowly.

    Starlette's own limit knows neither slowness nor problems.

    Args:
        app: The application.
        upload_bytes: Most bytes of a file; a body of anything else may have a mebibyte.
        seconds: To wait for more.
        rate: Fewest bytes a second on average, after the first wait.
    """

    def __init__(self, app: ASGIApp, *, upload_bytes: int, seconds: float, rate: float) -> None:
        self._app = app
        self._upload_bytes = upload_bytes
        self._seconds = seconds
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a limited way to its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        small = media_type(headers) == "application/json" or not scope["path"].startswith("/v1/")
        most = _SMALL_BODY if small else self._upload_bytes + _SMALL_BODY
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            await _too_large(most).response()(scope, receive, send)
        else:
            await self._app(scope, self._limited(receive, most), send)

    def _limited(self, receive: Receive, most: int) -> Receive:
        size, began, over = 0, time.monotonic(), False
        too_slow = ApiError(
            408,
            "too_slow",
            "the request came too slowly",
            remedy="send it again",
            retry_after=1,
            headers={"Connection": "close"},
        )

        async def limited() -> Message:
            nonlocal size, over
            if over:  # what comes now is that the client goes away, which may take any time
                return await receive()
            try:
                async with asyncio.timeout(self._seconds):
                    message = await receive()
            except TimeoutError:
                raise too_slow from None
            size += len(message.get("body", b""))
            if size > most:
                raise _too_large(most)
            late = time.monotonic() - began - self._seconds
            if late > 0 and size < late * self._rate:
                raise too_slow
            over = not message.get("more_body", False)
            return message

        return limited


def _too_large(most: int) -> ApiError:
    message = f"the request is larger than the {most:,} bytes that are taken here"
    # With the end of the connection, so that nothing more of the body is read.
    close = {"Connection": "close"}
    return ApiError(413, "too_large", message, remedy="send a smaller one", headers=close)
