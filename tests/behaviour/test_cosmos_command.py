"""``promptlift cosmos upsample`` as a user calls it, with the engine that needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loaders import cosmos as rules
from loaders.desk import MORE, Desk
from promptlift.cli.main import _run
from promptlift.options import Options
from stubs.openai_server import StubServer

SHORT = "a red hot-air balloon drifts over the hills"
SPEC = {"prompt": SHORT, "input_video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}
STRICT = {"name": "a", "prompt": SHORT, "video_path": "assets/rgb.mp4", "edge": {}}


def call(*arguments: str | Path) -> int:
    """Run the command with the embedded engine."""
    return _run(["cosmos", "upsample", "--engine", "embedded", *map(str, arguments)])


def test_the_result_stands_beside_the_spec(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout names the files that were written; stderr says what the spec was taken for, what
    became of the item, and that no model was asked. The sidecar has the record and the paths.
    """
    desk.put("spec.json", {**SPEC, "depth": {"input_control": "assets/depth.mp4"}})
    assert call("spec.json", "--run-dir", "run") == 0
    out, err = capsys.readouterr()
    assert out.split() == ["spec.upsampled.promptlift.json", "spec.upsampled.json"]
    assert "promptlift: spec.json: read as transfer1 (--format)" in err
    assert "8 -> " in err
    assert "looking at the video" in err
    assert "no vision-language model is set up" in err
    _, arguments = rules.transfer1_spec(desk.folder / "spec.upsampled.json")
    assert arguments["prompt"] == f"{SHORT}. The camera pans slowly to the right."
    content = json.loads(Path(out.split()[0]).read_text(encoding="utf-8"))
    (entry,) = content["items"]
    record = entry.pop("record")
    assert content["format"] == "transfer1"
    assert record["short_prompt"] == SHORT
    assert entry == {
        "where": "",
        "status": "done",
        "reason": "",
        "short_prompt": SHORT,
        "prompt": record["prompt"],
        "video": "assets/rgb.mp4",
        "video_path": str(desk.folder / "assets/rgb.mp4"),
        "look_at": "rgb",
        "controls": ["edge", "depth"],
        "region": None,
        "mask": None,
    }
    assert _run(["batch", "show", "run", "spec"]) == 0  # the run that was kept is a batch
    assert SHORT in capsys.readouterr().out


def test_items_that_fail_make_the_exit_code_1_and_unusable_specs_2(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others go on; each failure is one line with spec, line and reason: a missing video, a
    broken file, and two specs whose results want one place.
    """
    desk.put("spec.jsonl", [STRICT, {**STRICT, "name": "b", "video_path": "no.mp4"}])
    assert call("spec.jsonl", "-q") == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith(
        "promptlift: error: spec.jsonl: line 2: failed: the video 'no.mp4' is not"
    )
    assert "spec.upsampled.jsonl" in out
    desk.put("bad.json", '{"prompt": "x",}')
    desk.put("good.json", SPEC)
    desk.put("other/good.json", SPEC)
    assert call("bad.json", "good.json", "other/good.json", "-o", "out", "-q") == 2
    _, err = capsys.readouterr()
    bad, clash = err.splitlines()
    assert bad.startswith("promptlift: error: bad.json: not JSON at line 1, column 16")
    assert clash.startswith("promptlift: error: other/good.json: its result would be 'good.json'")
    assert (desk.folder / "out/good.json").exists()


def test_many_items_kept_for_one_reason_are_one_line(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that is done already does not fill the screen, and its exit code is 0."""
    desk.put("spec.jsonl", [{**STRICT, "name": str(n)} for n in range(5)])
    call("spec.jsonl", "-q", "--in-place")
    capsys.readouterr()
    assert call("spec.jsonl", "--in-place") == 0
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if "kept" in line]
    already = "upsampled already by the engine 'embedded'; --again does it anew"
    assert lines == [f"promptlift: spec.jsonl: 5 items kept: {already}", "promptlift: 5 kept"]


