"""How soon a finished run is known to be finished, and what one more row costs."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from batches import job
from batches.contenders import PROMPTLIFT
from batches.engine import engine, seen
from batches.tables import show
from batches.watch import Took, run
from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import Index, Writer, lines
from promptlift.batch.rows import Row
from promptlift.batch.runner.items import Item, Meanings
from promptlift.engines.registry import make_engine

_AT = 1_763_769_600.0


def measure(*, records: int, rounds: int) -> None:
    """Print the table."""
    asked = job.asks(records + 1)
    with tempfile.TemporaryDirectory() as made, engine(0) as url:
        folder = Path(made)
        rows = job.write_rows(folder / "rows.jsonl", asked[:-1])
        command = [*PROMPTLIFT, "batch", str(rows), "-o", str(folder / "run"), "--quiet"]
        command += ["--engine", "openai", "--base-url", url]
        _finish(command, folder, asked[:-1])
        before = seen(url).requests
        again = [run(command, folder / "log") for _ in range(rounds)]
        nothing = seen(url).requests - before
        size = sum(path.stat().st_size for path in (folder / "run" / "segments").iterdir())
        job.write_rows(rows, asked)
        more = run(command, folder / "log")
        one = seen(url).requests - before - nothing
    head = [f"{records:,} rows, journal of {size / 1e6:.0f} MB", "wall s", "CPU s", "peak MB"]
    show(
        [*head, "requests", "exit code"],
        [
            ["the same command again", *_middles(again), str(nothing), str(again[-1].code)],
            ["with one row more", *_middles([more]), str(one), str(more.code)],
        ],
    )


def _finish(command: list[str], folder: Path, asked: list[job.Ask]) -> None:
    """Do one row of each clip, and write what the others would have come to."""
    first = folder / "first.jsonl"
    ones = {ask.clip: ask for ask in asked}
    job.write_rows(first, list(ones.values()))
    begun = run([*command[:4], str(first), *command[5:]], folder / "log")
    assert begun.code == 0, begun.said
    run_dir = folder / "run"
    invocation = Invocation.read(run_dir)
    who = asyncio.run(make_engine(invocation.engine, **invocation.engine_settings).describe())
    meanings = Meanings(invocation.item_options, who)
    videos = [str(path) for path in job.clips()]
    with Index.load(run_dir) as index, Writer(run_dir, turn=index.highest_turn + 1) as writer:
        known = {}
        for clip, ask in ones.items():
            key = index.key_of(Row.of(0, videos[clip], ask.prompt).digest)
            assert key is not None
            known[clip] = key, ask.prompt, index.raw_record(key).decode()
        for number, ask in enumerate(asked):
            row = Row.of(number, videos[ask.clip], ask.prompt)
            content = index.latest_content(row.video)
            assert content is not None
            key = Item(row, meanings.plain).keyed(content)
            old_key, old_prompt, record = known[ask.clip]
            record = record.replace(old_key, key).replace(old_prompt, ask.prompt)
            writer.append(lines.result_line(key, "ok", None, False, record, at=_AT))
            writer.append(lines.row_line(row.digest, key))


def _middles(took: list[Took]) -> list[str]:
    return [
        f"{statistics.median(one.seconds for one in took):.1f}",
        f"{statistics.median(one.cpu for one in took):.1f}",
        f"{statistics.median(one.peak_mb for one in took):.0f}",
    ]
