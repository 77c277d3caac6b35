"""The Batch tab: rows of a JSONL file, or one prompt for several videos, as jobs of the server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import secrets
import time
from collections import Counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import Response

from promptlift.errors import PromptliftError
from promptlift.options import Options
from promptlift.record import Failure, Record
from promptlift.server.db import StoredBatch
from promptlift.server.errors import ApiError, failure_of
from promptlift.server.routes import ServiceDep
from promptlift.server.service import Service
from promptlift.text import csv_cell
from promptlift.web.routes import (
    FORM_FIELDS,
    PICTURE_FIELDS,
    HexId,
    accept_job,
    attachment,
    found,
    key_page,
    needs_key,
    page,
    parse_form,
    read_form,
)

__all__ = ["router"]

_OPTIONS = frozenset(FORM_FIELDS) - {"upload_id", "prompt"}
_MOST_ROWS = 2000
_LISTED = 100
_RECENT = 8
_ORDER = {"failed": 0, "rejected": 1, "running": 2, "queued": 3}
_GONE = Failure(
    code="job_not_found",
    message="the job or its record has been deleted",
    remedy="send the row again",
    retryable=False,
)

router = APIRouter()


class _InputRow(BaseModel):
    """A line of a JSONL file; an option stands beside the video, or below ``options``."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    video: str | None = None
    prompt: str | None = None
    id: str | None = None
    options: dict[str, Any] | None = None


class PageRow(BaseModel):
    """A row of a batch; `state` and `record` are not stored.

    Attributes:
        number: Its line, from 1.
        video: As the row names it.
        prompt: The short prompt.
        id: The row's own.
        job: Its job; None where it was not accepted.
        error: Why it has no prompt.
        state: ``queued``, ``running``, ``cancelled``, ``failed``, or the status of its record.
        record: Its record; None where it has none, or it was not read.
    """

    number: int
    video: str = ""
    prompt: str = ""
    id: str = ""
    job: str | None = None
    error: Failure | None = None
    state: Annotated[str, Field(exclude=True)] = "failed"
    record: Annotated[Record | None, Field(exclude=True)] = None

    def cells(self) -> dict[str, str | None]:
        """Its columns in an export, with the names of `promptlift batch export`."""
        return {
            "id": self.id or None,
            "video": self.video,
            "prompt": self.prompt,
            "long_prompt": self.record.prompt if self.record else None,
            "status": self.state,
            "error_code": self.error.code if self.error else None,
            "error_message": self.error.message if self.error else None,
            "error_remedy": self.error.remedy if self.error else None,
        }


_ROWS: Final = TypeAdapter(list[PageRow])
_FILES: Final = TypeAdapter(dict[str, str | dict[str, Any]])


@router.get("/batch")
async def batch_page(
    request: Request, service: ServiceDep, run: Annotated[str, Query(max_length=32)] = ""
) -> Response:
    """Many videos at once."""
    if needs_key(request):
        return key_page(request)
    owner = request.state.owner
    stored, problem = found(lambda: _stored(service, run, owner) if run else None)
    values = await _values(service, stored) if stored else None
    recent = service.store.batches(owner, _RECENT)
    return page(request, "batch.html", run=values, problem=problem, recent=recent, asked=None)


@router.post("/page/batches")
async def start_batch(request: Request, service: ServiceDep) -> Response:
    """Accept the rows of a form: ``rows`` as JSONL, ``files`` as a JSON object of upload ids.

    A row that cannot be accepted is stored with its error, and the others go on.

    Raises:
        ApiError: There is no row at all, or there are too many.
    """
    form = await read_form(request)
    try:
        files = _FILES.validate_json(form.get("files", "{}"))
    except ValidationError:
        message = "the list of videos is malformed"
        raise ApiError(422, "invalid", message, remedy="try again") from None
    lines = [line for line in form.get("rows", "").splitlines() if line.strip()]
    most = min(_MOST_ROWS, service.config.queue)
    if not 1 <= len(lines) <= most:
        raise ApiError(
            422,
            "rows",
            f"there are {len(lines):,} rows, and the page accepts 1 to {most:,}",
            remedy="drop videos or a JSONL file; for more, use `promptlift batch run`",
        )
    shared = {name: form[name] for name in FORM_FIELDS if name in form}
    rows = await asyncio.gather(
        *(_accept_row(service, request, *one, files, shared) for one in enumerate(lines, 1))
    )
    stored = StoredBatch(
        secrets.token_hex(16),
        request.state.owner,
        (form.get("name") or f"{len(rows)} videos")[:120],
        round(time.time(), 3),
        _ROWS.dump_json(rows).decode(),
    )
    await service.store.add_batch(stored)
    values = await _values(service, stored)
    return page(request, "_batch.html", push=f"/batch?run={stored.id}", run=values)


