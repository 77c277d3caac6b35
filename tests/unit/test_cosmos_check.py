"""`promptlift cosmos check`: what NVIDIA's own command would do with a spec."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from promptlift.cli.main import _run
from promptlift.core.video import Size
from promptlift.cosmos.check import Checked, Command, check
from promptlift.cosmos.transfer1_rules import End, Spoken, made_size
from promptlift.errors import SpecError
from promptlift.testing import synthetic_video

SHORT = "a robotic arm hand over a coffee cup to a woman in a modern office."
"""The prompt of Cosmos's sample specs; with two frames of 640x480 it is 2,479 tokens."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Cosmos's repository, with clips of several sizes."""
    root = tmp_path_factory.mktemp("cosmos")
    (root / "assets").mkdir()
    sizes = {
        "vga": (640, 480),
        "hd": (1280, 720),
        "tall": (704, 1280),
        "odd": (1000, 750),
        "pal": (720, 576),
        "tight": (896, 512),
    }
    for name, size in sizes.items():
        synthetic_video(root / "assets" / f"{name}.mp4", seconds=0.1, size=size)
    synthetic_video(root / "assets" / "one.mp4", seconds=0, size=(1280, 720))
    (root / "assets" / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    return root


def spec(checkout: Path, content: Any, name: str = "spec.json") -> Path:
    """Write a spec beside the clips."""
    path = checkout / "assets" / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def run(checkout: Path, content: Any, **command: Any) -> Checked:
    """What becomes of one spec."""
    (found,) = check(spec(checkout, content), command=Command(**command))
    return found


def said(found: Checked) -> str:
    """All that is said about it, sources included."""
    return "\n".join(f"{one.text} [{one.source}]" for one in found.said)


def base(video: str = "assets/vga.mp4", /, **controls: Any) -> dict[str, Any]:
    """A spec as NVIDIA's samples are."""
    return {"prompt": SHORT, "input_video_path": video, **controls}


def test_the_documented_example_works(checkout: Path) -> None:
    """Edge of a 640x480 clip: 2,479 tokens, at full size, with room to answer."""
    found = run(checkout, base(edge={"control_weight": 1.0}))
    assert (found.outcome, found.control, found.made) == ("works", "edge", True)
    assert (found.size, found.frames, found.tokens, found.room) == (Size(640, 480), 2, 2479, 1617)
    assert "and not the video itself" in said(found)
    assert "world_generation_pipeline.py:264-266,305-312" in said(found)


def test_720p_fails(checkout: Path) -> None:
    """The same spec with a 1280x720 clip raises, wherever NVIDIA's shrinking comes before."""
    found = run(checkout, base("assets/hd.mp4", edge={}))
    assert (found.outcome, found.size, found.tokens) == ("fails", Size(1252, 704), 4699)
    assert "603 too many" in said(found)
    assert "upsampler.py:55" in said(found)
    assert found.better is not None
    assert (found.better.size, found.better.fits) == (Size(912, 512), True)


def test_vis_comes_before_edge_before_the_rest(checkout: Path) -> None:
    """One control is shown, whatever else there is, and in whatever order it stands."""
    controls = {name: {"input_control": "assets/vga.mp4"} for name in ("seg", "edge", "vis")}
    assert run(checkout, base(**controls)).control == "vis"
    del controls["vis"]
    assert run(checkout, base(**controls)).control == "edge"


@pytest.mark.parametrize("order", [("seg", "depth"), ("depth", "seg")], ids=" first, then ".join)
def test_the_first_of_seg_and_depth_is_shown(checkout: Path, order: tuple[str, str]) -> None:
    """Between these two the order in the file decides."""
    controls = {name: {"input_control": "assets/vga.mp4"} for name in order}
    found = run(checkout, base("assets/hd.mp4", **controls))
    assert (found.outcome, found.control) == ("works", order[0])
    assert (found.video, found.made, found.size) == ("assets/vga.mp4", False, Size(640, 480))


