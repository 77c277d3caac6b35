"""Many videos at once: rows of a JSONL file, or one prompt for several videos."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from promptlift.core.record import Failure, Record
from promptlift.errors import PromptliftError
from promptlift.server.errors import Refusal, failure_of
from promptlift.server.jobs import Job
from promptlift.server.page.asked import FIELDS, accept, asked_of, form_of
from promptlift.server.page.batch_store import Batch, BatchRow, BatchStore
from promptlift.server.page.downloads import attachment
from promptlift.server.page.rendering import fragment
from promptlift.server.page.words import check_words
from promptlift.server.routes.common import Serving
from promptlift.server.service import Service

__all__ = ["batch_values", "newest_batches", "router"]

RunId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_COLUMNS = (
    "id",
    "video",
    "prompt",
    "long_prompt",
    "status",
    "error_code",
    "error_message",
    "error_remedy",
)  # as `promptlift batch export` calls them
_LISTED = 100
_AT_ONCE = 20
_TAKEN_AT_ONCE = 64
_MOST_ROWS = 2000
_RECENT = 8
_GONE = Failure(
    code="job_not_found",
    message="the job was forgotten: it ended long ago",
    remedy="its record is in the journal; see `promptlift batch show`",
    retryable=False,
)
_ORDER = {"failed": 0, "rejected": 1, "running": 2, "queued": 3}
_OVER = {"ok", "repaired", "rejected", "failed", "cancelled"}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Row:
    """A row and how it stands.

    Attributes:
        row: What was asked.
        state: ``queued``, ``running``, a record's status, or ``cancelled``.
        failure: Why it has no prompt.
        job: Its job; None where there is none any more.
        record: What came of it; None until it is read.
    """

    row: BatchRow
    state: str
    failure: Failure | None = None
    job: Job | None = None
    record: Record | None = None

    @property
    def failed_checks(self) -> list[str]:
        """What the review found wrong, in words."""
        review = self.record.review if self.record else None
        return [check_words(one) for one in review.checks if not one.passed] if review else []


@router.post("/page/batches")
async def begin(request: Request, service: Serving) -> Response:
    """Take on the rows of a form: ``rows`` as JSONL, ``files`` as a JSON object of upload ids.

    A row that cannot be taken on is kept with its error, and stops no other.

    Raises:
        Refusal: There is no row at all, or there are too many.
    """
    form = await form_of(request)
    files = _files(form.get("files", "{}"))
    lines = form.get("rows", "").splitlines() or [json.dumps({"video": name}) for name in files]
    lines = [line for line in lines if line.strip()]
    if not 1 <= len(lines) <= _MOST_ROWS:
        raise Refusal(
            422,
            "rows",
            f"there are {len(lines):,} rows, and the page takes 1 to {_MOST_ROWS:,}",
            remedy="drop videos or a JSONL file; for more, use `promptlift batch`",
        )
    shared = {name: form[name] for name in FIELDS if name in form and name != "upload_id"}
    rows: list[BatchRow] = []
    for start in range(0, len(lines), _TAKEN_AT_ONCE):
        # Together, so that they share the journal's way to the disk.
        some = enumerate(lines[start : start + _TAKEN_AT_ONCE], start + 1)
        taken = (_taken_on(service, request, number, line, files, shared) for number, line in some)
        rows += await asyncio.gather(*taken)
    name = form.get("name") or f"{len(rows)} videos"
    kept = await _store(service).keep(request.state.owner, name[:120], rows)
    values = await batch_values(service, kept.id, request.state.owner)
    return fragment("_run.html", push=f"/batch?run={kept.id}", run=values)


@router.get("/page/batches/{run_id}")
async def look(request: Request, service: Serving, run_id: RunId) -> Response:
    """How far a batch is."""
    return fragment("_run.html", run=await batch_values(service, run_id, request.state.owner))


@router.get("/page/batches/{run_id}/export")
async def export(
    request: Request,
    service: Serving,
    run_id: RunId,
    form: Annotated[str, Query(pattern="^(records|csv|cosmos)$")] = "records",
) -> Response:
    """Everything so far: whole records as JSONL, a table, or a Cosmos-Transfer1 batch."""
    rows = await _read(service, await _rows(service, run_id, request.state.owner))
    stem = f"batch-{run_id[:8]}"
    match form:
        case "csv":
            return attachment(_table(rows), f"{stem}.csv", "text/csv")
        case "cosmos":
            return attachment(_jsonl(_cosmos(rows)), f"{stem}.cosmos.jsonl", "application/jsonl")
    return attachment(_jsonl(_records(rows)), f"{stem}.jsonl", "application/jsonl")


async def newest_batches(service: Service, owner: str) -> list[Batch]:
    """The last batches of a key."""
    return await asyncio.to_thread(_store(service).newest, owner, _RECENT)


async def batch_values(service: Service, run_id: str, owner: str) -> dict[str, Any]:
    """What `_run.html` tells of a batch: the counts, the share, and the rows, failures first.

    Raises:
        Refusal: There is no such batch.
    """
    kept = await asyncio.to_thread(_store(service).get, run_id, owner)
    rows = [_stands(service, row, owner) for row in kept.rows]
    counts = Counter(row.state for row in rows)
    done = sum(counts[state] for state in _OVER)
    listed = sorted(rows, key=lambda one: _ORDER.get(one.state, 4))[:_LISTED]
    return {
        "batch": kept,
        "counts": counts,
        "done": done,
        "total": len(rows),
        "over": done == len(rows),
        "rows": await _read(service, listed),
        "hidden": len(rows) - len(listed),
        "fit": counts["ok"] + counts["repaired"],
    }


async def _rows(service: Service, run_id: str, owner: str) -> list[Row]:
    kept = await asyncio.to_thread(_store(service).get, run_id, owner)
    return [_stands(service, row, owner) for row in kept.rows]


async def _taken_on(
    service: Service,
    request: Request,
    number: int,
    line: str,
    files: dict[str, str],
    shared: dict[str, str],
) -> BatchRow:
    """One row as a job, or with its error."""
    row = BatchRow(number=number)
    try:
        said = _said(line)
        row = BatchRow(
            number=number,
            video=said["video"],
            prompt=str(said.get("prompt") or shared.get("prompt", "")),
            id=str(said.get("id") or ""),
        )
        own = {name: said[name] for name in FIELDS if said.get(name) is not None}
        named = {"prompt": row.prompt, "upload_id": _upload_of(row.video, files)}
        job = await accept(service, request, asked_of({**shared, **own, **named}))
    except Refusal as refusal:
        return row.model_copy(update={"error": refusal.failure})
    except PromptliftError as error:
        return row.model_copy(update={"error": failure_of(error)})
    return row.model_copy(update={"job": job.id})


def _said(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("video"), str):
        raise Refusal(
            422,
            "row",
            f"the line is no row: {line[:60]!r}",
            remedy='write one object a line, such as {"video": "a.mp4", "prompt": "a red car"}',
        )
    return said


def _upload_of(video: str, files: dict[str, str]) -> str:
    """The upload of a row's video, by its name without folders, as the browser sent it."""
    name = video.replace("\\", "/").rpartition("/")[2]
    if name not in files:
        raise Refusal(
            422,
            "video_not_sent",
            f"the row names {name[:80]!r}, and no such video was dropped",
            remedy="drop the video beside the JSONL file, or correct its name",
        )
    return files[name]


