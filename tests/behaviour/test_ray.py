"""A batch on a Ray cluster of two nodes, with an actor and a node killed in its middle."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault.command import Batch, Process, left_over
from fault.ledger import Snapshot, damage, exported, finished, strays
from fault.scene import make_clips, plain_rows, some_rows, write_rows
from fault.server import FaultServer, Plan
from loaders.ray_cluster import RayCluster
from promptlift.store import PartName, writer_process
from vllm_stub.make import Stub, make_stub

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(240),
]

ROWS = 60
SOME_UNFIT, BAD_INPUT, NO_ENGINE, WORK_IS_LEFT, INTERRUPTED = 1, 2, 3, 75, 130
SLOW = Plan(delay=0.25)
BLOCKS = 1 + 1 + 4  # that an actor has: the next, one in flight, those that wait for an upload


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
def alone(place: Path, server: FaultServer) -> tuple[int, list[dict[str, object]]]:
    """Exit code and export of the same input on one machine."""
    server.follow(Plan())
    folder = place / "alone"
    folder.mkdir()
    batch = Batch(folder, server.base_url, ("--workers", "1", "--concurrency", "8", "--quiet"))
    code = batch.run(source=str(place / "in.jsonl"))
    return code, exported(batch.run_dir)


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayCluster]:
    """Two nodes of two processors each, made to count a GPU each; none of it is left in the end."""
    with RayCluster(gpus=1) as cluster:
        yield cluster


@pytest.fixture
def cluster(nodes: RayCluster) -> RayCluster:
    """The cluster, whole again, whatever the test before has lost."""
    nodes.be_whole()
    return nodes


OnCluster = Callable[[str], Batch]


@pytest.fixture
def on_cluster(cluster: RayCluster, place: Path, server: FaultServer) -> Iterator[OnCluster]:
    """Makes the command in a folder: two engines that each have four requests in flight."""
    settings = (f"--ray={cluster.address}", "--engines", "2", "--concurrency", "4")
    made: list[Batch] = []

    def make(name: str) -> Batch:
        (place / name).mkdir()
        environment = dict(cluster.environment)
        made.append(Batch(place / name, server.base_url, settings, environment=environment))
        return made[-1]

    yield make
    for batch in made:
        batch.close()


def actors(batch: Batch, driver: Process) -> set[int]:
    """The processes that have written parts, besides the driver's."""
    names = [PartName.parse(path.name) for path in (batch.run_dir / "parts").iterdir()]
    pids = {writer_process(name.writer)[1] for name in names if name is not None}
    return pids - {driver.popen.pid}


