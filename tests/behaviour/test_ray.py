"""A batch on a Ray cluster of two nodes; a driver, an actor and a node are killed in its middle."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fault.command import Batch, Process, left_over
from fault.desk import until
from fault.ledger import Snapshot, damage, exported, finished, strays
from fault.scene import make_clips, plain_rows, some_rows, write_rows
from fault.server import FaultServer, Plan
from loaders.ray_cluster import RayCluster
from vllm_stub.make import Stub, make_stub

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(240),
]

ROWS = 64
BAD_INPUT, NO_ENGINE, WORK_IS_LEFT, INTERRUPTED = 2, 3, 75, 130
SLOW = Plan(delay=0.3)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    """The engine of every run here."""
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, good and bad, and an input with rows of all kinds."""
    folder = tmp_path_factory.mktemp("cluster")
    write_rows(folder / "in.jsonl", some_rows(make_clips(folder / "clips"), ROWS))
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Two nodes of two processors each, made to count a GPU each; none of it is left in the end."""
    with RayCluster() as cluster:
        yield cluster


OnCluster = Callable[[str], Batch]


@pytest.fixture
def on_cluster(cluster: RayCluster, place: Path, server: FaultServer) -> Iterator[OnCluster]:
    """Makes the command in a folder: one engine that has four requests in flight."""
    settings = (f"--ray={cluster.address}", "--engines", "1", "--concurrency", "4")
    made: list[Batch] = []

    def make(name: str) -> Batch:
        (place / name).mkdir()
        environment = dict(cluster.environment)
        made.append(Batch(place / name, server.base_url, settings, environment=environment))
        return made[-1]

    yield make
    for batch in made:
        batch.close()


def servers(stub: Stub) -> list[int]:
    """The processes that serve its model."""
    found = psutil.process_iter(["cmdline"])
    return [
        one.pid for one in found if {str(stub.model), "serve"} <= {*(one.info["cmdline"] or ())}
    ]


def await_results(run_dir: Path, process: Process, count: int) -> None:
    """Wait until so many results are written; without an index, which would slow the run down."""
    while True:
        parts = (run_dir / "parts").glob("*.jsonl")
        if sum(part.read_bytes().count(b'"kind":"result"') for part in parts) >= count:
            return
        assert process.running, process.text
        time.sleep(0.1)


def test_a_cluster_that_is_not_there_is_one_line(place: Path) -> None:
    """Nobody listens there, so the command ends with 2 and says what to do."""
    (place / "nowhere").mkdir()
    batch = Batch(place / "nowhere", "http://127.0.0.1:9/v1")
    run = batch.start("--ray=127.0.0.1:9", source=str(place / "in.jsonl"))
    assert run.wait() == BAD_INPUT, run.text
    assert run.text.startswith("promptlift: error: there is no Ray cluster at '127.0.0.1:9'")
    assert len(run.text.splitlines()) == 1
    assert not batch.run_dir.exists()


def test_an_actor_owns_a_vllm_on_a_gpu_and_ends_it(cluster: RayCluster, place: Path) -> None:
    """An engine is started where Ray counts a GPU, and is gone with the run, which is at a URL.

    With a limit that leaves work, which the exit code says.
    """
    folder = place / "owned"
    folder.mkdir()
    stub = make_stub(folder / "stub")
    rows = write_rows(folder / "in.jsonl", plain_rows(place / "clips", 12))
    environment = {**cluster.environment, "XDG_STATE_HOME": str(folder / "state")}
    environment["PROMPTLIFT_CACHE"] = str(folder / "cache")
    batch = Batch(folder, "", environment=environment)
    engine = ("--engine", "vllm", "--model", str(stub.model), "--vllm-python", str(stub.python))
    spread = (f"--ray={cluster.address}", "--engines", "1", "--limit", "8")
    store = folder / "store"
    run = batch.start_other("batch", "run", str(rows), "-o", f"file://{store}", *engine, *spread)
    assert run.wait() == WORK_IS_LEFT, run.text
    assert len(exported(store)) == len(finished(store)) == 8
    until(lambda: not servers(stub))


def test_ctrl_c_twice_breaks_off(on_cluster: OnCluster, place: Path, server: FaultServer) -> None:
    """The run ends at once with 130, though Ray is at work, and keeps what it has."""
    batch = on_cluster("broken off")
    server.follow(SLOW)
    run = batch.start(source=str(place / "in.jsonl"))
    await_results(batch.run_dir, run, 8)
    run.signal(signal.SIGINT)
    until(lambda: "once more stops at once" in run.text)
    run.signal(signal.SIGINT)
    assert run.wait() == INTERRUPTED, run.text
    assert len(finished(batch.run_dir)) >= 8
    assert left_over(run.mark) == []


def test_a_wrong_setting_ends_it_with_one_line(
    on_cluster: OnCluster, place: Path, server: FaultServer
) -> None:
    """Where the engine refuses every item the run ends with 3 after the first request."""
    batch = on_cluster("wrong")
    server.follow(Plan(chances={"401": 1.0}))
    run = batch.start("--quiet", source=str(place / "in.jsonl"))
    assert run.wait() == NO_ENGINE, run.text
    # Ray may have words of its own about actors that end with the run.
    (line,) = [line for line in run.text.splitlines() if "(raylet)" not in line]
    assert line.startswith("promptlift: error: ")
    assert len(server.asked) == 1
    # Rows whose own fault it is need no engine; their numbers come after the others'.
    assert all(take >= ROWS for take in Snapshot(0.0, finished(batch.run_dir)).takes)


def test_what_is_stopped_or_lost_is_done_by_the_same_command(
    cluster: RayCluster, on_cluster: OnCluster, place: Path, server: FaultServer
) -> None:
    """A run is stopped, then killed, then loses an actor and a node; the export is the same.

    The first decodes in a stage of its own, and SIGTERM ends it with 75 and no mark on what was
    left. What it and the killed driver had finished is not asked for again.
    """
    source = str(place / "in.jsonl")
    (place / "alone").mkdir()
    alone = Batch(place / "alone", server.base_url, ("--workers", "1", "--concurrency", "8"))
    server.follow(Plan())
    code = alone.run_here(source=source)
    expected = exported(alone.run_dir)

    batch = on_cluster("spread")
    server.follow(SLOW)
    stopped = batch.start("--decode-cpus", "1", source=source)
    await_results(batch.run_dir, stopped, 8)
    stopped.signal(signal.SIGTERM)
    assert stopped.wait() == WORK_IS_LEFT, stopped.text
    first = Snapshot(0.0, finished(batch.run_dir))
    # What was with an engine is finished, except for an item that would be asked a second time.
    assert len(set(server.asked) - first.takes) < 8
    server.follow(SLOW)
    killed = batch.start(source=source)
    await_results(batch.run_dir, killed, len(first.finished) + 4)
    killed.kill()
    before = finished(batch.run_dir)
    assert len(before) < ROWS - 24

    earlier = cluster.engine_actors()
    server.follow(SLOW)
    run = batch.start("--engines", "2", source=source)
    await_results(batch.run_dir, run, len(before) + 2)
    while not (actors := cluster.engine_actors() - earlier):
        assert run.running, run.text
        time.sleep(0.1)
    os.kill(actors.pop(), signal.SIGKILL)
    await_results(batch.run_dir, run, len(before) + 9)
    cluster.lose_a_node()
    assert run.wait() == code, run.text
    assert exported(batch.run_dir) == expected
    assert before.items() <= finished(batch.run_dir).items()
    assert Snapshot(0.0, before).takes & set(server.asked) == set()
    assert damage(batch.run_dir) == []
    assert strays(batch.run_dir) == []
    assert left_over(run.mark) == []
