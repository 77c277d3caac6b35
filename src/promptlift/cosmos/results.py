"""What became of the items of a spec, and the changes to files that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.cosmos.edit import Edit, apply, set_member
from promptlift.cosmos.items import Item, Misfit
from promptlift.cosmos.sidecar import Entry, Status, render, sidecar_path

if TYPE_CHECKING:
    from promptlift.core.record import Record
    from promptlift.cosmos.jobs import Job, Kept
    from promptlift.cosmos.outputs import Output

__all__ = ["Change", "Finished", "Result", "answered", "changes", "left"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item.

    Attributes:
        item: The item.
        status: As in the sidecar.
        before: The short prompt, or the one that was kept.
        after: The prompt that takes its place; None to leave the file as it is.
        reason: Why it was kept, rejected or failed.
        job: What was to be done; None where it did not come to that.
        prompt_file: The file that holds the prompt; None where the spec does.
        record: How it went; None where nobody was asked.
        entry: What the sidecar told of it before; None for nothing.
        pictures: The hint frames as data: addresses, where they were wished for.
    """

    item: Item | Misfit
    status: Status
    before: str
    after: str | None = None
    reason: str = ""
    job: Job | None = None
    prompt_file: Path | None = None
    record: Record | None = None
    entry: Entry | None = None
    pictures: tuple[str, ...] = ()


def left(item: Item, kept: Kept) -> Result:
    """The result of an item that is left as it is."""
    file = kept.prompt_file.path if kept.prompt_file else None
    return Result(
        item, "kept", kept.prompt, kept.after, kept.reason, prompt_file=file, entry=kept.entry
    )


def answered(
    item: Item, job: Job, record: Record, *, error: str = "", pictures: tuple[str, ...] = ()
) -> Result:
    """The result of an item that an engine was asked about.

    Args:
        item: The item.
        job: What was to be done.
        record: How it went.
        error: Why there is no answer; empty where there is one, good or bad.
        pictures: As in `Result`.
    """
    status: Status = "failed" if error else "done"
    if not error and record.status == "rejected":
        status, error = "rejected", _objections(record)
    return Result(
        item,
        status,
        job.short,
        after=record.prompt,
        reason=error,
        job=job,
        prompt_file=job.prompt_file.path if job.prompt_file else None,
        record=record,
        entry=job.entry,
        pictures=pictures,
    )


def _objections(record: Record) -> str:
    failed = [check for check in record.review.checks if not check.passed] if record.review else []
    return "; ".join(f"{check.name}: {check.detail}" for check in failed) or "no answer was fit"


@dataclass(frozen=True, slots=True)
class Change:
    """One file to write.

    Attributes:
        source: What it is compared with; the file itself where it is replaced.
        path: The file.
        old: The text it is compared with; None where there is none.
        new: Its text.
    """

    source: Path
    path: Path
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A spec whose items are all through.

    Attributes:
        output: The spec and where its result goes.
        results: One for each item, in their order.
        changes: The files to write, in the order to write them in; none where nothing changed.
    """

    output: Output
    results: tuple[Result, ...]
    changes: tuple[Change, ...]


def changes(output: Output, results: Sequence[Result]) -> tuple[Change, ...]:
    """The files to write, in the order to write them in.

    The sidecar comes before the spec, so that a crash between them never leaves a long prompt
    whose short one is lost. Without anything to change, only a folder of its own (``-o``) gets
    the spec, to be complete.
    """
    spec = output.spec
    edits: list[Edit] = []
    files: list[Change] = []
    for number, result in enumerate(results):
        if result.after is None or not isinstance(result.item, Item):
            continue
        key, value = "prompt", result.after
        if result.prompt_file is not None:
            change = _prompt_file(output, result, result.prompt_file, number)
            files.append(change)
            if output.in_place:
                continue
            key, value = "prompt_path", change.path.name
        edits.append(set_member(result.item.owner, key, value, ascii_only=spec.ascii_only))
    every_one_failed = all(result.status in ("failed", "rejected") for result in results)
    if not (edits or files) and (every_one_failed or not output.is_folder):
        return ()
    new = apply(spec.text, edits)
    entries = [_entry(result) for result in results]
    beside = sidecar_path(output.path)
    told = Change(beside, beside, None, render(output.path, spec.format.name, entries))
    main = [Change(spec.path, output.path, spec.text, new)]
    if output.in_place and new == spec.text:
        main = []
    return (told, *files, *main)


def _prompt_file(output: Output, result: Result, old: Path, number: int) -> Change:
    """The text file that takes the place of the one that the spec points to."""
    assert result.after is not None
    before = old.read_text(encoding="utf-8-sig", errors="replace")
    tail = "\n" if before.endswith("\n") else ""
    if output.in_place:
        return Change(old, old.resolve(), before, result.after + tail)
    which = f".{number + 1}" if result.item.where else ""
    name = f"{output.path.stem}{which}.prompt.txt"
    return Change(old, output.path.with_name(name), before, result.after + tail)


def _entry(result: Result) -> Entry:
    if result.entry is not None and (result.after is None or result.status == "kept"):
        return result.entry
    job, item = result.job, result.item
    return Entry(
        where=item.where,
        status=result.status,
        reason=result.reason,
        short_prompt=result.before,
        prompt=result.before if result.after is None else result.after,
        video=job.video.named if job else None,
        video_path=str(job.video.path.resolve()) if job else None,
        look_at=job.look_at if job else None,
        controls=tuple(hint.key for hint in item.hints) if isinstance(item, Item) else (),
        region=item.region if isinstance(item, Item) else None,
        mask=item.region_mask if isinstance(item, Item) else None,
        record=result.record,
    )
