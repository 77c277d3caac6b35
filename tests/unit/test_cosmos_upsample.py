"""Spec files in, the same files with long prompts out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from loaders import cosmos as rules
from loaders.desk import MORE, Desk, lay, long, make_clips
from promptlift.cosmos.outputs import Outputs, write
from promptlift.cosmos.results import Change, Finished
from promptlift.cosmos.spec import read_spec
from promptlift.engines.base import Request
from promptlift.errors import ConfigEngineError, ItemEngineError, OutputError, SpecError
from promptlift.testing import FakeEngine, FaultyEngine

SHORT = "a robot arm hands a cup to a woman"
RGB, DEPTH = "assets/rgb.mp4", "assets/depth.mp4"
SPEC: dict[str, Any] = {
    "prompt": SHORT,
    "input_video_path": RGB,
    "edge": {"control_weight": 1.0},
}
STRICT = {"name": "a", "prompt": SHORT, "video_path": RGB, "edge": {"control_weight": 1.0}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two clips, drawn once."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def desk(clips: Path, tmp_path: Path) -> Desk:
    """A folder of its own for each test."""
    return lay(clips, tmp_path)


def statuses(done: list[Finished]) -> list[str]:
    """What became of each item."""
    return [result.status for spec in done for result in spec.results]


def reasons(done: list[Finished]) -> list[str]:
    """Why, for each item."""
    return [result.reason for spec in done for result in spec.results]


def sidecar(path: Path) -> list[dict[str, Any]]:
    """The entries of a sidecar."""
    loaded: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["items"]
    return loaded


STYLES = {
    "indented": '{{\n    "prompt": {0},\n\n    "input_video_path" : {1},\n    "edge": {{\n        '
    '"control_weight": 1.0\n    }}\n}}\n',
    "windows": '{{\r\n\t"input_video_path": {1},\r\n\t"edge": {{"control_weight": 1e0}},\r\n\t'
    '"prompt":{0}\r\n}}',
    "compact": '{{"seed":1,"prompt":{0},"input_video_path":{1},"edge":{{"control_weight":0.50}}}}',
    "escaped": '{{"pr\\u006fmpt": {0}, "input_video_path": {1}, "vis": {{}}, "n": "\\u00e9\\/"}}',
}


@pytest.mark.parametrize("style", STYLES)
def test_only_the_prompt_of_a_transfer1_spec_changes(desk: Desk, style: str) -> None:
    """In whatever style it is written, all but the prompt is the same byte for byte, and
    Cosmos-Transfer1's own loader takes it.
    """
    pattern = STYLES[style]
    spec = desk.put("spec.json", pattern.format(json.dumps(SHORT), json.dumps(RGB)))
    assert statuses(desk.run(spec)) == ["done"]
    made = desk.folder / "spec.upsampled.json"
    expected = pattern.format(json.dumps(long(SHORT)), json.dumps(RGB))
    assert made.read_bytes() == expected.encode()
    _, arguments = rules.transfer1_spec(made)
    assert arguments["prompt"] == long(SHORT)
    assert spec.read_bytes() == pattern.format(json.dumps(SHORT), json.dumps(RGB)).encode()


def test_a_byte_order_mark_and_other_letters_stay(desk: Desk) -> None:
    """What is not the prompt stays even where the generator would stumble over it, and a file
    that has letters of its own is not turned to escapes.
    """
    text = f'\ufeff{{"prompt": "une tasse dorée", "note": "é", "input_video_path": "{RGB}"}}'
    desk.engine = FakeEngine(["Une tasse dorée brille — la lumière tombe."], context=None)
    desk.options = {"on_reject": "best"}
    spec = desk.put("spec.json", text)
    desk.run(spec)
    made = (desk.folder / "spec.upsampled.json").read_bytes().decode()
    expected = text.replace("une tasse dorée", "Une tasse dorée brille — la lumière tombe.")
    assert made == expected


def test_an_ascii_file_stays_ascii(desk: Desk) -> None:
    """The generators read with the locale's encoding; a plain file stays readable in all."""
    desk.engine = FakeEngine([f"A robot arm hands a cup to a woman in a café. {long('x')[3:]}"])
    desk.run(desk.put("spec.json", SPEC))
    made = (desk.folder / "spec.upsampled.json").read_bytes()
    assert made.isascii()
    assert "café" in json.loads(made)["prompt"]


