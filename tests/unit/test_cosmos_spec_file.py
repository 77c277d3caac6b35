"""Spec files: read with the place of every value, changed in place, known by their keys."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.cosmos.spec_file import (
    MAX_BYTES,
    Node,
    Spec,
    apply_edits,
    read_spec,
    scan_json,
    set_member,
)
from promptlift.errors import SpecError

# JSON with positions

SPACES = st.text(" \t\n\r", max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A document with white space wherever JSON allows it."""
    escaped = draw(st.booleans())

    def write(part: Any) -> str:
        before, after = draw(SPACES), draw(SPACES)
        if isinstance(part, dict):
            inner = ",".join(f"{write(key)}:{write(item)}" for key, item in part.items())
            return f"{before}{{{inner or draw(SPACES)}}}{after}"
        if isinstance(part, list):
            return f"{before}[{','.join(map(write, part)) or draw(SPACES)}]{after}"
        return f"{before}{json.dumps(part, ensure_ascii=escaped)}{after}"

    return write(draw(VALUES))


def plain(node: Node) -> Any:
    """The value that nodes stand for."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def every(node: Node) -> list[Node]:
    """A node and all inside it."""
    inner = [*node.members.values(), *node.items]
    return [node, *(found for item in inner for found in every(item))]


@given(written())
def test_any_document_reads_as_python_reads_it_with_exact_spans(text: str) -> None:
    """Whatever the white space and the escapes; each span holds its value and no space around."""
    root = scan_json(text)
    assert plain(root) == json.loads(text)
    for node in every(root):
        part = text[node.start : node.end]
        assert part == part.strip(" \t\n\r")
        assert json.loads(part) == plain(node)


@given(st.text("{}[]\",:0123456789.eE+-truefalsn \\u/*#'\n", max_size=30))
def test_what_python_refuses_is_refused(text: str) -> None:
    """What is no JSON ends in the named error and no other; a duplicate key is refused besides."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(SpecError):
            scan_json(text)
        return
    with contextlib.suppress(SpecError):
        found = plain(scan_json(text))
        assert found == expected or math.isnan(expected)
        return
    with pytest.raises(SpecError, match="twice"):
        scan_json(text)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6", "':' delimiter"),
        ('{"a": "x', "line 1, column 7", "unterminated string"),
        ("", "line 1, column 1", "expecting value"),
        ('{"a": 1} {"b": 2}', "line 1, column 10", "extra data"),
        ("\ufeff{,}", "line 1, column 2", "double quotes"),
        ('{"p": "a",\n "p": "b"}', "line 2, column 7", "twice in one object"),
        ("[" * 100_000, "", "recursion"),
        ("9" * 5000, "", "digits"),
    ],
)
def test_errors_name_line_and_column(text: str, where: str, what: str) -> None:
    """A malformed text is refused with the place, which does not count a byte order mark."""
    with pytest.raises(SpecError) as caught:
        scan_json(text, int(text.startswith("\ufeff")))
    assert where in caught.value.message
    assert what in caught.value.message


# Changes in place


@given(written(), st.text(max_size=20), st.text(max_size=20), SPACES, st.booleans())
def test_only_the_prompts_span_differs(
    other: str, old: str, new: str, space: str, first: bool
) -> None:
    """In any document in any style, setting the prompt leaves every other byte where it was. It
    stays one line: Transfer2.5 splits lines at U+2028 and its like too.
    """
    new += "\u2028\u2029\x85"
    prompt = f'"prompt"{space}:{space}'
    before, after = (f"{{{space}", f',"rest":{other}}}') if first else (f'{{"rest":{other},', "}")
    before, after = before + prompt, f"{space}{after}"
    text = f"{before}{json.dumps(old)}{after}"
    edit = set_member(text, scan_json(text), "prompt", new, ascii_only=first)
    changed = apply_edits(text, [edit])
    assert changed.startswith(before)
    assert changed.endswith(after)
    made = changed[len(before) : len(changed) - len(after)]
    assert json.loads(made) == new
    assert len(made.splitlines()) == 1
    assert made.isascii() or not first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n    "a": 1\n}\n', '{\n    "prompt": "x",\n    "a": 1\n}\n'),
        ('{\r\n\t"a" : 1\r\n}', '{\r\n\t"prompt" : "x",\r\n\t"a" : 1\r\n}'),
        ('{"a":1,"b":2}', '{"prompt":"x","a":1,"b":2}'),
        ('{"a": 1, "b": 2}', '{"prompt": "x", "a": 1, "b": 2}'),
        ('{ "a": 1 }', '{ "prompt": "x", "a": 1 }'),
        ("{ }", '{"prompt": "x"}'),
        ('{"prompt": null, "a": 1}', '{"prompt": "x", "a": 1}'),
    ],
)
def test_a_prompt_is_written_in_the_objects_own_style(text: str, expected: str) -> None:
    """Indentation, colons and commas are those that the object has already."""
    edit = set_member(text, scan_json(text), "prompt", "x", ascii_only=True)
    assert apply_edits(text, [edit]) == expected


