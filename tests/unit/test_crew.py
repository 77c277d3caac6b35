"""A crew of killable processes: they are kept, and every way to lose one costs one call."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fault import jobs
from fault.processes import alive, await_end, await_pid
from promptlift.errors import VideoTimeout, VideoUnreadable
from promptlift.frames import crew as crew_module
from promptlift.frames.crew import Crew
from promptlift.frames.isolated import Child, IsolationLimits
from promptlift.frames.opening import probe
from promptlift.testing.video import synthetic_video

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and signals")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and enforces it")

Work = Callable[[Crew], Coroutine[object, object, None]]


def with_crew(
    work: Work, workers: int = 1, limits: IsolationLimits | None = None, preload: str = ""
) -> None:
    """Run a coroutine function with a crew, which is closed afterwards."""

    async def main() -> None:
        async with Crew(workers, limits, preload=preload.split()) as crew:
            await work(crew)

    asyncio.run(main())


def running(child: Child) -> bool:
    """Whether a process was started for it and is to be asked again."""
    return child.calls > 0 and not child.spent


async def begun(pid_file: Path) -> int:
    """The process that has left its number in a file, once it has."""
    return await asyncio.to_thread(await_pid, pid_file)


def start_script(code: str, **options: bool) -> subprocess.Popen[str]:
    """A Python process that runs the code with what these tests can import."""
    prelude = "import asyncio, os, signal, sys\nfrom pathlib import Path\n"
    prelude += "from fault import jobs\nfrom promptlift.frames.crew import Crew\n"
    prelude += "from promptlift.frames.isolated import IsolationLimits\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=options.get("session", False),
    )


def test_calls_run_elsewhere_and_reuse_the_process() -> None:
    """The value arrives, from another process than this one, and the next call from the same."""

    async def work(crew: Crew) -> None:
        assert await crew.call(jobs.add, 2, second=3) == 5
        first = await crew.call(jobs.own_pid)
        assert first != os.getpid()
        assert [await crew.call(jobs.own_pid) for _ in range(5)] == [first] * 5

    with_crew(work)


@posix_only
def test_the_processes_stand_back_behind_whoever_asks_them() -> None:
    """An answer of an engine does not wait for the processor because a picture is decoded ahead."""

    async def work(crew: Crew) -> None:
        assert await crew.call(os.nice, 0) == min(19, os.nice(0) + crew_module._NICENESS)

    with_crew(work)


def test_fifty_calls_share_two_processes() -> None:
    """Every call gets its own answer; never more than two are under way, in two processes."""

    async def work(crew: Crew) -> None:
        most = 0

        async def one(number: int) -> tuple[int, int]:
            nonlocal most
            total = await crew.call(jobs.add, number, number)
            most = max(most, crew.busy)
            return total, await crew.call(jobs.own_pid)

        answers = await asyncio.gather(*(one(number) for number in range(50)))
        assert [total for total, _ in answers] == [2 * number for number in range(50)]
        assert len({pid for _, pid in answers}) == 2
        assert most <= crew.workers == 2
        assert crew.busy == 0

    with_crew(work, workers=2)


def test_a_crew_needs_a_worker() -> None:
    """With none, every call would wait for ever; that is said at once."""
    with pytest.raises(ValueError, match="at least 1 worker, not 0"):
        Crew(0)


def test_frames_of_several_megabytes_arrive_equal() -> None:
    """Pictures, exact times and all; the arrays can be written to, as fresh ones can."""

    async def work(crew: Crew) -> None:
        came = await crew.call(jobs.frames, 3, 720, 1280)
        for got, sent in zip(came, jobs.frames(3, 720, 1280), strict=True):
            assert (got.time, got.wanted, got.size) == (sent.time, sent.wanted, sent.size)
            assert np.array_equal(got.image, sent.image)
            got.image[0, 0] = 1

    with_crew(work)


def test_arrays_of_any_layout_arrive_equal() -> None:
    """Those without memory of their own in one stretch, or without any, come over too."""

    async def work(crew: Crew) -> None:
        came = await crew.call(jobs.odd_arrays)
        for name, sent in jobs.odd_arrays().items():
            assert np.array_equal(came[name], sent)
            assert came[name].shape == sent.shape

    with_crew(work)


def test_large_arguments_cross_whole() -> None:
    """A video may be given as bytes, larger than a pipe holds, call after call."""

    async def work(crew: Crew) -> None:
        for size in (5_000_000, 1, 3_000_000):
            assert await crew.call(len, b"y" * size) == size
            assert len(await crew.call(jobs.big, size)) == size

    with_crew(work)


def test_a_real_video_is_probed_in_the_crew(tmp_path: Path) -> None:
    """PyAV works there as here, and says the same."""
    clip = tmp_path / "clip.mp4"
    synthetic_video(clip)

    async def work(crew: Crew) -> None:
        assert await crew.call(probe, clip) == await crew.call(probe, clip) == probe(clip)

    with_crew(work)


def test_pipes_are_out_of_reach_of_libraries() -> None:
    """What is printed is no answer, and what is read is not taken from a job."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        assert await crew.call(jobs.chatter, "hello") == "hello"
        assert await crew.call(jobs.read_input) == b""
        assert await crew.call(jobs.chatter, "again") == "again"
        assert await crew.call(jobs.own_pid) == first

    with_crew(work)


