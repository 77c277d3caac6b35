"""Spec files in, the same files with long prompts out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loaders import cosmos as rules
from loaders.desk import (
    DEPTH,
    MORE,
    RGB,
    SHORT,
    SPEC,
    STRICT,
    Desk,
    answer,
    entries,
    long,
    reasons,
    statuses,
)
from media.make import BLACK, WHITE, film
from promptlift.errors import ConfigEngineError, ItemEngineError
from promptlift.targets import target as find_target
from promptlift.testing import FakeEngine
from stubs.faulty_engine import FaultyEngine

LONG_ALREADY = " ".join(["a robot arm hands over a cup"] * 15)
STYLES = {
    "indented": '{{\n    "prompt": {0},\n\n    "input_video_path" : {1},\n    "edge": {{\n        '
    '"control_weight": 1.0\n    }}\n}}\n',
    "windows": '{{\r\n\t"input_video_path": {1},\r\n\t"edge": {{"control_weight": 1e0}},\r\n\t'
    '"prompt":{0}\r\n}}',
    "compact": '{{"seed":1,"prompt":{0},"input_video_path":{1},"edge":{{"control_weight":0.50}}}}',
    "escaped": '{{"pr\\u006fmpt": {0}, "input_video_path": {1}, "vis": {{}}, "n": "\\u00e9\\/"}}',
}


def test_only_the_prompt_changes_in_any_style(desk: Desk) -> None:
    """All but the prompt is the same byte for byte, Cosmos-Transfer1's own loader takes it, and
    the user's spec stays as it was. All specs are one run.
    """
    specs = [
        desk.put(f"{style}.json", pattern.format(json.dumps(SHORT), json.dumps(RGB)))
        for style, pattern in STYLES.items()
    ]
    before = [spec.read_bytes() for spec in specs]
    assert statuses(desk.run(*specs)) == ["done"] * len(STYLES)
    assert [spec.read_bytes() for spec in specs] == before
    for style, pattern in STYLES.items():
        made = desk.folder / f"{style}.upsampled.json"
        expected = pattern.format(json.dumps(long(SHORT)), json.dumps(RGB))
        assert made.read_bytes() == expected.encode()
        _, arguments = rules.transfer1_spec(made)
        assert arguments["prompt"] == long(SHORT)
    assert list((Path(os.environ["PROMPTLIFT_CACHE"]) / "cosmos").iterdir()) == []


def test_letters_stay_as_the_file_has_them(desk: Desk) -> None:
    """A byte order mark and letters of its own stay; a plain ASCII file stays ASCII, which the
    generators read in every locale.
    """
    desk.engine = FakeEngine(
        lambda request: f"{long(request.short_prompt)} Une tasse — dorée.", context=None
    )
    desk.options = {"on_reject": "best"}
    text = f'\ufeff{{"prompt": "une tasse dorée", "note": "é", "input_video_path": "{RGB}"}}'
    desk.run(desk.put("marked.json", text), desk.put("plain.json", SPEC))
    assert any("byte order mark" in line for line in desk.notes)
    marked = (desk.folder / "marked.upsampled.json").read_bytes().decode()
    expected = f"{long('une tasse dorée')} Une tasse — dorée."
    assert marked == text.replace("une tasse dorée", expected)
    plain = (desk.folder / "plain.upsampled.json").read_bytes()
    assert plain.isascii()
    assert "dorée" in json.loads(plain)["prompt"]


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
    assert rules.transfer1_batch(made, hints)[1]["controls"]["depth"]["input_control"] is None


@pytest.mark.parametrize(
    ("name", "content", "form", "target"),
    [
        ("a.json", {**STRICT, "prompt_path": "no.txt"}, "transfer2.5", "cosmos-transfer2.5"),
        ("a.jsonl", [STRICT, {**STRICT, "name": "b"}], "transfer2.5", "cosmos-transfer2.5"),
        ("a.jsonl", [{"prompt": SHORT, "visual_input": RGB}], "predict1", "cosmos-predict1"),
        (
            "a.json",
            [{"input_video": RGB, "prompt": SHORT, "output_video": "o.mp4"}],
            "predict2",
            "cosmos-predict1",
        ),
        (
            "a.json",
            {"inference_type": "video2world", "name": "a", "prompt": SHORT, "input_path": RGB},
            "predict2.5",
            "cosmos-predict2.5",
        ),
    ],
)
def test_other_formats_come_out_as_their_loaders_take_them(
    desk: Desk, name: str, content: Any, form: str, target: str
) -> None:
    """No key is added; what promptlift has to say is in the sidecar."""
    desk.run(desk.put(name, content), form=form)
    loaded = rules.LOADERS[form](desk.folder / f"a.upsampled{Path(name).suffix}")
    assert {item["prompt"] for item in loaded} == {long(SHORT)}
    made = entries(desk.folder / "a.upsampled.promptlift.json")
    assert {entry["short_prompt"] for entry in made} == {SHORT}
    assert made[0]["record"]["target"] == target


def test_a_prompt_file_gets_a_new_one_beside_or_is_replaced_in_place(desk: Desk) -> None:
    """The user's file stays, and the spec points to a new one; in place, the spec does not change
    at all. Each item gets a file of its own, and in place two cannot share one.
    """
    (desk.folder / "p.txt").write_text(f"{SHORT}\n")
    strict = {key: value for key, value in STRICT.items() if key != "prompt"}
    strict["prompt_path"] = "p.txt"
    spec = desk.put("spec.json", strict)
    samples = {n: {"prompt_path": "p.txt", "input_path": RGB} for n in ("a b", "a-b")}
    shared = desk.put("shared.json", {"inference_type": "video2world", "samples": samples})
    desk.run(spec, shared)
    made = desk.folder / "spec.upsampled.json"
    (item,) = rules.transfer25(made)
    assert (item["prompt"], item["prompt_path"]) == (long(SHORT), "spec.upsampled.prompt.txt")
    assert (desk.folder / "p.txt").read_text() == f"{SHORT}\n"
    named = json.loads((desk.folder / "shared.upsampled.json").read_text())["samples"]
    names = [sample["prompt_path"] for sample in named.values()]
    assert names == ["shared.upsampled.1.prompt.txt", "shared.upsampled.2.prompt.txt"]
    # In place
    before = shared.read_bytes()
    done = desk.run(shared, in_place=True)
    assert statuses(done) == ["done", "failed"]
    assert "as that of" in reasons(done)[1]
    assert (desk.folder / "p.txt").read_text() == f"{long(SHORT)}\n"
    assert shared.read_bytes() == before
    assert entries(desk.folder / "shared.promptlift.json")[0]["short_prompt"] == SHORT
    assert statuses(desk.run(shared, in_place=True)) == ["kept", "kept"]


COSMOS3 = {
    "model_mode": "video2video",
    "prompt_path": "made/p.json",
    "negative_prompt_file": "made/negative.json",
    "resolution": "480",
    "aspect_ratio": "4,3",
    "num_frames": 121,
    "fps": 24,
    "depth": {"control_path": DEPTH},
}
EXAMPLE = find_target("cosmos3").examples[0]


def test_a_json_prompt_file_stays_json(desk: Desk) -> None:
    """Only the prompt in it changes; a document is kept, even with --again."""
    strict = {key: value for key, value in STRICT.items() if key != "prompt"}
    desk.put("p.json", {"Prompt": SHORT, "note": 1})
    spec = desk.put("spec.json", {**strict, "prompt_path": "p.json"})
    (done,) = desk.run(spec)
    made = desk.folder / "spec.upsampled.prompt.json"
    assert (done.format, done.items[0].after) == ("transfer2.5", long(SHORT))
    assert json.loads(made.read_text()) == {"Prompt": long(SHORT), "note": 1}
    assert "all of its text" in str(done.items[0].warnings)
    desk.put("p.json", {"subjects": [], "duration": "4s"})
    assert "JSON prompt" in reasons(desk.run(spec, again=True))[0]


def cosmos3(desk: Desk, short: str) -> dict[str, Any]:
    """The document of the latest request, made of the example's."""
    desk.options = {"on_reject": "best"}
    assert desk.engine.requests[-1].short_prompt == short
    video = desk.engine.requests[-1].video
    assert video is not None
    assert (str(video.size), video.fps, video.frames) == ("736x544", 24, 121)
    size = {"W": 736, "H": 544}
    told = {"resolution": size, "aspect_ratio": "4,3", "duration": "5s", "fps": 24}
    return {**json.loads(EXAMPLE.prompt), **told}


