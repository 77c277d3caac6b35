"""Spec files as the input and the output of a batch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from loaders import cosmos as rules
from loaders.desk import DEPTH, RGB, SHORT, SPEC, STRICT, Desk, entries, long, reasons, statuses
from promptlift.batch import BatchRun, RowResult, RunSettings, raw_record, row_results
from promptlift.cosmos import Outputs, SpecOptions, SpecResult, SpecRows, write_back
from promptlift.errors import SpecError
from promptlift.options import Options
from promptlift.store import open_run

PREDICT1 = SpecOptions(form="predict1")

Answered = tuple[RowResult, Mapping[str, Any] | None]


def line(prompt: str, video: str = RGB) -> dict[str, str]:
    """An item of a Predict1 batch."""
    return {"visual_input": video, "prompt": prompt}


def answered(desk: Desk, rows: SpecRows, *, shards: int = 1) -> list[Answered]:
    """What a batch makes of the rows of specs."""
    for part in range(1, shards + 1):
        settings = RunSettings(workers=1, shard=(part, shards))
        run = BatchRun(desk.engine, Options(), rows, desk.folder / "run", settings)
        assert asyncio.run(run.run()) == "done"
    with open_run(desk.folder / "run") as made:
        found = [raw_record(made.index, one) for one in row_results(made)]
    return [(one, None if raw is None else json.loads(raw)) for one, raw in found]


def unanswered(answer: Answered) -> Answered:
    """The same row as if nobody had been asked."""
    return replace(answer[0], key=None, status="missing"), None


def written(rows: list[Answered], outputs: Outputs | None = None) -> SpecResult:
    """The one spec whose results are written back."""
    (result,) = write_back(rows, outputs)
    assert result.error is None
    return result


def test_a_row_says_what_the_item_is(desk: Desk) -> None:
    """Its video as it is opened, its short prompt, its settings, its region and a name."""
    base = desk.put("base.json", {**SPEC, "depth": {"input_control": DEPTH}})
    spec = desk.put("batch.jsonl", [line("a cup"), {"visual_input": RGB}])
    first, second = SpecRows([spec], SpecOptions(base=str(base))).rows()
    assert (first.number, first.id) == (0, "batch-line-1")
    assert (second.number, second.id) == (1, "batch-line-2")
    assert (first.video, first.prompt, second.prompt) == (str(desk.folder / RGB), "a cup", SHORT)
    assert first.options == {"target": "cosmos-transfer1", "controls": ["edge", "depth"]}
    region = {"prompt": "a cup", "region_definitions_path": [0, 0, 0.5, 1]}
    mask = {"prompt": "a cup", "region_definitions_path": DEPTH}
    regional = desk.put("r.json", {**SPEC, "regional_prompts": [region, mask]})
    whole, box, masked = SpecRows([regional], SpecOptions(regions=True)).rows()
    assert box.options["region"] == [0, 0, 0.5, 1]
    assert masked.options["mask"] == str(desk.folder / DEPTH)
    assert len({row.digest for row in (whole, box, masked)}) == 3
    (row,) = SpecRows([base], SpecOptions(look_at="control")).rows()
    assert (row.video, row.options["control"]) == (str(desk.folder / DEPTH), "depth")


def test_a_prompt_without_a_video_is_a_row_of_words_alone(desk: Desk) -> None:
    """Each view's prompt is a row; one with neither words nor a video is a row with trouble."""
    text = [{"prompt": "a road", "prompt_left": "a field"}, {"prompt": " "}]
    front, left, empty = SpecRows([desk.put("a.jsonl", text)]).rows()
    assert [(row.id, row.prompt, row.video) for row in (front, left)] == [
        ("a-line-1", "a road", ""),
        ("a-line-1-prompt_left", "a field", ""),
    ]
    assert front.options == {"target": "cosmos-predict1", "controls": []}
    assert "neither a prompt nor a video" in (empty.trouble or ("", ""))[1]
    array = [{"prompt": "a broom", "output_video": "o.mp4"}]
    (row,) = SpecRows([desk.put("b.json", array)]).rows()
    assert (row.prompt, row.video, row.trouble) == ("a broom", "", None)


