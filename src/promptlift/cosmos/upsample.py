"""Upsample the prompts of spec files, by the batch runner, and write the results back.

`SpecRows` gives one row for each prompt that is to be upsampled, `upsample_specs` runs such rows,
and `write_back` makes spec files of what became of them. Each result is the same file with the
long prompts in place and every other byte as it was, and a sidecar beside it that has the short
prompts and the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError

from promptlift.batch.rows import Row
from promptlift.batch.runner import BatchRun, RunSettings
from promptlift.batch.status import RowResult, raw_record, row_results
from promptlift.cosmos.formats import CONTROLS, SpecItem
from promptlift.cosmos.plan import (
    SIDECAR_SUFFIX,
    ItemResult,
    ItemStatus,
    KnownPrompts,
    Sidecar,
    SidecarEntry,
    SpecItemPlan,
    SpecOptions,
    is_for,
    known_prompts,
    plan_item,
    read_prompt,
    sidecar_path,
)
from promptlift.cosmos.spec_file import BOM, Edit, Spec, apply_edits, read_spec, set_member
from promptlift.engines.base import Engine
from promptlift.errors import InputError, OutputError, SpecError
from promptlift.files import write_atomic
from promptlift.options import Options
from promptlift.record import Record
from promptlift.store.run_dir import open_run
from promptlift.text import counted

__all__ = [
    "FileChange",
    "Outputs",
    "SpecRefusal",
    "SpecResult",
    "SpecRows",
    "SpecSource",
    "upsample_specs",
    "write_back",
]

_SPEC_SUFFIXES = (".json", ".jsonl")
_NOT_IN_NAMES = re.compile(r"[^\w.]+")
_PATIENCE = 60.0  # seconds; somebody is waiting
_MOST_WORKERS = 8
_TICK = 0.2
_DONE = ("ok", "repaired")

_COLUMN = "cosmos"
"""The carried column of a row that says where it came from and what was planned: `_RowOrigin`."""

_CHANGED = "the spec is not what it was when the batch read it"
_READ_AGAIN = "run the batch again, which asks only what is new"


class SpecSource(NamedTuple):
    """A spec file and how it is read, to read it the same way when results are written back.

    Attributes:
        spec: The spec, absolute.
        options: How it is read, and how its items are planned.
    """

    spec: str
    options: SpecOptions

    def read(self) -> Spec:
        """Read the spec.

        Raises:
            SpecError: It cannot be used, or its base cannot.
            OptionError: There is no such format.
        """
        base = None if self.options.base is None else Path(self.options.base)
        return read_spec(Path(self.spec), form=self.options.form, base=base)


class _RowOrigin(NamedTuple):
    """Where a row came from.

    Attributes:
        source: The spec.
        item: Place among its items; None for the spec as a whole, where it could not be read.
        plan: What was planned; None where that was not possible.
    """

    source: SpecSource
    item: int | None = None
    plan: SpecItemPlan | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        """Where a row came from.

        Raises:
            SpecError: It came from no spec.
        """
        try:
            return cls(*_ORIGIN.validate_python(row.extra[_COLUMN]))
        except (KeyError, ValidationError):
            raise SpecError(
                f"the row {row.id[:80]!r} came from no Cosmos spec",
                remedy="choose another form of export",
            ) from None

    def column(self) -> dict[str, Any]:
        """The same as a carried column of a row."""
        return {_COLUMN: _ORIGIN.dump_python(self, mode="json")}


_ORIGIN = TypeAdapter(_RowOrigin)


def _no_note(_: str) -> None:
    pass


@dataclass
class SpecRows:
    """The prompts of a spec file, or of all spec files in a folder, as rows of a batch.

    A prompt that is left as it is (long or upsampled already) is no row; `write_back` reads it
    from the spec again. One that cannot be planned is a row with trouble.

    Args:
        path: The spec, or the folder.
        options: How specs are read, and how their items are planned.
        note: Takes what a person should know of the specs, a line at a time.
    """

    path: Path
    options: SpecOptions = field(default_factory=SpecOptions)
    note: Callable[[str], None] = _no_note
    # Rows depend on videos, prompt files and sidecars as well, and a spec is short.
    stamp: Any = None

    @property
    def description(self) -> str:
        """See `promptlift.batch.readers.Input`."""
        return str(self.path.absolute())

    def rows(self) -> Iterator[Row]:
        """See `promptlift.batch.readers.Input`.

        Raises:
            SpecError: The spec cannot be used, or the folder holds none.
            OptionError: There is no such format.
        """
        numbers = count()
        for path in _spec_files(self.path):
            source = SpecSource(str(path.absolute()), self.options)
            try:
                spec = source.read()
                known = known_prompts(spec.path.resolve())
            except SpecError as error:
                if path == self.path:
                    raise
                extra = _RowOrigin(source).column()
                yield Row.broken(next(numbers), source.spec, error, id=path.stem, extra=extra)
            else:
                yield from _rows_of(path, source, spec, known, numbers, self.note)


def _spec_files(path: Path) -> list[Path]:
    """The spec itself, or the specs of a folder."""
    if not path.is_dir():
        return [path]
    found = sorted(
        inner
        for inner in path.iterdir()
        if inner.suffix.lower() in _SPEC_SUFFIXES
        and not inner.name.endswith(SIDECAR_SUFFIX)
        and inner.is_file()
    )
    if not found:
        raise SpecError(
            f"{str(path)!r} holds no spec, a file that ends in {' or '.join(_SPEC_SUFFIXES)}",
            remedy="name a folder with spec files, or a spec file",
        )
    return found


def _rows_of(
    path: Path,
    source: SpecSource,
    spec: Spec,
    known: KnownPrompts,
    numbers: Iterator[int],
    note: Callable[[str], None],
) -> Iterator[Row]:
    """The rows of one spec, and notes on it."""
    if spec.detected:
        note(f"{path}: {spec.format.title} (--format {spec.format.name})")
    for line in spec.warnings:
        note(f"{path}: warning: {line}")
    kept: Counter[str] = Counter()
    notes: dict[str, None] = {}
    for place, item in enumerate(spec.items):
        # Such as batch-line-3, which can also be the name of a file.
        parts = [path.stem, _NOT_IN_NAMES.sub("-", item.where).strip("-")]
        name = "-".join(filter(None, parts))
        try:
            plan = plan_item(item, spec, known, source.options)
        except InputError as error:
            # Known by its place, since what it says may be anything.
            identity = f"{source.spec} {item.where} {error}"
            video, prompt = item.video or "", item.prompt or ""
            extra = _RowOrigin(source, place).column()
            yield Row.broken(
                next(numbers), identity, error, video=video, prompt=prompt, id=name, extra=extra
            )
            continue
        if isinstance(plan, ItemResult):
            kept[plan.reason] += 1
            continue
        notes |= dict.fromkeys(plan.notes)
        options: dict[str, Any] = {
            "target": spec.format.target,
            "controls": [CONTROLS[key][0] for key in plan.controls],
            "control": None if plan.look_at == "rgb" else CONTROLS[plan.look_at][1],
            "region": list(plan.region) if plan.region else None,
            "mask": plan.mask_path,
        }
        yield Row.of(
            next(numbers),
            plan.video_path,
            plan.short_prompt,
            id=name,
            options={key: value for key, value in options.items() if value is not None},
            extra=_RowOrigin(source, place, plan).column(),
        )
    for line in notes:
        note(f"{path}: {line}")
    for reason, times in kept.items():
        note(f"{path}: {counted(times, 'item')} kept: {reason}")


@dataclass
class _RowList:
    """Rows that are there already, as an input of the runner."""

    description: str
    listed: list[Row]
    stamp: Any = None

    def rows(self) -> Iterator[Row]:
        """See `promptlift.batch.readers.Input`."""
        return iter(self.listed)


async def upsample_specs(
    paths: Sequence[Path],
    engine: Engine,
    options: Options,
    *,
    spec_options: SpecOptions | None = None,
    outputs: Outputs | None = None,
    run_dir: Path | None = None,
    dry_run: bool = False,
    note: Callable[[str], None] = _no_note,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[SpecResult | SpecRefusal]:
    """Upsample the prompts of spec files and write the results.

    A run that was killed continues where it was when the same specs are given again. One that is
    cancelled, or ends with an error, writes what is finished.

    Args:
        paths: The specs, and folders of them.
        engine: Who is asked; the caller's to close. It should not try again by itself.
        options: How items are treated where their specs say nothing.
        spec_options: How specs are read, and how their items are planned.
        outputs: Where results go; None for beside the specs.
        run_dir: The folder of the run, which stays; None for one in the user's cache, which is
            removed when the results are written.
        dry_run: Write no result.
        note: Takes what a person should know of the specs, a line at a time.
        progress: Takes how many items are finished, and of how many, a few times a second.

    Returns:
        One result for each spec, in their order.

    Raises:
        ConfigEngineError: The engine is set up wrongly; every item would fail.
        TransientEngineError: The engine does not answer for longer than a minute.
        OptionError: An option makes no sense.
        SpecError: A folder holds no spec.
        OutputError: A result cannot be written.
    """
    outputs = outputs or Outputs()
    how = spec_options or SpecOptions()
    sources: dict[SpecSource, None] = {}
    rows: list[Row] = []
    numbers = count()
    for path in dict.fromkeys(file for given in paths for file in _spec_files(given)):
        source = SpecSource(str(path.absolute()), how)
        sources[source] = None
        # What cannot be used or planned fails again, with its reason, when it is written back.
        with contextlib.suppress(InputError):
            spec = source.read()
            _, known = outputs.place(spec)
            found = _rows_of(path, source, spec, known, numbers, note)
            rows += [row for row in found if row.trouble is None]
    folder = run_dir or _cache_folder(sources, outputs)

    def write() -> list[SpecResult | SpecRefusal]:
        if not folder.is_dir():  # nothing was to be asked
            return list(write_back((), outputs, sources=sources, dry_run=dry_run))
        with open_run(folder) as made:  # which may hold results of other specs
            results = row_results(made)
            ours = (one for one in results if _RowOrigin.of(one.row).source in sources)
            answered = (
                (one, None if raw is None else json.loads(raw))
                for one, raw in (raw_record(made.index, result) for result in ours)
            )
            return list(write_back(answered, outputs, sources=sources, dry_run=dry_run))

    if rows:
        description = " ".join(source.spec for source in sources)
        workers = min(len(rows), os.cpu_count() or 1, _MOST_WORKERS)
        settings = RunSettings(
            retry="all", workers=workers, patience=_PATIENCE, accept_changes=True
        )
        run = BatchRun(engine, options, _RowList(description, rows), folder, settings)
        ticking = asyncio.create_task(_tick(run, len(rows), progress))
        try:
            await run.run()
        except BaseException:
            with contextlib.suppress(InputError):  # the run had not begun
                write()
            raise
        finally:
            ticking.cancel()
    results = write()
    if run_dir is None:
        shutil.rmtree(folder, ignore_errors=True)
    return results


async def _tick(run: BatchRun, total: int, progress: Callable[[int, int], None]) -> None:
    while True:
        progress(run.progress.finished, total)
        await asyncio.sleep(_TICK)


def _cache_folder(sources: Iterable[SpecSource], outputs: Outputs) -> Path:
    """A folder that is the same when the same is to be done again."""
    import platformdirs

    specs = [(one.spec, one.options.form, one.options.again) for one in sources]
    named = json.dumps([specs, str(outputs.folder)])
    name = hashlib.sha256(named.encode()).hexdigest()[:16]
    cache = os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift")
    return Path(cache) / "cosmos" / name


class Outputs:
    """Gives each spec the place of its result, so that none takes another's.

    Args:
        folder: Where results go; None for beside the specs, as ``NAME.upsampled.json``.
        in_place: Replace the specs.
    """

    def __init__(self, folder: Path | None = None, *, in_place: bool = False) -> None:
        self.folder = folder
        self.in_place = in_place
        self._taken: dict[Path, Path] = {}
        self._prompt_files: dict[Path, str] = {}

    def place(self, spec: Spec) -> tuple[Path, KnownPrompts]:
        """The place of a spec's result, and what earlier runs did.

        Raises:
            OutputError: Another spec of this run has it, or it is the spec itself.
            SpecError: The generator would not find the spec's files from there, or a file has
                the name of a sidecar and is none.
        """
        if self.in_place:
            path = spec.path.resolve()
        elif self.folder is not None:
            path = self.folder / spec.path.name
        else:
            path = spec.path.with_name(f"{spec.path.stem}.upsampled{spec.path.suffix}")
        real = path.resolve()
        if not self.in_place and real == spec.path.resolve():
            raise OutputError(
                f"the result would take the place of {str(path)!r} itself",
                remedy="choose another folder, or say --in-place",
            )
        known = known_prompts(spec.path.resolve(), real)
        moved = spec.format.beside and real.parent != spec.path.parent.resolve()
        for item in spec.items if moved else ():
            for file in (item.video, item.prompt_path, *item.hints.values()):
                if file and not Path(file).is_absolute():
                    raise SpecError(
                        f"{file[:200]!r} counts from the folder of the spec, and would mean "
                        f"another file from {str(path.parent)!r}",
                        remedy="leave -o out to have the result beside the spec",
                    )
        for name in (real, sidecar_path(real)):
            if self._taken.setdefault(name, spec.path.absolute()) != spec.path.absolute():
                raise OutputError(
                    f"its result would be {name.name!r} in {str(name.parent)!r}, as that of "
                    f"{str(self._taken[name])!r}",
                    remedy="give one of them another name, or run them one by one",
                )
        return path, known

    def claim_prompt_file(self, place: str, file: str | None) -> None:
        """Take a prompt's file that is replaced in place; it cannot hold two long prompts.

        Args:
            place: The item that it is for.
            file: The file; None for none.

        Raises:
            SpecError: Another item has it.
        """
        if file is None or not self.in_place:
            return
        real = Path(file).resolve()
        if self._prompt_files.setdefault(real, place) != place:
            raise SpecError(
                f"its prompt's file {real.name!r} is also that of another item "
                f"({self._prompt_files[real]})",
                remedy="give each its own, or leave --in-place out",
            )


class FileChange(NamedTuple):
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
class SpecResult:
    """A spec whose items are all through.

    Attributes:
        spec: The spec.
        path: Where its result goes; the spec itself in place.
        items: One for each item, in their order.
        changes: The files to write, in the order to write them in; none where nothing changed.
    """

    spec: Spec
    path: Path
    items: tuple[ItemResult, ...]
    changes: tuple[FileChange, ...]


class SpecRefusal(NamedTuple):
    """A spec that cannot be used, or whose results cannot be written, and why."""

    spec: Path
    error: InputError


def write_back(
    rows: Iterable[tuple[RowResult, Mapping[str, Any] | None]],
    outputs: Outputs | None = None,
    *,
    sources: Iterable[SpecSource] = (),
    dry_run: bool = False,
) -> Iterator[SpecResult | SpecRefusal]:
    """Write the results of rows that `SpecRows` gave, each spec in its own format.

    The long prompts take the place of the short ones and whatever was kept or failed stays as it
    was; a sidecar beside each result has the records. The rows of one spec may come from several
    shards, so that all rows are taken before the first spec is written.

    Args:
        rows: What became of the rows, in any order, with their records as JSON values; see
            `promptlift.batch.status.raw_record`.
        outputs: Where results go; None for beside the specs.
        sources: Specs that are written though they may have no row.
        dry_run: Write nothing.

    Yields:
        Each spec, when it is written; one that cannot be written does not stop the others.

    Raises:
        SpecError: A row came from no spec.
        OutputError: A file cannot be written.
    """
    outputs = outputs or Outputs()
    specs: dict[SpecSource, dict[int | None, _AnsweredRow]] = {source: {} for source in sources}
    for result, record in rows:
        origin = _RowOrigin.of(result.row)
        items = specs.setdefault(origin.source, {})
        if origin.item not in items or items[origin.item].result.status not in _DONE:
            # Records are held as JSON, which takes a tenth of the memory.
            text = None if record is None else json.dumps(record)
            items[origin.item] = _AnsweredRow(result, origin.plan, text)
    for source, answered in specs.items():
        try:
            written = _spec_result(source, answered, outputs)
        except InputError as error:
            yield SpecRefusal(Path(source.spec), error)
            continue
        for change in () if dry_run else written.changes:
            with contextlib.suppress(OSError):  # the write itself says what is wrong
                change.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(change.path, change.new.encode("utf-8"))
        yield written


class _AnsweredRow(NamedTuple):
    result: RowResult
    plan: SpecItemPlan | None
    record: str | None


def _spec_result(
    source: SpecSource, rows: Mapping[int | None, _AnsweredRow], outputs: Outputs
) -> SpecResult:
    spec = source.read()
    path, known = outputs.place(spec)
    if not rows.keys() <= {None, *range(len(spec.items))}:
        raise SpecError(_CHANGED, remedy=_READ_AGAIN)
    results: list[ItemResult] = []
    for place, item in enumerate(spec.items):
        try:
            result = _item_result(item, rows.get(place), spec, known, source.options)
            if result.status != "kept":
                outputs.claim_prompt_file(f"{path.name} {item.where}".strip(), result.prompt_file)
        except InputError as error:
            prompt = item.prompt or ""
            entry = known.results.get(prompt)
            result = ItemResult(item, "failed", prompt, reason=str(error), entry=entry)
        results.append(result)
    return SpecResult(spec, path, tuple(results), _changes(spec, path, results, outputs))


def _item_result(
    item: SpecItem,
    row: _AnsweredRow | None,
    spec: Spec,
    known: KnownPrompts,
    options: SpecOptions,
) -> ItemResult:
    """What became of an item.

    Raises:
        SpecError: It was changed since, or has no answer.
    """
    plan = row.plan if row is not None else None
    unchanged = plan is not None and is_for(plan, item)
    if plan is not None and unchanged:
        prompt = item.prompt or ""
        if plan.prompt_file is not None:  # which may be gone since
            is_there = Path(plan.prompt_file).exists()
            prompt = read_prompt(plan.prompt_file) if is_there else plan.prompt
        unchanged = prompt == plan.prompt
    if row is None or not (unchanged and row.result.status in _DONE):
        # Left as it is on purpose, done by an earlier run, or a failure that says itself why.
        kept = plan_item(item, spec, known, options)
        if isinstance(kept, ItemResult):
            return kept
    if row is None or plan is None or not unchanged:
        raise SpecError(_CHANGED, remedy=_READ_AGAIN)
    if row.record is None:
        raise SpecError("it has not been asked yet", remedy="finish the batch")
    record = Record.model_validate_json(row.record)
    status: ItemStatus = "done"
    reason = ""
    if row.result.status == "failed" and record.error is not None:
        status = "failed"
        reason = str(SpecError(record.error.message, remedy=record.error.remedy))
    elif record.status == "rejected":
        status = "rejected"
        checks = record.review.checks if record.review else []
        faults = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        reason = "; ".join(faults) or "no answer was fit"
    return ItemResult(
        item,
        status,
        plan.short_prompt,
        record.prompt,
        reason,
        plan,
        plan.prompt_file,
        record,
        known.results.get(plan.prompt),
    )


def _changes(
    spec: Spec, path: Path, results: Sequence[ItemResult], outputs: Outputs
) -> tuple[FileChange, ...]:
    """The files to write, in the order to write them in.

    The sidecar comes before the spec, so that a crash between them never leaves a long prompt
    whose short one is lost. Without anything to change, only a folder of its own (``-o``) gets
    the spec, to be complete.
    """
    # Plain ASCII stays so, which the generators read in every locale.
    ascii_only = spec.text.removeprefix(BOM).isascii()
    edits: list[Edit] = []
    files: list[FileChange] = []
    for number, result in enumerate(results, 1):
        if result.after is None:
            continue
        key, value = "prompt", result.after
        if result.prompt_file is not None:
            old = Path(result.prompt_file)
            before = old.read_text(encoding="utf-8-sig", errors="replace")
            text = result.after + ("\n" if before.endswith("\n") else "")
            if outputs.in_place:
                files.append(FileChange(old, old.resolve(), before, text))
                continue
            which = f".{number}" if result.item.where else ""
            key, value = "prompt_path", f"{path.stem}{which}.prompt.txt"
            files.append(FileChange(old, path.with_name(value), before, text))
        owner = result.item.owner
        edits.append(set_member(spec.text, owner, key, value, ascii_only=ascii_only))
    all_failed = all(result.status in ("failed", "rejected") for result in results)
    if not (edits or files) and (all_failed or outputs.folder is None):
        return ()
    entries = tuple(_sidecar_entry(result) for result in results)
    sidecar = Sidecar(spec=path.name, format=spec.format.name, items=entries)
    text = json.dumps(sidecar.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    beside = sidecar_path(path)
    changes = [FileChange(beside, beside, None, text), *files]
    new = apply_edits(spec.text, edits)
    if not outputs.in_place or new != spec.text:
        changes.append(FileChange(spec.path, path, spec.text, new))
    return tuple(changes)


def _sidecar_entry(result: ItemResult) -> SidecarEntry:
    if result.entry is not None and (result.after is None or result.status == "kept"):
        return result.entry
    entry = SidecarEntry(
        where=result.item.where,
        status=result.status,
        reason=result.reason,
        short_prompt=result.before,
        prompt=result.before if result.after is None else result.after,
        record=result.record,
    )
    plan = result.plan
    if plan is None:
        return entry
    shown = {
        "video": plan.video,
        "video_path": str(Path(plan.video_path).resolve()),
        "look_at": plan.look_at,
        "controls": plan.controls,
        "region": plan.region,
        "mask": plan.mask,
    }
    return entry.model_copy(update=shown)