def test_a_document_of_cosmos3_goes_where_its_spec_says(desk: Desk) -> None:
    """It is made once, for the video that the spec orders, and again with --again, of the same
    short prompt; one that somebody wrote is kept, and what its spec says otherwise is a warning.
    """
    desk.engine = FakeEngine([EXAMPLE.prompt], context=None)
    desk.options = {"on_reject": "best"}
    spec = desk.put("spec.json", COSMOS3)
    file, beside = desk.folder / "made/p.json", desk.folder / "spec.upsampled.prompt.json"
    (done,) = desk.run(spec)
    assert json.loads(file.read_text()) == cosmos3(desk, "")
    assert (desk.folder / "spec.upsampled.json").read_bytes() == spec.read_bytes()
    assert any("'made/p.json' is not there yet" in note for note in desk.notes)
    assert "negative.json' is not there; --negative" in done.items[0].warnings[0]
    before = file.read_bytes()
    assert statuses(desk.run(spec)) == ["kept"]
    desk.options["negative"] = True
    desk.run(spec, again=True)
    assert (file.read_bytes(), json.loads(beside.read_text())) == (before, cosmos3(desk, ""))
    negative = json.loads((desk.folder / "made/negative.json").read_text())
    assert "blurry" in negative["subjects"][0]["description"]
    assert "negative_prompt" not in json.loads((desk.folder / "spec.upsampled.json").read_text())

    desk.put("made/p.json", {**json.loads(EXAMPLE.prompt), "fps": 30, "duration": "9s"})
    other = desk.put("other.json", COSMOS3)
    (kept,) = desk.run(other)
    assert "long already" in reasons([kept])[0]
    assert [line.split(",")[0] for line in kept.items[0].warnings] == [
        "'p.json' says fps 30",
        "'p.json' says aspect_ratio 16",
        "'p.json' says duration 9s",
    ]
    desk.run(other, again=True, in_place=True)
    assert json.loads(file.read_text()) == cosmos3(desk, caption())
    assert other.read_bytes() == spec.read_bytes()

    odd = {**COSMOS3, "resolution": [], "fps": 1e-310, "num_frames": 10**400}
    assert statuses(desk.run(desk.put("odd.json", odd), again=True, dry_run=True)) == ["rejected"]

    desk.put("made/p.json", {"prompt": EXAMPLE.short})
    desk.run(spec, in_place=True)
    assert json.loads(file.read_text()) == cosmos3(desk, EXAMPLE.short)


