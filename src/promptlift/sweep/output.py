"""A sweep as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from promptlift import __version__
from promptlift.sweep.rows import Row

__all__ = ["as_csv", "as_json", "as_table"]


def as_json(rows: Sequence[Row], prompt: str) -> str:
    """All that is known of each row."""
    content = {
        "promptlift": __version__,
        "prompt": prompt,
        "rows": [_values(row) for row in rows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_csv(rows: Sequence[Row]) -> str:
    """The same as a sheet, a line a row; what is not known is empty."""
    sheet = io.StringIO()
    values = [_values(row) for row in rows]
    writer = csv.DictWriter(sheet, list(values[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return sheet.getvalue()


def as_table(rows: Sequence[Row]) -> str:
    """A block for each model and number of frames; answers stand below their block."""
    blocks = groupby(rows, key=lambda row: (row.model, row.frames))
    return "\n\n".join(_block(list(block)) for _, block in blocks)


def _values(row: Row) -> dict[str, Any]:
    plan, seen = row.plan, row.measured
    return {
        "model": row.model,
        "frames": row.frames,
        "width": row.size.width,
        "height": row.size.height,
        "context": row.context,
        "reserve": row.reserve,
        "predicted_tokens": row.tokens,
        "room": row.room,
        "bare_request": row.verdict,
        "plan_width": None if plan is None else plan.size.width,
        "plan_height": None if plan is None else plan.size.height,
        "plan_tokens": None if plan is None else plan.prompt_tokens,
        "counted_tokens": None if seen is None else seen.tokens,
        "answered": None if seen is None else seen.answered,
        "finish_reason": None if seen is None else seen.finish_reason,
        "seconds": None if seen is None else round(seen.seconds, 3),
        "error": None if seen is None else seen.error,
        "answer": None if seen is None else seen.text,
    }


def _block(rows: list[Row]) -> str:
    first = rows[0]
    frames = "1 frame" if first.frames == 1 else f"{first.frames} frames"
    title = (
        f"{first.model}, {frames}, context {first.context:,}, {first.reserve:,} kept for the answer"
    )
    measured = any(row.measured for row in rows)
    head = ["size", "tokens", "room", "bare", "as planned", "tokens"]
    cells = [head + ["counted", "engine", "seconds"] * measured]
    cells += [_cells(row, measured=measured) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (3, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([title, *lines, *_remarks(rows)])


def _cells(row: Row, *, measured: bool) -> list[str]:
    plan = row.plan
    cells = [
        str(row.size),
        _number(row.tokens),
        _number(row.room),
        row.verdict.upper() if row.verdict == "fails" else row.verdict,
        "-" if plan is None else str(plan.size),
        _number(None if plan is None else plan.prompt_tokens),
    ]
    if measured:
        seen = row.measured
        cells += ["-"] * 3 if seen is None else [_number(seen.tokens), *_engine_cells(row)]
    return cells


def _engine_cells(row: Row) -> tuple[str, str]:
    seen = row.measured
    assert seen is not None
    done = "REFUSED" if not seen.answered else "answered"
    if seen.finish_reason == "length":
        done = "answer cut"
    return done, f"{seen.seconds:.2f}"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _remarks(rows: list[Row]) -> list[str]:
    """What the engine said: a refusal once for each wording, and the answers that were kept."""
    lines = []
    refusals = {row.measured.error: row for row in rows if row.measured and row.measured.error}
    for error, row in refusals.items():
        lines.append(f"{row.size}: {error}")
    answers = [row for row in rows if row.measured and row.measured.text is not None]
    lines += [f"{row.size}: {row.measured.text}" for row in answers if row.measured]
    return ["", *lines] if lines else []
