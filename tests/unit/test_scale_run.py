"""The driver of a run, on a cluster that is a loop in this process and loses things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from fault.scene import make_clips, plain_rows, write_rows
from promptlift.batch.export.export import export
from promptlift.batch.inputs import open_input
from promptlift.batch.invocation import Invocation
from promptlift.batch.mirror import Mirror, local_copy
from promptlift.batch.runner import EngineDown, RunSettings
from promptlift.cli import types
from promptlift.cli.main import cli
from promptlift.config import Options
from promptlift.engines.base import EngineInfo
from promptlift.errors import OptionError
from promptlift.scale.asking import Asker
from promptlift.scale.desk import Desk
from promptlift.scale.looking import Looker
from promptlift.scale.parcels import Back, pack, unpack
from promptlift.scale.run import ClusterRun
from promptlift.scale.settings import ScaleSettings
from promptlift.scale.work import Work
from stubs.here_desk import HereDesk

Loses = Callable[[int], bool]


class Here:
    """A cluster of this process: one parcel after another, some of them lost on the way.

    Args:
        loses: Whether the parcel of that number, counted over all rounds, is lost.
        loses_answers: The same of what became of it.
        breaks_after: The parcel after which a round fails as a whole, once.
    """

    cpus, gpus = 2, 0

    def __init__(
        self,
        loses: Loses = lambda _: False,
        breaks_after: int | None = None,
        loses_answers: Loses = lambda _: False,
    ) -> None:
        self.rounds = 0
        self._loses_answers = loses_answers
        self._breaks_after = breaks_after
        self._loses = loses
        self.parcels = 0

    def desk(self, *args: Any, **kwargs: Any) -> HereDesk:
        """A desk."""
        return HereDesk(Desk(*args, **kwargs))

    def describe(self, invocation: Invocation) -> EngineInfo:
        """Nobody has a GPU."""
        raise AssertionError("no engine here needs a GPU")

    def results(self, work: Work) -> Iterator[list[Back]]:
        """Do it."""
        self.rounds += 1
        looker = Looker(30)
        asker = Asker(work.post, None, work.desk)
        try:
            while (rows := work.desk.call("take")) is not None:
                if not rows:
                    continue
                seen = unpack(pack(looker.look_at(rows, work.desk.claim, work.who)))
                self.parcels += 1
                if not self._loses(self.parcels):
                    backs = asker.ask(seen)
                    if not self._loses_answers(self.parcels):
                        yield backs
                if self.parcels == self._breaks_after:
                    raise ConnectionError("the cluster went away\nand came back")
        finally:
            asker.close()
            looker.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an input: nine rows, of which three are the same item."""
    rows = plain_rows(make_clips(tmp_path / "clips"), 7)
    write_rows(tmp_path / "in.jsonl", [*rows, rows[0] | {"id": "twin"}, rows[0] | {"id": "third"}])
    return tmp_path


def run_on(cluster: Here, place: Path, **settings: Any) -> ClusterRun:
    """A run of that input with the embedded engine."""
    return ClusterRun(
        cluster,
        Invocation.of("embedded", {}, Options()),
        open_input(str(place / "in.jsonl"), prompt=None),
        place / "run",
        RunSettings(concurrency=2, **settings),
        ScaleSettings(parcel=2),
    )


def rows_in(place: Path) -> list[str]:
    """What the export says."""
    export(place / "run", place / "out.jsonl")
    return (place / "out.jsonl").read_text().splitlines()


def test_every_row_is_counted_once(place: Path) -> None:
    """Rows that are the same item are answered once and counted each, in one round."""
    run = run_on(cluster := Here(), place)
    assert asyncio.run(run.run()) == "done"
    assert cluster.rounds == 1
    assert (run.tally.total, run.tally.finished, run.tally.fit, run.tally.left) == (9, 9, 9, 0)
    assert len(rows_in(place)) == 9