def test_a_batch_is_written_line_by_line(desk: Desk) -> None:
    """Each line keeps its place and style; the loader of Cosmos-Transfer1 takes the whole."""
    base = desk.put("base.json", {**SPEC, "depth": {"input_control": DEPTH}})
    null = '"control_overrides":{"depth":{"input_control":null}}'
    lines = [
        f'{{"visual_input": "{RGB}", "prompt": "{SHORT}"}}',
        f'{{"prompt":"a red cup on a table","visual_input":"{RGB}",{null}}}',
        f'{{"visual_input": "{RGB}"}}',
    ]
    spec = desk.put("batch.jsonl", "\n".join(lines))
    assert statuses(desk.run(spec, base=base)) == ["done"] * 3
    made = desk.folder / "batch.upsampled.jsonl"
    expected = [
        lines[0].replace(SHORT, long(SHORT)),
        lines[1].replace("a red cup on a table", long("a red cup on a table")),
        f'{{"prompt": "{long(SHORT)}", "visual_input": "{RGB}"}}',
    ]
    assert made.read_text() == "\n".join(expected)
    hints, _ = rules.transfer1_spec(base)
    items = rules.transfer1_batch(made, hints)
    assert items[1]["controls"]["depth"]["input_control"] is None


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_transfer25_spec_keeps_to_the_strict_schema(desk: Desk, suffix: str) -> None:
    """No key is added; what promptlift has to say is in the sidecar."""
    content: Any = STRICT if suffix == "json" else [STRICT, {**STRICT, "name": "b"}]
    desk.run(desk.put(f"spec.{suffix}", content))
    items = rules.transfer25(desk.folder / f"spec.upsampled.{suffix}")
    assert {item["prompt"] for item in items} == {long(SHORT)}
    entries = sidecar(desk.folder / "spec.upsampled.promptlift.json")
    assert [entry["short_prompt"] for entry in entries] == [SHORT] * len(items)
    assert entries[0]["record"]["target"] == "cosmos-transfer2.5"


def test_a_prompt_file_is_replaced_by_a_new_one(desk: Desk) -> None:
    """The user's file stays; the spec points to a new one beside it."""
    (desk.folder / "p.txt").write_text(f"{SHORT}\n")
    strict = {**STRICT, "prompt_path": "p.txt"}
    del strict["prompt"]
    assert statuses(desk.run(desk.put("spec.json", strict))) == ["done"]
    made = desk.folder / "spec.upsampled.json"
    (item,) = rules.transfer25(made)
    assert item["prompt"] == long(SHORT)
    assert item["prompt_path"] == "spec.upsampled.prompt.txt"
    assert (desk.folder / "p.txt").read_text() == f"{SHORT}\n"
    assert statuses(desk.run(made)) == ["kept"]


def test_each_item_gets_a_prompt_file_of_its_own(desk: Desk) -> None:
    """Two items may share the user's file; their long prompts stand in two, and the names stay
    apart whatever the samples are called.
    """
    (desk.folder / "p.txt").write_text(SHORT)
    samples = {n: {"prompt_path": "p.txt", "input_path": RGB} for n in ("a b", "a-b")}
    desk.run(desk.put("spec.json", {"inference_type": "video2world", "samples": samples}))
    made = json.loads((desk.folder / "spec.upsampled.json").read_text())["samples"]
    names = [sample["prompt_path"] for sample in made.values()]
    assert names == ["spec.upsampled.1.prompt.txt", "spec.upsampled.2.prompt.txt"]
    assert {(desk.folder / name).read_text() for name in names} == {long(SHORT)}