@router.get("/page/batches/{batch_id}/export")
async def export_batch(
    request: Request,
    service: ServiceDep,
    batch_id: HexId,
    form: Annotated[str, Query(pattern="^(records|csv|cosmos)$")] = "records",
) -> Response:
    """All rows so far: with their records as JSONL, a table, or a Cosmos-Transfer1 batch."""
    stored = _stored(service, batch_id, request.state.owner)
    rows = [await _read(service, stored.owner, row) for row in await _rows(service, stored)]
    stem = f"batch-{batch_id[:8]}"
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(rows[0].cells())
        writer.writerows(map(csv_cell, one.cells().values()) for one in rows)
        return attachment(text.getvalue(), f"{stem}.csv", "text/csv")
    if form == "cosmos":
        lines: list[dict[str, Any]] = [
            {"visual_input": one.video, "prompt": one.record.prompt}
            for one in rows
            if one.record and one.record.prompt and one.state in ("ok", "repaired", "unchanged")
        ]
        stem += ".cosmos"
    else:
        lines = [
            {**one.cells(), "record": one.record and one.record.model_dump(mode="json")}
            for one in rows
        ]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return attachment(content, f"{stem}.jsonl", "application/jsonl")


async def _accept_row(
    service: Service,
    request: Request,
    number: int,
    line: str,
    files: dict[str, str | dict[str, Any]],
    shared: dict[str, str],
) -> PageRow:
    """A row with its job, or with its error."""
    accepted = PageRow(number=number)
    try:
        row = _InputRow.model_validate_json(line)
        accepted.video, accepted.id = row.video or "", row.id or ""
        accepted.prompt = row.prompt or shared.get("prompt", "")
        options = row.options or {}
        Options().merged(options)  # refuses what is no option
        given = {**(row.model_extra or {}), **options}
        own = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
        named = {"prompt": accepted.prompt}
        for name in PICTURE_FIELDS:
            if (value := own.get(name)) is not None:
                several = value if isinstance(value, list) else str(value).split(";")
                own[name] = ",".join(_upload_of(str(one).strip(), files) for one in several)
        if row.video is not None:
            named["upload_id"] = _upload_of(row.video, files)
        job = await accept_job(service, request, parse_form({**shared, **own, **named}))
        accepted.job = job.id
    except ValidationError:
        accepted.error = Failure(
            code="row",
            message=f"the line is not a valid row: {line[:60]!r}",
            remedy='write one object a line, such as {"video": "a.mp4", "prompt": "a red car"}',
            retryable=False,
        )
    except ApiError as error:
        accepted.error = error.failure
    except PromptliftError as error:
        accepted.error = failure_of(error)
    return accepted


def _upload_of(video: str, files: dict[str, str | dict[str, Any]]) -> str:
    """The upload of a row's video, by its name without folders, as the browser sent it.

    Raises:
        ApiError: It was not sent, or was refused, as the browser says.
    """
    name = video.replace("\\", "/").rpartition("/")[2]
    upload = files.get(name)
    if isinstance(upload, str):
        return upload
    if upload is None:
        message = f"there is no video {name[:80]!r} among the files that were sent"
        remedy = "add the video beside the JSONL file, or correct its name"
    else:
        message = str(upload.get("message") or f"the video {name[:80]!r} could not be sent")
        remedy = str(upload.get("remedy") or "send it again")
    raise ApiError(422, "video_not_sent", message[:500], remedy=remedy[:500])


def _stored(service: Service, batch_id: str, owner: str) -> StoredBatch:
    stored = service.store.batch(batch_id, owner)
    if stored is None:
        raise ApiError(
            404,
            "not_found",
            "there is no such batch",
            remedy="open one from the list, or start a new one",
        )
    return stored


async def _values(service: Service, stored: StoredBatch) -> dict[str, Any]:
    """The values of ``_batch.html``: the counts, and the rows, those that failed first."""
    rows = await _rows(service, stored)
    counts = Counter(row.state for row in rows)
    listed = sorted(rows, key=lambda row: _ORDER.get(row.state, 4))[:_LISTED]
    return {
        "batch": stored,
        "counts": counts,
        "done": len(rows) - counts["queued"] - counts["running"],
        "total": len(rows),
        "rows": [await _read(service, stored.owner, row) for row in listed],
    }


async def _rows(service: Service, stored: StoredBatch) -> list[PageRow]:
    """All rows with their states."""
    rows = _ROWS.validate_json(stored.rows)
    states = await service.jobs.states(stored.owner, [row.job for row in rows if row.job])
    for row in rows:
        state = states.get(row.job or "", "failed")
        row.state = "running" if state == "finished" else state  # its result is being written
    return rows


async def _read(service: Service, owner: str, row: PageRow) -> PageRow:
    """The same with its record, or why it has none; other requests go on in between."""
    await asyncio.sleep(0)
    if row.job is not None and row.state not in ("queued", "running"):
        try:
            job = service.jobs.get(row.job, owner)
            row.record, row.error = service.jobs.record(job), job.error
        except ApiError:
            row.error = _GONE
        if row.state == "failed" and row.error is None:
            row.error = _GONE
    return row