def test_what_is_kept_is_no_row_and_what_cannot_be_planned_is_one_with_trouble(desk: Desk) -> None:
    """A person is told how many are kept; trouble has its reason and its remedy."""
    notes: list[str] = []
    lines = [
        json.dumps(line("a cup")),
        json.dumps(line("word " * 200)),
        "",
        '{"visual_input": 3}',
        json.dumps(line("a tree", "assets/none.mp4")),
        '{"visual_input": ',
    ]
    spec = desk.put("b.jsonl", "\n".join(lines))
    good, *bad = SpecRows([spec], PREDICT1, note=notes.append).rows()
    assert any("1 item kept: long already" in note for note in notes)
    assert any("it has blank lines" in note for note in notes)
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
    """In the order of their names; a file that is no spec is a row with trouble."""
    strict = {**STRICT, "video_path": "../assets/rgb.mp4"}
    desk.put("specs/b.json", strict)
    desk.put("specs/c.json", {"unrelated": 1})
    desk.put("specs/a.jsonl", [strict] * 2)
    desk.put("specs/d.promptlift.json", {"promptlift_sidecar": 1})
    rows = SpecRows([desk.folder / "specs"])
    assert [(row.number, row.id, row.trouble is None) for row in rows.rows()] == [
        (0, "a-line-1", True),
        (1, "a-line-2", True),
        (2, "b", True),
        (3, "c", False),
    ]
    done = answered(desk, rows)
    (desk.folder / "specs/b.json").unlink()
    first, gone, refused = write_back(done)
    assert statuses([first]) == ["done", "done"]
    assert gone.error is not None
    assert gone.spec == desk.folder / "specs/b.json"
    assert "no format that promptlift knows" in str(refused.error)
    for path, what in [("none.json", "cannot be read"), ("assets", "holds no spec")]:
        with pytest.raises(SpecError, match=what):
            next(SpecRows([desk.folder / path]).rows())


def test_a_batch_writes_what_upsample_writes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In two shards, whatever the order of the rows, from any folder: the same file, in which what
    was kept is the same byte for byte, and the batch's records in the sidecar.
    """
    kept = f'{{"prompt":   "{"word " * 200}", "visual_input": "{RGB}"}}'
    lines = [json.dumps(line(f"a cup number {number}")) for number in range(5)]
    lines += [kept, json.dumps(line("a tree", "assets/none.mp4"))]
    spec = desk.put("b.jsonl", "\n".join(lines) + "\n")
    desk.run(spec, form="predict1", folder=desk.folder / "upsampled")
    expected = (desk.folder / "upsampled/b.jsonl").read_text()
    assert kept in expected.splitlines()
    done = answered(desk, SpecRows([spec], PREDICT1), shards=2)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    rows = [*done[3:], *map(unanswered, done), *done[:3]]
    result = written(rows, Outputs(desk.folder / "out"))
    assert statuses([result]) == ["done"] * 5 + ["kept", "failed"]
    assert (desk.folder / "out/b.jsonl").read_text() == expected
    loaded = rules.transfer1_batch(desk.folder / "out/b.jsonl", {})
    assert loaded[1]["prompt"] == long("a cup number 1")
    records = {row.row.id: record for row, record in done}
    entry = entries(desk.folder / "out/b.promptlift.json")[0]
    assert entry["record"] == records["b-line-1"]


def test_what_has_no_result_says_why_and_takes_back_nothing(desk: Desk) -> None:
    """Not asked yet, or in trouble; what an earlier export wrote stands until there is more."""
    spec = desk.put("b.jsonl", [line("a cup"), line("a tree", "assets/none.mp4")])
    done = answered(desk, SpecRows([spec], PREDICT1))
    result = written([unanswered(done[0]), done[1]])
    assert statuses([result]) == ["failed", "failed"]
    assert "not been asked yet" in reasons([result])[0]
    assert "assets/none.mp4" in reasons([result])[1]
    assert result.changes == ()
    written(done)
    assert statuses([written([unanswered(done[0])])]) == ["kept", "failed"]
    assert long("a cup") in (desk.folder / "b.upsampled.jsonl").read_text()


def test_a_long_prompt_never_goes_to_another_item(desk: Desk) -> None:
    """Where the spec was edited meanwhile, that item fails and says what to do; rows of other
    inputs have no spec to go back to.
    """
    spec = desk.put("b.jsonl", [line("a cup"), line("a tree")])
    done = answered(desk, SpecRows([spec], PREDICT1))
    desk.put("b.jsonl", [line("a car"), line("a tree", DEPTH), line("a door")])
    result = written(done)
    assert statuses([result]) == ["failed"] * 3
    assert all("was changed since" in one for one in reasons([result]))
    desk.put("b.jsonl", [line("a cup"), line("a tree"), line("a door")])
    assert statuses([written(done)]) == ["done", "done", "failed"]
    desk.put("b.jsonl", [line("a cup")])
    assert statuses([written(done)]) == ["done"]
    found, record = done[0]
    foreign = replace(found, row=replace(found.row, extra={}))
    with pytest.raises(SpecError, match="came from no Cosmos spec"):
        list(write_back([(foreign, record)]))
