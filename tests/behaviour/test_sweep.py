"""The sweep: the ladder, the arithmetic, what engines do, and what is written."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from promptlift.cli.main import _run, cli
from promptlift.planning import plan
from promptlift.sweep import (
    LADDER,
    SweepRow,
    as_csv,
    as_json,
    as_table,
    frames_of_size,
    measure,
    plot,
    predict,
)
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.tokens import PIXTRAL, counter_for, family
from promptlift.types import Size
from stubs.openai_server import StubServer

# Prompt tokens of two bare frames and "Test prompt", measured with mistral-common and vLLM.
KNOWN = {
    (320, 180): 509,
    (400, 225): 785,
    (640, 360): 1891,
    (640, 480): 2465,
    (704, 576): 3245,
    (896, 504): 3653,
    (960, 704): 5373,
    (1280, 704): 4685,
    (1280, 720): 4685,
    (1920, 1080): 4685,
}


def rows_of(
    sizes: tuple[Size, ...] = LADDER,
    *,
    frames: tuple[int, ...] = (2,),
    families: tuple[str, ...] = ("pixtral",),
    context: int = 4096,
) -> list[SweepRow]:
    """A sweep by the formulas."""
    chosen = [family(name) for name in families]
    return predict(chosen, frames, sizes, prompt="Test prompt", context=context, reserve=300)


def by_size(rows: list[SweepRow]) -> dict[Size, SweepRow]:
    """The rows of one model and number of frames."""
    return {row.size: row for row in rows}


def test_the_ladder_has_the_known_numbers() -> None:
    """Each size costs what the real engine counted: 640x480 passes, 720p fails."""
    rows = by_size(rows_of())
    assert {size: rows[Size(*size)].tokens for size in KNOWN} == KNOWN
    failing = {str(size) for size, row in rows.items() if row.verdict == "fails"}
    assert failing == {"960x704", "1280x704", "1280x720", "1920x1080"}


@pytest.mark.parametrize(
    ("context", "verdict", "room"),
    [
        (2465 + 300, "passes", 300),
        (2465 + 299, "cut", 299),
        (2466, "cut", 1),
        (2465, "fails", 0),
        (2464, "fails", -1),
    ],
)
def test_the_verdict_turns_at_the_very_token(context: int, verdict: str, room: int) -> None:
    """With the reserve it passes, with less the answer is cut, with nothing it fails."""
    (row,) = rows_of((Size(640, 480),), context=context)
    assert (row.verdict, row.room) == (verdict, room)


def test_the_plan_is_the_planners_own() -> None:
    """What is sent instead is what `promptlift.plan` says; where nothing fits there is none."""
    for row in rows_of(frames=(1, 2, 4)):
        made = plan(row.size, "Test prompt", frames=row.frames)
        assert row.plan == made.chosen
        assert made.chosen.prompt_tokens + 300 <= 4096
    (row,) = rows_of((Size(640, 480),), context=310)
    assert (row.plan, row.verdict) == (None, "fails")
    (row,) = rows_of((Size(9000, 30),), families=("qwen2.5-vl",))  # too long for its width
    assert (row.tokens, row.room, row.verdict) == (None, None, "fails")


def test_pictures_have_the_very_size(tmp_path: Path) -> None:
    """Drawn or from a video, smaller or larger than it, every frame is of the size asked for."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=(160, 90))
    for size in (Size(320, 203), Size(64, 64), Size(161, 91)):
        for video, count in ((None, 3), (clip, 9)):
            assert [one.size for one in frames_of_size(video, size, count)] == [size] * count


def measured(engine: Any, rows: list[SweepRow], **more: Any) -> list[SweepRow]:
    """The rows with what an engine did."""
    return asyncio.run(measure(engine, rows, prompt="Test prompt", **more))


SMALL = (Size(320, 180), Size(640, 480), Size(1280, 720))


def test_a_refusal_is_a_result() -> None:
    """An engine of 4096 answers the small ones and refuses 720p; the sweep goes on to its end."""
    engine = FakeEngine(["An answer."], count_image=PIXTRAL.image)
    rows = measured(engine, rows_of((Size(1280, 720), Size(320, 180))))
    assert [row.measured.answered for row in rows if row.measured] == [False, True]
    refused, answered = (row.measured for row in rows)
    assert refused is not None
    assert refused.error is not None
    assert "do not fit" in refused.error
    assert answered is not None
    assert (answered.finish_reason, answered.error, answered.answer) == ("stop", None, None)
    assert [len(request.frames) for request in engine.requests] == [2, 2]
    assert {request.text for request in engine.requests} == {"Test prompt"}