def test_errors_of_the_function_come_back_and_cost_no_process() -> None:
    """Ours as themselves, defects as themselves, the rest in words; the process stays."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        with pytest.raises(VideoUnreadable) as caught:
            await crew.call(jobs.unreadable)
        assert caught.value.remedy == "give a video"
        with pytest.raises(ZeroDivisionError, match="a defect"):
            await crew.call(jobs.mistake)
        with pytest.raises(RuntimeError, match="UnpicklableError: holds a file"):
            await crew.call(jobs.unpicklable)
        with pytest.raises(RuntimeError, match="OneWayError: a hole in the bucket"):
            await crew.call(jobs.one_way)
        with pytest.raises(TypeError, match="pickle"):
            await crew.call(partial(open, os.devnull))
        assert await crew.call(jobs.own_pid) == first

    with_crew(work)


def test_an_argument_that_cannot_be_sent_harms_nothing() -> None:
    """It is reported here, the process never hears of it."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        with pytest.raises((AttributeError, TypeError), match=r"pickle|local object"):
            await crew.call(len, lambda: None)
        assert await crew.call(jobs.own_pid) == first

    with_crew(work)


@posix_only
def test_a_crash_costs_one_call() -> None:
    """The error names the signal or the status, and the next call has another process."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match=r"crashed \(SIGSEGV\)"):
            await crew.call(jobs.segfault)
        second = await crew.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match=r"crashed \(exit status 7\)"):
            await crew.call(jobs.leave, 7)
        assert len({first, second, await crew.call(jobs.own_pid)}) == 3

    with_crew(work)


def test_a_crash_leaves_the_neighbour_alone(tmp_path: Path) -> None:
    """A call in another process goes on, and its process is kept."""

    async def work(crew: Crew) -> None:
        gate = tmp_path / "gate"
        waiting = asyncio.create_task(
            crew.call(jobs.wait_for, str(tmp_path / "pid"), str(gate)),
        )
        neighbour = await begun(tmp_path / "pid")
        for _ in range(3):
            with pytest.raises(VideoTimeout, match="crashed"):
                await crew.call(jobs.leave, 1)
        gate.touch()
        assert await waiting == neighbour

    with_crew(work, workers=2)


def test_what_runs_is_asked_before_what_must_be_started() -> None:
    """After a crash, calls go to the process that is there, not to one that must start first."""

    async def work(crew: Crew) -> None:
        await crew.warm()
        with pytest.raises(VideoTimeout, match="crashed"):
            await crew.call(jobs.leave, 1)
        survivor = next(child for child in crew._idle if running(child))
        await crew.call(jobs.add, 1, 1)
        assert [running(child) for child in crew._idle] == [False, True]
        assert crew._idle[-1] is survivor

    with_crew(work, workers=2)


def test_a_hang_is_ended_with_its_process(tmp_path: Path) -> None:
    """Past its wall time the process is gone, the error names the time, the next call works."""

    async def work(crew: Crew) -> None:
        await crew.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match=r"longer than 1\.5 s"):
            await crew.call(jobs.hang_deaf, str(tmp_path / "pid"))
        assert not alive(await_pid(tmp_path / "pid"))
        assert await crew.call(jobs.add, 1, 1) == 2

    with_crew(work, limits=IsolationLimits(wall_seconds=1.5))


@posix_only
def test_each_call_has_the_whole_processor_allowance() -> None:
    """Calls of less than the limit may add up to more; one that passes it alone is ended."""

    async def work(crew: Crew) -> None:
        spinners = [await crew.call(jobs.spin, 0.7) for _ in range(4)]
        assert len(set(spinners)) == 1
        with pytest.raises(VideoTimeout, match="more than 1 s of processor time"):
            await crew.call(jobs.burn)
        assert await crew.call(jobs.add, 1, 1) == 2

    with_crew(work, limits=IsolationLimits(cpu_seconds=1))


@posix_only
def test_a_hard_processor_limit_is_not_reached() -> None:
    """Where the system allows a process only so much in its life, it is replaced in time."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