@pytest.mark.parametrize("control", ["seg", "depth"])
def test_seg_and_depth_without_a_file_raise(checkout: Path, control: str) -> None:
    """The documented automatic control makes a file that the upsampler is never told of."""
    found = run(checkout, base(**{control: {}}))
    assert found.outcome == "fails"
    assert "TypeError" in said(found)
    assert "world_generation_pipeline.py:315" in said(found)


@pytest.mark.parametrize("control", ["keypoint", "upscale", "hdmap", "lidar", None])
def test_without_the_four_the_flag_does_nothing(checkout: Path, control: str | None) -> None:
    """Other controls alone, or none: no upsampler, no word about it."""
    controls = {} if control is None else {control: {"input_control": "assets/vga.mp4"}}
    found = run(checkout, base(**controls))
    assert (found.outcome, found.tokens) == ("ignored", None)
    assert "silently does nothing" in said(found)


@pytest.mark.parametrize("name", ["assets/absent.mp4", "assets/noise.mp4"])
def test_an_unreadable_control_is_asked_about_blindly(checkout: Path, name: str) -> None:
    """A control file without a picture: the model is asked with none, and nobody is told."""
    found = run(checkout, base(edge={"input_control": name}))
    assert (found.outcome, found.video) == ("blind", name)
    assert "misc.py:45-48" in said(found)


def test_an_unreadable_video_stops_the_preprocessor(checkout: Path) -> None:
    """Where the control is to be made, the missing input video is noticed before."""
    found = run(checkout, base("assets/absent.mp4", vis={}))
    assert found.outcome == "fails"
    assert "preprocessors.py" in said(found)


def regional(*definitions: Any) -> dict[str, Any]:
    """A spec that works, with regional prompts."""
    given = [{"prompt": "a cup", **one} for one in definitions]
    return base("assets/vga.mp4", vis={}) | {"regional_prompts": given}


def mask_of(name: str) -> dict[str, Any]:
    """A regional prompt whose region is a file."""
    return {"region_definitions_path": name}


def test_regional_prompts_are_not_upsampled(checkout: Path) -> None:
    """A box, a mask video and a mask prompt are all taken, and none is told to the upsampler."""
    box = {"region_definitions_path": [0, 0, 0.5, 1]}
    content = regional(box, mask_of("assets/hd.mp4"), {"mask_prompt": "cup"})
    found = run(checkout, content)
    assert found.outcome == "works"
    assert "Regional prompts are not upsampled" in said(found)
    assert "Regional" not in said(run(checkout, base("assets/vga.mp4", vis={})))


@pytest.mark.parametrize(
    "name", ["assets/absent.mp4", "assets/boxes.json", "assets/vga.pt", "assets/noise.mp4", ""]
)
def test_a_region_that_is_no_video_stops_the_preprocessor(checkout: Path, name: str) -> None:
    """Before anything is upsampled; a JSON file of boxes is never read."""
    (checkout / "assets/boxes.json").write_text("[[0, 0, 1, 1]]")
    found = run(checkout, regional(mask_of(name)))
    assert found.outcome == "fails"
    assert "regional_prompts[0]" in said(found)
    assert "preprocessors.py:115-123" in said(found)


def test_a_regional_prompt_without_a_region_fails_later(checkout: Path) -> None:
    """The upsampler has answered by then, so that the outcome is its own."""
    found = run(checkout, regional({}))
    assert found.outcome == "works"
    assert "regional_prompts[0] names no region: ValueError after the upsampling" in said(found)


def test_a_mask_video_fails_from_the_second_item_of_a_batch_on(checkout: Path) -> None:
    """The preprocessor overwrites the path with that of its tensor, and stops at that."""
    lines = [json.dumps({"visual_input": "assets/vga.mp4", "prompt": SHORT})] * 3
    batch = spec(checkout, "\n".join(lines), "regional.jsonl")
    found = check(spec(checkout, regional(mask_of("assets/hd.mp4"))), batch=batch)
    assert [one.outcome for one in found] == ["works", "fails", "fails"]
    assert "ends in .pt" in said(found[1])
    boxed = spec(checkout, regional({"region_definitions_path": [0, 0, 1, 1]}))
    assert [one.outcome for one in check(boxed, batch=batch)] == ["works"] * 3