def test_a_prompt_file_is_replaced_itself_in_place(desk: Desk) -> None:
    """In place, the spec does not change at all."""
    (desk.folder / "p.txt").write_text(SHORT)
    strict = {"prompt_path": "p.txt", **STRICT}
    del strict["prompt"]
    spec = desk.put("spec.json", strict)
    before = spec.read_bytes()
    desk.run(spec, in_place=True)
    assert (desk.folder / "p.txt").read_text() == long(SHORT)
    assert spec.read_bytes() == before
    assert sidecar(desk.folder / "spec.promptlift.json")[0]["short_prompt"] == SHORT
    assert statuses(desk.run(spec, in_place=True)) == ["kept"]


def test_two_items_cannot_share_a_prompt_file_in_place(desk: Desk) -> None:
    """One file cannot hold two long prompts: the second item fails, the first is done."""
    (desk.folder / "p.txt").write_text(SHORT)
    lines = [{"name": n, "prompt_path": "p.txt", "video_path": RGB, "edge": {}} for n in "ab"]
    done = desk.run(desk.put("spec.jsonl", lines), in_place=True)
    assert statuses(done) == ["done", "failed"]
    assert "another item" in reasons(done)[1]
    assert (desk.folder / "p.txt").read_text() == long(SHORT)


@pytest.mark.parametrize(
    ("name", "form", "content", "check", "target"),
    [
        (
            "a.jsonl",
            "predict1",
            [{"prompt": SHORT, "visual_input": RGB}],
            rules.jsonl_batch,
            "cosmos-predict1",
        ),
        (
            "a.json",
            "auto",
            [{"input_video": RGB, "prompt": SHORT, "output_video": "o.mp4"}],
            rules.predict2_batch,
            "cosmos-predict1",
        ),
        (
            "a.json",
            "auto",
            {"inference_type": "video2world", "name": "a", "prompt": SHORT, "input_path": RGB},
            rules.predict25,
            "cosmos-predict2.5",
        ),
    ],
)
def test_predict_files(
    desk: Desk, monkeypatch: Any, name: str, form: str, content: Any, check: Any, target: str
) -> None:
    """The Predict formats come out as their loaders take them, for their own text encoder."""
    monkeypatch.chdir(desk.folder)
    desk.run(desk.put(name, content), form=form)
    made = desk.folder / name.replace(".json", ".upsampled.json")
    assert check(made)[0]["prompt"] == long(SHORT)
    entry = sidecar(desk.folder / "a.upsampled.promptlift.json")[0]
    assert entry["record"]["target"] == target


# What is looked at


def shown(desk: Desk) -> tuple[int, int]:
    """The size of the last picture that the engine saw: 160x96 for RGB, 128x96 for depth."""
    size = desk.engine.requests[-1].frames[0].size
    return size.width, size.height


def test_the_rgb_video_is_shown_for_a_control_and_the_control_told_in_words(desk: Desk) -> None:
    """With a depth control that has its own video, the picture is the RGB one."""
    desk.options = {"template": "instruct/1"}
    desk.run(desk.put("spec.json", {**SPEC, "depth": {"input_control": DEPTH}}))
    assert shown(desk) == (160, 96)
    text = desk.engine.requests[-1].text
    assert "controls that fix the outlines, the layout, the number of things, the geometry" in text
    assert "Materials, colours, light and weather are free" in text
    assert "not a camera picture" not in text


def test_the_control_is_shown_where_that_is_wished_for(desk: Desk) -> None:
    """The template then says what the picture is."""
    desk.options = {"template": "instruct/1"}
    spec = desk.put("spec.json", {**SPEC, "depth": {"input_control": DEPTH}})
    (done,) = desk.run(spec, look_at="control")
    assert shown(desk) == (128, 96)
    assert "a depth map of the scene" in desk.engine.requests[-1].text
    assert desk.engine.requests[-1].shown == "depth"
    job = done.results[0].job
    assert job is not None
    assert job.look_at == "depth"


