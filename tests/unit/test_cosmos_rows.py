"""Spec files as the input and the output of a batch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from loaders import cosmos as rules
from loaders.desk import Desk, answer, lay, long, make_clips
from promptlift.batch.inputs import row_options
from promptlift.batch.inputs.base import Input
from promptlift.batch.outcomes import Outcome, Status, joined
from promptlift.batch.rows import Row, row_line, row_of
from promptlift.batch.run_dir import open_run
from promptlift.batch.runner import BatchRun, RunSettings
from promptlift.config import Options
from promptlift.core.record import Record
from promptlift.cosmos.formats import FORMATS
from promptlift.cosmos.returning import Refused, Returned, write_back
from promptlift.cosmos.rows import Origin, SpecRows
from promptlift.engines.base import Engine
from promptlift.errors import OptionError, SpecError
from promptlift.pipeline.item import upsample_item
from promptlift.testing import FakeEngine

SHORT = "a robot arm hands a cup to a woman"
RGB, DEPTH = "assets/rgb.mp4", "assets/depth.mp4"
SPEC: dict[str, Any] = {
    "prompt": SHORT,
    "input_video_path": RGB,
    "edge": {"control_weight": 1.0},
}
STRICT = {"name": "a", "prompt": SHORT, "video_path": RGB, "edge": {"control_weight": 1.0}}
SPECS: dict[str, tuple[str, Any]] = {
    "transfer1": ("s.json", SPEC),
    "transfer1-batch": (
        "s.jsonl",
        [
            {"visual_input": RGB, "prompt": SHORT, "control_overrides": {"edge": {}}},
            {"visual_input": RGB, "prompt": "a red cup", "control_overrides": {}},
        ],
    ),
    "transfer2.5": ("s.jsonl", [STRICT, {**STRICT, "name": "b", "prompt": "a cup"}]),
    "predict1": ("s.jsonl", [{"visual_input": RGB, "prompt": SHORT}]),
    "predict2": ("s.json", [{"input_video": RGB, "prompt": SHORT, "output_video": "o.mp4"}]),
    "predict2.5": (
        "s.json",
        {"inference_type": "video2world", "samples": {"x": {"prompt": SHORT, "input_path": RGB}}},
    ),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two clips, drawn once."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def desk(clips: Path, tmp_path: Path) -> Desk:
    """A folder of its own for each test."""
    return lay(clips, tmp_path)


def asked(
    rows: Iterable[Row], engine: Engine | None = None, options: Options | None = None
) -> list[Returned]:
    """What a batch makes of rows, each of which it keeps as a line of JSON meanwhile."""
    who = engine or FakeEngine(answer, context=None)
    done: list[Returned] = []
    for given in rows:
        row = row_of(row_line(given))
        assert row is not None
        if row.trouble is not None:
            done.append((Outcome(row, "in", None, "failed", row.trouble[0]), None))
            continue
        how = row_options(options or Options(), row.options)
        record = asyncio.run(upsample_item(row.video, row.prompt, who, how)).record
        assert record.status != "planned"
        status: Status = record.status
        said = json.loads(record.model_dump_json())
        done.append((Outcome(row, "in", record.key, status), said))
    return done


def files(folder: Path) -> dict[str, Any]:
    """What an upsampling wrote, without the times that it took."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.upsampled*")):
        text = path.read_text(encoding="utf-8")
        if not path.name.endswith(".promptlift.json"):
            found[path.name] = text
            continue
        found[path.name] = sidecar = json.loads(text)
        for entry in sidecar["items"]:
            if entry["record"]:
                entry["record"]["timings"] = entry["record"]["attempts"] = None
        path.unlink()
    return found


# In


def test_it_is_an_input_of_batches(desk: Desk) -> None:
    """It can stand where any input stands, and is read anew on each run: its rows depend on more
    files than the spec.
    """
    rows: Input = SpecRows(desk.put("spec.json", SPEC))
    assert rows.description == str(desk.folder / "spec.json")
    assert rows.stamp is None


