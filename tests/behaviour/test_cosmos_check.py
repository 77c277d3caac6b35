"""`promptlift cosmos check`: what NVIDIA's own command would do with a spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from media.make import Recipe, encode
from promptlift.cli.main import _run
from promptlift.cosmos import check_spec
from promptlift.cosmos.transfer1_check import CheckResult
from promptlift.types import Size

SHORT = "a robotic arm hand over a coffee cup to a woman in a modern office."
"""The prompt of Cosmos's sample specs; with two frames of 640x480 it is 2,479 tokens."""

CLIPS = {
    "vga": (640, 480),
    "hd": (1280, 720),
    "odd": (1000, 750),
    "pal": (720, 576),
    "tight": (896, 512),
}
VGA, HD, PAL = "assets/vga.mp4", "assets/hd.mp4", "assets/pal.mp4"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Cosmos's repository, with clips of several sizes."""
    root = tmp_path_factory.mktemp("cosmos")
    (root / "assets").mkdir()
    for name, size in CLIPS.items():
        encode(root / "assets" / f"{name}.mp4", Recipe(frames=2, width=size[0], height=size[1]))
    encode(root / "assets" / "one.mp4", Recipe(frames=1, width=1280, height=720))
    (root / "assets" / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (root / "assets" / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid 0\n")
    (root / "assets" / "boxes.json").write_text("[[0, 0, 1, 1]]")
    return root


def put(checkout: Path, content: Any, name: str = "spec.json") -> Path:
    """Write a spec beside the clips: a text as it is, else JSON."""
    path = checkout / "assets" / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def run(checkout: Path, content: Any, **command: Any) -> CheckResult:
    """What becomes of one spec."""
    return check_spec(put(checkout, content), **command)[0]


def text_of(found: CheckResult) -> str:
    """All that is said about it, sources included."""
    return "\n".join(f"{one.text} [{one.source}]" for one in found.findings)


def base(video: str = VGA, /, **members: Any) -> dict[str, Any]:
    """A spec as NVIDIA's samples are."""
    return {"prompt": SHORT, "input_video_path": video, **members}


def from_file(video: str) -> dict[str, str]:
    """A control with a video of its own."""
    return {"input_control": video}


def regional(*definitions: Any) -> dict[str, Any]:
    """A spec with regional prompts, which works but for them."""
    regions = [{"prompt": "a cup", "region_definitions_path": one} for one in definitions]
    return base(vis={}, regional_prompts=regions)


ALL = {name: from_file(VGA) for name in ("seg", "edge", "vis")}
# Content, outcome, what else the result has, and what is said of it.
CASES: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "the documented example": (
        base(edge={"control_weight": 1.0}),
        "works",
        {"control": "edge", "made": True, "size": Size(640, 480), "frames": 2, "tokens": 2479},
        "world_generation_pipeline.py:264-269,302-317]",
    ),
    "720p": (
        base(HD, edge={}),
        "fails",
        {"size": Size(1252, 704), "tokens": 4699, "room": -603},
        "603 too many",
    ),
    "vis before edge": (base(**ALL), "works", {"control": "vis"}, ""),
    "seg and depth in their order": (
        base(HD, seg=from_file(VGA), depth=from_file(HD)),
        "works",
        {"control": "seg", "video": VGA, "made": False, "size": Size(640, 480)},
        "",
    ),
    "depth and seg": (base(depth=from_file(VGA), seg=from_file(HD)), "works", {}, '"depth"'),
    "seg without a file": (base(seg={}), "fails", {}, "world_generation_pipeline.py:315"),
    "no control that is upsampled": (base(keypoint={}), "ignored", {}, "only keypoint"),
    "no control": (base(), "ignored", {"control": None}, "no control"),
    "an unreadable control": (
        base(edge=from_file("assets/noise.mp4")),
        "blind",
        {},
        "silently asked without a picture",
    ),
    "a Git LFS pointer": (base("assets/lfs.mp4", vis={}), "fails", {}, "git lfs pull"),
    "no video": (base("assets/absent.mp4", vis={}), "fails", {}, "preprocessors.py"),
    "regions that work": (
        regional([0, 0, 1, 1], HD),
        "works",
        {},
        "Regional prompts are not upsampled",
    ),
    "a mask that is absent": (regional("assets/absent.mp4"), "fails", {}, ":115-123"),
    "a mask that is no video": (regional("assets/boxes.json"), "fails", {}, ":115-123"),
    "no region": (
        base(vis={}, regional_prompts=[{"mask_prompt": "cup"}, {"prompt": "a cup"}]),
        "works",
        {},
        "regional_prompts[1] names no region: ValueError",
    ),
    "a small sigma": (base("", depth=from_file(HD)), "fails", {}, "utils.py:1236-1237"),
    "sigma 80": (base("", depth=from_file(HD), sigma_max=80.0), "fails", {"tokens": 4699}, ""),
    "too little room": (
        base("assets/tight.mp4", vis={}, prompt="cup " * 200),
        "cut",
        {},
        "passed on all the same",
    ),
    "an empty prompt": (base(vis={}, prompt=""), "works", {"tokens": 2 * 30 * 41 + 3 + 4}, ""),
    "a prompt of null": (base(vis={}, prompt=None), "fails", {}, "pipeline.py:717"),
    "one frame": (
        base(HD, edge=from_file("assets/one.mp4")),
        "works",
        {"frames": 1},
        "Its only frame",
    ),
    "an odd side": (base("assets/odd.mp4", edge={}), "fails", {}, "1000x750 is 939x704"),
    "a weight map": (base(vis={"control_weight": "weights.pt"}), "works", {}, ""),
    "several views": (
        {"hdmap": {"input_control": [VGA] * 6}, "view_condition_video": VGA},
        "ignored",
        {},
        "sigma_max is always 80 there",
    ),
    "several views and a prompt": (
        {"prompt": SHORT, "hdmap": {"input_control": [VGA]}},
        "fails",
        {},
        "transfer_multiview.py:243",
    ),
    "a driving scene": ({"lidar": from_file(VGA)}, "ignored", {}, "utils.py:1236-1237"),
    "a driving scene at 70": ({"lidar": from_file(VGA), "sigma_max": 70}, "fails", {}, "1236"),
    "Transfer2.5": ({"name": "a", "video_path": VGA, "edge": {}}, "ignored", {}, "transfer2.5"),
    "a control_path": ({"prompt": SHORT, "edge": {"control_path": VGA}}, "ignored", {}, "2.5"),
    **{
        f"the loader refuses {content!r}": (content, "fails", {}, why)
        for content, why in {
            '{"prompt": "x", }': "not JSON at line 1, column 17",
            '{"edge": {}, "canny": {}}': "knows no control of that name",
            '{"edge": true}': "not an object",
            '{"input_video_path": "", "sigma_max": 90, "edge": {}}': "utils.py:1239-1242",
            '{"input_video_path": "x", "edge": {"control_weight": -1}}': "utils.py:1264-1275",
            '{"input_video_path": "x", "edge": {"control_weight": "low"}}': "utils.py:1264-1275",
        }.items()
    },
}


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_a_spec(checkout: Path, case: str) -> None:
    """As when NVIDIA's command is run, each rule with its source."""
    content, outcome, values, text = CASES[case]
    found = run(checkout, content)
    assert found.outcome == outcome
    assert {name: getattr(found, name) for name in values} == values
    assert text in text_of(found)
    own = [one for one in found.findings if not one.source]
    assert found.control is None or all(one.text.startswith("promptlift ") for one in own)


def test_the_command_line_wins_over_the_spec(checkout: Path, tmp_path: Path) -> None:
    """A prompt, a video, a sigma and a folder that paths count from, where they are given; without
    a prompt there is a long default.
    """
    assert run(checkout, base(vis={}), root=tmp_path).outcome == "fails"
    found = run(checkout, base(vis={}), input_video=PAL, prompt="Test prompt")
    assert found.size == Size(720, 576)
    assert found.tokens == 2 * 36 * 46 + 5
    assert run(checkout, base("", depth=from_file(HD)), sigma_max=80).tokens == 4699
    default = run(checkout, {"input_video_path": VGA, "vis": {}})
    assert (default.tokens or 0) > 2465 + 40


def item(video: str = VGA, overrides: Any = None) -> str:
    """A line of a batch."""
    line = {"visual_input": video, "prompt": SHORT}
    return json.dumps(line if overrides is None else line | {"control_overrides": overrides})


def batch_of(checkout: Path, lines: list[str], content: Any) -> list[CheckResult]:
    """What becomes of each line of a batch."""
    batch = put(checkout, "\n".join(lines), "batch.jsonl")
    return check_spec(put(checkout, content), batch=batch)


def test_a_batch_is_followed_line_by_line(checkout: Path) -> None:
    """Where the control is made, each item has its own; the spec's own clip is shown for all, and
    overrides are not looked at. A missing spec or batch is said.
    """
    missing = checkout / "absent.jsonl"
    for (found_none,) in (
        check_spec(missing),
        check_spec(put(checkout, base(vis={})), batch=missing),
    ):
        assert found_none.outcome == "fails"
        assert "it cannot be read: no such file" in text_of(found_none)
    found = batch_of(checkout, [item(), item(HD)], base(edge={}))
    assert [(one.line, one.outcome) for one in found] == [(1, "works"), (2, "fails")]
    override = {"edge": from_file(PAL)}
    found = batch_of(checkout, [item(HD, override), item(PAL)], base(edge=from_file(VGA)))
    assert [one.video for one in found] == [VGA] * 2
    assert ["override" in text_of(one) for one in found] == [True, False]
    override = {"seg": from_file(VGA)}
    (found_seg,) = batch_of(checkout, [item(VGA, override)], base(seg={}))
    assert (found_seg.outcome, "TypeError" in text_of(found_seg)) == ("fails", True)
    (no_prompt,) = batch_of(checkout, [json.dumps({"visual_input": VGA})], base(edge={}))
    assert "world_generation_pipeline.py:717" in text_of(no_prompt)
    for line in ("", "{", "[]"):  # all lines are read before the first is worked on
        (stopped,) = batch_of(checkout, [item(), line, item()], base(edge={}))
        assert (stopped.line, stopped.outcome) == (None, "fails")
    # The preprocessor overwrites the path of a mask with that of its tensor, and stops at that.
    lines = [item()] * 3
    found = batch_of(checkout, lines, regional(HD))
    assert [one.outcome for one in found] == ["works", "fails", "fails"]
    assert "ends in .pt" in text_of(found[1])
    boxed = batch_of(checkout, lines, regional([0, 0, 1, 1]))
    assert [one.outcome for one in boxed] == ["works"] * 3


def test_the_command_prints_and_judges(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A block for each spec with its sources, or JSON; 0 only where all work."""
    good = put(checkout, base(vis={}), "good.json")
    bad = put(checkout, base(HD, vis={}), "bad.json")
    assert _run(["cosmos", "check", str(good)]) == 0
    assert f"{good}: works" in capsys.readouterr().out
    assert _run(["cosmos", "check", str(good), str(bad)]) == 1
    out = capsys.readouterr().out
    assert f"{bad}: FAILS" in out
    assert "[auxiliary/upsampler/model/upsampler.py:55; utils/misc.py:40-55]" in out
    assert _run(["cosmos", "check", str(put(checkout, base(HD, edge={}))), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["control"], found["tokens"]) == ("fails", "edge", 4699)
    assert (found["room"], found["better"]["width"]) == (-603, 912)
    assert found["findings"][0]["source"]


@pytest.mark.clips
def test_the_samples_of_nvidia(cosmos_assets: Path) -> None:
    """The 640x480 samples work; those of 720p and without a video fail, as they do when run."""
    outcomes = {
        path.stem.removeprefix("inference_cosmos_transfer1_"): check_spec(path)[0].outcome
        for path in [*cosmos_assets.glob("*.json"), *cosmos_assets.glob("regional*/*.json")]
    }
    short = {name: outcome for name, outcome in outcomes.items() if name.endswith("short_prompt")}
    assert list(short.values()) == ["works"] * 4
    assert outcomes["uniform_weights"] == "works"
    assert {one for name, one in outcomes.items() if "sample_av" in name} == {"ignored"}
    assert outcomes["multi_control"] == outcomes["single_control_regional_prompt"] == "fails"
