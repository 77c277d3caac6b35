"""Reading spec files: which format, which items, and what is said of bad ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptlift.cosmos.controls import Hint
from promptlift.cosmos.items import Box, Item, Misfit
from promptlift.cosmos.spec import MAX_BYTES, Spec, read_spec
from promptlift.errors import OptionError, SpecError

TRANSFER1 = {
    "prompt": "a robot arm",
    "input_video_path": "assets/in.mp4",
    "seed": 1,
    "vis": {"control_weight": 0.3},
    "depth": {"input_control": "assets/depth.mp4", "control_weight": 1.0},
}
TRANSFER25 = {"name": "a", "prompt": "x", "video_path": "in.mp4", "edge": {"control_weight": 1.0}}
PREDICT25 = {"inference_type": "video2world", "name": "a", "prompt": "x", "input_path": "in.mp4"}


def put(folder: Path, name: str, content: Any) -> Path:
    """Write a spec: an object as JSON, a list of objects as lines for .jsonl, a text as it is."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_bytes(content.encode())
    elif name.endswith(".jsonl"):
        path.write_bytes("".join(f"{json.dumps(item)}\n" for item in content).encode())
    else:
        path.write_bytes(json.dumps(content, indent=4).encode())
    return path


def items(spec: Spec) -> list[Item]:
    """The items, all of which could be read."""
    good = [item for item in spec.items if isinstance(item, Item)]
    assert len(good) == len(spec.items)
    return good


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.json", TRANSFER1, "transfer1"),
        ("a.json", {"prompt": "x", "edge": {"control_weight": 1.0}}, "transfer1"),
        ("a.json", {"input_video_path": "in.mp4", "hdmap": {}}, "transfer1"),
        (
            "a.jsonl",
            [{"visual_input": "a.mp4", "control_overrides": {}}, {"visual_input": "b.mp4"}],
            "transfer1-batch",
        ),
        ("a.json", TRANSFER25, "transfer2.5"),
        ("a.jsonl", [TRANSFER25, {**TRANSFER25, "name": "b"}], "transfer2.5"),
        ("a.json", [{"input_video": "a.mp4", "prompt": "x", "output_video": "o.mp4"}], "predict2"),
        ("a.json", PREDICT25, "predict2.5"),
        ("a.jsonl", [PREDICT25], "predict2.5"),
        ("a.json", {"samples": {"a": {"prompt": "x", "input_path": "in.mp4"}}}, "predict2.5"),
    ],
)
def test_the_format_is_told_from_the_keys(
    tmp_path: Path, name: str, content: Any, form: str
) -> None:
    """Each format is known without being named, and the spec says that it was told by its keys."""
    spec = read_spec(put(tmp_path, name, content))
    assert spec.format.name == form
    assert spec.detected
    assert not read_spec(put(tmp_path, name, content), form=form).detected


def test_keys_that_fit_two_formats_are_an_error_that_names_both(tmp_path: Path) -> None:
    """A batch without overrides may be Transfer1's or Predict1's: nobody guesses."""
    path = put(tmp_path, "a.jsonl", [{"prompt": "x", "visual_input": "a.mp4"}])
    with pytest.raises(SpecError, match="fit transfer1-batch and predict1") as caught:
        read_spec(path)
    assert "--format transfer1-batch" in caught.value.remedy
    assert read_spec(path, form="predict1").format.target == "cosmos-predict1"
    assert read_spec(path, form="transfer1-batch").format.target == "cosmos-transfer1"


def test_a_controlnet_spec_makes_a_batch_transfer1s(tmp_path: Path) -> None:
    """Where the spec that the batch runs with is given, there is nothing to be unsure of."""
    base = read_spec(put(tmp_path, "base.json", TRANSFER1))
    path = put(tmp_path, "a.jsonl", [{"visual_input": "a.mp4"}])
    assert read_spec(path, base=base).format.name == "transfer1-batch"


