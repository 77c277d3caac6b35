"""Decoding in killable processes: results come back, and every way to lose one costs one call."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fault import jobs
from fault.processes import alive, await_end, await_pid
from promptlift.errors import VideoTimeout, VideoUnreadable
from promptlift.testing import synthetic_video
from promptlift.video import IsolationLimits, ProcessPool, isolated_call, probe

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and signals")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces it")

Work = Callable[[ProcessPool], Coroutine[object, object, None]]


def with_pool(
    work: Work, workers: int = 1, limits: IsolationLimits | None = None, preload: str = ""
) -> None:
    """Run a coroutine function with a pool, which is closed afterwards."""

    async def main() -> None:
        async with ProcessPool(workers, limits, preload=preload.split()) as pool:
            await work(pool)

    asyncio.run(main())


def start_script(code: str, *, session: bool = False) -> subprocess.Popen[str]:
    """A Python process that runs the code with what these tests can import."""
    prelude = "import asyncio, os, signal, sys\nfrom pathlib import Path\nfrom fault import jobs\n"
    prelude += "from promptlift.video import IsolationLimits, ProcessPool\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=session,
    )


async def _pid_in(path: Path) -> int:
    return await asyncio.to_thread(await_pid, path)


def test_a_call_of_its_own_runs_elsewhere_and_leaves_no_process() -> None:
    """Values of any size cross in both directions, and the process has ended by then."""
    assert isolated_call(jobs.add, 2, second=3) == 5
    pid = isolated_call(jobs.own_pid)
    assert pid != os.getpid()
    assert not alive(pid)
    assert len(isolated_call(jobs.big, 5_000_000)) == 5_000_000
    with ThreadPoolExecutor(2) as threads:
        sums = threads.map(lambda number: isolated_call(jobs.add, number, number), range(4))
        assert list(sums) == [0, 2, 4, 6]


def test_the_worker_imports_what_the_parent_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is found through a folder added to sys.path here is found there too."""
    (tmp_path / "grown_up.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    import grown_up  # type: ignore[import-not-found]

    assert isolated_call(grown_up.answer) == 42


def test_calls_share_the_processes_of_a_pool() -> None:
    """Every call gets its own answer; no more processes run than there are workers."""

    async def work(pool: ProcessPool) -> None:
        most = 0

        async def one(number: int) -> tuple[int, int]:
            nonlocal most
            total = await pool.call(jobs.add, number, number)
            most = max(most, pool.busy)
            return total, await pool.call(jobs.own_pid)

        answers = await asyncio.gather(*(one(number) for number in range(30)))
        assert [total for total, _ in answers] == [2 * number for number in range(30)]
        assert len({pid for _, pid in answers}) == 2
        assert most <= pool.workers == 2
        assert pool.busy == 0

    with_pool(work, workers=2)
    with pytest.raises(ValueError, match="at least 1 worker, not 0"):
        ProcessPool(0)


def test_values_cross_whole(tmp_path: Path) -> None:
    """Frames with their exact times, arrays of any layout, large arguments, a real probe."""
    clip = tmp_path / "clip.mp4"
    synthetic_video(clip, seconds=0.5, size=(64, 48))

    async def work(pool: ProcessPool) -> None:
        came = await pool.call(jobs.frames, 3, 720, 1280)
        for got, sent in zip(came, jobs.frames(3, 720, 1280), strict=True):
            assert (got.time, got.wanted, got.size) == (sent.time, sent.wanted, sent.size)
            assert np.array_equal(got.image, sent.image)
            got.image[0, 0] = 1
        arrays = await pool.call(jobs.odd_arrays)
        for name, array in jobs.odd_arrays().items():
            assert np.array_equal(arrays[name], array)
            assert arrays[name].shape == array.shape
        for size in (5_000_000, 1, 3_000_000):
            assert await pool.call(len, b"y" * size) == size
        assert await pool.call(probe, clip) == probe(clip)

    with_pool(work)


def test_errors_and_prints_of_the_function_cost_no_process() -> None:
    """Errors come back as themselves or in words; the pipes are out of reach of libraries."""

    async def work(pool: ProcessPool) -> None:
        first = await pool.call(jobs.own_pid)
        with pytest.raises(VideoUnreadable) as caught:
            await pool.call(jobs.unreadable)
        assert caught.value.message == "there is no picture in clip.mp4"
        assert caught.value.remedy == "give a video"
        with pytest.raises(ZeroDivisionError, match="a defect"):
            await pool.call(jobs.mistake)
        with pytest.raises(RuntimeError, match="UnpicklableError: holds a file"):
            await pool.call(jobs.unpicklable)
        with pytest.raises(RuntimeError, match="OneWayError: a hole in the bucket"):
            await pool.call(jobs.one_way)
        with pytest.raises(TypeError, match="pickle"):
            await pool.call(partial(open, os.devnull))
        with pytest.raises((AttributeError, TypeError), match=r"pickle|local object"):
            await pool.call(len, lambda: None)
        assert await pool.call(jobs.chatter, "hello") == "hello"
        assert await pool.call(jobs.read_input) == b""
        assert await pool.call(jobs.own_pid) == first

    with_pool(work)


@posix_only
def test_a_crash_costs_one_call(tmp_path: Path) -> None:
    """The error names the signal or the status; a call in another process goes on."""

    async def work(pool: ProcessPool) -> None:
        gate = tmp_path / "gate"
        waiting = asyncio.create_task(
            pool.call(jobs.wait_for, str(tmp_path / "pid"), str(gate)),
        )
        neighbour = await _pid_in(tmp_path / "pid")
        first = await pool.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match=r"crashed \(SIGSEGV\)"):
            await pool.call(jobs.segfault)
        second = await pool.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match=r"crashed \(exit status 7\)"):
            await pool.call(jobs.leave, 7)
        assert len({first, second, await pool.call(jobs.own_pid)}) == 3
        gate.touch()
        assert await waiting == neighbour

    with_pool(work, workers=2)


