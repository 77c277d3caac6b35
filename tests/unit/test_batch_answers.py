"""Answers without a result: kept until it is written, and given out by the next run.

A kill closes nothing, so that the next run is whoever reads the folder next.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptlift.batch.journal import Answers, clear_answers
from promptlift.batch.journal import answers as module
from promptlift.batch.journal.names import here, new_name, process_of, runs
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.core.sampling import Sampling
from promptlift.core.video import Frame
from promptlift.engines.base import Completion, Request
from promptlift.testing import FakeEngine

KEY = "ab" * 32
ANSWER = Completion("A cup falls — slowly.", "stop", 1200, 80)


def asked(key: str = KEY, **changes: Any) -> Request:
    """A request of one item."""
    image = np.zeros((36, 64, 3), np.uint8)
    frames = (Frame(Fraction(1, 3), image, wanted=Fraction(1, 3)),)
    return replace(Request("describe", frames, key=key), **changes)


def files(run_dir: Path) -> list[str]:
    """The parts that are there."""
    return sorted(path.name for path in (run_dir / "answers").glob("*"))


def test_an_answer_without_a_result_is_given_to_the_next_run_once(tmp_path: Path) -> None:
    """The very same request gets it back, whole; a second time it is to be asked."""
    first = Answers(tmp_path)
    first.keep(asked(), ANSWER)
    later = Answers(tmp_path)
    assert later.take(asked()) == ANSWER
    assert later.take(asked()) is None


@pytest.mark.parametrize(
    "other",
    [
        asked(key="cd" * 32),
        asked(text="describe it"),
        asked(system="be brief"),
        asked(sampling=Sampling(seed=1)),
        asked(sampling=Sampling(temperature=0.2)),
        asked(frames=()),
    ],
)
def test_another_request_does_not_get_it(tmp_path: Path, other: Request) -> None:
    """Another item, text, seed or picture is another question."""
    Answers(tmp_path).keep(asked(), ANSWER)
    assert Answers(tmp_path).take(other) is None


def test_what_has_a_result_is_not_given_out(tmp_path: Path) -> None:
    """A retry of an item that has its result asks anew, whatever was killed since."""
    first = Answers(tmp_path)
    first.keep(asked(), ANSWER)
    first.keep(asked("cd" * 32), ANSWER)
    first.settle(KEY)
    later = Answers(tmp_path)
    assert later.take(asked()) is None
    assert later.take(asked("cd" * 32)) == ANSWER


def test_an_item_may_have_several_answers(tmp_path: Path) -> None:
    """Those that were rejected count too: the next run reviews them again and asks for the rest."""
    first = Answers(tmp_path)
    tries = [asked(sampling=Sampling(seed=seed)) for seed in range(3)]
    for number, request in enumerate(tries[:2]):
        first.keep(request, replace(ANSWER, text=f"answer {number}"))
    later = Answers(tmp_path)
    found = [later.take(request) for request in tries]
    assert [one and one.text for one in found] == ["answer 0", "answer 1", None]


def test_an_orderly_end_leaves_no_file(tmp_path: Path) -> None:
    """When everything has its result, the parts are gone; else what is open stays."""
    with Answers(tmp_path) as answers:
        answers.keep(asked(), ANSWER)
        assert len(files(tmp_path)) == 1
        answers.settle(KEY)
    assert files(tmp_path) == []
    with Answers(tmp_path) as answers:
        answers.keep(asked(), ANSWER)
    assert len(files(tmp_path)) == 1


def test_parts_stay_small_and_go_when_they_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run leaves a part or two at any time, not a second journal."""
    monkeypatch.setattr(module, "_PART_BYTES", 2000)
    most = 0
    with Answers(tmp_path) as answers:
        keys = [f"{number:064x}" for number in range(200)]
        for number, key in enumerate(keys):
            answers.keep(asked(key), ANSWER)
            if number >= 8:
                answers.settle(keys[number - 8])
            most = max(most, len(files(tmp_path)))
        later = Answers(tmp_path)
        assert [key for key in keys if later.take(asked(key))] == keys[-8:]
        for key in keys[-8:]:
            answers.settle(key)
    assert 2 <= most <= 4
    assert files(tmp_path) == []


def test_torn_and_damaged_lines_cost_one_answer_each(tmp_path: Path) -> None:
    """What a kill or a disk spoiled is passed over, and asked again."""
    first = Answers(tmp_path)
    for number in range(4):
        first.keep(asked(f"{number:064x}"), ANSWER)
    (part,) = (tmp_path / "answers").iterdir()
    lines = part.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"cup", b"cat")
    part.write_bytes(b"".join(lines[:3]) + lines[3][:50])
    later = Answers(tmp_path)
    found = [later.take(asked(f"{number:064x}")) is not None for number in range(4)]
    assert found == [True, False, True, False]


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    """An answer that cannot be kept is reviewed all the same."""
    (tmp_path / "answers").write_text("a file where the folder should be")
    with Answers(tmp_path) as answers:
        answers.keep(asked(), ANSWER)
        answers.settle(KEY)
    assert Answers(tmp_path).take(asked()) is None


def test_only_what_the_gone_have_left_is_cleared(tmp_path: Path) -> None:
    """At the end of a run the parts of killed writers go; those of a live one stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "answers"
    folder.mkdir()
    mine = folder / f"{new_name()}.0.jsonl"
    others = folder / "elsewhere-12-0123abcd.3.jsonl"
    old = folder / "elsewhere-13-0123abcd.0.jsonl"
    dead = folder / f"{here()}-{gone.pid}-0123abcd.0.jsonl"
    for path in (mine, others, old, dead):
        path.touch()
    os.utime(old, (0, 0))
    clear_answers(tmp_path)
    assert sorted(folder.iterdir()) == sorted((mine, others))


def test_a_name_tells_machine_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine is called, the name can be read back, and no other text can."""
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-box 1.lan-é")
    assert here() == "gpu_box_1.lan__"
    assert process_of(new_name()) == ("gpu_box_1.lan__", os.getpid())
    for other in ("", "host-12", "host-x-0123abcd", "-1-0123abcd", f"h-{'9' * 30}-0123abcd"):
        assert process_of(other) is None
    monkeypatch.setattr("socket.gethostname", lambda: "")
    assert here() == "host"


def test_a_process_runs_or_does_not() -> None:
    """Ours does, anybody's does, one that has ended does not, and no number is too large."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert runs(os.getpid())
    assert runs(1)
    assert not runs(ended.pid)
    assert not runs(10**17)
    assert not runs(10**30)


def test_the_engine_is_not_asked_for_what_it_answered(tmp_path: Path) -> None:
    """Behind the limit: a kept answer takes no request, and a new one is kept until settled."""

    async def run() -> None:
        engine = FakeEngine(["A new answer."])
        patient = PatientEngine(engine, Limit(1), Breaker(1.0, lambda _: None))
        Answers(tmp_path).keep(asked(), ANSWER)
        patient.answers = Answers(tmp_path)
        assert await patient.complete(asked()) == ANSWER
        assert patient.requests == 0
        other = asked("cd" * 32)
        assert (await patient.complete(other)).text == "A new answer."
        assert patient.requests == 1
        assert Answers(tmp_path).take(other) is not None
        patient.settled(other.key)
        assert Answers(tmp_path).take(other) is None

    asyncio.run(run())