@pytest.mark.parametrize("content", [{"hello": 1}, [1, 2], "3", [{"prompt": "x"}]])
def test_unknown_keys_are_an_error_that_names_the_formats(tmp_path: Path, content: Any) -> None:
    """A file of no known format is not guessed at."""
    with pytest.raises(SpecError, match="no format that promptlift knows"):
        read_spec(put(tmp_path, "a.json", content))


def test_an_unknown_format_name_is_an_error(tmp_path: Path) -> None:
    """The remedy lists the names."""
    with pytest.raises(OptionError, match="no format 'transfer3'"):
        read_spec(put(tmp_path, "a.json", TRANSFER1), form="transfer3")


def test_a_transfer1_spec(tmp_path: Path) -> None:
    """Prompt, video and controls are found; a control without a video of its own has none."""
    (item,) = items(read_spec(put(tmp_path, "a.json", TRANSFER1)))
    assert (item.where, item.prompt, item.video) == ("", "a robot arm", "assets/in.mp4")
    assert item.hints == (Hint("vis"), Hint("depth", "assets/depth.mp4"))


def test_an_unknown_object_is_refused_as_transfer1_refuses_it(tmp_path: Path) -> None:
    """Unknown scalars and lists pass through, an unknown object stops Cosmos-Transfer1."""
    content = {**TRANSFER1, "wildcard": 3, "other": [1]}
    assert len(items(read_spec(put(tmp_path, "a.json", content)))) == 1
    with pytest.raises(SpecError, match="'canny' is an object"):
        read_spec(put(tmp_path, "a.json", {**TRANSFER1, "canny": {}}))


def test_regional_prompts_are_items_of_their_own(tmp_path: Path) -> None:
    """A box gives the region; where there is none to be had, the item says why."""
    regions: list[Any] = [
        {"prompt": "a red dress", "region_definitions_path": [0.0, 0.25, 0.5, 1]},
        {"prompt": "b", "region_definitions_path": "boxes.json"},
        {"prompt": "c", "mask_prompt": "woman"},
        {"prompt": "d"},
        {"prompt": "e", "region_definitions_path": [0, 0, 2, 1]},
        {"prompt": "f", "region_definitions_path": [0, 0, 1]},
        "g",
    ]
    spec = read_spec(put(tmp_path, "a.json", {**TRANSFER1, "regional_prompts": regions}))
    whole, box, *others, misfit = spec.items
    assert isinstance(whole, Item)
    assert not whole.is_region
    assert isinstance(box, Item)
    assert (box.where, box.prompt) == ("regional_prompts[0]", "a red dress")
    assert box.region == Box(0.0, 0.25, 0.5, 1.0)
    assert box.hints == whole.hints
    why = [item.region_fault for item in others if isinstance(item, Item)]
    assert [bool(fault) for fault in why] == [True] * 5
    for fault, word in zip(
        why, ["boxes.json", "mask_prompt", "no region", "inside", "four"], strict=True
    ):
        assert word in fault
    assert isinstance(misfit, Misfit)
    assert "not an object" in misfit.error.message


def batch(tmp_path: Path, lines: list[Any], base: Any = TRANSFER1) -> Spec:
    """A Transfer1 batch, read with the spec that it runs with."""
    with_spec = None if base is None else read_spec(put(tmp_path, "base.json", base))
    path = put(tmp_path, "a.jsonl", lines)
    return read_spec(path, form="transfer1-batch", base=with_spec)