def test_the_control_is_shown_where_there_is_nothing_else(desk: Desk) -> None:
    """An empty input_video_path names no video, as in NVIDIA's regional example."""
    spec = {**SPEC, "input_video_path": "", "depth": {"input_control": DEPTH}}
    del spec["edge"]
    desk.run(desk.put("spec.json", spec))
    assert shown(desk) == (128, 96)


def test_overrides_choose_what_is_shown(desk: Desk) -> None:
    """Each item of a batch is shown its own control's video."""
    base = desk.put("base.json", {"depth": {"input_control": RGB}})
    batch = [
        {"visual_input": RGB, "prompt": SHORT},
        {
            "visual_input": RGB,
            "prompt": SHORT,
            "control_overrides": {"depth": {"input_control": DEPTH}},
        },
        {
            "visual_input": RGB,
            "prompt": SHORT,
            "control_overrides": {"depth": {"input_control": None}},
        },
    ]
    path = desk.put("batch.jsonl", batch)
    done = desk.run(path, base=base, look_at="control")
    assert statuses(done) == ["done", "done", "failed"]
    assert "no control has a video of its own" in reasons(done)[2]
    sizes = {request.frames[0].size.width for request in desk.engine.requests}
    assert sizes == {160, 128}


def test_the_control_is_part_of_an_items_identity(desk: Desk) -> None:
    """The same video and words under another control are another item."""
    keys = set()
    for hint in ("edge", "depth"):
        spec = {"prompt": SHORT, "input_video_path": RGB, hint: {}}
        desk.run(desk.put(f"{hint}.json", spec))
        keys.add(sidecar(desk.folder / f"{hint}.upsampled.promptlift.json")[0]["record"]["key"])
    assert len(keys) == 2


def test_regional_prompts_are_shown_their_region_only(desk: Desk) -> None:
    """With --regions each is upsampled from the cut frames; without, they stay as they are."""
    regions = [
        {"prompt": "a red balloon on the left", "region_definitions_path": [0, 0, 0.5, 1.0]},
        {"prompt": "a tree", "region_definitions_path": "mask.mp4"},
        {"prompt": "a speck", "region_definitions_path": [0, 0, 0.01, 0.01]},
    ]
    spec = desk.put("spec.json", {**SPEC, "regional_prompts": regions})
    assert statuses(desk.run(spec)) == ["done", "kept", "kept", "kept"]
    assert "--regions" in sidecar(desk.folder / "spec.upsampled.promptlift.json")[1]["reason"]
    done = desk.run(spec, regions=True)
    assert statuses(done) == ["kept", "done", "failed", "failed"]
    assert shown(desk) == (80, 96)
    assert "mask.mp4" in reasons(done)[2]
    assert "the region is 2x1 pixels of 160x96" in reasons(done)[3]
    made = json.loads((desk.folder / "spec.upsampled.json").read_text())
    assert [made["prompt"], *(region["prompt"] for region in made["regional_prompts"])] == [
        long(SHORT),
        long("a red balloon on the left"),
        "a tree",
        "a speck",
    ]


def test_a_region_can_be_cut_in_a_process_that_can_be_killed(desk: Desk) -> None:
    """Isolated decoding holds for regions too, and gives the same frames."""
    region = {"prompt": "a red balloon", "region_definitions_path": [0, 0, 0.5, 1.0]}
    spec = desk.put("spec.json", {**SPEC, "regional_prompts": [region]})
    keys = []
    for isolated in (False, True):
        desk.options = {"isolated": isolated}
        (done,) = desk.run(spec, regions=True, dry=True)
        record = done.results[1].record
        assert record is not None
        keys.append(record.key)
    assert keys[0] == keys[1]
    desk.put("assets/rgb.mp4", "no video")
    assert statuses(desk.run(spec, regions=True, dry=True)) == ["failed", "failed"]