def caption() -> str:
    """What the example tells in short."""
    return str(json.loads(EXAMPLE.prompt)["temporal_caption"])


# What is looked at


def test_of_several_views_the_foremost_is_shown(desk: Desk) -> None:
    """Whatever their order; every file has to be there, and nothing but the prompt changes. The
    control that a robot's cameras follow is told by its video's name.
    """
    rgb, lines = {"input_path": RGB}, {"control_path": DEPTH}
    specs: dict[str, tuple[dict[str, Any], list[str]]] = {
        "predict": ({"rear": {"video_path": DEPTH}, "front_wide": {"video_path": RGB}}, []),
        "transfer": ({"name": "a", "rear": lines, "front_wide": {**rgb, **lines}}, ["wsm"]),
        "robot": ({"name": "a", "hand_left": lines, "head_color": {**rgb, **lines}}, ["depth"]),
    }
    for name, (views, controls) in specs.items():
        spec = desk.put(f"{name}.json", {"prompt": SHORT, **views})
        (done,) = desk.run(spec)
        assert (statuses([done]), shown(desk)) == (["done"], (160, 96))
        assert entries(desk.folder / f"{name}.upsampled.promptlift.json")[0]["controls"] == controls
        made = json.loads((desk.folder / f"{name}.upsampled.json").read_text())
        assert made == {"prompt": long(SHORT), **views}
    missing = {"prompt": SHORT, "rear": {"video_path": "no.mp4"}, "front_wide": {"video_path": RGB}}
    assert "'no.mp4' is not there" in reasons(desk.run(desk.put("m.json", missing)))[0]


