"""Upsample the prompts of spec files, by the batch runner, and write the results back.

`SpecRows` gives one row for each prompt that is to be upsampled, `upsample_specs` runs such rows,
and `write_back` makes spec files of what became of them. Each result is the same file with the
long prompts in place and every other byte as it was, and a sidecar beside it that has the short
prompts and the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from promptlift.batch.rows import Row
from promptlift.batch.runner import BatchRun, RunSettings
from promptlift.batch.status import RowResult, raw_record, reason_of, row_results
from promptlift.cosmos.formats import SpecItem
from promptlift.cosmos.plan import (
    SIDECAR_SUFFIX,
    ItemResult,
    ItemStatus,
    KnownPrompts,
    Sidecar,
    SidecarEntry,
    SpecOptions,
    known_prompts,
    plan_item,
    sidecar_path,
    video_options,
)
from promptlift.cosmos.spec_file import (
    BOM,
    Edit,
    Spec,
    apply_edits,
    prompt_in_json,
    read_spec,
    set_member,
)
from promptlift.engines.base import Engine
from promptlift.engines.no_model import HOW_TO_GET_A_MODEL, noun_phrases
from promptlift.errors import InputError, OptionError, OutputError, SpecError
from promptlift.files import cache_folder, write_atomic
from promptlift.options import Options
from promptlift.record import Record
from promptlift.review.lexicon import noun_kind
from promptlift.review.request import understand
from promptlift.store.index import FIT
from promptlift.store.run_dir import open_run
from promptlift.text import counted
from promptlift.types import COSMOS_CONTROLS

__all__ = [
    "FileChange",
    "Outputs",
    "SpecResult",
    "SpecRows",
    "SpecSource",
    "upsample_specs",
    "write_back",
]

_SPEC_SUFFIXES = (".json", ".jsonl")
_LABELS = "semantic_segmentation_labels_*.json"
_MOST_LABEL_FILES, _MOST_NOUNS = 8, 12

_COLUMN = "cosmos"
"""The carried column of a row that says where it came from: a `SpecSource`."""


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


_Answers: TypeAlias = dict[str, tuple[RowResult, str | None]]
"""The rows of a spec by their digests, with their records as JSON."""


def _source_of(row: Row) -> SpecSource:
    try:
        spec, options = row.extra[_COLUMN]
        return SpecSource(spec, SpecOptions(**options))
    except (KeyError, TypeError, ValueError):
        raise SpecError(
            f"the row {row.id[:80]!r} came from no Cosmos spec",
            remedy="choose another form of export",
        ) from None


def _row_of(plan: ItemResult, spec: Spec, extra: Mapping[str, Any]) -> Row:
    """The row of an item; the same one whenever the same is to be asked for it."""
    item = plan.item
    options: dict[str, Any] = {
        "target": spec.format.target,
        "controls": [COSMOS_CONTROLS[key][0] for key in item.hints],
        **video_options(item, spec),
    }
    if plan.look_at in COSMOS_CONTROLS and (kind := COSMOS_CONTROLS[plan.look_at][1]):
        options["control"] = kind
    if item.camera_apart:
        options["camera_apart"] = True
    if nouns := _nouns(plan, spec):
        options["nouns"] = nouns
    if item.region:
        options["region"] = list(item.region)
    if plan.mask_path:
        options["mask"] = plan.mask_path
    name = _row_id(item, spec)
    # Without a path it is a row of words alone.
    return Row.of(0, plan.video_path, plan.before, id=name, options=options, extra=extra)


def _nouns(plan: ItemResult, spec: Spec) -> list[str]:
    """What the spec names in the whole picture: for detectors, in regions, and as labels."""
    if plan.item.is_region:
        return []
    found = [*noun_phrases(plan.item.detected)]
    for other in spec.items:
        request = understand(other.prompt or "" if other.is_region else "")
        if request.language == "English" and not request.edits:
            found += [thing.text for thing in request.things[:1]]
    if plan.seg_path:
        found += _labels_beside(Path(plan.seg_path))
    return list(dict.fromkeys(found))[:_MOST_NOUNS]


def _labels_beside(control: Path) -> list[str]:
    """The classes in the label files beside a segmentation, where they are English nouns.

    NVIDIA's Replicator writes ``semantic_segmentation_labels_0000.json`` for a picture, such as
    ``{"(255, 0, 0, 255)": {"class": "apple"}}``.
    """
    folder, words = control.parent, set[str]()
    patterns = (_LABELS, f"*label*/{_LABELS}", f"{glob.escape(control.stem)}*label*.json")
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    for file in files[:: max(1, len(files) // _MOST_LABEL_FILES)]:
        try:
            labels = [*json.loads(file.read_bytes()).values()]
        except (OSError, ValueError, AttributeError):
            continue  # the generator does not need it
        for label in labels:
            name = label.get("class") if isinstance(label, dict) else label
            parts = name.lower().split(",") if isinstance(name, str) else ()
            words |= {re.sub(r"[\W\d_]+", " ", part).strip() for part in parts}
    return sorted(word for word in words if word and noun_kind(word.split()[-1]))


def _row_id(item: SpecItem, spec: Spec) -> str:
    """Such as batch-line-3, which can also be the name of a file."""
    where = re.sub(r"[^\w.]+", "-", item.where).strip("-")
    return f"{spec.path.stem}-{where}" if where else spec.path.stem


@dataclass
class SpecRows:
    """The prompts of spec files, and of all spec files in folders, as rows of a batch.

    A prompt that is left as it is (long or upsampled already) is no row; `write_back` reads it
    from the spec again. One that cannot be planned is a row with trouble.

    Args:
        paths: The specs and folders.
        options: How specs are read, and how their items are planned.
        outputs: Where results will go, for what earlier runs wrote there to be no row; None where
            that is not known yet.
        note: Takes what a person should know of the specs, a line at a time.
    """

    paths: Sequence[Path]
    options: SpecOptions = field(default_factory=SpecOptions)
    outputs: Outputs | None = None
    note: Callable[[str], None] = lambda _: None

    @property
    def description(self) -> str:
        """See `promptlift.batch.readers.Input`."""
        return " ".join(str(path.absolute()) for path in self.paths)

    def sources(self) -> dict[SpecSource, Path]:
        """The specs, each once, with their paths as given.

        Raises:
            SpecError: A folder holds none.
        """
        files = [file for path in self.paths for file in _spec_files(path)]
        return {SpecSource(str(file.absolute()), self.options): file for file in files}

    def rows(self) -> Iterator[Row]:
        """See `promptlift.batch.readers.Input`.

        Raises:
            SpecError: The only spec cannot be used, or a folder holds none.
            OptionError: There is no such format.
        """
        for number, row in enumerate(self._rows()):
            yield replace(row, number=number)

    def _rows(self) -> Iterator[Row]:
        sources = self.sources()
        for source, path in sources.items():
            extra = {_COLUMN: [source.spec, asdict(source.options)]}
            try:
                spec = source.read()
                if self.outputs is None:
                    known = known_prompts(path.resolve())
                else:
                    _, known = self.outputs.place(spec)
            except InputError as error:
                if len(sources) == 1:
                    raise
                yield Row.broken(0, source.spec, error, id=path.stem, extra=extra)
            else:
                yield from self._rows_of(path, spec, known, extra)

    def _rows_of(
        self, path: Path, spec: Spec, known: KnownPrompts, extra: Mapping[str, Any]
    ) -> Iterator[Row]:
        """The rows of one spec, and notes on it."""
        if spec.detected:
            self.note(f"{path}: read as {spec.format.name} (--format)")
        loader = "at which the generator's loader stops"
        if spec.text.startswith(BOM):
            self.note(f"{path}: warning: it begins with a byte order mark, {loader}")
        lines = spec.text.rstrip("\n").split("\n")
        if spec.items[0].where.startswith("line") and not all(map(str.strip, lines)):
            self.note(f"{path}: warning: it has blank lines, {loader}")
        kept: Counter[str] = Counter()
        notes: dict[str, None] = {}
        for item in spec.items:
            try:
                plan = plan_item(item, spec, known, self.options)
            except InputError as error:
                # Known by its place, since what it says may be anything.
                said = f"{spec.path} {item.where} {error}"
                video, prompt, name = item.video or "", item.prompt or "", _row_id(item, spec)
                yield Row.broken(0, said, error, video=video, prompt=prompt, id=name, extra=extra)
                continue
            if plan.status == "kept":
                kept[plan.reason] += 1
            else:
                notes |= dict.fromkeys(plan.notes)
                yield _row_of(plan, spec, extra)
        for line in notes:
            self.note(f"{path}: {line}")
        for reason, times in kept.items():
            self.note(f"{path}: {counted(times, 'item')} kept: {reason}")


def _spec_files(path: Path) -> list[Path]:
    """The spec itself, or the specs of a folder."""
    if not path.is_dir():
        return [path]
    found = [
        inner
        for inner in sorted(path.iterdir())
        if inner.suffix.lower() in _SPEC_SUFFIXES and not inner.name.endswith(SIDECAR_SUFFIX)
    ]
    if not found:
        raise SpecError(
            f"{str(path)!r} holds no spec, a file that ends in {' or '.join(_SPEC_SUFFIXES)}",
            remedy="name a folder with spec files, or a spec file",
        )
    return found


async def upsample_specs(
    specs: SpecRows,
    engine: Engine,
    options: Options,
    *,
    judge: Engine | None = None,
    run_dir: Path | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[SpecResult]:
    """Upsample the prompts of spec files and write the results.

    A run that was killed continues where it was when the same specs are given again. One that is
    cancelled, or ends with an error, writes what is finished.

    Args:
        specs: The specs, and where their results go.
        engine: Who is asked; the caller's to close. It should not try again by itself.
        options: How items are treated where their specs say nothing.
        judge: Who verifies the results where the options ask for that; None for the engine itself.
        run_dir: The folder of the run, which stays; None for one in the user's cache, which is
            removed when the results are written.
        dry_run: Write no result.
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
    sources = specs.sources()
    outputs = specs.outputs or Outputs()
    rows = replace(specs, outputs=outputs)
    planned: list[bool] = []
    with contextlib.suppress(InputError):  # fails again, with its reason, when it is written back
        planned = [row.trouble is None for row in rows.rows()]
    if run_dir is None:
        # The same folder when the same is to be done again.
        identity = [(one.spec, one.options.form, one.options.again) for one in sources]
        text = json.dumps([identity, str(outputs.folder)])
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        folder = cache_folder() / "cosmos" / name
    else:
        folder = run_dir
    results: list[SpecResult] = []

    def write(answered: Iterable[tuple[RowResult, Mapping[str, Any] | None]]) -> None:
        # The folder may hold results of other specs.
        ours = (one for one in answered if _source_of(one[0].row) in sources)
        results.extend(write_back(ours, outputs, sources=sources, dry_run=dry_run))

    async def tick(run: BatchRun) -> None:
        while True:
            progress(run.progress.finished, len(planned))
            await asyncio.sleep(0.2)

    if not any(planned):  # nobody is to be asked
        write(())
        return results
    # Somebody is waiting: an engine that is away for a minute ends the run.
    settings = RunSettings(retry="all", patience=60.0, accept_changes=True)
    quiet_rows = replace(rows, note=lambda _: None)
    run = BatchRun(engine, options, quiet_rows, folder, settings, judge=judge)
    ticking = asyncio.create_task(tick(run))
    try:
        await run.run()
    finally:
        ticking.cancel()
        with contextlib.suppress(OptionError), open_run(folder) as made:  # else it had not begun
            found = (raw_record(made.index, one) for one in row_results(made))
            write((one, None if raw is None else json.loads(raw)) for one, raw in found)
    if run_dir is None:
        shutil.rmtree(folder, ignore_errors=True)
    return results


