"""Options, jobs and texts as the templates show them: plain values, no HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from promptlift.options import ITEM_OPTIONS, Options
from promptlift.record import Failure, Record, Reviewed
from promptlift.review import Review
from promptlift.review.marks import STATUS_SIGNS, MarkedTexts, marked_texts
from promptlift.review.result import check_of
from promptlift.server.jobs import Job
from promptlift.targets import all_targets
from promptlift.targets.templates import TEMPLATES
from promptlift.text import counted

__all__ = [
    "FIELDS",
    "FILTERS",
    "GLOBALS",
    "JobView",
    "job_view",
    "marked_texts",
    "one_line_json",
]

_STATES = {
    "ok": "fit to use",
    "repaired": "fit, cleaned",
    "unchanged": "your own words",
    "rejected": "not fit to use",
    "failed": "failed",
    "cancelled": "stopped",
    "running": "running",
    "queued": "waiting",
}

# ---- the form: every option of an item is a field; these say in which group and order

_MAIN_OPTIONS = ("target", "strategy", "frames")
_FOLDED = {
    "Language, style and negative prompt": (
        *("language", "style", "creativity", "variation", "negative", "instruction", "template"),
    ),
    "Frames": ("at", "size", "max_side", "fps", "region", "exact"),
    "Video and controls": (
        *("video_size", "video_seconds", "video_fps", "control", "controls", "camera_apart"),
    ),
}
_LABELS = {"fps": "FPS", "at": "Frames at", "negative": "Negative prompt"}
_STRATEGIES = {
    "spread": "spread over the clip",
    "first": "the first of the clip",
    "fps": "at a steady rate from the start",
    "scenes": "where the picture changes most",
}
_CHOICES = {
    "strategy": _STRATEGIES,
    "target": {
        one.name: one.name
        if one.form == "prose"
        else f"{one.name} ({one.form.replace('json', 'JSON')})"
        for one in all_targets()
    },
    "template": {name: name for name in TEMPLATES},
}
_BOUNDS = {"minimum": "min", "ge": "min", "maximum": "max", "le": "max"}


class FormField(NamedTuple):
    """A field of the form, made from an option.

    Attributes:
        name: The option.
        label: The same to read.
        help: Its description.
        kind: ``select``, ``number``, ``text``, ``checkbox`` or ``checkboxes``.
        choices: Values and their texts.
        attributes: HTML attributes of the input: its bounds or its pattern.
        optional: Whether it may be left empty, so that it is determined automatically.
    """

    name: str
    label: str
    help: str
    kind: str
    choices: dict[str, str]
    attributes: dict[str, Any]
    optional: bool


def _form_field(name: str, schema: dict[str, Any]) -> FormField:
    """The field of an option, from its part of the JSON schema of `Options`."""
    value = schema["anyOf"][0] if "anyOf" in schema else schema
    names = value.get("enum") or value.get("items", {}).get("enum") or ()
    choices = _CHOICES.get(name) or {one: one for one in names}
    attributes: dict[str, Any] = {}
    match value.get("type"):
        case "array":
            kind = "checkboxes"
        case "boolean":
            kind = "checkbox"
        case "integer" | "number" as number:
            kind = "number"
            attributes = {_BOUNDS[key]: limit for key, limit in value.items() if key in _BOUNDS}
            attributes["step"] = "any" if number == "number" else 1
        case _ if choices:
            kind = "select"
        case _:
            kind = "text"
            if "pattern" in value:
                attributes["pattern"] = value["pattern"].removeprefix("^").removesuffix("$")
    label = _LABELS.get(name) or name.replace("_", " ").capitalize()
    text = schema["description"].replace("--", "")
    return FormField(name, label, text, kind, choices, attributes, "anyOf" in schema)


_SCHEMA = Options.model_json_schema()["properties"]
FIELDS: Final = {name: _form_field(name, _SCHEMA[name]) for name in ITEM_OPTIONS}
"""The fields of the form by option."""

# ---- a job


@dataclass(frozen=True, slots=True)
class JobView:
    """A job for its template; what is not known yet is None.

    Attributes:
        job: The job.
        record: Its record.
        has_video: Whether the server still has the video.
        text: The long prompt, or the best attempt where none was fit to use.
        tokens: Tokens of the text for the target's encoder; None where they are not counted.
        estimated: Whether `tokens` is an estimate from above.
        review: The verdict on the text.
    """

    job: Job
    record: Record | None
    has_video: bool
    text: str | None = None
    tokens: int | None = None
    estimated: bool = False
    review: Reviewed | Review | None = None

    @property
    def marked(self) -> MarkedTexts:
        """Both prompts with what became of their words."""
        claims = self.review.claims if self.review else ()
        return marked_texts(
            claims, self.record.short_prompt if self.record else "", self.text or ""
        )

    @property
    def form(self) -> str:
        """Form of the target's prompts."""
        return self.job.options.goal.form

    @property
    def long(self) -> list[tuple[str, str]]:
        """The long prompt in pieces, each with its mark, laid out for reading."""
        pieces: Iterable[tuple[str, str]] = self.marked.long
        if self.form == "json" and _parsed(self.text or "") is not None:
            pieces = _indented(pieces)
        elif self.form == "sections":
            pieces = _with_names(pieces)
        return list(pieces)

    @property
    def failure(self) -> Failure | None:
        """Why there is no answer."""
        return self.job.error or (self.record.error if self.record else None)

    @property
    def seconds(self) -> float | None:
        """Of the clip."""
        probe = self.record.video.probe if self.record else None
        return float(probe.duration) if probe and probe.duration else None

    @property
    def no_model(self) -> bool:
        """Whether the text was made without a model."""
        engine = self.record.engine if self.record else None
        return engine is not None and engine.name == "embedded"


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def one_line_json(text: str) -> str:
    """JSON on one line, as generators are given it; another text as it is."""
    found = _parsed(text)
    return text if found is None else json.dumps(found, ensure_ascii=False)