async def main():
    async with Crew(1, IsolationLimits(cpu_seconds=1)) as crew:
        print(len({await crew.call(jobs.spin, 0.6) for _ in range(4)}))
asyncio.run(main())
"""
    answer, _ = start_script(code).communicate()
    assert answer == "2\n"


@linux_only
def test_the_memory_limit_stops_an_allocation() -> None:
    """More than allowed is an error that says how much was allowed; the next call is clean."""

    async def work(crew: Crew) -> None:
        assert await crew.call(jobs.hoard, 1 << 28) == 1 << 28
        first = await crew.call(jobs.own_pid)
        with pytest.raises(VideoTimeout, match="more than 1 GiB of memory"):
            await crew.call(jobs.hoard, 2 << 30)
        assert await crew.call(jobs.own_pid) != first

    with_crew(work, limits=IsolationLimits(memory_bytes=1 << 30))


@linux_only
def test_a_process_that_holds_much_memory_is_replaced() -> None:
    """What leaks stay below the limit never fail a later video; a small one is no reason."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.leak, 1 << 20)
        assert await crew.call(jobs.leak, 600 << 20) == first
        assert not alive(first)
        for _ in range(4):
            await crew.call(jobs.leak, 300 << 20)
        assert await crew.call(jobs.own_pid) != first

    with_crew(work, limits=IsolationLimits(memory_bytes=1 << 30))


def test_a_process_is_replaced_after_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each serves as many calls as it may, and then another does."""
    monkeypatch.setattr(crew_module, "_MOST_CALLS", 3)

    async def work(crew: Crew) -> None:
        pids = [await crew.call(jobs.own_pid) for _ in range(9)]
        assert [pids.index(pid) for pid in pids] == [0, 0, 0, 3, 3, 3, 6, 6, 6]

    with_crew(work)


@posix_only
def test_a_process_that_ended_between_calls_is_not_the_videos_fault() -> None:
    """If the system kills one that has nothing to do, the next call does not hear of it."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        os.kill(first, signal.SIGKILL)
        while not crew._idle[0].spent:
            await asyncio.sleep(0.01)
        assert await crew.call(jobs.own_pid) != first

    with_crew(work)


@posix_only
def test_the_alarm_of_a_call_does_not_outlive_it() -> None:
    """A process may idle longer than a call may take."""

    async def work(crew: Crew) -> None:
        first = await crew.call(jobs.own_pid)
        await asyncio.sleep(3.2)
        assert await crew.call(jobs.own_pid) == first

    with_crew(work, limits=IsolationLimits(wall_seconds=2))


