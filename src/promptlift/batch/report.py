"""One HTML page about a run: what failed and what to do, times and tokens, a sample of results.

The page needs nothing but itself: the style and the images are inside, there is no script, and all
text from inputs, models and errors is escaped by the template.
"""

from __future__ import annotations

import base64
import io
import json
import time
from array import array
from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from promptlift import __version__
from promptlift.batch.status import (
    STATUSES,
    RowResult,
    RunSummary,
    damage_lines,
    failed_checks,
    format_duration,
    format_rate,
    next_steps,
    raw_record,
    reason_of,
    row_results,
    summarise,
)
from promptlift.errors import VideoError
from promptlift.files import html_templates, write_atomic
from promptlift.store.index import FIT
from promptlift.store.remote import RunPlace
from promptlift.store.run_dir import RunDir, open_run
from promptlift.text import counted, plain_text
from promptlift.types import Instant, Size
from promptlift.video.source import content_of, open_video
from promptlift.video.workers import isolated_call

__all__ = ["write_report"]

_Sample = list[tuple[RowResult, dict[str, Any]]]
_SAMPLE_FRAMES = 4
_FRAME_BOX = Size(320, 320)
_MEASURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "prepare": ("reading the video and planning", format_duration),
    "ask": ("waiting for the engine", format_duration),
    "prompt": ("tokens of the prompt, frames included", "{:,.0f}".format),
    "result": ("tokens of the result, as its target counts", "{:,.0f}".format),
}
_STATUS_TEXTS = {
    "ok": "fit to use as answered",
    "repaired": "fit to use once cleaned",
    "unchanged": "the short prompt itself, as no model was set up",
    "rejected": "rejected by the review",
    "failed": "failed",
    "missing": "no result yet",
}


def write_report(
    run_dir: Path, output: Path, *, frames: bool = True, place: RunPlace | None = None
) -> None:
    """Read every record of a run, and write the page about it, whole or not at all.

    Args:
        run_dir: The folder of the run, live, finished or dead.
        output: Where to.
        frames: Whether the hint frames of the sample are decoded again.
        place: What the run is called on the page; None for its folder.

    Raises:
        OptionError: The folder is no run.
        OutputError: It cannot be read, or the page not be written.
    """
    with open_run(run_dir) as run:
        summary, measured, config = summarise(run, place=place), _measure(run), run.config
    settings = {
        kind: ", ".join(f"{name} ({n:,})" if len(names) > 1 else name for name, n in names.items())
        for kind, names in measured.used.items()
    }
    for name, value in (config.options if config else {}).items():
        if value not in (None, [], "") and name not in settings:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            settings[name.replace("_", " ")] = text
    environment = html_templates("promptlift.batch")
    environment.filters |= {
        "counted": counted,
        "duration": format_duration,
        "date": lambda at: time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)),
    }
    page = environment.get_template("report.html.j2").render(
        name=Path(summary.run_dir).absolute().name or str(summary.run_dir),
        now=time.time(),
        version=__version__,
        summary=summary,
        measured=measured,
        statuses=[(s, n, _STATUS_TEXTS[s]) for s in STATUSES if (n := summary.rows[s])],
        tiles=_tiles(summary, measured),
        steps=list(next_steps(summary)),
        distributions=_distributions(measured),
        sample=[
            {
                "row": result.row,
                "status": result.status,
                "record": record,
                "reason": reason_of(record),
                "images": _frames_of(result, record) if frames else ([], ""),
            }
            for result, record in measured.fit + measured.rejected
        ],
        settings=settings,
        damage=list(damage_lines(summary)),
    )
    write_atomic(output, plain_text(page).encode())


# ---- what the records say


