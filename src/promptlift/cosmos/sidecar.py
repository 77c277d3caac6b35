"""The file beside a spec that holds what the spec itself has no place for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from promptlift.core.record import Record
from promptlift.errors import SpecError

__all__ = ["Entry", "Known", "Status", "is_sidecar", "known_of", "render", "sidecar_path"]

Status = Literal["done", "kept", "rejected", "failed"]

_SUFFIX = ".promptlift.json"


class Entry(BaseModel):
    """What became of one prompt of a spec.

    Attributes:
        where: How a person finds it in the spec; empty where the spec holds only one.
        status: ``done`` where the long prompt is in place, ``kept`` where the prompt was left as
            it was on purpose, ``rejected`` where no answer was fit to use, ``failed`` with the
            reason.
        reason: Why it was kept, rejected or failed.
        short_prompt: The prompt as it was before promptlift first changed it.
        prompt: The prompt as it is now.
        video: The video that was shown, as the spec writes its path.
        video_path: Where that was.
        look_at: ``rgb``, or the key of the control that was shown.
        controls: The keys of the controls that the generator follows.
        region: The part of the picture: left, top, right, bottom from 0 to 1; None for all of it.
        mask: The mask video that tells the part instead, as the spec writes its path.
        record: How the long prompt came about.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: str
    status: Status
    reason: str = ""
    short_prompt: str
    prompt: str
    video: str | None = None
    video_path: str | None = None
    look_at: str | None = None
    controls: tuple[str, ...] = ()
    region: tuple[float, float, float, float] | None = None
    mask: str | None = None
    record: Record | None = None


class _Sidecar(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    promptlift_sidecar: Literal[1] = 1
    spec: str
    format: str
    items: tuple[Entry, ...]


def sidecar_path(spec: Path) -> Path:
    """Where the sidecar of a spec is: ``NAME.promptlift.json`` beside it."""
    return spec.with_name(f"{spec.stem}{_SUFFIX}")


def is_sidecar(path: Path) -> bool:
    """Whether a file has the name of a sidecar."""
    return path.name.endswith(_SUFFIX)


@dataclass(frozen=True, slots=True)
class Known:
    """What sidecars tell of earlier runs.

    Attributes:
        results: The upsampled prompts that stand in a spec, by their text.
        finished: What was done for a spec whose results stand elsewhere, by the item's place and
            its short prompt.
    """

    results: Mapping[str, Entry] = field(default_factory=dict)
    finished: Mapping[tuple[str, str], Entry] = field(default_factory=dict)


def known_of(spec: Path, result: Path) -> Known:
    """What the sidecars of a spec and of its result tell.

    Raises:
        SpecError: There is a file of that name, and it is no sidecar.
    """
    here, there = _entries(spec), () if spec == result else _entries(result)
    return Known(
        {entry.prompt: entry for entry in here if entry.prompt != entry.short_prompt},
        {(entry.where, entry.short_prompt): entry for entry in there if entry.status == "done"},
    )


def _entries(spec: Path) -> tuple[Entry, ...]:
    path = sidecar_path(spec)
    try:
        return _Sidecar.model_validate_json(path.read_bytes()).items
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        raise SpecError(
            f"{str(path)!r} is no sidecar that this version of promptlift wrote",
            remedy="move it away; without it, prompts are not known to be upsampled already",
        ) from None


def render(spec: Path, form: str, entries: Sequence[Entry]) -> str:
    """The sidecar's text."""
    made = _Sidecar(spec=spec.name, format=form, items=tuple(entries))
    content: dict[str, Any] = made.model_dump(mode="json")
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
