"""The sweep: the ladder, the arithmetic, what engines do, and what is written."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from promptlift.cli.main import _run, cli
from promptlift.core.tokens import FAMILIES, PIXTRAL
from promptlift.core.video import Size
from promptlift.engines.base import Completion
from promptlift.errors import OptionError, PromptliftError, TransientEngineError
from promptlift.planning import plan
from promptlift.sweep import LADDER, Row, ladder, measure, predict
from promptlift.sweep.output import as_csv, as_json, as_table
from promptlift.sweep.pictures import drawn, of_video
from promptlift.sweep.plot import draw
from promptlift.testing import FakeEngine, FaultyEngine, synthetic_video
from promptlift.tokenizers.tekken import load_counter
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
) -> tuple[Row, ...]:
    """A sweep by the formulas."""
    chosen = [FAMILIES[name] for name in families]
    return predict(chosen, frames, sizes, prompt="Test prompt", context=context, reserve=300)


def by_size(rows: tuple[Row, ...]) -> dict[Size, Row]:
    """The rows of one model and number of frames."""
    return {row.size: row for row in rows}


def test_the_ladder_has_the_known_numbers() -> None:
    """Each size costs what the real tokenizer and the real engine counted."""
    rows = by_size(rows_of())
    assert {size: rows[Size(*size)].tokens for size in KNOWN} == KNOWN


def test_720p_fails_and_vga_passes() -> None:
    """The riddle's answer: 4685 tokens are a wide picture of 1024 pixels or more, not 640x480."""
    rows = by_size(rows_of())
    failing = {str(size) for size, row in rows.items() if row.verdict == "fails"}
    assert failing == {"960x704", "1280x704", "1280x720", "1920x1080"}
    assert rows[Size(640, 480)].verdict == "passes"
    assert {str(size) for size, row in rows.items() if row.tokens == 4685} == {
        "1280x704",
        "1280x720",
        "1920x1080",
    }


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
    """What promptlift would send is what `promptlift.plan` says, and always fits."""
    for row in rows_of(frames=(1, 2, 4)):
        made = plan(row.size, "Test prompt", frames=row.frames)
        assert row.plan == made.chosen
        assert made.chosen.prompt_tokens + 300 <= 4096


def test_where_nothing_fits_there_is_no_plan() -> None:
    """A context too small for the smallest frame is told as such, not raised."""
    (row,) = rows_of((Size(640, 480),), context=310)
    assert row.plan is None
    assert row.verdict == "fails"


def test_a_shape_that_a_model_refuses_is_a_row_too() -> None:
    """Qwen takes no picture 300 times as long as wide: no tokens, and it fails."""
    (row,) = rows_of((Size(9000, 30),), families=("qwen2.5-vl",))
    assert (row.tokens, row.room, row.verdict) == (None, None, "fails")
    assert "-" in as_table([row])


def test_models_and_counts_come_in_the_order_asked() -> None:
    """A row for each model, number of frames and size."""
    rows = rows_of((Size(640, 360),), frames=(4, 1), families=("qwen2.5-vl", "pixtral"))
    assert [(row.model, row.frames) for row in rows] == [
        ("qwen2.5-vl", 4),
        ("qwen2.5-vl", 1),
        ("pixtral", 4),
        ("pixtral", 1),
    ]


@pytest.mark.parametrize(
    ("aspect", "first", "last"),
    [
        (Fraction(16, 9), "320x180", "1920x1080"),
        (Fraction(9, 16), "180x320", "1080x1920"),
        (Fraction(1), "320x320", "1920x1920"),
        (Fraction(4, 3), "320x240", "1920x1440"),
        (Fraction(10_000), "320x1", "1920x1"),
    ],
    ids=str,
)
def test_a_ladder_of_any_shape(aspect: Fraction, first: str, last: str) -> None:
    """From 320 to 1920 pixels on the longer side, each at least a pixel across."""
    sizes = ladder(aspect)
    assert (str(sizes[0]), str(sizes[-1])) == (first, last)
    assert list(sizes) == sorted(sizes, key=lambda size: size.pixels)