@pytest.mark.parametrize("form", SPECS)
def test_the_rows_ask_what_upsample_asks(desk: Desk, form: str) -> None:
    """Of every format: a batch with the rows of a spec asks an engine the very same as
    ``promptlift cosmos upsample``, and writing back gives the very same files.
    """
    assert set(SPECS) == set(FORMATS)
    name, content = SPECS[form]
    spec = desk.put(name, content)
    desk.run(spec, form=form)
    expected = files(desk.folder)
    done = asked(SpecRows(spec, form=form).rows())
    assert len(done) == len(desk.engine.requests)
    (finished,) = write_back(done)
    assert not isinstance(finished, Refused)
    assert {result.status for result in finished.results} == {"done"}
    assert files(desk.folder) == expected


def test_a_row_says_what_the_item_is(desk: Desk) -> None:
    """Its video as it is opened, its short prompt, its settings and a name for people."""
    base = desk.put("base.json", {**SPEC, "depth": {"input_control": DEPTH}})
    spec = desk.put(
        "batch.jsonl", [{"visual_input": RGB, "prompt": "a cup"}, {"visual_input": RGB}]
    )
    first, second = SpecRows(spec, base=base).rows()
    assert (first.number, first.id, second.number, second.id) == (
        0,
        "batch-line-1",
        1,
        "batch-line-2",
    )
    assert first.video == str(desk.folder / RGB)
    assert (first.prompt, second.prompt) == ("a cup", SHORT)
    assert first.options == {"target": "cosmos-transfer1", "controls": ["edge", "depth"]}
    origin, place = Origin.of(second)
    assert (origin.spec, origin.base, place) == (str(spec), str(base), 1)


def test_a_control_that_is_shown_is_told_as_one(desk: Desk) -> None:
    """With look_at the row's video is the control's, and its kind need not be measured."""
    spec = desk.put("spec.json", {**SPEC, "depth": {"input_control": DEPTH}})
    (row,) = SpecRows(spec, look_at="control").rows()
    assert row.video == str(desk.folder / DEPTH)
    assert row.options["control"] == "depth"


def test_what_is_kept_is_no_row(desk: Desk) -> None:
    """Long prompts and regional ones are left as they are, and a person is told how many."""
    said: list[str] = []
    region = {"prompt": "a cup", "region_definitions_path": [0, 0, 0.5, 1]}
    long_one = {**SPEC, "prompt": "word " * 200, "regional_prompts": [region]}
    spec = desk.put("spec.json", long_one)
    assert list(SpecRows(spec, told=said.append).rows()) == []
    assert any("1 item kept: long already" in line for line in said)
    assert any("1 item kept: a regional prompt" in line for line in said)
    assert [row.prompt for row in SpecRows(spec, again=True).rows()] == [long_one["prompt"]]


def test_what_cannot_be_decided_is_a_row_with_trouble(desk: Desk) -> None:
    """A bad line or a missing video stops nobody else, and has its reason and its remedy."""
    lines = [
        json.dumps({"visual_input": RGB, "prompt": "a cup"}),
        '{"visual_input": 3}',
        json.dumps({"visual_input": "assets/none.mp4", "prompt": "a tree"}),
        '{"visual_input": ',
    ]
    good, *bad = SpecRows(desk.put("b.jsonl", "\n".join(lines)), form="predict1").rows()
    assert good.trouble is None
    assert [row.number for row in bad] == [1, 2, 3]
    codes, messages, remedies = zip(*(row.trouble or () for row in bad), strict=True)
    assert codes == ("spec",) * 3
    assert all(remedies)
    assert "not a text" in messages[0]
    assert "assets/none.mp4' is not there" in messages[1]
    assert (bad[1].video, bad[1].prompt) == ("assets/none.mp4", "a tree")
    assert len({row.digest for row in bad}) == 3