def _indented(pieces: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """JSON with a line for each value."""
    depth, within, before, opened = 0, False, "", False
    for text, mark in pieces:
        shown = ""
        for letter in text:
            if within:
                shown += letter
                within = letter != '"' or before == "\\"
                before = "" if before == "\\" else letter
                continue
            if letter.isspace():
                continue
            closes = letter in "]}"
            depth -= closes
            if opened != closes:  # nothing stands between the brackets of an empty list
                shown += "\n" + "  " * depth
            opened = letter in "[{,"
            depth += letter in "[{"
            shown += ": " if letter == ":" else letter
            within, before = letter == '"', ""
        yield shown, mark


def _with_names(pieces: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Sections with their names as pieces of their own."""
    line_starts = True
    for text, mark in pieces:
        at = 0
        for name in re.finditer(r"^\w+:", text, re.MULTILINE):
            if name.start() or line_starts:
                yield text[at : name.start()], mark
                yield name[0], "name"
                at = name.end()
        yield text[at:], mark
        line_starts = text.endswith("\n")


def job_view(job: Job, record: Record | None, *, has_video: bool) -> JobView:
    """Everything that is known of a job now."""
    if record is None:
        return JobView(job, None, has_video)
    tokens = record.tokens
    return JobView(
        job,
        record,
        has_video,
        record.best_text,
        tokens.target,
        tokens.target_estimated,
        record.review,
    )


# ---- filters and globals of the templates


def _size(width: int, height: int) -> str:
    return f"{width}×{height}"


def _ago(seconds: float) -> str:
    spent = max(0, round(time.time() - seconds))
    if spent < 60:
        return "just now"
    if spent < 3600:
        return f"{spent // 60} min ago"
    if spent < 86_400:
        return f"{spent // 3600} h ago"
    return time.strftime("%d %b %Y", time.gmtime(seconds))


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


FILTERS: Final = {"ago": _ago, "clock": _clock, "count": counted, "size": _size}

GLOBALS: Final = {
    "states": _STATES,
    "signs": STATUS_SIGNS,
    "check_of": check_of,
    "marked_texts": marked_texts,
    "strategies": _STRATEGIES,
    "roles": {"first": "first frame", "last": "last frame", "reference": "reference"},
    "fields": FIELDS,
    "defaults": Options(),
    "main_options": _MAIN_OPTIONS,
    "folded_options": {
        **{
            group: [name for name in names if name in ITEM_OPTIONS]
            for group, names in _FOLDED.items()
        },
        "Model and review": [
            name
            for name in ITEM_OPTIONS
            if not any(name in names for names in (_MAIN_OPTIONS, *_FOLDED.values()))
        ],
    },
    "compared_options": ("size", "frames", "strategy", "target"),
}
