"""Spec files as the input of a batch: one row for each prompt that is to be upsampled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from promptlift.batch.rows import Row
from promptlift.cosmos.items import Item, Misfit
from promptlift.cosmos.jobs import Job, Kept, LookAt, Settings, decide
from promptlift.cosmos.sidecar import Known, is_sidecar, known_of
from promptlift.cosmos.spec import Spec, read_spec
from promptlift.errors import InputError, SpecError

__all__ = ["COLUMN", "Origin", "SpecRows", "known_in"]

COLUMN = "cosmos"
"""The carried column that says where a row came from: an `Origin`, ``item`` and ``where``."""

_SUFFIXES = (".json", ".jsonl")
_UNFIT = re.compile(r"[^\w.]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a spec was read, to read it again when the results are written back.

    Attributes:
        spec: The spec, absolute.
        form: As in ``--format``.
        base: The controlnet spec that a Transfer1 batch runs with, absolute; None for none.
        look_at: As in `Settings`.
        again: As in `Settings`.
        root: As in `Settings`, absolute; None for none.
        here: The current folder, from which relative paths may count.
    """

    spec: str
    form: str = "auto"
    base: str | None = None
    look_at: LookAt = "rgb"
    again: bool = False
    root: str | None = None
    here: str | None = field(default=None, compare=False)

    @property
    def settings(self) -> Settings:
        """How its items are decided; regional prompts have no video of their own to be a row."""
        root = None if self.root is None else Path(self.root)
        here = None if self.here is None else Path(self.here)
        return Settings(look_at=self.look_at, again=self.again, root=root, here=here)

    def read(self) -> Spec:
        """Read the spec.

        Raises:
            SpecError: It cannot be used, or its base cannot.
            OptionError: There is no such format.
        """
        base = None if self.base is None else read_spec(Path(self.base), form="transfer1")
        return read_spec(Path(self.spec), form=self.form, base=base)

    def column(self, item: int | None, where: str = "") -> dict[str, Any]:
        """What a row of the spec carries.

        Args:
            item: Place among the items of the spec; None for the spec as a whole.
            where: How a person finds it in the spec.
        """
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {COLUMN: {**plain, "item": item, "where": where}}

    @classmethod
    def of(cls, row: Row) -> tuple[Self, int | None]:
        """Where a row came from, and the place of its item there; see `column`.

        Raises:
            SpecError: It came from no spec.
        """
        said: Any = row.extra.get(COLUMN)
        try:
            return cls(**{name: said[name] for name in cls.__slots__}), said["item"]
        except (TypeError, KeyError):
            raise SpecError(
                f"the row {row.id[:80]!r} came from no Cosmos spec",
                remedy="choose another form of export",
            ) from None