def test_a_folder_gives_the_rows_of_all_its_specs(desk: Desk) -> None:
    """In the order of their names; sidecars are passed over, and a file that is no spec is a row
    with trouble. Numbers go on from spec to spec.
    """
    desk.put("specs/b.json", {**STRICT, "video_path": "../assets/rgb.mp4"})
    desk.put("specs/c.json", {"unrelated": 1})
    desk.put("specs/a.jsonl", [{**STRICT, "video_path": "../assets/rgb.mp4"}] * 2)
    desk.put("specs/d.promptlift.json", {"promptlift_sidecar": 1})
    desk.put("specs/notes.txt", "nothing")
    rows = list(SpecRows(desk.folder / "specs").rows())
    assert [(row.number, row.id) for row in rows] == [
        (0, "a-line-1"),
        (1, "a-line-2"),
        (2, "b"),
        (3, "c"),
    ]
    assert [row.trouble is None for row in rows] == [True, True, True, False]
    *_, refused = write_back(asked(rows))
    assert isinstance(refused, Refused)
    assert "no format that promptlift knows" in refused.error.message


def test_what_is_wholly_wrong_is_an_error_before_the_first_row(desk: Desk) -> None:
    """No spec, an empty folder, an unknown format."""
    with pytest.raises(SpecError, match="cannot be read"):
        next(SpecRows(desk.folder / "none.json").rows())
    with pytest.raises(SpecError, match="holds no spec"):
        next(SpecRows(desk.folder / "assets").rows())
    with pytest.raises(OptionError, match="no format"):
        next(SpecRows(desk.put("spec.json", SPEC), form="what").rows())


def test_the_identity_of_rows_does_not_depend_on_how_often_they_are_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readings give the same digests, from wherever the spec is named."""
    spec = desk.put("b.jsonl", [{"visual_input": RGB, "prompt": p} for p in ("a", "b")])
    first = [row.digest for row in SpecRows(spec, form="predict1").rows()]
    monkeypatch.chdir(desk.folder)
    second = [row.digest for row in SpecRows(Path("b.jsonl"), form="predict1").rows()]
    assert first == second
    assert len(set(first)) == 2


# Out


def test_what_was_kept_stays_as_it_was(desk: Desk) -> None:
    """A batch file of which one line was long already: that line is the same byte for byte."""
    kept = f'{{"prompt":   "{"word " * 200}", "visual_input": "{RGB}"}}'
    spec = desk.put("b.jsonl", f'{kept}\n{{"visual_input": "{RGB}", "prompt": "{SHORT}"}}\n')
    rows = list(SpecRows(spec, form="transfer1-batch").rows())
    assert [row.id for row in rows] == ["b-line-2"]
    (finished,) = write_back(asked(rows), desk.folder / "out")
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["kept", "done"]
    made = (desk.folder / "out/b.jsonl").read_text()
    assert made == f'{kept}\n{{"visual_input": "{RGB}", "prompt": "{long(SHORT)}"}}\n'
    loaded = rules.transfer1_batch(desk.folder / "out/b.jsonl", {})
    assert loaded[1]["prompt"] == long(SHORT)


def test_rows_of_several_shards_come_together(desk: Desk) -> None:
    """In whatever order they come back, and a result is not lost to a row that has none."""
    prompts = [f"a cup number {number}" for number in range(5)]
    spec = desk.put("b.jsonl", [{"visual_input": RGB, "prompt": text} for text in prompts])
    done = asked(SpecRows(spec, form="predict1").rows())
    unasked: list[Returned] = [
        (Outcome(outcome.row, "other", None, "missing"), None) for outcome, _ in done
    ]
    (finished,) = write_back([*done[3:], *unasked, *done[:3]])
    assert not isinstance(finished, Refused)
    made = [
        json.loads(line) for line in (desk.folder / "b.upsampled.jsonl").read_text().splitlines()
    ]
    assert [item["prompt"] for item in made] == [long(text) for text in prompts]


def test_what_has_no_result_keeps_its_short_prompt(desk: Desk) -> None:
    """Not asked yet, refused by the engine, or in trouble: each says why in the sidecar."""
    lines = [{"visual_input": RGB, "prompt": text} for text in ("a cup", "a tree", "a door")]
    lines[1]["visual_input"] = "assets/none.mp4"
    spec = desk.put("b.jsonl", lines)
    first, *others = asked(SpecRows(spec, form="predict1").rows())
    failing = asked([others[1][0].row], FakeEngine(lambda _: "", context=None))
    (finished,) = write_back(
        [(Outcome(first[0].row, "in", None, "missing"), None), *others[:1], *failing]
    )
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["failed", "failed", "rejected"]
    reasons = [result.reason for result in finished.results]
    assert "not been asked yet" in reasons[0]
    assert "assets/none.mp4" in reasons[1]
    assert reasons[2].startswith("empty:")
    assert finished.changes == ()


def test_a_failure_tells_its_reason_and_remedy(desk: Desk) -> None:
    """As the engine or the decoder gave them."""
    spec = desk.put("spec.json", SPEC)
    rows = list(SpecRows(spec).rows())
    desk.put(RGB, "no video")
    (finished,) = write_back(asked(rows))
    assert not isinstance(finished, Refused)
    (result,) = finished.results
    assert result.status == "failed"
    assert "rgb.mp4" in result.reason
    assert result.reason.endswith(".")


def test_results_are_written_back_from_any_folder(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the batch found the videos from the folder that it was started in, the export finds
    them from elsewhere too.
    """
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    spec = elsewhere / "b.jsonl"
    spec.write_text(json.dumps({"visual_input": RGB, "prompt": "a cup"}))
    monkeypatch.chdir(desk.folder)
    done = asked(SpecRows(spec, form="predict1").rows())
    monkeypatch.chdir(elsewhere)
    (finished,) = write_back(done)
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["done"]