def test_cancelling_kills_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the task ends, so has the decoder; the place is free, and asyncio has no complaint."""

    async def work(crew: Crew) -> None:
        for name in ("first", "second"):
            hanging = asyncio.create_task(crew.call(jobs.hang, str(tmp_path / name)))
            pid = await begun(tmp_path / name)
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            assert not alive(pid)
            assert crew.busy == 0
        assert await crew.call(jobs.add, 1, 1) == 2

    with_crew(work)
    gc.collect()
    assert not caplog.records


def test_cancelling_at_once_loses_no_place(tmp_path: Path) -> None:
    """While its process starts, or while it waits for a place: the crew stays whole."""

    async def work(crew: Crew) -> None:
        for pause in (0, 0, 0.001, 0.01, 0.03):
            hanging = asyncio.create_task(crew.call(jobs.hang, str(tmp_path / "hanging")))
            adding = [asyncio.create_task(crew.call(jobs.add, 1, 1)) for _ in range(4)]
            await asyncio.sleep(pause)
            for task in (hanging, *adding):
                task.cancel()
            await asyncio.gather(hanging, *adding, return_exceptions=True)
        assert crew.busy == 0
        gate = tmp_path / "gate"
        names = [str(tmp_path / f"pid{n}") for n in range(2)]
        both = [asyncio.create_task(crew.call(jobs.wait_for, name, str(gate))) for name in names]
        pids = [await begun(Path(name)) for name in names]
        assert crew.busy == 2
        gate.touch()
        assert await asyncio.gather(*both) == pids

    with_crew(work, workers=2, limits=IsolationLimits(wall_seconds=600))


def test_cancelling_just_after_the_answer_spoils_no_later_call() -> None:
    """The process is killed though it is done by then; the next call is not given to it."""

    async def work(crew: Crew) -> None:
        for _ in range(10):
            await crew.warm()
            task = asyncio.create_task(crew.call(jobs.add, 1, 1))
            await asyncio.sleep(0)
            time.sleep(0.05)  # the answer comes, and the loop has no chance to see it
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await crew.call(jobs.add, 1, 1) == 2

    with_crew(work)


def test_a_timeout_of_the_caller_cancels_too(tmp_path: Path) -> None:
    """A timeout of asyncio ends the process, though the limits would let it go on."""

    async def work(crew: Crew) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await crew.call(jobs.hang, str(tmp_path / "pid"))
        assert not alive(await_pid(tmp_path / "pid"))

    with_crew(work)


def test_closing_ends_every_process(tmp_path: Path) -> None:
    """The busy and the idle; calls under way or waiting are told; twice does no harm."""

    async def main() -> None:
        crew = Crew(2)
        await crew.warm()
        idle = await crew.call(jobs.own_pid)
        hanging = asyncio.create_task(crew.call(jobs.hang, str(tmp_path / "pid")))
        busy = await begun(tmp_path / "pid")
        if idle == busy:
            idle = await crew.call(jobs.own_pid)
        others = [
            asyncio.create_task(crew.call(jobs.hang, str(tmp_path / str(n)))) for n in range(4)
        ]
        await asyncio.sleep(0)
        await crew.close()
        with pytest.raises(RuntimeError, match="ended before it had answered"):
            await hanging
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(outcome, RuntimeError)
        assert not alive(idle)
        assert not alive(busy)
        with pytest.raises(RuntimeError, match="has been closed"):
            await crew.call(jobs.add, 1, 1)
        await crew.close()
        assert crew.busy == 0

    asyncio.run(main())


def test_a_crew_that_was_never_asked_starts_nothing() -> None:
    """Making one and closing it costs no process; nor does one worker's work need two."""

    async def main() -> None:
        crew = Crew(8)
        assert not any(running(child) for child in crew._idle)
        await crew.call(jobs.add, 1, 1)
        await crew.call(jobs.add, 1, 1)
        assert sum(running(child) for child in crew._idle) == 1
        await crew.close()

    asyncio.run(main())