def test_overrides_are_followed_item_by_item(tmp_path: Path) -> None:
    """Each line has the spec's controls with its own changes; null takes a control's video away."""
    spec = batch(
        tmp_path,
        [
            {"visual_input": "a.mp4", "prompt": "one"},
            {
                "visual_input": "b.mp4",
                "control_overrides": {"depth": {"input_control": None}},
            },
            {"visual_input": "c.mp4", "control_overrides": {"vis": {"input_control": "v.mp4"}}},
            {"visual_input": "d.mp4", "control_overrides": {"depth": {"control_weight": 0.1}}},
        ],
    )
    plain, null, own, weight = items(spec)
    depth = Hint("depth", "assets/depth.mp4")
    assert plain.hints == (Hint("vis"), depth)
    assert null.hints == (Hint("vis"), Hint("depth"))
    assert own.hints == (Hint("vis", "v.mp4"), depth)
    assert weight.hints == plain.hints
    assert [item.prompt for item in (plain, null)] == ["one", "a robot arm"]
    assert [item.where for item in (plain, null)] == ["line 1", "line 2"]
    assert spec.warnings == ()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (None, "is not an object: Cosmos-Transfer1 stops there"),
        ({"vis": None}, "'vis' is not an object: Cosmos-Transfer1 stops there"),
        ({"seg": {"input_control": "s.mp4"}}, "'seg' is ignored"),
        ({"what": {}}, "'what' is ignored"),
    ],
)
def test_overrides_that_the_generator_stumbles_over_are_told(
    tmp_path: Path, overrides: Any, said: str
) -> None:
    """The item is read without them, and a warning says with which line Cosmos will stop."""
    spec = batch(tmp_path, [{"visual_input": "a.mp4", "control_overrides": overrides}])
    assert items(spec)[0].hints == (Hint("vis"), Hint("depth", "assets/depth.mp4"))
    assert said in spec.warnings[0]
    assert spec.warnings[0].startswith("line 1: ")


def test_a_batch_without_its_spec_has_the_controls_that_it_names(tmp_path: Path) -> None:
    """Nothing else is known then."""
    line = {"visual_input": "a.mp4", "control_overrides": {"seg": {"input_control": "s.mp4"}}}
    assert items(batch(tmp_path, [line], base=None))[0].hints == (Hint("seg", "s.mp4"),)


def test_a_transfer25_prompt_file_counts_where_there_is_no_prompt(tmp_path: Path) -> None:
    """As in the generator, ``prompt`` wins over ``prompt_path``."""
    both = {**TRANSFER25, "prompt_path": "p.txt"}
    (item,) = items(read_spec(put(tmp_path, "a.json", both)))
    assert (item.prompt, item.prompt_path) == ("x", None)
    (item,) = items(read_spec(put(tmp_path, "a.json", {**both, "prompt": None})))
    assert (item.prompt, item.prompt_path) == (None, "p.txt")


def test_a_key_that_transfer25_refuses_is_told(tmp_path: Path) -> None:
    """The schema is strict; better to hear of it now."""
    spec = read_spec(put(tmp_path, "a.json", {**TRANSFER25, "input_control": "x"}))
    assert "knows no 'input_control'" in spec.warnings[0]


def test_predict25_samples_by_name(tmp_path: Path) -> None:
    """Each sample is an item; those made from text alone are told apart."""
    content = {
        "inference_type": "video2world",
        "samples": {
            "a": {"prompt": "x", "input_path": "in.mp4"},
            "b": {"prompt": "y"},
            "c": {"prompt": "z", "inference_type": "text2world"},
            "d": 3,
        },
    }
    first, second, third, fourth = read_spec(put(tmp_path, "a.json", content)).items
    assert isinstance(first, Item)
    assert (first.where, first.video) == ("sample 'a'", "in.mp4")
    assert isinstance(second, Item)  # no video: an item that says so when its turn comes
    assert isinstance(third, Misfit)
    assert "text alone" in third.error.message
    assert isinstance(fourth, Misfit)


def test_predict2_items_are_numbered(tmp_path: Path) -> None:
    """A bad item of an array is told by its number, and the others are read."""
    content = [{"input_video": "a.mp4", "prompt": "x"}, 3, {"input_video": 7, "prompt": "y"}]
    spec = read_spec(put(tmp_path, "a.json", content))
    assert [item.where for item in spec.items] == ["item 1", "item 2", "item 3"]
    assert [type(item) for item in spec.items] == [Item, Misfit, Misfit]