def test_pictures_have_the_very_size(tmp_path: Path) -> None:
    """Drawn or from a video, smaller or larger than it, every frame is of the size asked for."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=(160, 90))
    for size in (Size(320, 203), Size(64, 64), Size(161, 91)):
        assert [frame.size for frame in drawn(size, 3)] == [size] * 3
        assert [frame.size for frame in of_video(clip, size, 9)] == [size] * 9


def measured(engine: Any, rows: tuple[Row, ...], **more: Any) -> list[Row]:
    """The rows with what an engine did."""

    async def all_rows() -> list[Row]:
        seen = measure(engine, rows, drawn, prompt="Test prompt", **more)
        return [row async for row in seen]

    return asyncio.run(all_rows())


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
    assert (answered.finish_reason, answered.error, answered.text) == ("stop", None, None)
    assert [len(request.frames) for request in engine.requests] == [2, 2]
    assert {request.text for request in engine.requests} == {"Test prompt"}


class Counting(FakeEngine):
    """Counts without answering, as a vLLM does."""

    async def count(self, request: Any) -> int:
        """Two pictures and the text."""
        return sum(PIXTRAL.image(frame.size) for frame in request.frames) + 5


def test_what_is_refused_is_counted_all_the_same() -> None:
    """An engine that can count tells the tokens of what it refuses; they are the predicted ones."""
    engine = Counting(["An answer."], count_image=PIXTRAL.image)
    rows = measured(engine, rows_of(SMALL))
    assert [row.measured.tokens for row in rows if row.measured] == [row.tokens for row in rows]
    assert [row.measured.answered for row in rows if row.measured] == [True, True, False]


def test_without_counting_the_answer_tells() -> None:
    """The count comes with the answer where the engine gives it with that alone."""
    engine = FakeEngine([Completion("An answer.", "length", 509, 3)])
    (row,) = measured(engine, rows_of(SMALL[:1]), keep_answers=True)
    assert row.measured is not None
    assert (row.measured.tokens, row.measured.text) == (509, "An answer.")
    assert "answer cut" in as_table([row])
    assert "320x180: An answer." in as_table([row])


def test_a_dead_engine_is_an_error() -> None:
    """No answer at all is no result: the sweep ends, and says so."""
    engine = FaultyEngine(FakeEngine(), [TransientEngineError("gone", remedy="look")])
    with pytest.raises(TransientEngineError):
        measured(engine, rows_of(SMALL))


def test_the_table_reads_as_a_person_expects() -> None:
    """A line a size, with the tokens, the room, the verdict and the plan."""
    table = as_table(rows_of((Size(640, 480), Size(1280, 720))))
    assert table.splitlines() == [
        "pixtral, 2 frames, context 4,096, 300 kept for the answer",
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
    """The drawing names the context, the reserve, every size, the models and the frame counts."""
    rows = rows_of(SMALL, frames=(1, 2, 8), families=("pixtral", "qwen2.5-vl"))
    draw(rows, [tmp_path / "sweep.svg", tmp_path / "sweep.png"])
    text = {"".join(node.itertext()).strip() for node in ET.parse(tmp_path / "sweep.svg").iter()}
    assert {"context 4,096", "300 kept for the answer", "pixtral", "qwen2.5-vl"} <= text
    assert {"320×180", "640×480", "1280×720", "1 frame", "2 frames", "8 frames"} <= text
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.width > 2 * picture.height


def test_one_curve_carries_its_numbers(tmp_path: Path) -> None:
    """With a single curve each point says its tokens, and the title how many frames."""
    rows = measured(Counting(count_image=PIXTRAL.image), rows_of(SMALL))
    draw(rows, [tmp_path / "sweep.svg"])
    text = {"".join(node.itertext()).strip() for node in ET.parse(tmp_path / "sweep.svg").iter()}
    assert {"509", "2,465", "4,685", "pixtral, 2 frames", "counted by the engine"} <= text


def test_a_plot_of_nothing_that_is_known(tmp_path: Path) -> None:
    """A model that refuses every shape, with nothing planned, is drawn without an error."""
    draw(rows_of((Size(9000, 30),), families=("qwen2.5-vl",)), [tmp_path / "sweep.png"])
    assert (tmp_path / "sweep.png").stat().st_size > 1000


def test_the_same_sweep_is_the_same_file(tmp_path: Path) -> None:
    """No date and no random names: a plot can be kept in a repository."""
    for name in ("one.svg", "two.svg"):
        draw(rows_of(SMALL), [tmp_path / name])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def call(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(cli, ["sweep", *arguments], catch_exceptions=False)


def test_the_command_needs_nothing() -> None:
    """Without arguments it walks the ladder for Pixtral, and the famous number is there."""
    result = call()
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2 + len(LADDER)
    assert "1280x720   4,685    -589  FAILS" in result.stdout


def test_the_command_takes_sizes_models_and_frames() -> None:
    """Several of each; a model may be named by its own name."""
    models = ("--model", "Qwen/Qwen2.5-VL-7B-Instruct", "--model", "pixtral")
    result = call("--sizes", "640x360,1280x720", "-n", "1", "-n", "4", *models, "--json")
    rows = json.loads(result.stdout)["rows"]
    assert len(rows) == 8
    assert {row["model"] for row in rows} == {"qwen2.5-vl", "pixtral"}


def test_the_command_adds_the_videos_own_size(tmp_path: Path) -> None:
    """A clip of an odd size is among the rows, in its place."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=(706, 300))
    sizes = [line.split()[0] for line in call(str(clip)).stdout.splitlines()[2:]]
    assert len(sizes) == len(LADDER) + 1
    assert sizes.index("640x360") > sizes.index("706x300") > sizes.index("600x338")