def test_the_table_reads_as_a_person_expects() -> None:
    """A line a size, with the tokens, the room, the verdict and the plan."""
    table = as_table(rows_of((Size(640, 480), Size(1280, 720))))
    assert table.splitlines() == [
        "pixtral, 2 frames, context 4,096, 300 reserved for the answer",
        "    size  tokens   room  bare    as planned  tokens",
        " 640x480   2,465  1,631  passes     640x480   2,465",
        "1280x720   4,685   -589  FAILS      912x512   3,717",
    ]


def test_json_and_csv_say_the_same() -> None:
    """Both hold every row with every value; a sheet reads them back."""
    rows = measured(FakeEngine(count_image=PIXTRAL.image), rows_of(SMALL), keep_answers=True)
    content = json.loads(as_json(rows, "Test prompt"))
    assert content["prompt"] == "Test prompt"
    sheet = list(csv.DictReader(as_csv(rows).splitlines()))
    assert len(sheet) == len(content["rows"]) == 3
    for line, values in zip(sheet, content["rows"], strict=True):
        assert line == {k: "" if v is None else str(v) for k, v in values.items()}
    assert content["rows"][2]["predicted_tokens"] == 4685
    assert content["rows"][2]["bare_request"] == "fails"
    assert content["rows"][2]["answered"] is False


def test_the_plot_shows_what_matters(tmp_path: Path) -> None:
    """The context, the reserve, every size, the models, the frame counts, and what was counted.

    The same sweep is the same file.
    """
    rows = measured(FakeEngine(count_image=PIXTRAL.image), rows_of(SMALL, frames=(1, 2)))
    rows += rows_of(SMALL, frames=(8,), families=("qwen2.5-vl",))
    plot(rows, [tmp_path / "sweep.svg", tmp_path / "sweep.png"])
    plot(rows, [tmp_path / "again.svg"])
    text = {"".join(node.itertext()).strip() for node in ET.parse(tmp_path / "sweep.svg").iter()}
    assert {"context 4,096", "300 reserved for the answer", "pixtral", "qwen2.5-vl"} <= text
    assert {"320×180", "640×480", "1280×720", "1 frame", "2 frames", "8 frames"} <= text
    assert {"2 frames, as planned", "counted by the engine", "fails"} <= text
    assert (tmp_path / "sweep.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.width > 2 * picture.height


def call(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(cli, ["sweep", *arguments], catch_exceptions=False)


def test_the_command_adds_the_videos_own_size(tmp_path: Path) -> None:
    """A clip of an odd size is among the rows, in its place."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=(706, 300))
    sizes = [line.split()[0] for line in call(str(clip)).stdout.splitlines()[2:]]
    assert len(sizes) == len(LADDER) + 1
    assert sizes.index("640x360") > sizes.index("706x300") > sizes.index("600x338")


def test_the_command_asks_an_engine() -> None:
    """Over HTTP: counted equals predicted, and 720p is refused; another model is only predicted."""
    with StubServer("vllm-0.32", context=4096, count_text=counter_for(PIXTRAL)) as server:
        base = ("--engine", "openai", "--base-url", server.base_url)
        models = ("--family", "pixtral", "--family", "Qwen/Qwen2.5-VL-7B-Instruct")
        result = call("--sizes", "320x180,1280x720", *models, *base, "--answers", "--json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["counted_tokens"] for row in rows] == [509, 4685, None, None]
    assert [row["predicted_tokens"] for row in rows[:2]] == [509, 4685]
    assert [row["answered"] for row in rows] == [True, False, None, None]
    assert rows[0]["answer"]
    assert "4096" in rows[1]["error"]
    assert {row["model"] for row in rows} == {"qwen2.5-vl", "pixtral"}


def test_the_command_writes_everything(tmp_path: Path) -> None:
    """Four files in a folder that it makes."""
    call("--sizes", "320x180,640x360", "-o", str(tmp_path / "a" / "b"))
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files == ["sweep.csv", "sweep.json", "sweep.png", "sweep.svg"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sizes", "640"),
        ("--family", "nobody"),
        ("--engine", "embedded"),
        ("--engine", "nothing"),
        ("--context", "0"),
        ("absent.mp4",),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and no traceback."""
    assert _run(["sweep", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_without_matplotlib_the_numbers_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table and the sheets are written; the plot is left out, and stderr says why."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = call("--sizes", "640x360", "-o", str(tmp_path))
    assert "1,891" in done.stdout
    assert "promptlift[plot]" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.json"]