def test_a_bad_line_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    """A line of JSONL that is no JSON is one item lost, named by line and column."""
    content = '{"visual_input": "a.mp4", "prompt": "x"}\n{"visual_input": }\n\n[1]\n"x"\n'
    spec = read_spec(put(tmp_path, "a.jsonl", content), form="predict1")
    good, bad, array, text_line = spec.items
    assert isinstance(good, Item)
    assert isinstance(bad, Misfit)
    assert "line 2, column 18" in bad.error.message
    assert [item.where for item in spec.items] == ["line 1", "line 2", "line 4", "line 5"]
    for item, kind in ((array, "an array"), (text_line, "a text")):
        assert isinstance(item, Misfit)
        assert f"it is {kind}, and a Cosmos-Predict1 batch has an object there" in str(item.error)
    assert "line 3 is blank" in spec.warnings[0]


def test_blank_lines_are_no_matter_to_a_loader_that_skips_them(tmp_path: Path) -> None:
    """Predict2.5 skips them, and so nothing is said."""
    text = f"\n{json.dumps(PREDICT25)}\n\n"
    assert read_spec(put(tmp_path, "a.jsonl", text)).warnings == ()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '{"prompt": "x",\n  "vis" {}}', "line 2, column 9"),
        ("a.json", '{"prompt": "x", // why\n "vis": {}}', "a comment"),
        ("a.json", '{"prompt": "x", "prompt": "y"}', "stands twice"),
        ("a.json", b'{"prompt":\n "\xe9t\xe9"}', "line 2 holds a byte that is no UTF-8"),
        ("a.json", '{"prompt": "x"}'.encode("utf-16"), "UTF-16"),
        ("a.json", "", "ends too early"),
        ("a.jsonl", "\n\n", "nothing in it"),
        ("a.jsonl", "{\n", "not JSON at line 1"),
        ("a.yaml", "prompt: x", "YAML"),
        ("a.json", '{"promptlift_sidecar": 1}', "promptlift's own sidecar"),
        ("a.json", {**TRANSFER1, "prompt": 3}, "'prompt' is a number, not a text"),
        ("a.json", {**TRANSFER1, "input_video_path": {"a": 1}}, "is an object"),
        ("a.json", {**TRANSFER1, "vis": 3}, "the control 'vis' is a number"),
        ("a.json", {"samples": {}, "inference_type": 3}, "'inference_type' is a number"),
    ],
)
def test_an_unusable_spec_says_why(tmp_path: Path, name: str, content: Any, said: str) -> None:
    """Every kind of bad file ends in the named error with what is wrong."""
    with pytest.raises(SpecError) as caught:
        read_spec(put(tmp_path, name, content))
    assert said in caught.value.message


def test_lines_in_a_json_file_are_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    """The remedy names the suffix that makes lines of it."""
    text = f"{json.dumps(PREDICT25)}\n{json.dumps(PREDICT25)}\n"
    with pytest.raises(SpecError, match="line 2, column 1") as caught:
        read_spec(put(tmp_path, "a.json", text))
    assert ".jsonl" in caught.value.remedy


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    """A file of 100 MB costs no more than the limit."""
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert MAX_BYTES < 100_000_000
    with pytest.raises(SpecError, match="longer than 16 MiB"):
        read_spec(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are refused at once, each by its name."""
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path, said in [
        (tmp_path / "none.json", "no such file"),
        (tmp_path, "a folder"),
        (pipe, "not a regular file"),
    ]:
        with pytest.raises(SpecError) as caught:
            read_spec(path)
        assert said in caught.value.message


def test_a_byte_order_mark_is_read_over_and_told(tmp_path: Path) -> None:
    """The mark is kept; the generators' loaders stop at it."""
    text = "\ufeff" + json.dumps(TRANSFER1)
    spec = read_spec(put(tmp_path, "a.json", text))
    assert len(items(spec)) == 1
    assert spec.text == text
    assert "byte order mark" in spec.warnings[0]


def test_windows_line_ends_are_white_space(tmp_path: Path) -> None:
    """CRLF makes no blank lines and no other items."""
    lines = [json.dumps(PREDICT25), json.dumps({**PREDICT25, "name": "b"})]
    spec = read_spec(put(tmp_path, "a.jsonl", "\r\n".join(lines) + "\r\n"))
    assert len(items(spec)) == 2
    assert spec.warnings == ()