class Outputs:
    """Gives each spec the place of its result, so that none takes another's.

    Args:
        folder: Where results go; None for beside the specs, as ``NAME.upsampled.json``.
        in_place: Replace the specs.
    """

    def __init__(self, folder: Path | None = None, *, in_place: bool = False) -> None:
        self.folder = folder
        self.in_place = in_place
        self._claimed: dict[Path, str] = {}

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
            named = (item.video, item.prompt_path, item.negative_path)
            for file in (*named, *item.hints.values(), *item.others):
                if file and not Path(file).is_absolute():
                    raise SpecError(
                        f"{file[:200]!r} counts from the folder of the spec, and would mean "
                        f"another file from {str(path.parent)!r}",
                        remedy="leave -o out to have the result beside the spec",
                    )
        self.claim(real, str(spec.path.absolute()))
        self.claim(sidecar_path(real), str(spec.path.absolute()))
        return path, known

    def claim(self, file: Path, owner: str) -> None:
        """Take a file that is written for a spec or an item; it cannot be written for two.

        Raises:
            OutputError: Another has it.
        """
        holder = self._claimed.setdefault(file, owner)
        if holder != owner:
            raise OutputError(
                f"its result would be {file.name!r} in {str(file.parent)!r}, as that of {holder!r}",
                remedy="give them other names, or run them one by one",
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
    """A spec whose items are all through, or one that cannot be used or written.

    Attributes:
        spec: The spec.
        error: Why it cannot be used, or its results cannot be written; None where they can.
        format: The name of its format.
        path: Where its result goes; the spec itself in place.
        items: One for each item, in their order.
        changes: The files to write, in the order to write them in; none where nothing changed.
    """

    spec: Path
    error: InputError | None = None
    format: str = ""
    path: Path = Path()
    items: tuple[ItemResult, ...] = ()
    changes: tuple[FileChange, ...] = ()


def write_back(
    rows: Iterable[tuple[RowResult, Mapping[str, Any] | None]],
    outputs: Outputs | None = None,
    *,
    sources: Iterable[SpecSource] = (),
    dry_run: bool = False,
) -> Iterator[SpecResult]:
    """Write the results of rows that `SpecRows` gave, each spec in its own format.

    The long prompts take the place of the short ones and whatever was kept or failed stays as it
    was; a sidecar beside each result has the records. The rows of one spec may come from several
    shards, so that all rows are taken before the first spec is written.

    Args:
        rows: What became of the rows, in any order, with their records as JSON values.
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
    specs: dict[SpecSource, _Answers] = {source: {} for source in sources}
    for result, record in rows:
        answered = specs.setdefault(_source_of(result.row), {})
        digest = result.row.digest
        if digest not in answered or answered[digest][0].status not in FIT:
            # Records are held as JSON, which takes a tenth of the memory.
            answered[digest] = result, None if record is None else json.dumps(record)
    for source, answered in specs.items():
        try:
            written = _spec_result(source, answered, outputs)
        except InputError as error:
            yield SpecResult(Path(source.spec), error)
            continue
        for change in () if dry_run else written.changes:
            with contextlib.suppress(OSError):  # the write itself says what is wrong
                change.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(change.path, change.new.encode("utf-8"))
        yield written


def _spec_result(source: SpecSource, answers: _Answers, outputs: Outputs) -> SpecResult:
    spec = source.read()
    path, known = outputs.place(spec)
    results: list[ItemResult] = []
    for item in spec.items:
        try:
            result = _item_result(item, answers, spec, known, source.options)
            file = Path(result.prompt_file or path).resolve()
            is_written = result.status != "kept" and result.prompt_file is not None
            if is_written and (outputs.in_place or not file.exists()):
                outputs.claim(file, f"{path.name} {item.where}")
        except InputError as error:
            prompt = item.prompt or ""
            entry = known.results.get(prompt)
            result = ItemResult(
                item=item, status="failed", reason=str(error), before=prompt, entry=entry
            )
        results.append(result)
    changes = _changes(spec, path, results, outputs)
    return SpecResult(spec.path, None, spec.format.name, path, tuple(results), changes)


def _item_result(
    item: SpecItem,
    answers: _Answers,
    spec: Spec,
    known: KnownPrompts,
    options: SpecOptions,
) -> ItemResult:
    """What became of an item.

    Raises:
        SpecError: It cannot be planned, or has no answer.
    """
    # A fit answer comes before what an earlier run wrote, which comes before any other.
    answer, raw = None, None
    plan = plan_item(item, spec, known._replace(finished={}), options)
    if plan.status == "planned":
        answer, raw = answers.get(_row_of(plan, spec, {}).digest, (None, None))
    if answer is None or answer.status not in FIT:
        plan = plan_item(item, spec, known, options)
    if plan.status == "kept":
        return plan
    if answer is None or raw is None:
        raise SpecError(
            "it has not been asked yet, or was changed since",
            remedy="run the batch again, which asks only what is new",
        )
    record = Record.model_validate_json(raw)
    if record.status == "unchanged":
        reason = f"{record.note}; {HOW_TO_GET_A_MODEL}"
        return replace(plan, status="kept", reason=reason, record=record)
    status: ItemStatus = "done"
    reason = ""
    failure = reason_of(json.loads(raw))
    if failure is not None:
        status = "rejected" if record.error is None else "failed"
        reason = str(SpecError(failure.message, remedy=failure.remedy))
    return replace(plan, status=status, reason=reason, after=record.prompt, record=record)


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
        edits += _negative_edits(spec, result, ascii_only=ascii_only)
        files += _negative_file(result, files)
        key, value = result.item.key, result.after
        which = f".{number}" if result.item.where else ""
        if result.prompt_file is not None:
            made = _prompt_file(spec, result, path.with_name(f"{path.stem}{which}.prompt"))
            if made.old is None or outputs.in_place:
                files.append(made._replace(path=made.source.resolve()))
                continue
            files.append(made)
            key, value = "prompt_path", made.path.name
        elif result.item.goes_apart:
            apart = path.with_name(f"{path.stem}{which}.prompt.txt")
            files.append(FileChange(apart, apart, None, f"{result.after}\n"))
            continue
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


def _prompt_file(spec: Spec, result: ItemResult, beside: Path) -> FileChange:
    """The file of a prompt with the new one, to be written beside under this stem."""
    old, after = Path(str(result.prompt_file)), str(result.after)
    before = old.read_text(encoding="utf-8-sig", errors="replace") if old.exists() else None
    node = None if before is None else prompt_in_json(before)
    suffix = ".txt" if node is None else ".json"
    text = after + ("\n" if before and before.endswith("\n") else "")
    if spec.format.json_prompts:
        suffix = ".json"
        # Without a control, the generator does not parse the file.
        text = _json_file(after, indent=2 if result.item.hints else None)
    elif before is not None and node is not None:  # of which nothing else changes
        new = json.dumps(after, ensure_ascii=before.isascii())
        text = apply_edits(before, [Edit(node.start, node.end, new)])
    return FileChange(old, beside.with_name(f"{beside.name}{suffix}"), before, text)


def _negative_file(result: ItemResult, others: Sequence[FileChange]) -> list[FileChange]:
    """The file of a negative prompt that is not there yet; several items may name one."""
    negative = result.record.negative_prompt if result.record else ""
    path = Path(result.negative_file or "")
    if not (negative and result.negative_file) or path in [other.path for other in others]:
        return []
    return [FileChange(path, path, None, _json_file(negative, indent=2))]


def _json_file(text: str, *, indent: int | None) -> str:
    """A document as a file; what is none, such as an answer that is used as it is, as a text."""
    try:
        data = json.loads(text)
    except ValueError:
        data = text
    return json.dumps(data, indent=indent) + "\n"


def _negative_edits(spec: Spec, result: ItemResult, *, ascii_only: bool) -> list[Edit]:
    """A negative prompt goes in where the format has a place for it, and none stands there."""
    item, key = result.item, "negative_prompt"
    negative = result.record.negative_prompt if result.record else ""
    elsewhere = item.is_region or item.goes_apart or item.negative_path
    has_place = spec.format.negative and not elsewhere
    if not negative or not has_place or key in item.owner.members:
        return []
    return [set_member(spec.text, item.owner, key, negative, ascii_only=ascii_only)]


def _sidecar_entry(result: ItemResult) -> SidecarEntry:
    if result.entry is not None and (result.after is None or result.status == "kept"):
        return result.entry
    item = result.item
    return SidecarEntry(
        where=item.where,
        status=result.status,
        reason=result.reason,
        short_prompt=result.before,
        prompt=result.before if result.after is None else result.after,
        video=result.video,
        video_path=result.video_path or None,
        look_at=result.look_at,
        controls=tuple(item.hints),
        region=item.region,
        mask=item.region_mask,
        record=result.record,
    )
