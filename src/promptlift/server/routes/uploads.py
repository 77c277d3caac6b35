"""``/v1/uploads``: videos on the server's disk, for a while."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from promptlift.server.errors import Refusal
from promptlift.server.intake import FILE_FIELD, body_schema, read_asked
from promptlift.server.models import UploadOut
from promptlift.server.routes.common import Serving, problems
from promptlift.server.service import Service
from promptlift.server.uploads import Upload

__all__ = ["router"]

router = APIRouter(tags=["uploads"])

UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As it was given.")]


class _Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


_BODY = body_schema(_Nothing, file_only=True)
_BODY["requestBody"]["content"]["multipart/form-data"]["schema"]["required"] = [FILE_FIELD]
_BODY["requestBody"]["content"]["application/octet-stream"] = {
    "schema": {"type": "string", "format": "binary"}
}


@router.post(
    "/v1/uploads",
    status_code=201,
    response_model=UploadOut,
    responses=problems(404, 415, 507),
    openapi_extra=_BODY,
)
async def upload(
    request: Request,
    service: Serving,
    name: Annotated[
        str, Query(max_length=1000, description="What to call it, where the body is the file.")
    ] = "",
) -> UploadOut:
    """Send a video once, to ask many things about it: a form with `video`, or the bytes alone."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        _, sent = await read_asked(request, _Nothing, service.uploads, once=False)
        if sent is None:
            raise Refusal(
                422, "no_video", "the form has no field video", remedy="-F video=@clip.mp4"
            )
        service.uploads.let_go(sent.id)
    else:
        sent = await _plain(request, service, name, kind)
    return UploadOut.of(sent, service.settings.upload_age)


async def _plain(request: Request, service: Service, name: str, kind: str) -> Upload:
    if kind not in ("", "application/octet-stream") and not kind.startswith(("video/", "image/")):
        raise Refusal(
            415,
            "media_type",
            "the body is neither a form nor a video",
            remedy="send multipart/form-data with the field video, or application/octet-stream",
        )
    async with service.uploads.begin(name, request.state.owner) as incoming:
        async for chunk in request.stream():
            await incoming.write(chunk)
        return await incoming.finish()


@router.get("/v1/uploads/{upload_id}", response_model=UploadOut, responses=problems(404))
async def look(request: Request, service: Serving, upload_id: UploadId) -> UploadOut:
    """What is known of an upload."""
    kept = service.uploads.get(upload_id, request.state.owner)
    return UploadOut.of(kept, service.settings.upload_age)


@router.delete("/v1/uploads/{upload_id}", status_code=204, responses=problems(404, 409))
async def delete(request: Request, service: Serving, upload_id: UploadId) -> None:
    """Delete an upload now."""
    service.uploads.get(upload_id, request.state.owner)
    if not service.uploads.remove(upload_id):
        raise Refusal(
            409,
            "upload_in_use",
            "a job still needs this upload",
            remedy="wait for the job, or delete it first",
            retry_after=5,
        )