class SpecRows:
    """The prompts of a spec file, or of all spec files in a folder, as rows of a batch.

    A prompt that is left as it is (long or upsampled already, or regional) is no row; it is still
    there when the results are written back. One that cannot be decided is a row with trouble.

    Args:
        path: The spec, or the folder.
        form: As in ``--format``.
        base: The controlnet spec that a Transfer1 batch runs with.
        look_at: What is shown where there is a choice.
        again: Whether what is upsampled already, or long, is upsampled all the same.
        root: The folder that the generator is started in; None where it is not known.
        told: Takes what a person should know of the specs, a line at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        form: str = "auto",
        base: Path | None = None,
        look_at: LookAt = "rgb",
        again: bool = False,
        root: Path | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._form = form
        self._base = None if base is None else str(base.absolute())
        self._look_at: LookAt = look_at
        self._again = again
        self._root = None if root is None else str(root.absolute())
        self._told = told

    @property
    def description(self) -> str:
        """See `promptlift.batch.inputs.base.Input`."""
        return str(self._path.absolute())

    @property
    def stamp(self) -> Any:
        """None: rows depend on videos, prompt files and sidecars as well, and a spec is short."""
        return None

    def rows(self) -> Iterator[Row]:
        """See `promptlift.batch.inputs.base.Input`.

        Raises:
            SpecError: The spec cannot be used, or the folder holds none.
            OptionError: There is no such format.
        """
        number = 0
        for path in self._specs():
            for row in self._rows_of(path, number):
                yield row
                number += 1

    def _specs(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        found = sorted(path for path in self._path.iterdir() if _may_be_spec(path))
        if not found:
            raise SpecError(
                f"{str(self._path)!r} holds no spec, a file that ends in {' or '.join(_SUFFIXES)}",
                remedy="name a folder with spec files, or a spec file",
            )
        return found

    def _rows_of(self, path: Path, number: int) -> Iterator[Row]:
        absolute = str(path.absolute())
        origin = Origin(
            absolute,
            self._form,
            self._base,
            self._look_at,
            self._again,
            self._root,
            str(Path.cwd()),
        )
        try:
            spec, known = origin.read(), known_in(path)
        except SpecError as error:
            if path == self._path:
                raise
            yield Row.broken(number, absolute, error, id=_name(path), extra=origin.column(None))
            return
        if spec.detected:
            self._told(f"{path}: {spec.format.title} (--format {spec.format.name})")
        for line in spec.warnings:
            self._told(f"{path}: warning: {line}")
        reader = _Reader(origin, spec, known)
        yield from reader.rows(number)
        for line in reader.notes():
            self._told(f"{path}: {line}")


class _Reader:
    """Makes rows of the items of one spec, and counts those that are left as they are."""

    def __init__(self, origin: Origin, spec: Spec, known: Known) -> None:
        self._origin = origin
        self._spec = spec
        self._known = known
        self._kept: Counter[str] = Counter()
        self._found: dict[str, None] = {}

    def rows(self, number: int) -> Iterator[Row]:
        """The rows, numbered from one on."""
        for place, item in enumerate(self._spec.items):
            row = self._row(number, item, self._origin.column(place, item.where))
            if row is not None:
                yield row
                number += 1

    def notes(self) -> Iterator[str]:
        """What a person should know of them."""
        yield from self._found
        for reason, count in self._kept.items():
            yield f"{count} {'item' if count == 1 else 'items'} kept: {reason}"

    def _row(self, number: int, item: Item | Misfit, column: dict[str, Any]) -> Row | None:
        if isinstance(item, Misfit):
            return self._broken(number, item, item.error, column)
        try:
            job = decide(item, self._spec, self._known, self._origin.settings)
        except InputError as error:
            return self._broken(number, item, error, column)
        if isinstance(job, Kept):
            self._kept[job.reason] += 1
            return None
        self._found |= dict.fromkeys(job.notes)
        name = _name(self._spec.path, item.where)
        video = str(job.video.path.absolute())
        options = _options(job, self._spec)
        return Row.of(number, video, job.short, id=name, options=options, extra=column)

    def _broken(
        self, number: int, item: Item | Misfit, error: InputError, column: dict[str, Any]
    ) -> Row:
        """A row that cannot be done; known by its place, since what it says may be anything."""
        said = f"{self._origin.spec} {item.where} {error}"
        name = _name(self._spec.path, item.where)
        if isinstance(item, Misfit):
            return Row.broken(number, said, error, id=name, extra=column)
        video, prompt = item.video or "", item.prompt or ""
        return Row.broken(number, said, error, video=video, prompt=prompt, id=name, extra=column)


def known_in(path: Path) -> Known:
    """What the sidecar of a spec tells of prompts that were upsampled in place.

    Raises:
        SpecError: There is a file of that name, and it is no sidecar.
    """
    real = path.resolve()
    return known_of(real, real)


def _options(job: Job, spec: Spec) -> dict[str, Any]:
    """What an item sets: the same as ``promptlift cosmos upsample`` takes for it."""
    options: dict[str, Any] = {
        "target": spec.format.target,
        "controls": list(job.controls),
    }
    if job.shown is not None:
        options["control"] = job.shown
    return options


def _may_be_spec(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not is_sidecar(path) and path.is_file()


def _name(spec: Path, where: str = "") -> str:
    """A row's name, such as ``batch-line-3``, that can also be that of a file."""
    return "-".join(filter(None, [spec.stem, _UNFIT.sub("-", where).strip("-")]))
