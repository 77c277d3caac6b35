"""Calls in a killable child: results come back, and every way to die is one clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from fault import jobs
from fault.processes import alive, await_end, await_pid
from promptlift.errors import VideoTimeout, VideoUnreadable
from promptlift.frames import isolated
from promptlift.frames.isolated import IsolationLimits, isolated_call

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and signals")


def test_a_result_comes_back_from_another_process() -> None:
    """The function runs elsewhere and its value arrives here."""
    assert isolated_call(jobs.add, 2, 3) == 5
    assert isolated_call(jobs.own_pid) != os.getpid()


def test_no_process_is_left_after_a_result() -> None:
    """The child is gone, and reaped, by the time that its answer is returned."""
    assert not alive(isolated_call(jobs.own_pid))


def test_large_arguments_and_results_cross_whole() -> None:
    """Neither direction is cut at the size of a pipe's buffer."""
    size = 5_000_000
    assert len(isolated_call(jobs.big, size)) == size
    assert isolated_call(len, b"y" * size) == size


def test_what_is_printed_does_not_harm_the_answer() -> None:
    """A library that writes to stdout is not mistaken for the answer."""
    assert isolated_call(jobs.chatter, "hello") == "hello"


def test_an_error_of_ours_comes_back_as_itself() -> None:
    """Class, message and remedy survive the way."""
    with pytest.raises(VideoUnreadable) as caught:
        isolated_call(jobs.unreadable)
    assert caught.value.message == "there is no picture in clip.mp4"
    assert caught.value.remedy == "give a video"


def test_a_defect_is_not_hidden() -> None:
    """Any other exception is raised here too, not dressed up as a bad video."""
    with pytest.raises(ZeroDivisionError, match="a defect"):
        isolated_call(jobs.mistake)


def test_what_cannot_be_sent_is_told_in_words() -> None:
    """An error, or a result, that cannot be pickled is reported and not taken for a crash."""
    with pytest.raises(RuntimeError, match="UnpicklableError: holds a file"):
        isolated_call(jobs.unpicklable)
    with pytest.raises(RuntimeError, match="OneWayError: a hole in the bucket"):
        isolated_call(jobs.one_way)
    with pytest.raises(TypeError, match="pickle"):
        isolated_call(partial(open, os.devnull))


@posix_only
def test_a_crash_is_one_error_that_names_the_signal() -> None:
    """A segmentation fault takes the child down and nothing else."""
    with pytest.raises(VideoTimeout, match=r"crashed \(SIGSEGV\)"):
        isolated_call(jobs.segfault)


def test_an_exit_without_an_answer_is_a_crash() -> None:
    """A child that ends by itself and says nothing is reported with its status."""
    with pytest.raises(VideoTimeout, match="exit status 7"):
        isolated_call(jobs.leave, 7)


def test_a_hang_is_ended_with_its_process(tmp_path: Path) -> None:
    """Past its wall time the child is killed, reaped, and the error names the time."""
    pid_file = tmp_path / "pid"
    with pytest.raises(VideoTimeout, match=r"longer than 1\.5 s"):
        isolated_call(jobs.hang, str(pid_file), limits=IsolationLimits(wall_seconds=1.5))
    assert not alive(int(pid_file.read_text()))


@posix_only
def test_the_processor_limit_ends_a_busy_loop() -> None:
    """A child that only computes is stopped by its processor time, well before the wall."""
    with pytest.raises(VideoTimeout, match="more than 1 s of processor time"):
        isolated_call(jobs.burn, limits=IsolationLimits(cpu_seconds=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the address space")
def test_the_memory_limit_stops_an_allocation() -> None:
    """More memory than allowed is an error that says how much was allowed; less is fine."""
    limits = IsolationLimits(memory_bytes=1 << 30)
    assert isolated_call(jobs.hoard, 1 << 28, limits=limits) == 1 << 28
    with pytest.raises(VideoTimeout, match="more than 1 GiB of memory"):
        isolated_call(jobs.hoard, 2 << 30, limits=limits)


def test_many_calls_at_once_do_not_mix() -> None:
    """Calls from several threads each get their own answer."""
    with ThreadPoolExecutor(4) as pool:
        sums = pool.map(lambda number: isolated_call(jobs.add, number, number), range(8))
        assert list(sums) == [0, 2, 4, 6, 8, 10, 12, 14]


@posix_only
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """If the parent is killed outright, the child does not go on decoding for nobody."""
    pid_file = tmp_path / "pid"
    code = "from fault import jobs; from promptlift.frames.isolated import isolated_call\n"
    code += f"isolated_call(jobs.hang, {str(pid_file)!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    child = await_pid(pid_file)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    await_end(child)


def test_an_interrupted_call_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the child works is passed on after the child has been ended."""
    pid_file = tmp_path / "pid"
    write = isolated._write

    def write_and_interrupt(pipe: IO[bytes], job: bytes) -> None:
        write(pipe, job)
        await_pid(pid_file)
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated, "_write", write_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        isolated_call(jobs.hang, str(pid_file))
    assert not alive(await_pid(pid_file))


def test_the_child_imports_what_the_parent_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is found through a folder added to sys.path here is found there too."""
    (tmp_path / "grown_up.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    import grown_up  # type: ignore[import-not-found]

    assert isolated_call(grown_up.answer) == 42