def test_a_hang_is_ended_with_its_process(tmp_path: Path) -> None:
    """Past its wall time the process has ended, even one that ignores signals."""

    async def work(pool: ProcessPool) -> None:
        with pytest.raises(VideoTimeout, match=r"longer than 1\.5 s"):
            await pool.call(jobs.hang_deaf, str(tmp_path / "pid"))
        assert not alive(await_pid(tmp_path / "pid"))
        first = await pool.call(jobs.own_pid)
        await asyncio.sleep(2.7)  # the time of a call does not run between calls
        assert await pool.call(jobs.own_pid) == first

    with_pool(work, limits=IsolationLimits(wall_seconds=1.5))


@posix_only
def test_each_call_has_the_whole_processor_allowance() -> None:
    """Calls of less than the limit may add up to more; one that passes it alone is ended."""

    async def work(pool: ProcessPool) -> None:
        assert len({await pool.call(jobs.spin, 0.7) for _ in range(2)}) == 1
        with pytest.raises(VideoTimeout, match="more than 1 s of processor time"):
            await pool.call(jobs.burn)
        assert await pool.call(jobs.add, 1, 1) == 2

    with_pool(work, limits=IsolationLimits(cpu_seconds=1))


@linux_only
def test_memory_is_limited_and_what_leaks_costs_a_process() -> None:
    """More than allowed is an error; a process that holds much is replaced before it fails."""

    async def work(pool: ProcessPool) -> None:
        assert await pool.call(jobs.hoard, 1 << 28) == 1 << 28
        first = await pool.call(jobs.leak, 1 << 20)
        with pytest.raises(VideoTimeout, match="more than 1 GiB of memory"):
            await pool.call(jobs.hoard, 2 << 30)
        second = await pool.call(jobs.leak, 1 << 20)
        assert second != first
        assert await pool.call(jobs.leak, 600 << 20) == second
        assert not alive(second)
        assert await pool.call(jobs.own_pid) != second

    with_pool(work, limits=IsolationLimits(memory_bytes=1 << 30))