def test_the_prompt_of_several_transfer1_views_goes_apart(desk: Desk) -> None:
    """transfer_multiview.py stops at a prompt in the spec: a new one gets a file of its own."""
    content = {"view_condition_video": RGB, "hdmap": {"input_control": [DEPTH, DEPTH]}}
    desk.engine = FakeEngine([f"A robot arm hands a cup to a woman. {MORE}"], context=None)
    spec = desk.put("spec.json", content)
    (done,) = desk.run(spec)
    assert "--prompt" in done.items[0].warnings[0]
    assert (desk.folder / "spec.upsampled.json").read_bytes() == spec.read_bytes()
    assert (desk.folder / "spec.upsampled.prompt.txt").read_text().endswith(f"{MORE}\n")
    assert statuses(desk.run(spec)) == ["kept"]
    spec = desk.put("said.json", {"prompt": SHORT, **content})
    desk.run(spec)
    made = json.loads((desk.folder / "said.upsampled.json").read_text())
    assert made == {**content, "prompt": f"A robot arm hands a cup to a woman. {MORE}"}


def test_nothing_is_said_of_a_camera_that_the_spec_orders(desk: Desk) -> None:
    """Neither is a measurement told, nor may an answer add a move; the user's words may have it."""
    plenoptic = {"name": "a", "input_path": RGB, "camera_sequence": ["static", "rot_left"]}
    spec = desk.put("spec.json", {**plenoptic, "prompt": SHORT})
    desk.options = {"template": "instruct/2"}
    moved = FakeEngine(lambda one: f"{answer(one)} The camera pans to the left.", context=None)
    done = desk.run(spec, engine=moved)
    assert statuses(done) == ["rejected"]
    assert "ordered apart from the prompt" in reasons(done)[0]
    assert all("Camera: say nothing of it." in one.text for one in moved.requests)
    spec = desk.put("spec.json", {**plenoptic, "prompt": f"{SHORT}, the camera pans left"})
    assert statuses(desk.run(spec, engine=moved)) == ["done"]


def shown(desk: Desk) -> tuple[int, int]:
    """The size of the last frame that the engine saw: 160x96 for RGB, 128x96 for depth."""
    size = desk.engine.requests[-1].frames[0].size
    return size.width, size.height


def test_the_rgb_video_is_shown_or_the_control_where_that_is_wanted(desk: Desk) -> None:
    """The control is told in words, or is shown with what it is; an item under another control is
    another item.
    """
    desk.options = {"template": "instruct/2"}
    spec = desk.put("spec.json", {**SPEC, "depth": {"input_control": DEPTH}})
    desk.run(spec)
    assert shown(desk) == (160, 96)
    text = desk.engine.requests[-1].text
    assert "controls that fix the outlines, the layout, the number of things, the geometry" in text
    assert "not a camera picture" not in text
    (rgb,) = entries(desk.folder / "spec.upsampled.promptlift.json")
    (done,) = desk.run(spec, look_at="control", again=True)
    assert shown(desk) == (128, 96)
    assert "a depth map of the scene" in desk.engine.requests[-1].text
    assert done.items[0].look_at == "depth"
    (depth,) = entries(desk.folder / "spec.upsampled.promptlift.json")
    assert (rgb["look_at"], depth["look_at"]) == ("rgb", "depth")
    assert rgb["record"]["key"] != depth["record"]["key"]