def test_without_a_video_sigma_decides(checkout: Path) -> None:
    """As in NVIDIA's own sample for regions: no input video raises, unless sigma_max is 80."""
    content = base("", depth={"input_control": "assets/hd.mp4"})
    found = run(checkout, content)
    assert found.outcome == "fails"
    assert "inference_utils.py:1236-1237" in said(found)
    further = run(checkout, content, sigma_max=80)
    assert (further.outcome, further.tokens) == ("fails", 4699)
    assert "upsampler.py:55" in said(further)
    assert run(checkout, content | {"sigma_max": 80.0}).tokens == 4699


def test_the_command_line_wins_over_the_spec(checkout: Path) -> None:
    """A prompt and a video given there are those that count."""
    found = run(checkout, base(vis={}), input_video="assets/pal.mp4", prompt="Test prompt")
    assert (found.video, found.size) == ("assets/pal.mp4", Size(720, 576))
    assert found.tokens == 2 * 36 * 46 + 5


def test_a_long_prompt_counts(checkout: Path) -> None:
    """The words are part of the budget: enough of them overflow what the frames leave."""
    content = base("assets/vga.mp4", vis={}) | {"prompt": "a red cup " * 600}
    found = run(checkout, content)
    assert found.outcome == "fails"
    assert found.tokens is not None
    assert found.tokens > 4096


def test_too_little_room_is_told(checkout: Path) -> None:
    """A prompt that passes and leaves less than 300 tokens: the answer may be cut."""
    content = base("assets/tight.mp4", vis={}) | {"prompt": "cup " * 200}
    found = run(checkout, content)
    assert found.outcome == "cut"
    assert found.room is not None
    assert 0 <= found.room < 300
    assert "passed on all the same" in said(found)


def test_an_empty_prompt_is_replaced(checkout: Path) -> None:
    """Nothing to say is said as NVIDIA says it, in four words more."""
    found = run(checkout, base(vis={}) | {"prompt": ""})
    assert found.tokens == 2 * 30 * 41 + 3 + 4


def test_a_prompt_of_null_raises(checkout: Path) -> None:
    """The pipeline takes the first 50 letters of None."""
    found = run(checkout, base(vis={}) | {"prompt": None})
    assert found.outcome == "fails"
    assert "world_generation_pipeline.py:717" in said(found)


def test_without_a_prompt_there_is_the_default(checkout: Path) -> None:
    """The command line has a long default."""
    content = base(vis={})
    del content["prompt"]
    found = run(checkout, content)
    assert found.outcome == "works"
    assert found.tokens is not None
    assert found.tokens > 2465 + 40


def test_one_frame_is_counted_once(checkout: Path) -> None:
    """A clip of a single frame shows one, which fits."""
    found = run(checkout, base("assets/hd.mp4", edge={"input_control": "assets/one.mp4"}))
    assert (found.outcome, found.frames) == ("works", 1)
    assert "Its only frame" in said(found)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ((640, 480), (640, 480)),
        ((1280, 704), (1280, 704)),
        ((1280, 720), (1252, 704)),
        ((1920, 1080), (1252, 704)),
        ((720, 1280), (396, 704)),
        ((320, 180), (320, 180)),
        ((2560, 1080), (1280, 540)),
    ],
    ids=str,
)
def test_a_made_control_is_shrunk_into_a_box(
    source: tuple[int, int], made: tuple[int, int]
) -> None:
    """Inside 1280x704 whatever its shape, never enlarged, and told where it is smaller."""
    heard = Spoken()
    assert made_size(Size(*source), heard) == Size(*made)
    assert len(heard.said) == (source != made)