def test_cancelling_kills_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the task ends, so has the decoder; the slot is free, and asyncio has no complaint."""

    async def work(pool: ProcessPool) -> None:
        for name in ("first", "second"):
            hanging = asyncio.create_task(pool.call(jobs.hang, str(tmp_path / name)))
            pid = await _pid_in(tmp_path / name)
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            assert not alive(pid)
            assert pool.busy == 0
        assert await pool.call(jobs.add, 1, 1) == 2

    with_pool(work)
    gc.collect()
    assert not caplog.records


def test_cancelling_at_any_time_loses_no_slot(tmp_path: Path) -> None:
    """While a process starts, while a call waits for a slot, just after the answer."""

    async def work(pool: ProcessPool) -> None:
        for pause in (0, 0, 0.001, 0.01, 0.03):
            hanging = asyncio.create_task(pool.call(jobs.hang, str(tmp_path / "hanging")))
            adding = [asyncio.create_task(pool.call(jobs.add, 1, 1)) for _ in range(4)]
            await asyncio.sleep(pause)
            for task in (hanging, *adding):
                task.cancel()
            await asyncio.gather(hanging, *adding, return_exceptions=True)
        assert pool.busy == 0
        gate = tmp_path / "gate"
        names = [str(tmp_path / f"pid{n}") for n in range(2)]
        both = [asyncio.create_task(pool.call(jobs.wait_for, name, str(gate))) for name in names]
        pids = [await _pid_in(Path(name)) for name in names]
        assert pool.busy == 2
        gate.touch()
        assert await asyncio.gather(*both) == pids

    with_pool(work, workers=2, limits=IsolationLimits(wall_seconds=600))


def test_closing_ends_every_process(tmp_path: Path) -> None:
    """The busy and the idle; calls under way or waiting fail; twice does no harm."""

    async def main() -> None:
        pool = ProcessPool(2)
        hanging = asyncio.create_task(pool.call(jobs.hang, str(tmp_path / "pid")))
        busy = await _pid_in(tmp_path / "pid")
        idle = await pool.call(jobs.own_pid)
        others = [
            asyncio.create_task(pool.call(jobs.hang, str(tmp_path / str(n)))) for n in range(4)
        ]
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(RuntimeError, match="ended before it had answered"):
            await hanging
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(outcome, RuntimeError)
        assert not alive(idle)
        assert not alive(busy)
        with pytest.raises(RuntimeError, match="has been closed"):
            await pool.call(jobs.add, 1, 1)
        await pool.close()
        assert pool.busy == 0

    asyncio.run(main())


@posix_only
@pytest.mark.parametrize(("job", "seconds"), [("hang", 600), ("hold_interpreter", 2)])
def test_no_process_outlives_a_killed_parent(tmp_path: Path, job: str, seconds: int) -> None:
    """Killed outright, it leaves neither an idle nor a busy worker.

    One in which no thread can run any more ends when the time of its call is over.
    """
    code = f"""
async def main():
    pool = ProcessPool(2, IsolationLimits(wall_seconds={seconds}))
    busy = asyncio.create_task(pool.call(jobs.{job}, {str(tmp_path / "busy")!r}))
    await asyncio.sleep(0)
    Path({str(tmp_path / "idle")!r}).write_text(str(await pool.call(jobs.own_pid)))
    await busy
asyncio.run(main())
"""
    with start_script(code) as parent:
        pids = {await_pid(tmp_path / name) for name in ("busy", "idle")}
        parent.kill()
        assert len(pids) == 2
        for pid in pids:
            await_end(pid)


@posix_only
def test_signals_to_the_whole_job_leave_a_call_running(tmp_path: Path) -> None:
    """Ctrl-C goes to the terminal's group, and a scheduler's SIGTERM to every process: the
    parent gets them and decides; the decoder goes on.
    """
    code = f"""
pid_file, gate = Path({str(tmp_path / "pid")!r}), Path({str(tmp_path / "gate")!r})
async def main():
    received = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, received.put_nowait, number)
    async with ProcessPool(1) as pool:
        call = asyncio.create_task(pool.call(jobs.wait_for, str(pid_file), str(gate)))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.01)
        worker = int(pid_file.read_text())
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(0, number)
            os.kill(worker, number)
            assert await received.get() == number
        gate.touch()
        print(await call == worker, os.getpgid(worker) == os.getpgid(0))
asyncio.run(main())
"""
    answer, _ = start_script(code, session=True).communicate()
    assert answer == "True False\n"
