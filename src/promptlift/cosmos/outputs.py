"""Where results go, so that none takes the place of another or of a file nobody offered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptlift.cosmos.items import Item
from promptlift.cosmos.results import Change
from promptlift.cosmos.sidecar import Known, known_of, sidecar_path
from promptlift.cosmos.spec import Spec
from promptlift.errors import OutputError, SpecError
from promptlift.files import write_atomic

__all__ = ["Claims", "Output", "Outputs", "write"]


@dataclass(frozen=True, slots=True)
class Output:
    """A spec and where its result goes.

    Attributes:
        spec: The spec.
        path: The result; the spec itself in place.
        in_place: Whether the spec is replaced.
        is_folder: Whether a folder for results was named.
        known: What earlier runs did.
    """

    spec: Spec
    path: Path
    in_place: bool
    is_folder: bool
    known: Known


class Outputs:
    """Gives each spec its place.

    Args:
        folder: Where results go; None for beside the specs, as ``NAME.upsampled.json``.
        in_place: Replace the specs.
    """

    def __init__(self, folder: Path | None, *, in_place: bool) -> None:
        self.folder = folder
        self.in_place = in_place
        self._taken: dict[Path, Path] = {}

    def place(self, spec: Spec) -> Output:
        """The place of a spec's result.

        Raises:
            OutputError: Another spec of this run has it, or it is the spec itself.
            SpecError: The generator would not find the spec's files from there, or a file has
                the name of a sidecar and is none.
        """
        path = self._path(spec.path)
        real = path.resolve()
        if not self.in_place and real == spec.path.resolve():
            raise OutputError(
                f"the result would take the place of {str(path)!r} itself",
                remedy="choose another folder, or say --in-place",
            )
        known = known_of(spec.path.resolve() if self.in_place else spec.path, path)
        output = Output(spec, path, self.in_place, self.folder is not None, known)
        _check_relative(output)
        for name in (real, sidecar_path(real)):
            if name in self._taken:
                raise OutputError(
                    f"its result would be {name.name!r} in {str(name.parent)!r}, as that of "
                    f"{str(self._taken[name])!r}",
                    remedy="give one of them another name, or run them one by one",
                )
        self._taken |= {real: spec.path, sidecar_path(real): spec.path}
        return output

    def _path(self, spec: Path) -> Path:
        if self.in_place:
            return spec.resolve()
        if self.folder is not None:
            return self.folder / spec.name
        return spec.with_name(f"{spec.stem}.upsampled{spec.suffix}")


def _check_relative(output: Output) -> None:
    """Refuse to move a spec whose paths count from its own folder."""
    spec = output.spec
    if not spec.format.beside or output.path.parent.resolve() == spec.path.parent.resolve():
        return
    for item in spec.items:
        if not isinstance(item, Item):
            continue
        named = [item.video, item.prompt_path, *(hint.video for hint in item.hints)]
        for name in named:
            if name and not Path(name).is_absolute():
                raise SpecError(
                    f"{name[:200]!r} counts from the folder of the spec, and would mean another "
                    f"file from {str(output.path.parent)!r}",
                    remedy="leave -o out to have the result beside the spec",
                )


class Claims:
    """Gives each prompt's file that is replaced in place to one item.

    One file cannot hold two long prompts.
    """

    def __init__(self) -> None:
        self._taken: dict[Path, str] = {}

    def take(self, output: Output, item: Item, file: Path | None) -> None:
        """Take the file for an item, where the results go in place.

        Raises:
            SpecError: Another item has it.
        """
        if file is None or not output.in_place:
            return
        real = file.resolve()
        if real in self._taken:
            raise SpecError(
                f"its prompt's file {real.name!r} is also that of another item "
                f"({self._taken[real].strip()})",
                remedy="give each its own, or leave --in-place out",
            )
        self._taken[real] = f"{output.path.name} {item.where}"


def write(changes: Iterable[Change]) -> None:
    """Write files, each whole or not at all.

    Raises:
        OutputError: One cannot be written; those before it are.
    """
    for change in changes:
        with contextlib.suppress(OSError):  # the write itself says what is wrong
            change.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(change.path, change.new.encode())