def servers(stub: Stub) -> list[str]:
    """The processes that serve its model."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            words = path.read_bytes().decode(errors="replace").split("\0")
            found += [" ".join(words)] if str(stub.model) in words and "serve" in words else []
    return found


def await_results(run_dir: Path, process: Process, count: int) -> None:
    """Wait until so many results are written."""
    while not (run_dir / "parts").is_dir() or len(finished(run_dir)) < count:
        assert process.running, process.said.read_text()
        time.sleep(0.02)


def test_a_cluster_that_is_not_there_is_one_line(place: Path) -> None:
    """Nobody listens there, so the command ends with 2 and says what to do."""
    (place / "nowhere").mkdir()
    batch = Batch(place / "nowhere", "http://127.0.0.1:9/v1")
    run = batch.start("--ray=127.0.0.1:9", source=str(place / "in.jsonl"))
    assert run.wait() == BAD_INPUT, run.said.read_text()
    said = run.said.read_text()
    assert said.startswith("promptlift: error: there is no Ray cluster at '127.0.0.1:9'")
    assert len(said.splitlines()) == 1
    assert not batch.run_dir.exists()


def test_each_actor_owns_a_vllm_on_a_gpu_and_ends_it(cluster: RayCluster, place: Path) -> None:
    """Engines are started where Ray counts a GPU, answer every row, and are gone with the run."""
    folder = place / "owned"
    folder.mkdir()
    stub = make_stub(folder / "stub")
    rows = write_rows(folder / "in.jsonl", plain_rows(place / "clips", 12))
    environment = {**cluster.environment, "XDG_STATE_HOME": str(folder / "state")}
    batch = Batch(folder, "", environment=environment)
    engine = ("--engine", "vllm", "--model", str(stub.model), "--vllm-python", str(stub.python))
    spread = (f"--ray={cluster.address}", "--engines", "2")
    run = batch.start_other("batch", "run", str(rows), "-o", str(batch.run_dir), *engine, *spread)
    assert run.wait() == SOME_UNFIT, run.said.read_text()  # the stand-in says the same of all
    assert len(exported(batch.run_dir)) == len(finished(batch.run_dir)) == 12
    deadline = time.monotonic() + 30
    while servers(stub) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers(stub) == []


def test_ctrl_c_twice_breaks_off(on_cluster: OnCluster, place: Path, server: FaultServer) -> None:
    """The run ends at once with 130, though Ray is at work, and keeps what it has."""
    batch = on_cluster("broken off")
    server.follow(SLOW)
    run = batch.start(source=str(place / "in.jsonl"))
    await_results(batch.run_dir, run, 8)
    run.signal(signal.SIGINT)
    while b"once more stops at once" not in run.said.read_bytes():
        time.sleep(0.02)
    run.signal(signal.SIGINT)
    assert run.wait() == INTERRUPTED, run.said.read_text()
    assert len(finished(batch.run_dir)) >= 8
    assert left_over(run.mark) == []


def test_decoding_may_be_a_stage_of_its_own(
    on_cluster: OnCluster,
    place: Path,
    server: FaultServer,
    alone: tuple[int, list[dict[str, object]]],
) -> None:
    """With --decode-cpus the export is that of one machine, where --limit has cut the first try."""
    code, expected = alone
    batch = on_cluster("two stages")
    server.follow(Plan())
    source = str(place / "in.jsonl")
    assert batch.run("--decode-cpus", "1", "--limit", "20", source=source) == WORK_IS_LEFT
    first = set(server.asked)
    assert 0 < len(first) <= 20
    server.follow(Plan())
    assert batch.run("--decode-cpus", "1", source=source) == code
    assert first & set(server.asked) == set()
    assert exported(batch.run_dir) == expected
    assert damage(batch.run_dir) == []


def test_a_wrong_setting_ends_it_with_one_line(
    on_cluster: OnCluster, place: Path, server: FaultServer
) -> None:
    """Where the engine refuses every item the run ends with 3 after one of each engine."""
    batch = on_cluster("wrong")
    server.follow(Plan(chances={"401": 1.0}))
    run = batch.start("--quiet", source=str(place / "in.jsonl"))
    assert run.wait() == NO_ENGINE, run.said.read_text()
    said = run.said.read_text()
    assert said.startswith("promptlift: error: ")
    assert len(said.splitlines()) == 1
    assert len(server.asked) <= 2  # one of each engine
    # Rows whose own fault it is need no engine; their numbers come after the others'.
    assert all(take >= ROWS for take in Snapshot(0.0, finished(batch.run_dir)).takes)


def test_a_run_at_a_url_outlives_a_node_with_its_disk(
    cluster: RayCluster,
    on_cluster: OnCluster,
    place: Path,
    server: FaultServer,
    alone: tuple[int, list[dict[str, object]]],
) -> None:
    """A node goes and takes along what it had on its disk: no more than its blocks are asked again.

    The export is that of one machine, and a machine that has never seen the run finds it done.
    """
    code, expected = alone
    folder, url = place / "at a url", f"file://{place / 'at a url' / 'store'}"
    source, store = str(place / "in.jsonl"), folder / "store"
    batch = on_cluster("at a url")
    engine = ("--engine", "openai", "--base-url", server.base_url)
    command = ("batch", "run", source, "-o", url, *engine, *batch.arguments)
    server.follow(Plan(delay=0.5))
    batch.environment["PROMPTLIFT_CACHE"] = str(folder / "here")
    run = batch.start_other(*command, "--upload-every", "1s")
    await_results(store, run, 20)
    kept = finished(store)
    assert len(kept) < ROWS
    cluster.lose_a_node()
    shutil.rmtree(cluster.caches[1])
    server.follow(Plan())
    assert run.wait() == code, run.said.read_text()
    assert exported(store) == expected
    assert kept.keys() <= finished(store).keys()
    assert len(Snapshot(0.0, kept).takes & set(server.asked)) <= BLOCKS * 8
    assert damage(store) == []

    cluster.be_whole()
    server.follow(Plan())
    batch.environment["PROMPTLIFT_CACHE"] = str(folder / "elsewhere")
    again = batch.start_other(*command)
    assert again.wait() == code, again.said.read_text()
    assert server.asked == []
    assert exported(store) == expected
    assert left_over(run.mark) == left_over(again.mark) == []


def test_what_is_stopped_or_lost_is_done_by_the_same_command(
    cluster: RayCluster,
    on_cluster: OnCluster,
    place: Path,
    server: FaultServer,
    alone: tuple[int, list[dict[str, object]]],
) -> None:
    """A run is stopped, then killed, then loses an actor and a node; the export is the same.

    SIGTERM ends the first with 75 and no mark on what was left. What it and the killed driver had
    finished is not asked for again. The third goes on over both losses by itself, and the fourth
    sends nothing, on the node that is left.
    """
    code, expected = alone
    batch = on_cluster("spread")
    server.follow(SLOW)
    stopped = batch.start(source=str(place / "in.jsonl"))
    await_results(batch.run_dir, stopped, 10)
    stopped.signal(signal.SIGTERM)
    assert stopped.wait() == WORK_IS_LEFT, stopped.said.read_text()
    killed = batch.start(source=str(place / "in.jsonl"))
    await_results(batch.run_dir, killed, len(finished(batch.run_dir)) + 4)
    killed.kill()
    before = finished(batch.run_dir)
    assert len(before) < ROWS
    earlier = {stopped.popen.pid, *actors(batch, killed)}

    server.follow(SLOW)
    run = batch.start(source=str(place / "in.jsonl"))
    while len(victims := actors(batch, run) - {*earlier, killed.popen.pid}) < 2:
        assert run.running, run.said.read_text()
        time.sleep(0.02)
    await_results(batch.run_dir, run, len(before) + 6)
    os.kill(victims.pop(), signal.SIGKILL)
    await_results(batch.run_dir, run, len(before) + 12)
    cluster.lose_a_node()
    assert run.wait() == code, run.said.read_text()
    assert exported(batch.run_dir) == expected
    assert before.items() <= finished(batch.run_dir).items()
    assert Snapshot(0.0, before).takes & set(server.asked) == set()
    assert damage(batch.run_dir) == []

    server.follow(Plan())
    again = batch.start(source=str(place / "in.jsonl"))
    assert again.wait() == code, again.said.read_text()
    assert server.asked == []
    assert exported(batch.run_dir) == expected
    assert strays(batch.run_dir) == []
    assert left_over(run.mark) == left_over(again.mark) == []