def test_regional_prompts_are_shown_their_region_only(desk: Desk) -> None:
    """With --regions each is upsampled from the cut frames; without, they stay as they are, and
    what --regions has made is not taken back.
    """
    regions: list[Any] = [
        {"prompt": "a red balloon on the left", "region_definitions_path": [0, 0, 0.5, 1.0]},
        {"prompt": "a tree", "region_definitions_path": "mask.mp4"},
        {"prompt": "a speck", "region_definitions_path": [0, 0, 0.01, 0.01]},
        {"prompt": "a box", "region_definitions_path": "boxes.json"},
        {"prompt": "a box", "region_definitions_path": [0, 0, 2, 1]},
        {"prompt": "a woman", "mask_prompt": "woman"},
        3,
    ]
    spec = desk.put("spec.json", {**SPEC, "regional_prompts": regions})
    assert statuses(desk.run(spec)) == ["done", *["kept"] * 6, "failed"]
    sidecar = desk.folder / "spec.upsampled.promptlift.json"
    assert "--regions" in entries(sidecar)[1]["reason"]
    done = desk.run(spec, regions=True)
    assert statuses(done) == ["kept", "done", *["failed"] * 6]
    assert shown(desk) == (80, 96)
    whys = ["mask.mp4", "the region is 2x1 pixels of 160x96", "nor a mask video"]
    whys += ["neither a box inside", "from mask_prompt", "not an object"]
    for reason, why in zip(reasons(done)[2:], whys, strict=True):
        assert why in reason
    made = json.loads((desk.folder / "spec.upsampled.json").read_text())
    assert made["prompt"] == long(SHORT)
    regions[0]["prompt"] = long(regions[0]["prompt"])
    assert made["regional_prompts"] == regions
    assert statuses(desk.run(spec, again=True))[:2] == ["done", "kept"]
    assert entries(sidecar)[1]["status"] == "done"
    assert json.loads((desk.folder / "spec.upsampled.json").read_text()) == made


def test_a_mask_video_shows_where_a_prompt_holds(desk: Desk) -> None:
    """Its frames are cut at their true times, what the generator will refuse is warned of, and
    another mask is another region.
    """
    film(desk.folder / "film.mp4", lambda n: (16 * n, 64, 16 * n + 64, 112))
    film(desk.folder / "mask.mp4", lambda n: (16 * n, 64, 16 * n + 64, 112), WHITE, BLACK)
    film(desk.folder / "other.mp4", lambda _: (0, 0, 320, 176), WHITE, BLACK)

    def spec(name: str) -> Path:
        region = {"prompt": "a red block", "region_definitions_path": name}
        whole = {**SPEC, "prompt": "a lawn", "input_video_path": "film.mp4"}
        return desk.put("spec.json", {**whole, "regional_prompts": [region]})

    (done,) = desk.run(spec("mask.mp4"), regions=True)
    assert statuses([done]) == ["done", "done"]
    entry = entries(desk.folder / "spec.upsampled.promptlift.json")[1]
    assert (entry["mask"], entry["region"]) == ("mask.mp4", None)
    frames = [(frame["seconds"], frame["width"]) for frame in entry["record"]["frames"]]
    assert frames == [(0.5, 64), (1.5, 64)]
    assert any("mask 'mask.mp4': it is 320x176" in line for line in done.items[1].warnings)
    assert statuses(desk.run(spec("mask.mp4"), regions=True)) == ["kept", "kept"]
    assert statuses(desk.run(spec("other.mp4"), regions=True)) == ["kept", "done"]


# Again, and not again