# Again, and not again


def test_a_second_run_asks_nobody(desk: Desk) -> None:
    """Neither for the same spec, nor for the one that came out."""
    spec = desk.put("spec.json", SPEC)
    desk.run(spec)
    made = desk.folder / "spec.upsampled.json"
    before = made.read_bytes(), (desk.folder / "spec.upsampled.promptlift.json").read_bytes()
    assert statuses(desk.run(spec)) == ["kept"]
    assert statuses(desk.run(made)) == ["kept"]
    assert len(desk.engine.requests) == 1
    assert before == (
        made.read_bytes(),
        made.with_name("spec.upsampled.promptlift.json").read_bytes(),
    )
    assert not (desk.folder / "spec.upsampled.upsampled.json").exists()


def test_a_second_run_finishes_what_failed(desk: Desk) -> None:
    """Only the item without a prompt is asked for again, and both stand in the result."""
    lines = [STRICT, {**STRICT, "name": "b", "prompt": "a red cup", "video_path": "late.mp4"}]
    spec = desk.put("spec.jsonl", lines)
    assert statuses(desk.run(spec)) == ["done", "failed"]
    os.link(desk.folder / RGB, desk.folder / "late.mp4")
    assert statuses(desk.run(spec)) == ["kept", "done"]
    prompts = [item["prompt"] for item in rules.transfer25(desk.folder / "spec.upsampled.jsonl")]
    assert prompts == [long(SHORT), long("a red cup")]
    entries = sidecar(desk.folder / "spec.upsampled.promptlift.json")
    assert [entry["status"] for entry in entries] == ["done", "done"]


def test_what_was_done_for_another_video_does_not_count(desk: Desk) -> None:
    """A spec that names another video or control is another task."""
    desk.run(desk.put("spec.json", SPEC))
    assert statuses(desk.run(desk.put("spec.json", {**SPEC, "input_video_path": DEPTH}))) == [
        "done"
    ]
    assert statuses(desk.run(desk.put("spec.json", {**SPEC, "vis": {}}))) == ["done"]


def test_again_starts_from_the_short_prompt(desk: Desk) -> None:
    """The long prompt is never made longer: the short one comes from the sidecar and stays."""
    spec = desk.put("spec.json", SPEC)
    desk.run(spec, in_place=True)
    assert json.loads(spec.read_text())["prompt"] == long(SHORT)
    assert statuses(desk.run(spec, in_place=True)) == ["kept"]
    assert statuses(desk.run(spec, in_place=True, again=True)) == ["done"]
    assert [request.short_prompt for request in desk.engine.requests] == [SHORT, SHORT]
    assert json.loads(spec.read_text())["prompt"] == long(SHORT)
    assert sidecar(desk.folder / "spec.promptlift.json")[0]["short_prompt"] == SHORT


def test_a_failed_second_try_loses_nothing(desk: Desk) -> None:
    """Where --again fails, prompt and sidecar stay as they were."""
    lines = [STRICT, {**STRICT, "name": "b", "prompt": "a red cup"}]
    spec = desk.put("spec.jsonl", lines)
    desk.run(spec, in_place=True)

    def fault(request: Any) -> ItemEngineError | None:
        return ItemEngineError("no", remedy="none") if "robot" in request.short_prompt else None

    engine = FaultyEngine(desk.engine, fault)
    done = desk.run(spec, in_place=True, again=True, engine=engine)
    assert statuses(done) == ["failed", "done"]
    first, _ = rules.transfer25(spec)
    assert first["prompt"] == long(SHORT)
    entry = sidecar(desk.folder / "spec.promptlift.json")[0]
    assert (entry["short_prompt"], entry["prompt"]) == (SHORT, long(SHORT))


