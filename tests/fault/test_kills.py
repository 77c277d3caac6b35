"""Kill -9 at seeded moments: a short schedule of what ``make test-faults`` does at length."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from fault.harness import Seed, World, world

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

# Between them: kills while the rows are read, in the middle, near the end, and four in a row.
SEEDS = (2, 4)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Clips, an engine, and a run that nobody disturbed."""
    with world(tmp_path_factory.mktemp("kills")) as made:
        yield made


@pytest.fixture(scope="module", params=SEEDS)
def seed(request: pytest.FixtureRequest, shared: World) -> Seed:
    """A run that was killed at its moments, and then finished."""
    seed = Seed(shared, request.param)
    seed.run()
    return seed


def test_nothing_is_lost_or_done_twice(seed: Seed) -> None:
    """The export is that of the undisturbed run, what was finished is asked for no more, at most
    a quarter more items are asked again than may be in flight, and no process or file is left over.
    """
    assert seed.verdict.kills, "a seed of this list is one that kills"
    assert seed.verdict.wrong == [], seed.verdict.line()


def test_a_loss_would_be_seen(seed: Seed) -> None:
    """The harness tells a run that lost a finished result: it is no rubber stamp."""
    for part in (seed.batch.run_dir / "parts").iterdir():
        lines = part.read_bytes().splitlines(keepends=True)
        part.write_bytes(b"".join(lines[: len(lines) // 2]))
    seed.look()
    assert any("missing from the export" in wrong for wrong in seed.verdict.wrong)
    assert any("finished before a kill" in wrong for wrong in seed.verdict.wrong)