def test_a_second_run_asks_nobody(desk: Desk) -> None:
    """Neither for the same spec, nor for the one that came out; another video or control is
    another task.
    """
    spec = desk.put("spec.json", SPEC)
    desk.run(spec)
    made = desk.folder / "spec.upsampled.json"
    sidecar = desk.folder / "spec.upsampled.promptlift.json"
    before = made.read_bytes(), sidecar.read_bytes()
    broken = FaultyEngine(desk.engine, [ConfigEngineError("down", remedy="none")] * 9)
    assert statuses(desk.run(spec, made, engine=broken)) == ["kept", "kept"]
    assert any("upsampled already" in line for line in desk.notes)
    assert len(desk.engine.requests) == 1
    assert before == (made.read_bytes(), sidecar.read_bytes())
    assert not (desk.folder / "spec.upsampled.upsampled.json").exists()
    for key, value in {"input_video_path": DEPTH, "vis": {}}.items():
        assert statuses(desk.run(desk.put("spec.json", {**SPEC, key: value}))) == ["done"]


@pytest.mark.parametrize("run_dir", [None, "run"])
def test_a_second_run_finishes_what_failed(desk: Desk, run_dir: str | None) -> None:
    """Only the item without a prompt is asked for again, and both stand in the result; with a
    folder of its own for the run as well, where the failed one is in the results.
    """
    lines = [STRICT, {**STRICT, "name": "b", "prompt": "a red cup", "video_path": "late.mp4"}]
    spec, folder = desk.put("spec.jsonl", lines), None if run_dir is None else Path(run_dir)
    (desk.folder / "late.mp4").write_text("not yet a video")
    done = desk.run(spec, run_dir=folder)
    assert statuses(done) == ["done", "failed"]
    assert "late.mp4" in reasons(done)[1]
    (desk.folder / "late.mp4").unlink()
    os.link(RGB, "late.mp4")
    assert statuses(desk.run(spec, run_dir=folder)) == ["kept", "done"]
    made = rules.transfer25(desk.folder / "spec.upsampled.jsonl")
    assert [item["prompt"] for item in made] == [long(SHORT), long("a red cup")]
    assert folder is None or folder.is_dir()


def test_again_starts_from_the_short_prompt_and_loses_nothing_where_it_fails(desk: Desk) -> None:
    """The long prompt is never made longer: the short one comes from the sidecar and stays."""
    lines = [STRICT, {**STRICT, "name": "b", "prompt": "a red cup"}]
    spec = desk.put("spec.jsonl", lines)
    desk.run(spec, in_place=True)
    assert statuses(desk.run(spec, in_place=True)) == ["kept", "kept"]

    def fault(request: Any) -> ItemEngineError | None:
        return ItemEngineError("no", remedy="none") if "robot" in request.short_prompt else None

    engine = FaultyEngine(desk.engine, fault)
    done = desk.run(spec, in_place=True, again=True, engine=engine)
    assert statuses(done) == ["failed", "done"]
    assert {request.short_prompt for request in desk.engine.requests} == {SHORT, "a red cup"}
    assert [item["prompt"] for item in rules.transfer25(spec)] == [long(SHORT), long("a red cup")]
    made = entries(desk.folder / "spec.promptlift.json")
    assert [entry["short_prompt"] for entry in made] == [SHORT, "a red cup"]


def test_a_long_prompt_is_kept(desk: Desk) -> None:
    """Of as many words as the target wants at least; a folder for results is complete all the
    same, and nobody is asked.
    """
    spec = desk.put("spec.json", {**SPEC, "prompt": LONG_ALREADY})
    (done,) = desk.run(spec)
    assert "long already (105 words)" in reasons([done])[0]
    assert done.changes == ()
    desk.run(spec, folder=desk.folder / "out/deep")
    assert (desk.folder / "out/deep/spec.json").read_bytes() == spec.read_bytes()
    assert entries(desk.folder / "out/deep/spec.promptlift.json")[0]["status"] == "kept"
    assert desk.engine.requests == []


