"""Find one item of a run by what a person has of it: a row's id, or the beginning of a key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptlift.batch.outcomes import Outcome, outcomes
from promptlift.batch.run_dir import RunDir
from promptlift.errors import OptionError

__all__ = ["find"]

_KEY = re.compile(r"[0-9a-f]{4,64}")
_NAMED = 5


def find(run: RunDir, wanted: str) -> list[Outcome]:
    """The rows of the one item that is meant; several where rows share it.

    Args:
        run: The run.
        wanted: A row's id, or at least four digits of a key. An id comes first.

    Raises:
        OptionError: There is none, or several items are meant.
    """
    found = [outcome for outcome in outcomes(run) if outcome.row.id == wanted]
    if not found and _KEY.fullmatch(wanted.lower()):
        found = list(_with_key(run, wanted.lower()))
    if not found:
        raise OptionError(
            f"no row has the id {wanted!r}, and no key begins so",
            remedy="take an id or a key from `promptlift status` or from an export",
        )
    items = {outcome.key or outcome.row.digest: outcome for outcome in found}
    if len(items) > 1:
        some = ", ".join(_named(outcome) for outcome in list(items.values())[:_NAMED])
        more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
        raise OptionError(
            f"{wanted!r} is {len(items)} items: {some}{more}", remedy="give more of the key"
        )
    return found


def _with_key(run: RunDir, start: str) -> Iterator[Outcome]:
    return (one for one in outcomes(run) if one.key is not None and one.key.startswith(start))


def _named(outcome: Outcome) -> str:
    key = "not asked yet" if outcome.key is None else outcome.key[:12]
    return f"{key} (row {outcome.row.number + 1} of {outcome.source})"
