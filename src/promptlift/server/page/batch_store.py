"""Which jobs were sent together: a list on the disk, since the jobs are the server's own."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from promptlift.core.record import Failure
from promptlift.files import write_atomic
from promptlift.server.errors import Refusal

__all__ = ["Batch", "BatchRow", "BatchStore"]

_ID = re.compile(r"[0-9a-f]{32}")


class BatchRow(BaseModel):
    """One row: what was asked, and the job that does it or why there is none."""

    model_config = ConfigDict(frozen=True)

    number: int
    video: str = ""
    prompt: str = ""
    id: str = ""
    job: str | None = None
    error: Failure | None = None


class Batch(BaseModel):
    """Rows that were sent together."""

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    name: str
    created: float
    rows: tuple[BatchRow, ...]


class BatchStore:
    """The lists.

    Args:
        folder: Made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, owner: str, name: str, rows: list[BatchRow]) -> Batch:
        """Keep a list under an id that nobody can guess.

        Raises:
            OutputError: It cannot be written.
        """
        made = Batch(
            id=secrets.token_hex(16),
            owner=owner,
            name=name,
            created=round(time.time(), 3),
            rows=tuple(rows),
        )
        await asyncio.to_thread(self._write, made)
        return made

    def get(self, batch_id: str, owner: str) -> Batch:
        """The list of that id.

        Raises:
            Refusal: There is none, or it came with another key.
        """
        found = self._read(batch_id) if _ID.fullmatch(batch_id) else None
        if found is None or found.owner != owner:
            raise Refusal(404, "not_found", "there is no such batch", remedy="look at the list")
        return found

    def newest(self, owner: str, limit: int) -> list[Batch]:
        """The last lists of a key."""
        if not self._folder.is_dir():
            return []
        paths = sorted(self._folder.glob("*.json"), key=lambda one: -one.stat().st_mtime_ns)
        found = (self._read(path.stem) for path in paths)
        return list(islice((one for one in found if one and one.owner == owner), limit))

    def _read(self, batch_id: str) -> Batch | None:
        with suppress(OSError, ValidationError):
            return Batch.model_validate_json((self._folder / f"{batch_id}.json").read_bytes())
        return None

    def _write(self, batch: Batch) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._folder / f"{batch.id}.json", batch.model_dump_json().encode())
