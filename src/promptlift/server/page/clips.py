"""The video of a form: what was uploaded, its poster, and the examples."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.responses import Response

from promptlift.server.errors import Refusal
from promptlift.server.page.pictures import KINDS, poster
from promptlift.server.page.rendering import fragment
from promptlift.server.page.words import clip_words
from promptlift.server.routes.common import Serving
from promptlift.server.service import Service
from promptlift.testing.video import Motion, synthetic_video

__all__ = ["EXAMPLES", "Example", "clip_values", "router"]

UploadId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$")]
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}

router = APIRouter()


class Example(NamedTuple):
    """A clip that is drawn when it is first wanted.

    Attributes:
        title: What a button says.
        prompt: A short prompt that fits.
        motion: What the camera does.
        size: Width and height.
        seed: Which hills.
    """

    title: str
    prompt: str
    motion: Motion
    size: tuple[int, int]
    seed: int


EXAMPLES: Final = {
    "balloon": Example(
        "Balloon, 720p", "a red hot-air balloon drifts over the hills", "pan", (1280, 720), 0
    ),
    "hills": Example("Hills, 480p", "a balloon rises above wooded hills", "tilt", (640, 480), 3),
}
_SECONDS, _RATE = 3, 12
_drawing = asyncio.Lock()


@router.get("/page/picker")
async def picker(service: Serving) -> Response:
    """The place for a video, empty."""
    return fragment("_picker.html", examples=EXAMPLES, limits=service.settings)


@router.get("/page/clips/{upload_id}")
async def clip(request: Request, service: Serving, upload_id: UploadId) -> Response:
    """What is known of an upload, and the field that names it."""
    return fragment("_clip.html", clip=clip_values(service, upload_id, request.state.owner))


@router.get("/page/clips/{upload_id}/poster")
async def clip_poster(request: Request, service: Serving, upload_id: UploadId) -> Response:
    """Its first picture."""
    kept = service.uploads.get(upload_id, request.state.owner)
    path = service.uploads.path(kept)
    picture = await service.look(
        request.state.client, partial(service.crew.call, poster, str(path))
    )
    return Response(picture, headers=_KEPT, media_type=KINDS["webp"])


@router.post("/page/examples/{name}")
async def example(request: Request, service: Serving, name: str) -> Response:
    """Take an example, as if it had been uploaded."""
    if name not in EXAMPLES:
        raise Refusal(404, "not_found", "there is no such example", remedy="choose another")
    content = await _drawn(service, name)
    async with service.uploads.begin(f"{name}.mp4", request.state.owner) as incoming:
        await incoming.write(content)
        kept = await incoming.finish()
    values = clip_values(service, kept.id, request.state.owner)
    return fragment("_clip.html", clip=values, suggestion=EXAMPLES[name].prompt)


async def _drawn(service: Service, name: str) -> bytes:
    """The example as a file; drawn once, and kept while this server's data is."""
    path = service.settings.data / "page" / "examples" / f"{name}.mp4"
    async with _drawing:
        if not path.exists():
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            await service.crew.call(_draw, EXAMPLES[name], str(path))
    return await asyncio.to_thread(path.read_bytes)


def _draw(example: Example, path: str) -> None:
    with TemporaryDirectory(dir=Path(path).parent) as folder:
        drawn = synthetic_video(
            Path(folder) / "drawn.mp4",
            seconds=_SECONDS,
            fps=_RATE,
            size=example.size,
            motion=example.motion,
            seed=example.seed,
        )
        drawn.replace(path)


def clip_values(
    service: Service, upload_id: str, owner: str, *, missing_ok: bool = False
) -> dict[str, Any] | None:
    """What `_clip.html` tells of an upload.

    Raises:
        Refusal: There is none, unless that is all right.
    """
    try:
        kept = service.uploads.get(upload_id, owner)
    except Refusal:
        if missing_ok:
            return None
        raise
    return {
        "id": kept.id,
        "name": kept.name or "video",
        "about": clip_words(kept.probe, kept.bytes),
    }