def test_a_long_prompt_is_kept(desk: Desk) -> None:
    """A prompt of as many words as the target wants at least is left, with the reason."""
    words = " ".join(["a robot arm hands over a cup"] * 15)
    spec = desk.put("spec.json", {**SPEC, "prompt": words})
    done = desk.run(spec)
    assert statuses(done) == ["kept"]
    assert "long already (105 words)" in reasons(done)[0]
    assert done[0].changes == ()
    assert desk.engine.requests == []


def test_a_folder_for_results_is_complete(desk: Desk) -> None:
    """With -o, a spec in which nothing is to be done is there too, as it was."""
    words = " ".join(["a robot arm hands over a cup"] * 15)
    spec = desk.put("spec.json", {**SPEC, "prompt": words})
    desk.run(spec, folder=desk.folder / "out/deep")
    assert (desk.folder / "out/deep/spec.json").read_bytes() == spec.read_bytes()
    assert sidecar(desk.folder / "out/deep/spec.promptlift.json")[0]["status"] == "kept"


# What goes wrong


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_video_path": "assets/no.mp4"}, "the video 'assets/no.mp4' is not there"),
        ({"depth": {"input_control": "no.mp4"}}, "the depth control 'no.mp4' is not there"),
        ({"input_video_path": ""}, "the edge control has no video"),
        ({"input_video_path": None, "edge": None}, "it names no video"),
        ({"input_video_path": "spec.json"}, "not a video"),
        ({"input_video_path": "assets"}, "it is a directory"),
        ({"prompt": "a \u0000 b"}, "control character"),
        ({"input_video_path": "a\u0000b"}, "is not there"),
        ({"input_video_path": "x" * 5000}, "is not there"),
    ],
)
def test_what_an_item_lacks_is_said(desk: Desk, change: dict[str, Any], said: str) -> None:
    """A single item that fails leaves no file and says what is missing."""
    done = desk.run(desk.put("spec.json", {**SPEC, **change}))
    assert statuses(done) == ["failed"]
    assert said in reasons(done)[0]
    assert not (desk.folder / "spec.upsampled.json").exists()


def test_a_prompt_file_that_is_not_there_fails_its_item(desk: Desk) -> None:
    """The others go on."""
    lines: list[dict[str, Any]] = [
        {"name": "a", "prompt_path": "no.txt", "video_path": RGB, "edge": {}},
        {"name": "b", "prompt_path": "latin.txt", "video_path": RGB, "edge": {}},
        {"name": "c", "prompt_path": "assets", "video_path": RGB, "edge": {}},
        {**STRICT, "name": "d"},
    ]
    (desk.folder / "latin.txt").write_bytes(b"caf\xe9")
    done = desk.run(desk.put("spec.jsonl", lines))
    assert statuses(done) == ["failed", "failed", "failed", "done"]
    for reason, said in zip(
        reasons(done), ["'no.txt' is not there", "UTF-8", "read"], strict=False
    ):
        assert said in reason


def test_a_rejected_answer_leaves_the_prompt(desk: Desk) -> None:
    """No answer fit to use: the item says which checks failed, and the file keeps its prompt."""
    desk.engine = FakeEngine(["I cannot help with that."], context=None)
    done = desk.run(desk.put("spec.json", SPEC))
    assert statuses(done) == ["rejected"]
    assert "refusal" in reasons(done)[0]
    assert not (desk.folder / "spec.upsampled.json").exists()


def test_an_engine_set_up_wrongly_ends_the_run(desk: Desk) -> None:
    """Every other item would fail the same way."""
    engine = FaultyEngine(desk.engine, [ConfigEngineError("wrong key", remedy="give it")])
    with pytest.raises(ConfigEngineError, match="wrong key"):
        desk.run(desk.put("spec.json", SPEC), engine=engine)
    assert not (desk.folder / "spec.upsampled.json").exists()