def _writes(size: Size) -> bool:
    """Whether ffmpeg writes a picture of that size as imageio has it do for NVIDIA."""
    picture = ("-f", "lavfi", "-i", f"color=size={size}:duration=0.1")
    how = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "null", "-")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", *picture, *how]
    return subprocess.run(command, check=False).returncode == 0


def test_an_odd_side_cannot_be_written(checkout: Path) -> None:
    """A control of 939x704 is refused by the real writer, so nothing is asked."""
    assert _writes(Size(938, 704))
    assert not _writes(Size(939, 704))
    found = run(checkout, base("assets/odd.mp4", edge={}))
    assert found.outcome == "fails"
    assert "1000x750 is 939x704" in said(found)
    with pytest.raises(End):
        made_size(Size(704, 1280), Spoken())  # 387x704: NVIDIA's own portrait size


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", "inference_utils.py:1204"),
        ('{"prompt": "x", }', "inference_utils.py:1198-1199"),
        ('\ufeff{"prompt": "x"}', "inference_utils.py:1198-1199"),
        ("", "inference_utils.py:1198-1199"),
        ('{"canny": {}}', "inference_utils.py:1207-1209"),
        ('{"edge": true}', "inference_utils.py:1239-1244"),
        ('{"input_video_path": "", "sigma_max": 90, "edge": {}}', "inference_utils.py:1239-1242"),
        ('{"input_video_path": "x", "edge": {"control_weight": "much"}}', ":1264-1275"),
        ('{"input_video_path": "x", "edge": {"control_weight": -1}}', ":1264-1275"),
        ('{"input_video_path": "x", "edge": {"control_weight": null}}', ":1264-1275"),
    ],
)
def test_what_the_loader_refuses(checkout: Path, content: str, line: str) -> None:
    """A spec at which NVIDIA's own reading or checking raises, with the lines that do."""
    found = run(checkout, content)
    assert found.outcome == "fails"
    assert line in said(found)


def test_weights_may_be_files(checkout: Path) -> None:
    """A weight map's path is no number, and is let through."""
    assert run(checkout, base(vis={"control_weight": "weights.pt"})).outcome == "works"


@pytest.mark.parametrize(
    "content",
    [
        {"name": "a", "prompt": SHORT, "video_path": "assets/vga.mp4", "edge": {}},
        {"prompt": SHORT, "edge": {"control_path": "assets/vga.mp4"}},
    ],
)
def test_transfer25_has_no_such_flag(checkout: Path, content: dict[str, Any]) -> None:
    """A spec of the later generator is recognised: there is nothing to upsample with."""
    found = run(checkout, content)
    assert found.outcome == "ignored"
    assert "Transfer2.5" in said(found)


def test_other_files_are_the_users_mistake(checkout: Path) -> None:
    """A missing file, a folder, another encoding, a batch in the spec's place: errors of ours."""
    (checkout / "latin.json").write_bytes(b'{"prompt": "caf\xe9"}')
    batch = spec(checkout, '{"visual_input": "a.mp4"}\n{"visual_input": "b.mp4"}', "batch.jsonl")
    for path in (checkout / "absent.json", checkout, checkout / "latin.json", batch):
        with pytest.raises(SpecError):
            check(path)


def batch_of(checkout: Path, lines: list[str], **controls: Any) -> list[Checked]:
    """What becomes of each line of a batch."""
    batch = spec(checkout, "\n".join(lines), "batch.jsonl")
    return check(spec(checkout, base(**controls)), batch=batch)


def item(video: str = "assets/vga.mp4", **more: Any) -> str:
    """A line of a batch."""
    return json.dumps({"visual_input": video, "prompt": SHORT} | more)


def test_a_batch_is_made_from_each_video(checkout: Path) -> None:
    """Where the control is made, each item has its own: the small ones work, the large fail."""
    found = batch_of(checkout, [item(), item("assets/hd.mp4")], edge={})
    assert [(one.line, one.outcome) for one in found] == [(1, "works"), (2, "fails")]