def _files(text: str) -> dict[str, str]:
    try:
        said = json.loads(text)
        return {str(name): str(upload_id) for name, upload_id in said.items()}
    except (ValueError, AttributeError):
        raise Refusal(
            422, "invalid", "the list of videos is malformed", remedy="try again"
        ) from None


def _stands(service: Service, row: BatchRow, owner: str) -> Row:
    """How a row stands, without reading its record: many are asked for at once."""
    if row.job is None:
        return Row(row, "failed", row.error)
    try:
        job = service.jobs.get(row.job, owner)
    except Refusal:
        return Row(row, "failed", _GONE)
    if job.state == "failed":
        return Row(row, "failed", job.error, job)
    if job.state != "finished":
        return Row(row, job.state, job.error, job)
    standing = service.ledger.standing(job.key) if job.key else None
    return Row(row, standing.state, None, job) if standing else Row(row, "failed", _GONE, job)


async def _read(service: Service, rows: Iterable[Row]) -> list[Row]:
    """The same with their records; others have their turn in between."""
    read = []
    for number, one in enumerate(rows):
        record = service.jobs.record(one.job) if one.job else None
        read.append(replace(one, record=record))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return read


def _records(rows: list[Row]) -> Iterator[dict[str, Any]]:
    for one in rows:
        record = one.record.model_dump(mode="json") if one.record else None
        yield {**dict(zip(_COLUMNS, _cells(one), strict=True)), "record": record}


def _cells(one: Row) -> tuple[str | None, ...]:
    failure = one.failure
    return (
        one.row.id or None,
        one.row.video,
        one.row.prompt,
        one.record.prompt if one.record else None,
        one.state,
        failure.code if failure else None,
        failure.message if failure else None,
        failure.remedy if failure else None,
    )


def _cosmos(rows: list[Row]) -> Iterator[dict[str, Any]]:
    for one in rows:
        if one.record is not None and one.record.prompt and one.state in ("ok", "repaired"):
            yield {"visual_input": one.row.video, "prompt": one.record.prompt}


def _jsonl(values: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def _table(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(cell or "") for cell in _cells(one)] for one in rows)
    return text.getvalue()


def _cell(text: str) -> str:
    """A cell that a spreadsheet takes for text and not for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _store(service: Service) -> BatchStore:
    return BatchStore(service.settings.data / "page" / "batches")