def test_results_keep_the_order_of_the_items(desk: Desk) -> None:
    """Twelve items under way at once come out each in its own line."""
    lines = [{**STRICT, "name": str(n), "prompt": f"a cup number {n}"} for n in range(12)]
    desk.run(desk.put("spec.jsonl", lines))
    made = rules.transfer25(desk.folder / "spec.upsampled.jsonl")
    assert [item["prompt"] for item in made] == [long(f"a cup number {n}") for n in range(12)]


def batch_of(desk: Desk, count: int) -> Path:
    """A spec of many items."""
    lines = [{**STRICT, "name": str(n), "prompt": f"a cup number {n}"} for n in range(count)]
    return desk.put("spec.jsonl", lines)


def test_a_run_that_ends_early_keeps_what_is_finished(desk: Desk) -> None:
    """Where the engine breaks down in the middle, what is there is written, and a rerun does the
    rest without asking again for what is done.
    """

    def fault(request: Any) -> ConfigEngineError | None:
        broken = request.short_prompt.endswith("number 9")
        return ConfigEngineError("gone", remedy="start it") if broken else None

    spec = batch_of(desk, 12)
    with pytest.raises(ConfigEngineError):
        desk.run(spec, engine=FaultyEngine(desk.engine, fault))
    made = rules.transfer25(desk.folder / "spec.upsampled.jsonl")
    finished = [item["prompt"] for item in made if item["prompt"].endswith(MORE)]
    assert 5 <= len(finished) <= 11
    asked = len(desk.engine.requests)
    assert sorted(statuses(desk.run(spec))) == sorted(
        ["kept"] * len(finished) + ["done"] * (12 - len(finished))
    )
    assert len(desk.engine.requests) == asked + 12 - len(finished)
    made = rules.transfer25(desk.folder / "spec.upsampled.jsonl")
    assert [item["prompt"] for item in made] == [long(f"a cup number {n}") for n in range(12)]


