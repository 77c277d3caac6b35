"""Options, jobs and texts as the templates show them: plain values, no HTTP."""

from __future__ import annotations

import time
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
_MORE_FIRST = ("size", "max_side", "fps", "exact", "control", "controls", "context", "reserve")
_STRATEGIES = {
    "spread": "spread over the clip",
    "first": "the first of the clip",
    "fps": "at a steady rate from the start",
    "scenes": "where the picture changes most",
}
_CHOICES = {
    "strategy": _STRATEGIES,
    "target": {one.name: f"{one.name}, {one.limit:,} tokens" for one in all_targets()},
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
    label = name.upper() if name == "fps" else name.replace("_", " ").capitalize()
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
    "fields": FIELDS,
    "defaults": Options(),
    "main_options": _MAIN_OPTIONS,
    "more_options": (
        *_MORE_FIRST,
        *(name for name in ITEM_OPTIONS if name not in (*_MAIN_OPTIONS, *_MORE_FIRST)),
    ),
    "compared_options": ("size", "frames", "strategy", "target"),
}