def test_results_outlive_their_videos(desk: Desk) -> None:
    """Videos may be cleared away before the export; what has no result still says why."""
    lines = [{"visual_input": RGB, "prompt": text} for text in ("a cup", "a tree")]
    spec = desk.put("b.jsonl", lines)
    done, other = asked(SpecRows(spec, form="predict1").rows())
    (desk.folder / RGB).unlink()
    (finished,) = write_back([done, (Outcome(other[0].row, "in", None, "missing"), None)])
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["done", "failed"]
    assert "is not there" in finished.results[1].reason
    assert finished.results[0].job is not None
    assert any("not there any more" in note for note in finished.results[0].job.notes)


CHANGES: dict[str, Callable[[Desk], Path]] = {
    "another prompt": lambda desk: desk.put("b.jsonl", [{"visual_input": RGB, "prompt": "a car"}]),
    "another video": lambda desk: desk.put("b.jsonl", [{"visual_input": DEPTH, "prompt": "a cup"}]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_long_prompt_never_goes_to_another_item(desk: Desk, change: str) -> None:
    """Where the spec was edited meanwhile, that item fails and says what to do."""
    spec = desk.put("b.jsonl", [{"visual_input": RGB, "prompt": "a cup"}])
    done = asked(SpecRows(spec, form="predict1").rows())
    CHANGES[change](desk)
    (finished,) = write_back(done)
    assert not isinstance(finished, Refused)
    assert "not what it was when the batch read it" in finished.results[0].reason


def test_a_spec_with_fewer_or_more_items_is_told_of(desk: Desk) -> None:
    """Fewer: nothing is written. More: the new ones are named, the others are written."""
    line = {"visual_input": RGB, "prompt": "a cup"}
    spec = desk.put("b.jsonl", [line, {**line, "prompt": "a tree"}])
    done = asked(SpecRows(spec, form="predict1").rows())
    desk.put("b.jsonl", [line])
    (refused,) = write_back(done)
    assert isinstance(refused, Refused)
    assert "not what it was" in refused.error.message
    desk.put("b.jsonl", [line, {**line, "prompt": "a tree"}, {**line, "prompt": "a door"}])
    (finished,) = write_back(done)
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["done", "done", "failed"]


def test_a_spec_that_is_gone_does_not_stop_the_others(desk: Desk) -> None:
    """It is told of by its name."""
    gone, there = desk.put("specs/a.json", SPEC), desk.put("specs/b.json", SPEC)
    done = asked(SpecRows(desk.folder / "specs").rows())
    gone.unlink()
    refused, finished = write_back(done)
    assert isinstance(refused, Refused)
    assert refused.spec == gone
    assert not isinstance(finished, Refused)
    assert finished.output.spec.path == there


def test_in_place_and_again(desk: Desk) -> None:
    """Written in place, the prompts are long, and the next batch finds nothing to do."""
    spec = desk.put("spec.json", SPEC)
    done = asked(SpecRows(spec).rows())
    for status in ("done", "kept"):
        (finished,) = write_back(done, in_place=True)
        assert not isinstance(finished, Refused)
        assert finished.results[0].status == status
        assert json.loads(spec.read_text())["prompt"] == long(SHORT)
    assert list(SpecRows(spec).rows()) == []
    (row,) = SpecRows(spec, again=True).rows()
    assert row.prompt == SHORT


def test_one_prompt_file_cannot_take_two_long_prompts(desk: Desk) -> None:
    """In place, the second item that names it fails; beside, each gets a file of its own."""
    desk.put("words.txt", SHORT)
    item = {"name": "a", "prompt_path": "words.txt", "video_path": RGB, "edge": {}}
    spec = desk.put("s.jsonl", [item, {**item, "name": "b"}])
    done = asked(SpecRows(spec).rows())
    (beside,) = write_back(done)
    assert not isinstance(beside, Refused)
    assert [result.status for result in beside.results] == ["done", "done"]
    (finished,) = write_back(done, in_place=True)
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["done", "failed"]
    assert "also that of another item" in finished.results[1].reason


def test_an_earlier_export_stands_where_this_one_has_nothing(desk: Desk) -> None:
    """A later, unfinished batch does not take back what an earlier one has written."""
    spec = desk.put("b.jsonl", [{"visual_input": RGB, "prompt": "a cup"}])
    done = asked(SpecRows(spec, form="predict1").rows())
    list(write_back(done))
    missing: list[Returned] = [(Outcome(done[0][0].row, "in", None, "missing"), None)]
    (finished,) = write_back(missing)
    assert not isinstance(finished, Refused)
    assert finished.results[0].status == "kept"
    assert json.loads((desk.folder / "b.upsampled.jsonl").read_text())["prompt"] == long("a cup")


def test_rows_of_other_inputs_are_refused(desk: Desk) -> None:
    """They have no spec to go back to."""
    row = Row.of(0, str(desk.folder / RGB), "a cup")
    with pytest.raises(SpecError, match="came from no Cosmos spec"):
        list(write_back([(Outcome(row, "in", None, "missing"), None)]))


def test_the_record_in_the_sidecar_is_the_batchs(desk: Desk) -> None:
    """Nothing of it is lost on the way through the journal."""
    spec = desk.put("spec.json", SPEC)
    done = asked(SpecRows(spec).rows())
    list(write_back(done))
    sidecar = json.loads((desk.folder / "spec.upsampled.promptlift.json").read_text())
    said = done[0][1]
    assert Record.model_validate(sidecar["items"][0]["record"]) == Record.model_validate(said)


def test_a_spec_goes_through_a_whole_batch(desk: Desk) -> None:
    """In two shards, each with its journal segment, and back into the file that
    ``promptlift cosmos upsample`` would have written.
    """
    prompts = [f"a cup number {number}" for number in range(5)]
    lines = [{"visual_input": RGB, "prompt": text} for text in prompts]
    spec = desk.put("b.jsonl", [*lines, {"visual_input": "assets/none.mp4", "prompt": "a tree"}])
    desk.run(spec, form="predict1")
    expected = (desk.folder / "b.upsampled.jsonl").read_text()
    rows, run_dir = SpecRows(spec, form="predict1"), desk.folder / "run"
    engine = FakeEngine(answer, context=None)
    for part in (1, 2):
        settings = RunSettings(workers=1, shard=(part, 2))
        run = BatchRun(engine, Options(), rows, run_dir, settings)
        assert asyncio.run(run.run()) == "done"
    assert len(engine.requests) == len(prompts)
    with open_run(run_dir) as made:
        (finished,) = write_back(joined(made), desk.folder / "out")
    assert not isinstance(finished, Refused)
    assert [result.status for result in finished.results] == ["done"] * 5 + ["failed"]
    assert (desk.folder / "out/b.jsonl").read_text() == expected