def test_a_long_spec_is_saved_now_and_then(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a run that is killed loses more than a few items: by the time a later one is
    asked for, those before it are on the disk.
    """
    monkeypatch.setattr("promptlift.cosmos.lift.SAVE_AFTER", 0)
    monkeypatch.setattr("promptlift.cosmos.lift._SAVING_SHARE", float("inf"))
    made = desk.folder / "spec.upsampled.jsonl"
    seen: list[int] = []

    def reply(request: Request) -> str:
        seen.append(made.read_text().count(MORE) if made.exists() else 0)
        return long(request.short_prompt)

    desk.engine = FakeEngine(reply, context=None)
    desk.run(batch_of(desk, 20))
    assert max(seen) >= 12
    assert made.read_text().count(MORE) == 20


# Where results go


def test_two_specs_with_one_output_are_told_apart(desk: Desk) -> None:
    """The second of two is refused, by the result's name or by the sidecar's."""
    one, two = desk.put("a/spec.json", SPEC), desk.put("b/spec.json", SPEC)
    places = Outputs(desk.folder / "out", in_place=False)
    places.place(read_spec(one))
    with pytest.raises(OutputError, match="as that of"):
        places.place(read_spec(two))
    places = Outputs(None, in_place=False)
    places.place(read_spec(desk.put("x.json", STRICT)))
    with pytest.raises(OutputError, match=r"promptlift\.json"):
        places.place(read_spec(desk.put("x.jsonl", [STRICT])))


def test_a_result_never_takes_the_specs_place_unasked(desk: Desk) -> None:
    """Naming the spec's own folder is no way to replace it."""
    spec = read_spec(desk.put("spec.json", SPEC))
    with pytest.raises(OutputError, match="--in-place"):
        Outputs(desk.folder, in_place=False).place(spec)


def test_a_spec_whose_paths_count_from_it_is_not_moved(desk: Desk) -> None:
    """From another folder they would mean other files; absolute ones would not."""
    places = Outputs(desk.folder / "out", in_place=False)
    with pytest.raises(SpecError, match="counts from the folder of the spec"):
        places.place(read_spec(desk.put("spec.json", STRICT)))
    absolute = {**STRICT, "video_path": str(desk.folder / RGB)}
    places.place(read_spec(desk.put("spec.json", absolute)))


def test_a_file_in_the_sidecars_place_is_not_overwritten(desk: Desk) -> None:
    """A file of that name that promptlift did not write is the user's."""
    desk.put("spec.upsampled.promptlift.json", '{"mine": 1}')
    with pytest.raises(SpecError, match="no sidecar"):
        desk.run(desk.put("spec.json", SPEC))


def test_relative_paths_are_found_as_the_generator_finds_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder that Cosmos-Transfer1 is started in: the current one, a named one, or the
    nearest above the spec from which the name leads somewhere, and then it is said which.
    """
    spec = desk.put("deep/er/spec.json", SPEC)
    elsewhere = desk.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (done,) = desk.run(spec, dry=True)
    job = done.results[0].job
    assert job is not None
    assert job.notes == (f"relative paths count from {desk.folder}",)
    monkeypatch.chdir(desk.folder)
    (done,) = desk.run(spec, dry=True)
    assert (job := done.results[0].job) is not None
    assert job.notes == ()
    assert statuses(desk.run(spec, dry=True, root=elsewhere)) == ["failed"]
    assert statuses(desk.run(spec, dry=True, root=desk.folder)) == ["done"]


def test_links_and_steps_up_are_followed_and_shown(desk: Desk) -> None:
    """They are allowed; where they lead is said."""
    (desk.folder / "link.mp4").symlink_to(desk.folder / RGB)
    for named in ("link.mp4", f"assets/../{RGB}"):
        (done,) = desk.run(desk.put("s.json", {**STRICT, "video_path": named}), dry=True)
        job = done.results[0].job
        assert job is not None
        assert job.notes == (f"{named} is {(desk.folder / RGB).resolve()}",)
    absolute = str(desk.folder / RGB)
    (done,) = desk.run(desk.put("s.json", {**STRICT, "video_path": absolute}), dry=True)
    assert statuses([done]) == ["done"]


def test_a_link_to_a_spec_is_written_through_in_place(desk: Desk) -> None:
    """The link stays a link, and the file keeps its permissions."""
    spec = desk.put("real.json", SPEC)
    spec.chmod(0o640)
    link = desk.folder / "link.json"
    link.symlink_to(spec)
    desk.run(link, in_place=True)
    assert link.is_symlink()
    assert json.loads(spec.read_text())["prompt"] == long(SHORT)
    assert spec.stat().st_mode & 0o777 == 0o640


def test_a_crash_in_the_middle_leaves_the_old_file_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may end at any moment of writing: the spec is the old one or the new one, and
    the short prompt is in the sidecar before the spec loses it.
    """
    spec = desk.put("spec.json", SPEC)
    before = spec.read_bytes()
    (done,) = desk.run(spec, in_place=True, dry=True)
    real, calls = os.fsync, []

    def crash(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(descriptor)

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write(done.changes)
    assert spec.read_bytes() == before
    assert sidecar(desk.folder / "spec.promptlift.json")[0]["short_prompt"] == SHORT
    assert sorted(path.name for path in desk.folder.iterdir()) == [
        "assets",
        "spec.json",
        "spec.promptlift.json",
    ]


def test_a_place_that_cannot_be_written_is_named(desk: Desk) -> None:
    """A file where a folder should be is an error with the path."""
    (desk.folder / "file").write_text("")
    change = Change(desk.folder, desk.folder / "file/x.json", None, "{}")
    with pytest.raises(OutputError, match=r"file/x\.json"):
        write([change])


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    """The changes are made up and not made."""
    spec = desk.put("spec.json", SPEC)
    (done,) = desk.run(spec, dry=True)
    assert [change.path.name for change in done.changes] == [
        "spec.upsampled.promptlift.json",
        "spec.upsampled.json",
    ]
    assert sorted(path.name for path in desk.folder.iterdir()) == ["assets", "spec.json"]
