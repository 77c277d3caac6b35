"""What came back, as files: the text, the record, a Cosmos spec."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from promptlift.core.record import Record
from promptlift.server.errors import Refusal
from promptlift.server.page.asked import form_of
from promptlift.server.routes.common import Serving

__all__ = ["attachment", "has_spec", "router", "spec_of"]

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_KEYS = {"edge": "edge", "depth": "depth", "seg": "seg", "blur": "vis"}

router = APIRouter()


@router.post("/page/jobs/{job_id}/download")
async def download(request: Request, service: Serving, job_id: JobId) -> Response:
    """The text as it stands in the form, the record, or a spec with that text.

    Raises:
        Refusal: There is nothing to download yet, or no spec for that generator.
    """
    job = service.jobs.get(job_id, request.state.owner)
    record = service.jobs.record(job)
    if record is None:
        raise Refusal(404, "record_not_found", "this job has no record", remedy="run it again")
    form = await form_of(request)
    stem = _UNSAFE.sub("-", job.wish.name.rpartition(".")[0] or job.wish.name)[:60] or "prompt"
    text = " ".join(form.get("text", record.prompt or "").split())
    match form.get("as"):
        case "record":
            content = record.model_dump_json(indent=2)
            return attachment(content, f"{stem}.record.json", "application/json")
        case "spec":
            spec = json.dumps(spec_of(record, text), indent=4, ensure_ascii=False)
            return attachment(f"{spec}\n", f"{stem}.{record.target}.json", "application/json")
    return attachment(f"{text}\n", f"{stem}.txt", "text/plain")


def has_spec(target: str) -> bool:
    """Whether the generator reads spec files that we write."""
    return target in ("cosmos-transfer1", "cosmos-transfer2.5", "cosmos-predict2.5")


def spec_of(record: Record, text: str) -> dict[str, Any]:
    """A spec for the generator that the prompt is for, with its defaults elsewhere.

    A camera picture is followed by its edges; a control video is itself what is followed.

    Raises:
        Refusal: That generator reads no spec.
    """
    name = record.video.name
    kind = record.facts.kind.value if record.facts and record.facts.kind else "rgb"
    match record.target:
        case "cosmos-transfer1":
            return {
                "prompt": text,
                "input_video_path": name,
                **_control(kind, "input_control", name),
            }
        case "cosmos-transfer2.5":
            return {
                "name": _UNSAFE.sub("-", name.rpartition(".")[0] or name) or "prompt",
                "prompt": text,
                "video_path": name,
                **_control(kind, "control_path", name),
            }
        case "cosmos-predict2.5":
            return {
                "name": _UNSAFE.sub("-", name.rpartition(".")[0] or name) or "prompt",
                "inference_type": "video2world",
                "prompt": text,
                "input_path": name,
            }
    raise Refusal(
        422,
        "no_spec",
        f"{record.target} reads no spec file that is known here",
        remedy="download the text instead",
    )


def _control(kind: str, path_key: str, name: str) -> dict[str, Any]:
    if kind in _KEYS:
        return {_KEYS[kind]: {path_key: name, "control_weight": 1.0}}
    return {"edge": {"control_weight": 1.0}}


def attachment(content: str, name: str, kind: str) -> Response:
    """A file that a browser saves."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=f"{kind}; charset=utf-8")
