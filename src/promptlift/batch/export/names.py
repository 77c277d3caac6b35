"""Names of files after rows: readable, safe on every file system, and no two the same."""

from __future__ import annotations

from pathlib import PurePath

from promptlift.batch.plain import plain_text
from promptlift.batch.rows import Row

__all__ = ["Names"]

_LONGEST = 96
_DIGITS = 8
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}


class Names:
    """Gives each row a name of its own: its id, or its video's name where it has no id.

    A name that had to be changed to be safe, or that an earlier row has, gets eight digits of the
    row's digest; only a row that says the very same gets a number besides.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, row: Row) -> str:
        """A name without a suffix."""
        wished = _wished(row)
        name = safe = _safe(wished)
        marked = f"{safe}-{row.digest[:_DIGITS]}"
        if safe != wished or self._is_taken(name):
            name = marked
        number = 2
        while self._is_taken(name):
            name = f"{marked}-{number}"
            number += 1
        self._taken.add(name.casefold())
        return name

    def _is_taken(self, name: str) -> bool:
        # Some file systems do not tell capital letters from small ones.
        return name.casefold() in self._taken


def _wished(row: Row) -> str:
    if row.digest.startswith(row.id) and row.video:
        return plain_text(PurePath(row.video).stem)
    return plain_text(row.id)


def _safe(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "._- " else "_" for c in name)
    # Letters of other scripts take up to four of the 255 bytes that a name may have.
    kept = kept.encode()[:_LONGEST].decode("utf-8", "ignore").strip(" .")
    return f"_{kept}" if not kept or kept.casefold().split(".")[0] in _RESERVED else kept