# Formats

TRANSFER1 = {
    "prompt": "a robot arm",
    "input_video_path": "assets/in.mp4",
    "vis": {"control_weight": 0.5},
    "depth": {"input_control": "assets/depth.mp4"},
}
HINTS = {"vis": None, "depth": "assets/depth.mp4"}
TRANSFER25 = {"name": "a", "prompt": "x", "video_path": "in.mp4", "edge": {"control_weight": 1.0}}
PREDICT25 = {"inference_type": "video2world", "name": "a", "prompt": "x", "input_path": "in.mp4"}


def put(folder: Path, name: str, content: Any) -> Path:
    """Write a spec: bytes and texts as they are, else JSON, one item on each line for .jsonl."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_bytes(content.encode())
    elif name.endswith(".jsonl"):
        path.write_text("".join(f"{json.dumps(item)}\n" for item in content))
    else:
        path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (TRANSFER1, "transfer1"),
        (
            '{"visual_input": "a"}\n{"visual_input": "b", "control_overrides": {}}',
            "transfer1-batch",
        ),
        (TRANSFER25, "transfer2.5"),
        (f"{json.dumps(TRANSFER25)}\n{json.dumps(TRANSFER25)}", "transfer2.5"),
        ([{"input_video": "a.mp4", "prompt": "x", "output_video": "o.mp4"}], "predict2"),
        (PREDICT25, "predict2.5"),
        ({"samples": {"a": {"prompt": "x", "input_path": "in.mp4"}}}, "predict2.5"),
        ('{"prompt": "x"}\n{"prompt": "y", "prompt_left": "z"}', "predict1"),
        ([{"prompt": "x", "output_video": "o.mp4"}], "predict2"),
        ({"inference_type": "text2world", "samples": {"a": {"prompt": "x"}}}, "predict2.5"),
        ({"prompt_path": "p.txt", "rear": {"video_path": "a.mp4"}}, "predict2.5-multiview"),
        ({"name": "a", "rear": {"control_path": "a.mp4"}}, "transfer2.5-multiview"),
        ({"name": "a", "head_color": {"input_path": "a.mp4"}}, "transfer2.5-agibot"),
        (
            {"name": "a", "input_path": "a.mp4", "camera_sequence": ["static", "rot_left"]},
            "transfer2.5-plenoptic",
        ),
        ({"name": "a", "model_mode": "video2video", "depth": {"control_path": "a"}}, "cosmos3"),
    ],
)
def test_the_format_follows_from_the_keys(tmp_path: Path, content: Any, form: str) -> None:
    """Each format is known without being named."""
    path = put(tmp_path, "a.jsonl" if isinstance(content, str) else "a.json", content)
    assert read_spec(path).format.name == form
    assert read_spec(path).detected
    assert not read_spec(path, form=form).detected


@pytest.mark.parametrize(
    ("name", "content", "form", "what"),
    [
        ("a.json", TRANSFER1, "predict2.5", "those of transfer1, not of predict2.5"),
        ("a.jsonl", [{"prompt": "x"}], "transfer1", "those of predict1, not of transfer1"),
        ("a.json", [{"input_video": "a"}], "predict1", "those of predict2, not of predict1"),
    ],
)
def test_a_wrong_format_is_named_beside_the_right_one(
    tmp_path: Path, name: str, content: Any, form: str, what: str
) -> None:
    """In one line; a file whose keys are those of none is read as the user says."""
    with pytest.raises(SpecError, match=what):
        read_spec(put(tmp_path, name, content), form=form)
    other = put(tmp_path, "b.json", {"prompt": "x", "seed": 1})
    assert read_spec(other, form="transfer1").items[0].prompt == "x"


def batch(tmp_path: Path, lines: list[Any], base: Any = TRANSFER1) -> Spec:
    """A Transfer1 batch, read with the spec that it runs with."""
    with_spec = None if base is None else put(tmp_path, "base.json", base)
    path = put(tmp_path, "a.jsonl", lines)
    return read_spec(path, form="transfer1-batch", base=with_spec)


def test_overrides_are_followed_item_by_item(tmp_path: Path) -> None:
    """Each line has the spec's controls with its own changes; null takes a control's video away."""
    spec = batch(
        tmp_path,
        [
            {"visual_input": "a.mp4", "prompt": "one"},
            {"visual_input": "b.mp4", "control_overrides": {"depth": {"input_control": None}}},
            {"visual_input": "c.mp4", "control_overrides": {"vis": {"input_control": "v.mp4"}}},
            {"visual_input": "d.mp4", "control_overrides": {"depth": {"control_weight": 0.1}}},
            # What the generator refuses or ignores is left out, with a warning.
            {"visual_input": "", "control_overrides": {"vis": None, "what": {}}},
            {"visual_input": "e.mp4", "control_overrides": None},
        ],
    )
    plain_one, null, own, *same = spec.items
    assert all(item.hints == HINTS for item in (plain_one, *same))
    assert same[1].video is None
    faults = [warning for item in same for warning in item.warnings]
    for fault, what in zip(faults, ["'vis' is not", "'what' is ignored", "is not"], strict=True):
        assert what in fault
    assert null.hints == {"vis": None, "depth": None}
    assert own.hints == {**HINTS, "vis": "v.mp4"}
    assert [item.prompt for item in (plain_one, null)] == ["one", "a robot arm"]
    assert [item.where for item in (plain_one, null)] == ["line 1", "line 2"]
    line = {"visual_input": "a.mp4", "control_overrides": {"seg": {"input_control": "s.mp4"}}}
    assert batch(tmp_path, [line], base=None).items[0].hints == {"seg": "s.mp4"}


def test_the_items_of_documents_are_named(tmp_path: Path) -> None:
    """Each has its place; one that cannot be used does not hide the others."""
    samples = {"a": {"prompt": "x", "input_path": "in.mp4"}, "b": {"prompt": "y"}, "c": 3}
    content = {"inference_type": "video2world", "samples": samples}
    first, second, third = read_spec(put(tmp_path, "a.json", content)).items
    assert (first.where, first.video) == ("sample 'a'", "in.mp4")
    assert second.error is None  # no video: planning says so
    assert third.error is not None
    array = [{"input_video": "a.mp4", "prompt": "x"}, 3, {"input_video": 7, "prompt": "y"}]
    spec = read_spec(put(tmp_path, "a.json", array))
    assert [item.where for item in spec.items] == ["item 1", "item 2", "item 3"]
    assert [item.error is None for item in spec.items] == [True, False, False]


def test_a_bad_line_does_not_stop_the_others(tmp_path: Path) -> None:
    """A line of JSONL that is no JSON is one item lost, named by line and column."""
    content = '\ufeff{"visual_input": "a.mp4", "prompt": "x"}\n{"visual_input": }\n\n[1]\n'
    spec = read_spec(put(tmp_path, "a.jsonl", content), form="predict1")
    good, bad, array = spec.items
    assert good.error is None
    assert bad.error is not None
    assert "line 2, column 18" in bad.error.message
    assert array.error is not None
    assert "it is not an object" in str(array.error)
    assert [item.where for item in spec.items] == ["line 1", "line 2", "line 4"]
    # Blank lines stay where they are, and CRLF makes none.
    lines = f"\n{json.dumps(PREDICT25)}\r\n{json.dumps({**PREDICT25, 'name': 'b'})}\r\n"
    spec = read_spec(put(tmp_path, "a.jsonl", lines))
    assert len(spec.items) == 2


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.json", b'{"prompt":\n "\xe9t\xe9"}', "line 2 holds a byte that is no UTF-8"),
        ("a.json", "version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("a.jsonl", "\n\n", "nothing in it"),
        ("a.json", {"samples": {}}, "nothing in it"),
        ("a.jsonl", "{\n", "not JSON at line 1"),
        ("a.yaml", "prompt: x", "YAML"),
        ("a.json", {"hello": 1}, "no format that promptlift knows"),
        ("a.json", "3", "no format that promptlift knows"),
        ("a.json", {**TRANSFER1, "prompt": 3}, "'prompt' is not a text"),
        ("a.json", {**TRANSFER1, "canny": {}}, "'canny' is an object"),
        ("a.json", {**TRANSFER1, "vis": 3}, "the control 'vis' is not an object"),
        ("a.json", {"samples": 3, "inference_type": "x"}, "'samples' is not an object"),
    ],
)
def test_an_unusable_spec_says_why(tmp_path: Path, name: str, content: Any, what: str) -> None:
    """Every kind of bad file ends in the named error with what is wrong."""
    with pytest.raises(SpecError) as caught:
        read_spec(put(tmp_path, name, content))
    assert what in caught.value.message


def test_what_is_no_file_or_huge_is_refused_at_once(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe that nobody writes to, and 100 MB."""
    pipe, huge = tmp_path / "pipe.json", tmp_path / "huge.json"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(100_000_000)
    assert MAX_BYTES < 100_000_000
    for path, what in [
        (tmp_path / "none.json", "no such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (huge, "longer than 16 MiB"),
    ]:
        with pytest.raises(SpecError, match=what):
            read_spec(path)