@dataclass(slots=True)
class _Measurements:
    """What the records of a run say together.

    Attributes:
        items: Records that were read.
        requests: Answers that were asked for.
        failed_checks: Items by each check that their best answer failed.
        prompt_tokens: Tokens of all prompts that were sent, images included.
        answer_tokens: Tokens of all answers, rejected ones included.
        values: Numbers of the items by what they measure: ``prepare`` and ``ask`` are seconds,
            ``prompt`` and ``result`` are tokens.
        used: What was used, by kind (``engine``, ``model``, ...), and by how many items.
        fit: A sample of items with a fit prompt: those with the least keys, which are hashes.
        rejected: A sample of rejected items, likewise.
    """

    items: int = 0
    requests: int = 0
    failed_checks: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    values: dict[str, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in _MEASURES}
    )
    used: dict[str, Counter[str]] = field(default_factory=dict)
    fit: _Sample = field(default_factory=list)
    rejected: _Sample = field(default_factory=list)

    def add(self, result: RowResult, record: dict[str, Any]) -> None:
        """Count one item's record."""
        attempts, tokens = record.get("attempts") or (), record.get("tokens") or {}
        prompt_tokens = tokens.get("actual") or tokens.get("counted") or tokens.get("predicted")
        self.items += 1
        self.requests += len(attempts)
        self.failed_checks.update(failed_checks(record) or ())
        self.prompt_tokens += (prompt_tokens or 0) * len(attempts)
        self.answer_tokens += sum(one.get("completion_tokens") or 0 for one in attempts)
        values = {**(record.get("timings") or {}), "prompt": prompt_tokens}
        if record.get("prompt") is not None:
            values["result"] = tokens.get("target")
        for measure, numbers in self.values.items():
            if values.get(measure) is not None:
                numbers.append(values[measure])
        engine, plan = record.get("engine") or {}, record.get("plan") or {}
        used = {
            "engine": " ".join(filter(None, (engine.get("name"), engine.get("version")))),
            "model": engine.get("model"),
            "revision": engine.get("revision"),
            "token formula": plan.get("family"),
            "target": record.get("target"),
            "template": record.get("template"),
            "promptlift": record.get("promptlift"),
        }
        for kind, name in used.items():
            if name:
                self.used.setdefault(kind, Counter())[str(name)] += 1
        if result.status in FIT or result.status == "rejected":
            sample, most = (self.fit, 8) if result.status in FIT else (self.rejected, 4)
            insort(sample, (result, record), key=lambda one: one[0].key or "")
            del sample[most:]


def _measure(run: RunDir) -> _Measurements:
    """Read the record of every item of a run, once however many rows share it."""
    measured = _Measurements()
    keys: set[bytes] = set()
    for result in row_results(run):
        if result.key is None or (packed := bytes.fromhex(result.key)) in keys:
            continue
        keys.add(packed)
        result, raw = raw_record(run.index, result)
        if raw is not None:
            measured.add(result, json.loads(raw))
    return measured


# ---- the frames of the sample


def _frames_of(result: RowResult, record: dict[str, Any]) -> tuple[list[tuple[str, str]], str]:
    """The hint frames of a record, at most four, or why there are none.

    A record has the times of its frames and not the frames. They are read again where the video is
    still the same, in a process of their own: a video that crashed a decoder is in the run too.

    Returns:
        Each frame as a ``data:`` address with its seconds, and a text where they are missing.
    """
    video = record.get("video") or {}
    times = [Fraction(one["exact_seconds"]) for one in record.get("frames") or ()]
    if not result.row.video:
        return [], "there is no video"
    if not times and (video.get("probe") or {}).get("duration"):
        duration = Fraction(video["probe"]["duration"])  # an engine without a model is shown none
        times = [duration / 4, duration * 3 / 4]
    if not times:
        return [], "the video was never read"
    if len(times) > _SAMPLE_FRAMES:
        last = len(times) - 1
        times = [times[n * last // (_SAMPLE_FRAMES - 1)] for n in range(_SAMPLE_FRAMES)]
    try:
        if content_of(result.row.video) != video["content"]:
            return [], "the video is no longer the one that was shown"
        urls = isolated_call(_decode, result.row.video, times)
    except VideoError:
        return [], "the video is gone or can no longer be read"
    return list(zip(urls, (f"{float(time):.2f}" for time in times), strict=False)), ""


def _decode(path: str, times: Sequence[Fraction]) -> list[str]:
    from PIL import Image

    urls = []
    with open_video(path) as reader:
        for frame in reader.frames_at(list(map(Instant.exact, times)), _FRAME_BOX):
            buffer = io.BytesIO()
            Image.fromarray(frame.image).save(buffer, "JPEG", quality=82)
            data = base64.b64encode(buffer.getvalue()).decode("ascii")
            urls.append(f"data:image/jpeg;base64,{data}")
    return urls


# ---- the page


def _tiles(summary: RunSummary, measured: _Measurements) -> list[tuple[str, str]]:
    tiles = []
    active = summary.active_s
    if summary.live:
        processes = counted(len(summary.live), "process", "processes")
        tiles.append((format_rate(summary.rate, "rows"), f"now, by {processes}"))
    if active >= 1:
        tiles.append((format_duration(active), "of work, without the pauses between runs"))
        tiles.append((format_rate(measured.items / active, "items"), "on average"))
        tiles.append((format_rate(measured.answer_tokens / active, "tokens"), "of answers"))
    if measured.requests:
        items = counted(measured.items, "item")
        tiles.append((f"{measured.requests:,}", f"answers for {items}"))
        tokens = f"tokens of answers, {measured.prompt_tokens:,} of prompts"
        tiles.append((f"{measured.answer_tokens:,}", tokens))
    return tiles


def _distributions(measured: _Measurements) -> list[tuple[str, ...]]:
    """A line of a table for each measure: its name, then what most items take."""
    lines = []
    for name, numbers in measured.values.items():
        if numbers:
            label, text = _MEASURES[name]
            quantiles = np.quantile(numbers, [0.5, 0.9, 0.99, 1]).tolist()
            lines.append((label, *map(text, [*quantiles, sum(numbers)])))
    return lines