# What goes wrong


def test_what_an_item_lacks_is_its_reason(desk: Desk) -> None:
    """Each fails by itself and says what is missing; its line stays as it was."""
    (desk.folder / "latin.txt").write_bytes(b"caf\xe9")
    (desk.folder / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid 0\n")
    file = {"name": "f", "video_path": RGB, "edge": {}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({**STRICT, "video_path": "assets/no.mp4"}, "the video 'assets/no.mp4' is not there"),
        ({**STRICT, "depth": {"control_path": "no.mp4"}}, "the depth control 'no.mp4' is not"),
        ({**STRICT, "video_path": "", "edge": None}, "no video to look at"),
        ({**STRICT, "video_path": "spec.jsonl"}, "not a video"),
        ({**STRICT, "video_path": "lfs.mp4"}, "Git LFS pointer"),
        ({**file, "prompt_path": "lfs.mp4"}, "git lfs pull"),
        ({**STRICT, "video_path": "a\u0000b"}, "is not there"),
        ({**STRICT, "video_path": "x" * 5000}, "is not there"),
        ({**file, "prompt_path": "no.txt"}, "'no.txt' is not there"),
        ({**file, "prompt_path": "latin.txt"}, "UTF-8"),
        ({**file, "prompt_path": "assets"}, "not a regular file"),
    ]
    spec = desk.put("spec.jsonl", [*(line for line, _ in cases), STRICT])
    done = desk.run(spec)
    assert statuses(done) == ["failed"] * len(cases) + ["done"]
    for reason, (_, why) in zip(reasons(done), cases, strict=False):
        assert why in reason
    lines = (desk.folder / "spec.upsampled.jsonl").read_text().splitlines()
    assert lines[:-1] == spec.read_text().splitlines()[:-1]


def test_a_rejected_answer_leaves_the_prompt(desk: Desk) -> None:
    """No answer fit to use: the item says which checks failed, and no file is written."""
    desk.engine = FakeEngine(["I cannot help with that."], context=None)
    done = desk.run(desk.put("spec.json", SPEC))
    assert statuses(done) == ["rejected"]
    assert "'I cannot'. Word the short prompt otherwise" in reasons(done)[0]
    assert not (desk.folder / "spec.upsampled.json").exists()


def batch_of(desk: Desk, count: int) -> Path:
    """A spec of many items."""
    lines = [{**STRICT, "name": str(n), "prompt": f"a cup number {n}"} for n in range(count)]
    return desk.put("spec.jsonl", lines)


def finished(desk: Desk) -> list[int]:
    """The numbers of the items that have a long prompt, each in its own line."""
    items = rules.transfer25(desk.folder / "spec.upsampled.jsonl")
    for number, item in enumerate(items):
        assert item["prompt"] in (f"a cup number {number}", long(f"a cup number {number}"))
    return [number for number, item in enumerate(items) if item["prompt"].endswith(MORE)]


def test_a_run_that_ends_early_writes_what_is_finished(desk: Desk) -> None:
    """Where the engine turns out to be set up wrongly in the middle, a rerun does the rest."""

    def fault(request: Any) -> ConfigEngineError | None:
        del request
        late = len(desk.engine.requests) >= 10  # so that the first are written
        return ConfigEngineError("wrong key", remedy="give it") if late else None

    spec = batch_of(desk, 12)
    with pytest.raises(ConfigEngineError, match="wrong key"):
        desk.run(spec, engine=FaultyEngine(desk.engine, fault))
    done = finished(desk)
    assert 1 <= len(done) <= 10
    desk.engine.requests.clear()
    assert statuses(desk.run(spec)).count("kept") == len(done)
    assert len(desk.engine.requests) == 12 - len(done)
    assert len(finished(desk)) == 12


KILLED = """
import asyncio, pathlib, sys
from loaders.desk import Desk, answer
from promptlift.testing import FakeEngine

class Slow(FakeEngine):
    async def complete(self, request):
        if len(self.requests) == 6:
            await asyncio.sleep(3600)
        return await super().complete(request)

Desk(pathlib.Path(sys.argv[1]), Slow(answer, context=None)).run(pathlib.Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_goes_on_where_it_was(desk: Desk) -> None:
    """Six items are answered when the process is killed; the next run asks for the other six."""
    spec = batch_of(desk, 12)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(desk.folder), str(spec)],
        env=os.environ | {"PYTHONPATH": path},
    )
    end = time.monotonic() + 60
    parts = Path(os.environ["PROMPTLIFT_CACHE"])
    while sum(part.read_text().count('"record":') for part in parts.rglob("parts/*.jsonl")) < 6:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (desk.folder / "spec.upsampled.jsonl").exists()
    assert statuses(desk.run(spec)) == ["done"] * 12
    assert len(desk.engine.requests) == 6
    assert len(finished(desk)) == 12


# Where results go


def test_results_never_take_a_place_that_is_not_theirs(desk: Desk) -> None:
    """That of another result of this run, by its name or its sidecar's; of the spec itself; or of
    a file in the sidecar's place that promptlift did not write. The others are done. From another
    folder, relative paths that count from the spec would mean other files.
    """
    one, two = desk.put("a/spec.json", SPEC), desk.put("b/spec.json", SPEC)
    done, refused = desk.try_specs(one, two, folder=desk.folder / "out")
    assert done.error is None
    assert "as that of" in str(refused.error)
    (refused,) = desk.try_specs(desk.put("spec.json", SPEC), folder=desk.folder)
    assert "--in-place" in str(refused.error)
    desk.put("spec.upsampled.promptlift.json", '{"mine": 1}')
    (refused,) = desk.try_specs(desk.folder / "spec.json")
    assert "no sidecar" in str(refused.error)
    out = desk.folder / "strict"
    (refused,) = desk.try_specs(desk.put("spec.json", STRICT), folder=out)
    assert "counts from the folder of the spec" in str(refused.error)
    absolute = {**STRICT, "video_path": str(desk.folder / RGB)}
    assert statuses(desk.run(desk.put("spec.json", absolute), folder=out)) == ["done"]


def test_relative_paths_are_found_as_the_generator_finds_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder that Cosmos-Transfer1 is started in: the current one, a named one, or the
    nearest above the spec from which the name leads somewhere, and then it is noted which.
    """
    elsewhere = desk.folder / "elsewhere"
    elsewhere.mkdir()
    spec = desk.put("deep/er/spec.json", SPEC)
    note = f"{spec}: relative paths count from {desk.folder}"
    desk.run(spec, dry_run=True)
    assert note not in desk.notes
    monkeypatch.chdir(elsewhere)
    desk.run(spec, dry_run=True)
    assert note in desk.notes
    failed = desk.run(spec, root=str(elsewhere))
    assert "--root" in reasons(failed)[0]


def test_a_crash_in_the_middle_leaves_the_old_file_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spec is the old one or the new one, and the short prompt is in the sidecar before the
    spec loses it.
    """
    spec = desk.put("spec.json", SPEC)
    before = spec.read_bytes()
    real = os.replace

    def crash(source: Any, target: Any, **how: Any) -> None:
        if Path(target).name == "spec.json":
            raise KeyboardInterrupt
        real(source, target, **how)

    monkeypatch.setattr(os, "replace", crash)
    monkeypatch.setattr(Path, "replace", lambda self, target: crash(self, target))
    with pytest.raises(KeyboardInterrupt):
        desk.run(spec, in_place=True)
    assert spec.read_bytes() == before
    assert entries(desk.folder / "spec.promptlift.json")[0]["short_prompt"] == SHORT
    names = {path.name for path in desk.folder.iterdir()}
    assert names == {"assets", "spec.json", "spec.promptlift.json"}