def test_items_that_nothing_is_added_to_stay_as_they_are(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A control alone, or an order to edit, is no failure without a model: it is kept, and said
    why; a later run with a model does it.
    """
    control = {"edge": {"input_control": "assets/depth.mp4"}}
    desk.put("spec.json", {"prompt": SHORT, **control})
    desk.put("edit.jsonl", [{**STRICT, "prompt": "remove the balloon", "name": n} for n in "ab"])
    assert call("spec.json", "edit.jsonl") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "promptlift: spec.json: 1 item kept: the video is a control video (edge)" in err
    assert "promptlift: edit.jsonl: 2 items kept: it orders a change" in err
    assert "no vision-language model is set up:" not in err
    assert call("spec.json", "-q", "-o", "out") == 0
    text = desk.folder.joinpath("spec.json").read_text(encoding="utf-8")
    assert desk.folder.joinpath("out/spec.json").read_text(encoding="utf-8") == text
    capsys.readouterr()
    (result,) = desk.run(Path("spec.json"))
    assert [item.status for item in result.items] == ["done"]


def test_batches_of_words_alone_are_run(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Of Predict1, each view's prompt too, and of Predict2: a server is asked without pictures."""
    left = {"prompt": SHORT, "prompt_left": SHORT}
    desk.put("one.jsonl", [{"prompt": SHORT}, left])
    desk.put("two.json", [{"prompt": SHORT, "output_video": "a.mp4"}])
    long = f"A red hot-air balloon drifts over the hills. {MORE}"
    with StubServer(reply=long, models=["Qwen2.5-VL-7B-Instruct"]) as server:
        engine = ("--engine", "openai", "--base-url", server.base_url)
        specs = ("cosmos", "upsample", *engine, "one.jsonl", "two.json")
        assert _run([*specs]) == 0, capsys.readouterr().err
        assert "looking at no video" in capsys.readouterr().err
        asked = [one.asked for one in server.received if one.asked]
        assert len(asked) >= 1
        assert not any(one.sizes for one in asked)
        assert (server.violations, _run([*specs, "-q"])) == ([], 0)  # which asks nobody
        assert len(asked) == len([one for one in server.received if one.asked])
    lines = Path("one.upsampled.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"prompt": long},
        {"prompt": long, "prompt_left": long},
    ]
    (item,) = json.loads(Path("two.upsampled.json").read_text(encoding="utf-8"))
    assert item == {"prompt": long, "output_video": "a.mp4"}


def test_what_the_detector_is_to_find_is_named(desk: Desk) -> None:
    """As far as the prompt does not name it; a region's own prompt gets nothing of it.

    Masks, regions and label files beside a segmentation name things too.
    """
    seg = {"input_control_prompt": "balloon . church . two cows ."}
    region = {"prompt": "a red balloon", "region_definitions_path": [0, 0, 0.5, 1]}
    desk.put("spec.json", {**SPEC, "seg": seg, "regional_prompts": [region]})
    assert call("spec.json", "--regions", "-q") == 0
    _, arguments = rules.transfer1_spec(desk.folder / "spec.upsampled.json")
    assert arguments["prompt"].startswith(f"{SHORT}. In view: a church and two cows. The camera ")
    assert arguments["regional_prompts"][0]["prompt"] == region["prompt"]
    labels = {"(0, 0, 0, 0)": {"class": "BACKGROUND"}, "(9, 0, 0, 255)": {"class": "red_barn,x7"}}
    desk.put("assets/semantic_segmentation_labels_0000.json", labels)
    desk.put("assets/semantic_segmentation_labels_0001.json", ["no labels"])
    seg = {"input_control": "assets/depth.mp4", "control_weight_prompt": "church"}
    region["prompt"] = "a goat stands in the snow"
    desk.put("named.json", {**SPEC, "seg": seg, "regional_prompts": [region]})
    assert call("named.json", "-q") == 0
    _, arguments = rules.transfer1_spec(desk.folder / "named.upsampled.json")
    named = "In view: a church, a goat and a red barn."
    assert arguments["prompt"].startswith(f"{SHORT}. {named}")


def test_a_dry_run_shows_the_change_and_writes_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unified diff with the short and the long prompt, and the name of the sidecar."""
    desk.put("spec.json", SPEC)
    assert call("spec.json", "--dry-run", "--review-sheet", "sheet.html") == 0
    assert "not written (dry run)" in Path("sheet.html").read_text(encoding="utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# would write ")
    assert lines[1] == "--- spec.json"
    assert lines[2].endswith("spec.upsampled.json")
    assert [line[:20] for line in lines if line.startswith(("-  ", "+  "))] == [
        '-    "prompt": "a re',
        '+    "prompt": "a re',
    ]
    names = {path.name for path in desk.folder.iterdir()}
    assert names == {"assets", "sheet.html", "spec.json"}


def test_a_batch_with_its_spec(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its spec or a name its format may be open; an override that does nothing is said."""
    desk.put("base.json", SPEC)
    line = {"visual_input": "assets/rgb.mp4", "prompt": SHORT}
    desk.put("batch.jsonl", [{**line, "control_overrides": {"seg": {}}}])
    assert call("batch.jsonl", "-q", "--controlnet-specs", "none.json") == 2
    assert "none.json': it cannot be read: no such file" in capsys.readouterr().err
    assert call("batch.jsonl", "--controlnet-specs", "base.json") == 0
    ignored = "batch.jsonl: line 1: warning: control_overrides of 'seg' is ignored"
    assert ignored in capsys.readouterr().err
    desk.put("open.jsonl", [line])
    assert call("open.jsonl", "-q") == 2
    assert "--format: transfer1-batch" in capsys.readouterr().err
    assert call("open.jsonl", "--format", "predict1", "-o", "out") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--in-place", "-o", "out"], "exclude each other"),
        (["--format", "yaml"], "is not one of"),
        (["--root", "nowhere"], "does not exist"),
        (["--engine", "none"], "no engine 'none'"),
        (["--template", "none/1"], "no template 'none/1'"),
        (["--frames", "0"], "frames is 0"),
    ],
)
def test_mistakes_in_the_call(
    desk: Desk, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Each ends the call with an error instead of failing item by item; nothing is written."""
    desk.put("spec.json", SPEC)
    assert call("spec.json", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (desk.folder / "spec.upsampled.json").exists()


@pytest.mark.parametrize(
    ("name", "kind", "follows"),
    [
        ("vis", "blur", ("blur",)),
        ("hdmap", "lines", ("lines",)),
        ("wsm", "lines", ("lines",)),
        ("keypoint", "lines", ("keypoint",)),
        ("lidar", "depth", ("lidar",)),
        ("upscale", "rgb", ("upscale",)),
        ("edge", "edge", ()),
    ],
)
def test_a_control_may_have_cosmos_own_name(
    desk: Desk, name: str, kind: str, follows: tuple[str, ...]
) -> None:
    """Of it follow what the video shows and what the generator is made to follow."""
    options = Options(control=name)
    assert (options.control, options.controls) == (kind, follows)
    assert Options(control=name, controls="depth,hdmap").controls == ("depth", "lines")
    assert _run(["run", "assets/depth.mp4", SHORT, "--control", name, "--dry-run"]) == 0


SAMPLES = (
    "inference_cosmos_transfer1_multi_control.json",
    "inference_cosmos_transfer1_single_control_depth_short_prompt.json",
    "inference_cosmos_transfer1_single_control_edge_short_prompt.json",
    "inference_cosmos_transfer1_single_control_seg_short_prompt.json",
    "inference_cosmos_transfer1_single_control_vis_short_prompt.json",
    "inference_cosmos_transfer1_uniform_weights.json",
    "regionalprompt_test/inference_cosmos_transfer1_single_control_regional_prompt.json",
)


@pytest.mark.clips
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_spec_comes_out_as_its_loader_takes_it(
    cosmos_assets: Path, tmp_path: Path, name: str
) -> None:
    """With the paths found from the spec's own place, only the prompt differs, and the loader's
    rules are met; a prompt that a person wrote at length is left alone, and so is one to which
    nothing is added without a model. Each exit code is 0.
    """
    spec = cosmos_assets / name
    assert call(spec, "-o", tmp_path, "-q") == 0
    hints, values = rules.transfer1_spec(tmp_path / spec.name)
    old_hints, old_values = rules.transfer1_spec(spec)
    old, new = json.dumps(old_values.pop("prompt")), json.dumps(values.pop("prompt"))
    assert (hints, values) == (old_hints, old_values)
    text = spec.read_text(encoding="utf-8")
    assert (tmp_path / spec.name).read_text(encoding="utf-8") == text.replace(old, new, 1)
    sidecar = json.loads((tmp_path / f"{spec.stem}.promptlift.json").read_text(encoding="utf-8"))
    assert sidecar["items"][0]["status"] == ("kept" if old == new else "done")