def test_the_command_asks_an_engine() -> None:
    """Over HTTP: counted equals predicted, in the engine's own context, and 720p is refused."""
    with StubServer("vllm-0.32", context=4096, count_text=load_counter()) as server:
        base = ("--engine", "openai", "--base-url", server.base_url)
        result = call("--sizes", "320x180,1280x720", *base, "--answers", "--json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["counted_tokens"] for row in rows] == [509, 4685]
    assert [row["predicted_tokens"] for row in rows] == [509, 4685]
    assert [row["answered"] for row in rows] == [True, False]
    assert rows[0]["answer"]
    assert "4096" in rows[1]["error"]


def test_models_that_the_engine_is_not_are_only_predicted() -> None:
    """Beside the engine's own model another one may stand; it is not measured."""
    with StubServer("vllm-0.32", context=4096, count_text=load_counter()) as server:
        base = ("--engine", "openai", "--base-url", server.base_url)
        models = ("--model", "pixtral", "--model", "qwen2.5-vl")
        result = call("--sizes", "320x180", *models, *base, "--json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["counted_tokens"] for row in rows] == [509, None]


def test_the_command_writes_everything(tmp_path: Path) -> None:
    """Four files in a folder that it makes."""
    call("--aspect", "16:9", "-o", str(tmp_path / "a" / "b"))
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files == ["sweep.csv", "sweep.json", "sweep.png", "sweep.svg"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--aspect", "wide"),
        ("--aspect", "16:0"),
        ("--sizes", "640"),
        ("--sizes", "640x360", "--aspect", "1:1"),
        ("--model", "nobody"),
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


def test_without_matplotlib_the_numbers_are_there(tmp_path: Path) -> None:
    """The table and the sheets are written; the plot is left out, and stderr says why."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from promptlift.cli.main import main\n"
        f"main(['sweep', '--sizes', '640x360', '-o', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "1,891" in done.stdout
    assert "promptlift[plot]" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.json"]


def test_drawing_without_matplotlib_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function says which extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptionError, match="pip install"):
        draw(rows_of(SMALL), [tmp_path / "sweep.png"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is a mistake of the user's, told as such."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PromptliftError, match="cannot make the folder"):
        call("--sizes", "64x64", "-o", str(tmp_path / "file" / "out"))