def test_modules_are_imported_in_advance() -> None:
    """Those named, before the first call; one that does not exist is left to the call."""

    async def work(crew: Crew) -> None:
        await crew.warm()
        assert sum(running(child) for child in crew._idle) == 2
        assert await crew.call(jobs.loaded, "wave")
        assert not await crew.call(jobs.loaded, "sunau")

    with_crew(work, workers=2, preload="wave no_such_module")


def test_the_loop_goes_on_while_every_worker_is_busy(tmp_path: Path) -> None:
    """Other tasks run, and the loop's own threads are not taken."""

    async def work(crew: Crew) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        gate = tmp_path / "gate"
        names = [str(tmp_path / f"pid{n}") for n in range(2)]
        calls = [asyncio.create_task(crew.call(jobs.wait_for, name, str(gate))) for name in names]
        pids = [await begun(Path(name)) for name in names]
        assert crew.busy == 2
        await asyncio.to_thread(gate.touch)
        assert await asyncio.gather(*calls) == pids

    with_crew(work, workers=2)


def test_the_time_spent_is_counted_only_while_busy() -> None:
    """It grows with every call and stands still between them."""

    async def work(crew: Crew) -> None:
        assert crew.seconds_busy == 0
        await crew.call(jobs.spin, 0.05)
        once = crew.seconds_busy
        assert once >= 0.05
        await asyncio.sleep(0.05)
        assert crew.seconds_busy == once
        task = asyncio.create_task(crew.call(jobs.spin, 0.05))
        await asyncio.sleep(0.01)
        assert crew.seconds_busy > once
        await task

    with_crew(work)


@posix_only
@pytest.mark.parametrize(("job", "seconds"), [("hang", 600), ("hold_interpreter", 2)])
def test_no_process_outlives_a_killed_parent(tmp_path: Path, job: str, seconds: int) -> None:
    """Killed outright, it leaves neither an idle nor a busy child.

    One in which no thread can run any more ends when the time of its call is over.
    """
    code = f"""
async def main():
    crew = Crew(2, IsolationLimits(wall_seconds={seconds}))
    await crew.warm()
    for child in crew._idle:
        Path({str(tmp_path)!r}, f"idle{{crew._idle.index(child)}}").write_text(
            str(child._process.pid))
    await crew.call(jobs.{job}, {str(tmp_path / "busy")!r})
asyncio.run(main())
"""
    with start_script(code) as parent:
        pids = {await_pid(tmp_path / name) for name in ("busy", "idle0", "idle1")}
        parent.kill()
        assert len(pids) == 2
        for pid in pids:
            await_end(pid)


@posix_only
def test_signals_to_the_whole_job_leave_a_call_running(tmp_path: Path) -> None:
    """Ctrl-C goes to the terminal's group, and a scheduler's SIGTERM to every process: the
    parent hears them and decides; the decoder goes on.
    """
    code = f"""
pid_file, gate = Path({str(tmp_path / "pid")!r}), Path({str(tmp_path / "gate")!r})
async def main():
    heard = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, heard.put_nowait, number)
    async with Crew(1) as crew:
        call = asyncio.create_task(crew.call(jobs.wait_for, str(pid_file), str(gate)))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.01)
        child = int(pid_file.read_text())
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(0, number)
            os.kill(child, number)
            assert await heard.get() == number
        gate.touch()
        print(await call == child, os.getpgid(child) == os.getpgid(0))
asyncio.run(main())
"""
    answer, _ = start_script(code, session=True).communicate()
    assert answer == "True False\n"


def test_a_loop_that_ends_takes_its_processes_along(tmp_path: Path) -> None:
    """A program that is interrupted cancels its tasks; no thread or process keeps it alive."""

    async def main() -> None:
        crew = Crew(1)
        task = asyncio.create_task(crew.call(jobs.hang, str(tmp_path / "pid")))
        await begun(tmp_path / "pid")
        assert not task.done()

    asyncio.run(main())
    assert not alive(await_pid(tmp_path / "pid"))
