"""One item: which it is, its answer, and the line that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from promptlift import __version__
from promptlift.batch.journal import lines
from promptlift.batch.journal.writer import now
from promptlift.batch.runner.breaker import EngineDown
from promptlift.batch.runner.contents import Contents, Write
from promptlift.batch.runner.gate import Gate
from promptlift.batch.runner.items import Item
from promptlift.batch.runner.patient import PatientEngine, Turn
from promptlift.batch.runner.room import ByteBudget
from promptlift.core.record import Failure, Record, Video
from promptlift.errors import ConfigEngineError
from promptlift.pipeline.item import Outcome, upsample_item
from promptlift.pipeline.seeing import Runner, See

__all__ = ["Worker"]


class Worker:
    """Works on items; holds what they share.

    Args:
        engine: Who is asked.
        run: Where videos are read.
        sights: What was seen of recent videos.
        room: How many bytes of pictures may be held.
        write: Puts a line into the journal, and waits while the disk is full.
    """

    def __init__(
        self, engine: PatientEngine, run: Runner, sights: See, room: ByteBudget, write: Write
    ) -> None:
        self._engine = engine
        self._contents = Contents(run, write)
        self._sights = sights
        self._room = room
        self._write = write

    async def named(self, item: Item) -> Item:
        """The item with its key; its video is hashed where that was not done before."""
        if item.key is not None:
            return item
        return replace(item, key=item.keyed(await self._contents.of(item.row.video)))

    async def done(self, item: Item) -> Record:
        """Ask, and have the result in the journal.

        Raises:
            ConfigEngineError: Every item would fail.
            EngineDown: The engine is away for longer than the run has patience.
            OutputError: The journal cannot be written to any more.
        """
        key = item.key
        assert key is not None, "the item was named"
        with self._engine.turn() as turn:
            gate = Gate(self._sights, self._room, turn)
            try:
                outcome = await self._outcome(item, gate, turn)
                if outcome.error is not None and _is_fatal(outcome, item):
                    raise outcome.error
                record = outcome.record
                # A file may have been replaced since it was hashed: what was seen decides.
                key = record.key or key
                record = record if record.key else record.model_copy(update={"key": key})
                await self._write(_line(record, key))
                self._engine.settled(key)
            finally:
                gate.close()
        await self.note(replace(item, key=key))
        return record

    async def note(self, item: Item) -> None:
        """Have in the journal which item the row is."""
        assert item.key is not None, "the item was named"
        await self._write(lines.row_line(item.row.digest, item.key))

    async def _outcome(self, item: Item, gate: Gate, turn: Turn) -> Outcome:
        row, options = item.row, item.meaning.options
        if row.trouble is None:
            return await upsample_item(row.video, row.prompt, turn, options, sights=gate)
        code, message, remedy = row.trouble
        failure = Failure(code=code, message=message, remedy=remedy, retryable=False)
        record = Record(
            status="failed",
            video=Video(name=Path(row.video).name),
            short_prompt=row.prompt,
            target=options.target,
            error=failure,
            promptlift=__version__,
        )
        return Outcome(record, None, ())


def _is_fatal(outcome: Outcome, item: Item) -> bool:
    """Whether the run must stop; what only the row's own settings ask for is the row's trouble."""
    if isinstance(outcome.error, EngineDown):
        return True
    if not isinstance(outcome.error, ConfigEngineError):
        return False
    return not item.meaning.own or "ask" in outcome.record.timings


def _line(record: Record, key: str) -> bytes:
    error = record.error
    code = _first_failed(record) if error is None else error.code
    retryable = error is not None and error.retryable
    state = record.status
    assert state != "planned", "the engine was to be asked"
    return lines.result_line(key, state, code, retryable, record.model_dump_json(), at=now())


def _first_failed(record: Record) -> str | None:
    if record.review is None or record.status != "rejected":
        return None
    return next((check.name for check in record.review.checks if not check.passed), None)