def test_a_run_at_a_url_is_in_the_store_when_it_is_done(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines keep their rows in folders of their own; the store has all of it in the end."""
    url = f"file://{place}/store"
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(place / "actors"))
    invocation = Invocation.of("embedded", {}, Options())
    rows = open_input(str(place / "in.jsonl"), prompt=None)
    driver = Mirror(url, place / "driver")
    for asked in (9, 0):
        with driver.kept_up(print) as folder:
            run = ClusterRun(
                cluster := Here(lambda number: number == 2),
                invocation,
                rows,
                folder,
                RunSettings(concurrency=2),
                ScaleSettings(parcel=2),
                url,
            )
            assert asyncio.run(run.run()) == "done"
        assert (run.tally.finished, run.tally.left, run.tally.asked) == (9, 0, asked)
        assert cluster.parcels == 0 or asked
    own = {path.name for path in (place / "actors" / "runs").glob("*/segments/*")}
    assert own < {path.name for path in (place / "store" / "segments").iterdir()}
    export(local_copy(url), place / "out.jsonl")
    assert len((place / "out.jsonl").read_text().splitlines()) == 9


def test_what_was_answered_is_not_asked_again_where_only_its_way_back_is_lost(place: Path) -> None:
    """The engine has told the desk; so the parcel is handed out again and nobody is asked."""
    run = run_on(cluster := Here(loses_answers=lambda number: number in (1, 3)), place)
    assert asyncio.run(run.run()) == "done"
    assert cluster.rounds > 1
    assert (run.tally.finished, run.tally.left) == (9, 0)
    segments = (place / "run" / "segments").glob("*.jsonl")
    assert sum(path.read_bytes().count(b'"kind":"result"') for path in segments) == 7


def test_lost_rows_get_another_round(place: Path) -> None:
    """What never came back is handed out again, until all is there."""
    run = run_on(cluster := Here(lambda number: number in (1, 3, 6)), place)
    assert asyncio.run(run.run()) == "done"
    assert cluster.rounds > 1
    assert (run.tally.finished, run.tally.left) == (9, 0)
    assert len(rows_in(place)) == 9


def test_a_round_that_fails_as_a_whole_is_followed_by_another(place: Path) -> None:
    """Whatever Ray raises, rows that were handed out or waited are done in the next round."""
    run = run_on(cluster := Here(breaks_after=1), place)
    assert asyncio.run(run.run()) == "done"
    assert cluster.rounds == 2
    assert (run.tally.finished, run.tally.left) == (9, 0)


def test_a_cluster_that_loses_everything_is_given_up(place: Path) -> None:
    """After two rounds without a result the run ends as with an engine that is away."""
    run = run_on(cluster := Here(lambda _: True), place)
    with pytest.raises(EngineDown, match="loses what it is given"):
        asyncio.run(run.run())
    assert cluster.rounds == 2
    assert run.tally.finished == 0


def test_finished_rows_never_reach_the_cluster(place: Path) -> None:
    """The second run counts them, and has nothing to hand out."""
    asyncio.run(run_on(Here(), place).run())
    run = run_on(cluster := Here(), place)
    assert asyncio.run(run.run()) == "done"
    assert cluster.parcels == 0
    assert run.tally.before.total() == run.tally.finished == 9


def test_a_limit_ends_a_run_with_work_left(place: Path) -> None:
    """What was begun is finished, and the rest is left for the same command."""
    run = run_on(Here(), place, limit=3)
    assert asyncio.run(run.run()) == "limit"
    assert run.tally.asked == run.tally.finished == 3
    again = run_on(Here(), place)
    assert asyncio.run(again.run()) == "done"
    assert again.tally.finished == 9


@pytest.mark.parametrize(("text", "pair"), [("4", (4, 4)), ("2:16", (2, 16)), (" 1:1 ", (1, 1))])
def test_a_span_is_the_least_and_the_most(text: str, pair: tuple[int, int]) -> None:
    """One number is both."""
    assert types.span(text) == pair


@pytest.mark.parametrize("text", ["", "0", "16:2", "2:", ":2", "a", "1:2:3", "-1"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """The message names it."""
    with pytest.raises(click.BadParameter, match="is not a range"):
        types.span(text)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--engines", "2"], "--engines"),
        (["--decode-cpus", "2"], "--decode-cpus"),
        (["--base-url", "http://a/v1", "--base-url", "http://b/v1"], "a second --base-url"),
    ],
)
def test_what_is_for_a_cluster_needs_one(place: Path, more: list[str], named: str) -> None:
    """An option that would do nothing on one machine is refused by name."""
    command = ["batch", str(place / "in.jsonl"), "-o", str(place / "run"), *more]
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, OptionError)
    assert named in str(done.exception)
    assert not (place / "run").exists()
