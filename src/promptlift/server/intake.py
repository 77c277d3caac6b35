"""A request's body, JSON or a form, to what is asked and the video that came with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from promptlift.server.errors import Refusal
from promptlift.server.uploads import Incoming, Upload, Uploads

__all__ = ["FILE_FIELD", "body_schema", "invalid", "read_asked"]

M = TypeVar("M", bound=BaseModel)

FILE_FIELD = "video"
_MOST_FIELDS = 64
_LONGEST_FIELD = 256 * 1024
_SAID = 5


async def read_asked(
    request: Request, model: type[M], uploads: Uploads, *, once: bool = True
) -> tuple[M, Upload | None]:
    """Read a body.

    Args:
        request: Whose.
        model: What the fields are.
        uploads: Where a file goes.
        once: The file goes with the request.

    Returns:
        The fields; and the file, held, if there was one: let it go when it is no longer needed.

    Raises:
        Refusal: It is not what is wanted, or too much of it.
        VideoError: The file is no video.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"application/json":
        return _checked(model, await request.body()), None
    if kind == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise _malformed("the form has no boundary")
        form = _Form(boundary, uploads, request.state.owner, once=once)
        fields, upload = await form.read(request.stream())
        try:
            return _checked(model, fields), upload
        except Refusal:
            if upload is not None:
                uploads.let_go(upload.id)
            raise
    raise Refusal(
        415,
        "media_type",
        "the body is neither JSON nor a form",
        remedy="send application/json, or multipart/form-data with the file in `video`",
    )


def body_schema(model: type[BaseModel], *, file_only: bool = False) -> dict[str, Any]:
    """What OpenAPI should say of a body that is read here."""
    plain = model.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "The video itself."}
    form = {
        **{name: value for name, value in plain.items() if name != "examples"},
        "properties": {FILE_FIELD: file, **plain["properties"]},
    }
    content = {"multipart/form-data": {"schema": form}}
    if not file_only:
        content = {"application/json": {"schema": plain}, **content}
    return {"requestBody": {"required": True, "content": content}}


def _checked(model: type[M], said: bytes | dict[str, str]) -> M:
    try:
        return model.model_validate_json(said) if isinstance(said, bytes) else model(**said)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)) from None


def invalid(errors: Any) -> Refusal:
    """The answer to fields that do not fit; what was sent is not repeated."""
    said = [
        f"{'.'.join(str(part) for part in one['loc']) or 'the body'}: {one['msg']}"
        for one in errors[:_SAID]
    ]
    more = f", and {len(errors) - _SAID} more" if len(errors) > _SAID else ""
    return Refusal(
        422,
        "invalid",
        "; ".join(said) + more,
        remedy="compare the request with /openapi.json",
    )


class _Form:
    """A multipart body as it comes in; the file goes straight to the disk."""

    def __init__(self, boundary: bytes, uploads: Uploads, owner: str, *, once: bool) -> None:
        self._uploads = uploads
        self._owner = owner
        self._once = once
        self._heard: list[tuple[str, bytes]] = []
        self._header = b""
        self._value = b""
        self._name: str | None = None
        self._text = bytearray()
        self._fields: dict[str, str] = {}
        self._file: Incoming | None = None
        self._upload: Upload | None = None
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError:
            raise _malformed("the form's boundary is none") from None

    async def read(self, chunks: AsyncIterator[bytes]) -> tuple[dict[str, str], Upload | None]:
        """Read all of it."""
        try:
            async for chunk in chunks:
                self._parse(chunk)
                await self._act()
            self._parser.finalize()
            await self._act()
            if not self._ended:
                raise _malformed("the form ends in the middle")
        except BaseException as error:
            if self._file is not None:
                await self._file.__aexit__()
            if self._upload is not None:
                self._uploads.let_go(self._upload.id)
            if isinstance(error, FormParserError):
                raise _malformed("the form is damaged") from None
            raise
        return self._fields, self._upload

    def _parse(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    async def _act(self) -> None:
        heard, self._heard = self._heard, []
        for what, data in heard:
            match what:
                case "header":
                    self._header += data
                case "value":
                    self._value += data
                case "header_end":
                    self._take_header()
                case "begin":
                    self._begin()
                case "data":
                    await self._take(data)
                case "end":
                    await self._end()
                case "over":
                    self._ended = True

    def _take_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self._label = options.get(b"filename", b"").decode("utf-8", "replace")
        self._header = self._value = b""

    def _begin(self) -> None:
        if self._name is None:
            raise _malformed("a part of the form has no name")
        if self._name == FILE_FIELD:
            if self._file is not None or self._upload is not None:
                raise _malformed("the form has more than one video")
            self._file = self._uploads.begin(self._label, self._owner, once=self._once)
        elif self._name in self._fields:
            raise _malformed("a field is there twice")
        elif len(self._fields) >= _MOST_FIELDS:
            raise _malformed("the form has too many fields")

    async def _take(self, data: bytes) -> None:
        if self._file is not None:
            await self._file.write(data)
            return
        self._text += data
        if len(self._text) > _LONGEST_FIELD:
            raise _malformed("a field of the form is too long")

    async def _end(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            async with file:
                self._upload = await file.finish()
            self._uploads.hold(self._upload.id)
        elif self._name is not None:
            try:
                self._fields[self._name] = self._text.decode("utf-8")
            except UnicodeDecodeError:
                raise _malformed("a field of the form is not UTF-8") from None
        self._text.clear()
        self._name = None

    def _callbacks(self) -> Any:
        def note(what: str) -> Any:
            return lambda: self._heard.append((what, b""))

        def keep(what: str) -> Any:
            return lambda data, start, end: self._heard.append((what, bytes(data[start:end])))

        return {
            "on_header_field": keep("header"),
            "on_header_value": keep("value"),
            "on_header_end": note("header_end"),
            "on_headers_finished": note("begin"),
            "on_part_data": keep("data"),
            "on_part_end": note("end"),
            "on_end": note("over"),
        }


def _malformed(message: str) -> Refusal:
    return Refusal(
        422, "invalid", message, remedy="send it as browsers and curl do: -F video=@clip.mp4"
    )