def test_a_batch_with_a_control_shows_the_same_clip_to_all(checkout: Path) -> None:
    """The spec's own clip is shown for every item; their overrides are not looked at."""
    override = {"edge": {"input_control": "assets/pal.mp4"}}
    lines = [item("assets/hd.mp4", control_overrides=override), item("assets/pal.mp4")]
    found = batch_of(checkout, lines, edge={"input_control": "assets/vga.mp4"})
    assert [one.video for one in found] == ["assets/vga.mp4"] * 2
    assert "override" in said(found[0])
    assert "override" not in said(found[1])


def test_an_override_does_not_help_seg(checkout: Path) -> None:
    """A clip given per item is for the generator only; the upsampler raises all the same."""
    override = {"seg": {"input_control": "assets/vga.mp4"}}
    (found,) = batch_of(checkout, [item(control_overrides=override)], seg={})
    assert found.outcome == "fails"
    assert "TypeError" in said(found)


@pytest.mark.parametrize("line", ["", "{", "[]"])
def test_one_bad_line_stops_the_batch(checkout: Path, line: str) -> None:
    """All lines are read before the first is worked on; a blank one is enough."""
    (found,) = batch_of(checkout, [item(), line, item()], edge={})
    assert (found.line, found.outcome) == (None, "fails")


def test_an_item_without_a_prompt_raises(checkout: Path) -> None:
    """A batch has no default prompt."""
    (found,) = batch_of(checkout, ['{"visual_input": "assets/vga.mp4"}'], edge={})
    assert found.outcome == "fails"
    assert "world_generation_pipeline.py:717" in said(found)


def test_paths_count_from_the_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder given, else the current one, else one above the spec."""
    monkeypatch.chdir(tmp_path)
    assert run(checkout, base(vis={})).outcome == "works"
    assert run(checkout, base(vis={}), root=tmp_path).outcome == "fails"
    assert run(checkout, base(vis={}), root=checkout).outcome == "works"


def test_every_sentence_about_nvidia_has_a_source(checkout: Path) -> None:
    """Only what promptlift itself would do stands without one."""
    for content in (base(vis={}), base("assets/hd.mp4", edge={}), base(lidar={}), base(seg={})):
        for one in run(checkout, content).said:
            assert one.source or one.text.startswith("promptlift ")


def test_the_command_tells_and_judges(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A block for each spec, sources in brackets; 0 only where all work."""
    good = spec(checkout, base(vis={}), "good.json")
    bad = spec(checkout, base("assets/hd.mp4", vis={}), "bad.json")
    assert _run(["cosmos", "check", str(good)]) == 0
    assert f"{good}: works" in capsys.readouterr().out
    assert _run(["cosmos", "check", str(good), str(bad)]) == 1
    out = capsys.readouterr().out
    assert f"{bad}: FAILS" in out
    assert "[auxiliary/upsampler/model/upsampler.py:55; utils/misc.py:40-55]" in out


def test_the_command_speaks_json(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it as values, for a program that decides what to run."""
    path = spec(checkout, base("assets/hd.mp4", edge={}))
    assert _run(["cosmos", "check", str(path), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["control"], found["tokens"]) == ("fails", "edge", 4699)
    assert found["room"] == -603
    assert found["promptlift"]["width"] == 912


def test_the_samples_of_nvidia(cosmos_assets: Path) -> None:
    """The 640x480 samples work; those of 720p and without a video fail, as they do when run."""
    folder = cosmos_assets
    outcomes = {
        path.stem.removeprefix("inference_cosmos_transfer1_"): check(path)[0]
        for path in [*folder.glob("*.json"), *folder.glob("regionalprompt_test/*.json")]
    }
    short = [name for name in outcomes if name.endswith("short_prompt")]
    assert len(short) == 4
    for name in short:
        assert (outcomes[name].outcome, outcomes[name].tokens) == ("works", 2479)
    assert outcomes["uniform_weights"].outcome == "works"
    assert outcomes["multi_control"].outcome == "fails"
    assert outcomes["single_control_regional_prompt"].outcome == "fails"
