"""Find the files that a spec names, as the generator would."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from promptlift.cosmos.spec import Spec
from promptlift.errors import SpecError

__all__ = ["Found", "find"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a spec names.

    Attributes:
        named: As the spec writes it.
        path: Where it is.
        note: What a person should know of how it was found; empty for nothing.
    """

    named: str
    path: Path
    note: str = ""


def find(
    named: str,
    spec: Spec,
    root: Path | None,
    what: str,
    *,
    here: Path | None = None,
    may_be_gone: bool = False,
) -> Found:
    """Find a file that a spec names.

    Cosmos-Transfer2.5 and Predict2.5 count from the spec's folder. The others count from the
    folder that they are started in, the root of their repository: here `root` where it is given,
    else the current folder, else the nearest folder above the spec from which the name leads
    somewhere.

    Args:
        named: As the spec writes it.
        spec: The spec.
        root: The folder that the generator is started in; None where it is not known.
        what: What the file is, for the message.
        here: What the current folder was when the spec was first read; None for what it is.
        may_be_gone: Take a file that is not there to be where it is looked for first.

    Raises:
        SpecError: There is no such file.
    """
    tried: list[Path] = []
    for number, folder in enumerate(_folders(named, spec, root, here or Path())):
        path = folder / named
        tried.append(path)
        if _is_there(path):
            guessed = number > 0 and not spec.format.beside
            return Found(named, path, _note(named, path, folder if guessed else None))
    first = tried[0]
    if may_be_gone:
        return Found(named, first, f"{named} is not there any more")
    above = ", nor from the folders above the spec" if len(tried) > 1 else ""
    remedy = "correct the path" if spec.format.beside else "correct the path, or give --root"
    raise SpecError(
        f"{what} {named[:200]!r} is not there: no {first.absolute()}{above}", remedy=remedy
    )


def _folders(named: str, spec: Spec, root: Path | None, here: Path) -> list[Path]:
    if Path(named).is_absolute():
        return [Path()]
    if spec.format.beside:
        return [spec.path.parent]
    if root is not None:
        return [root]
    return [here, *spec.path.absolute().parents]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a null in it
        return False


def _note(named: str, path: Path, guessed: Path | None) -> str:
    """Where the file is, for a name that does not say so plainly."""
    if guessed is not None:
        return f"relative paths count from {guessed}"
    plain = os.path.normpath(path.absolute())
    real = path.resolve()
    if ".." in Path(named).parts or str(real) != plain:
        return f"{named} is {real}"
    return ""
