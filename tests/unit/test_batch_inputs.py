"""Inputs of a batch: what a row is, what is none, and that one bad line stops nobody else."""

from __future__ import annotations

import datetime
import decimal
import glob
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.batch.inputs import ROW_OPTIONS, lines, open_input, row_options
from promptlift.batch.rows import Row, row_digest
from promptlift.config import Options
from promptlift.core.video import Size
from promptlift.errors import InputError, OptionError

GOOD = '{"video": "/v/a.mp4", "prompt": "one"}'


def read(source: str | Path, prompt: str | None = None, format: str | None = None) -> list[Row]:  # noqa: A002
    """All rows of an input."""
    return list(open_input(source, prompt=prompt, format=format).rows())


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., list[Row]]:
    """Write bytes or text into a list and read its rows."""

    def make(content: str | bytes, name: str = "in.jsonl", prompt: str | None = None) -> list[Row]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path, prompt)

    return make


def trouble(row: Row) -> str:
    """What is wrong with a row, on one line."""
    assert row.trouble is not None
    code, message, remedy = row.trouble
    assert code
    assert remedy
    return f"{code}: {message}. {remedy}"


def test_a_line_gives_video_prompt_id_options_and_the_rest(listed: Any) -> None:
    """The four columns mean something, and every other one is carried through as it is."""
    said = {
        "video": "/v/a.mp4",
        "prompt": "a robot",
        "id": "clip 7",
        "options": {"control": "edge", "seed": 7},
        "scene": {"at": [1, 2.5, None]},
        "ok": True,
    }
    (row,) = listed(json.dumps(said))
    assert (row.number, row.video, row.prompt, row.id) == (0, "/v/a.mp4", "a robot", "clip 7")
    assert row.options == {"control": "edge", "seed": 7}
    assert row.extra == {"scene": {"at": [1, 2.5, None]}, "ok": True}
    assert row.trouble is None
    assert row.digest == row_digest("/v/a.mp4", "a robot", said["options"], "clip 7")  # type: ignore[arg-type]


def test_a_row_without_an_id_is_called_by_its_digest(listed: Any) -> None:
    """Twelve digits of it; a whole number is an id as well, and null is none."""
    rows = listed(f'{GOOD}\n{{"video":"/v/a.mp4","id":12}}\n{{"video":"/v/a.mp4","id":null}}')
    assert rows[0].id == rows[0].digest[:12]
    assert rows[1].id == "12"
    assert rows[2].id == rows[2].digest[:12]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode() + b"\n",
        GOOD.encode(),
        GOOD.encode() + b"\r\n",
        b"\n\r\n   \n" + GOOD.encode() + b"\n\n",
    ],
    ids=["byte order mark", "no last newline", "CRLF", "blank lines"],
)
def test_lines_come_in_many_dresses(listed: Any, content: bytes) -> None:
    """A mark at the start, any line end, blank lines and a missing last newline change nothing."""
    (row,) = listed(content)
    assert (row.number, row.video, row.prompt, row.trouble) == (0, "/v/a.mp4", "one", None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "input: the line '{' is not JSON at its column 2"),
        (b'"clip.mp4"', "is no JSON object. write"),
        (b'[{"video": "a"}]', "is no JSON object. make lines of it with: jq"),
        (b"null", "is no JSON object"),
        (b'{"vidoe": "a.mp4"}', "no column 'video', only 'vidoe'. rename 'vidoe' to 'video'"),
        (b'{"Video": "a.mp4"}', "rename 'Video' to 'video'"),
        (b"{}", "no column 'video', only none. name the column"),
        (b'{"video": 3}', "the video is the number 3"),
        (b'{"video": null}', "the video is null"),
        (b'{"video": {"path": "a"}}', "the video is an object"),
        (b'{"video": ""}', "'' is no path of a video"),
        (b'{"video": "a\\u0000b.mp4"}', "is no path of a video"),
        (b'{"video": "https://x/a.mp4"}', "video_refused: 'https://x/a.mp4' is a URL, and promptl"),
        (b'{"video": "s3://x/a.mp4"}', "is a URL, and promptlift fetches nothing"),
        (b'{"video": "data:video/mp4;base64,AAAA"}', "is a URL"),
        (b'{"video": "/a.mp4", "prompt": 5}', "prompt: the prompt is the number 5"),
        (b'{"video": "/a.mp4", "prompt": ["a"]}', "prompt: the prompt is a list"),
        (b'{"video": "/a.mp4", "id": 1.5}', "the id is the number 1.5"),
        (b'{"video": "/a.mp4", "id": true}', "the id is true or false"),
        (b'{"video": "/a.mp4", "options": "edge"}', "the options are the text 'edge'"),
        (b'{"video": "/a.mp4", "options": 0}', "the options are the number 0"),
        (b'{"video": "/\xff.mp4"}', "a line is not UTF-8 at its byte 13"),
        (b"[" * 100_000, "too deep"),
        (b'{"video": "/a.mp4", "n": ' + b"9" * 5000 + b"}", "too deep or too large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_line_that_is_no_row_has_trouble_alone(listed: Any, line: bytes, says: str) -> None:
    """It is counted, says what is wrong and what to do, and the lines around it are read."""
    before, bad, after = listed(GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode())
    assert says in trouble(bad)
    assert [before.number, bad.number, after.number] == [0, 1, 2]
    assert before.trouble is None
    assert after.trouble is None


def test_a_bad_line_is_the_same_row_wherever_it_stands(listed: Any) -> None:
    """Its digest comes of what it says and not of its place, and two bad lines are two rows."""
    one = listed(f"{{bad\n{GOOD}\n{{worse\n")
    other = listed(f"{{worse\n{{bad\n{GOOD}\n", "other.jsonl")
    assert {row.digest for row in one} == {row.digest for row in other}
    assert len({row.digest for row in one}) == 3
    assert one[2].extra == {"line": 3, "text": "{worse"}


def test_a_line_without_end_is_one_row_of_trouble(listed: Any) -> None:
    """Megabytes in one line are passed over without being kept, and the next line is read."""
    long = b'{"video": "/a.mp4", "x": "' + b"x" * (3 * lines.LINE_BYTES) + b'"}'
    bad, good = listed(long + b"\n" + GOOD.encode())
    assert "a line is longer than 1 MiB" in trouble(bad)
    assert len(bad.extra["text"]) == 1000
    assert (good.number, good.trouble) == (1, None)


def test_numbers_that_are_none_become_null(listed: Any) -> None:
    """NaN and the infinities would make the export no JSON."""
    (row,) = listed('{"video": "/a.mp4", "a": NaN, "b": [-Infinity, 1e999, 2.5]}')
    assert row.extra == {"a": None, "b": [None, None, 2.5]}


@given(
    st.lists(
        st.fixed_dictionaries(
            {"video": st.text(min_size=1).filter(lambda t: "\0" not in t and ":" not in t)},
            optional={
                "prompt": st.text(),
                "id": st.text() | st.integers(),
                "extra column": st.recursive(
                    st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                    max_leaves=5,
                ),
            },
        )
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_json_says_arrives(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], ascii_only: bool
) -> None:
    """Any texts and values, escaped or not, come out as they went in."""
    path = tmp_path_factory.mktemp("json") / "in.jsonl"
    text = "".join(json.dumps(r, ensure_ascii=ascii_only) + "\n" for r in records)
    path.write_text(text, encoding="utf-8", newline="")
    rows = read(path, prompt="instead")
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert row.trouble is None
        assert Path(row.video) == path.parent / record["video"]
        assert row.prompt == record.get("prompt", "instead")
        assert row.id == str(record.get("id", row.id))
        assert row.extra.get("extra column") == record.get("extra column")


# ---- options of one item


def test_every_option_of_a_row_becomes_the_item_s() -> None:
    """Rates and sizes are given as texts, a single control may stand without a list."""
    said = {
        "fps": "30000/1001",
        "size": "640x360",
        "controls": "edge",
        "frames": 3,
        "template": "instruct/1",
    }
    made = row_options(Options(seed=5), said)
    expected = Options.of(
        fps="30000/1001",
        size=Size(640, 360),
        controls=("edge",),
        frames=3,
        template="instruct/1",
        seed=5,
    )
    assert made == expected
    assert (
        row_options(made, {"size": [64, 32], "fps": 29.97, "controls": []}).fps.denominator == 100
    )
    assert row_options(made, {}) is made
    assert "target_tokenizer" not in ROW_OPTIONS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stratgy": "first"}, "there is no option 'stratgy'. did you mean 'strategy'"),
        ({"zzz": 1}, "there is no option 'zzz'. use frames, strategy"),
        ({"isolated": True}, "a row cannot set the option 'isolated'. give --isolated for the"),
        ({"frames": "3"}, 'frames is "3". give a whole number'),
        ({"frames": True}, "frames is true"),
        ({"frames": 99}, "frames is 99. give a value from 1 to 64"),
        ({"temperature": "hot"}, 'temperature is "hot". give a number'),
        ({"exact": 1}, "exact is 1. give true or false"),
        ({"fps": "1e999999999"}, "give a rate such as"),
        ({"fps": "1e-999999999"}, "give a rate such as"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": "1/0"}, "give a rate such as"),
        ({"size": [640]}, "give a size such as"),
        ({"size": "big"}, 'size is "big"'),
        ({"control": "edges"}, "control is 'edges'. use one of: rgb, edge"),
        ({"controls": [1]}, "give a list such as"),
        ({"target": "kosmos"}, "there is no target 'kosmos'"),
        ({"template": "x/9"}, "x/9"),
        ({"seed": 1.5}, "seed is 1.5. give a whole number"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_the_row_s_trouble(
    listed: Any, options: dict[str, Any], says: str
) -> None:
    """It is named with its value and what was meant, and said the same again for the next row."""
    line = json.dumps({"video": "/a.mp4", "prompt": "", "options": options})
    first, good, again = listed(f"{line}\n{GOOD}\n{line}")
    assert trouble(first).startswith("option: ")
    assert says in trouble(first)
    assert first.trouble == again.trouble
    assert good.trouble is None


def test_an_option_that_is_null_says_nothing(listed: Any) -> None:
    """A table has each field in each row, so null stands for what a row does not set."""
    (row,) = listed('{"video": "/a.mp4", "options": {"seed": null, "frames": 3}}')
    assert row.options == {"frames": 3}


# ---- where videos and prompts lie


def test_relative_videos_count_from_the_list_then_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list's folder is first, the current one second; what is in neither is the list's."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, names in ((here, ["both.mp4", "here.mp4"]), (there, ["both.mp4"])):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    monkeypatch.chdir(here)
    names = ["both.mp4", "here.mp4", "neither.mp4", "./both.mp4", "../there/both.mp4"]
    listing = there / "in.csv"
    listing.write_text("video,prompt\n" + "".join(f"{name},x\n" for name in names))
    assert [row.video for row in read(listing)] == [
        str(there / "both.mp4"),
        str(here / "here.mp4"),
        str(there / "neither.mp4"),
        str(there / "both.mp4"),
        f"{there}/../there/both.mp4",
    ]


def test_a_prompt_is_the_row_s_else_beside_the_video_else_the_command_s(tmp_path: Path) -> None:
    """An empty text is a prompt where the format can say so; without any it is empty."""
    (tmp_path / "a.txt").write_text("\ufeff from the file\n", encoding="utf-8")
    listing = tmp_path / "in.jsonl"
    listing.write_text(
        '{"video":"a.mp4","prompt":"own"}\n{"video":"a.mp4"}\n{"video":"b.mp4"}\n'
        '{"video":"a.mp4","prompt":""}\n'
    )
    assert [row.prompt for row in read(listing)] == ["own", "from the file", "", ""]
    assert [row.prompt for row in read(listing, "given")] == ["own", "from the file", "given", ""]


@pytest.mark.parametrize("source", ["", "*.mp4"], ids=["folder", "pattern"])
def test_prompt_of_the_command_is_for_videos_without_words_beside_them(
    tmp_path: Path, source: str
) -> None:
    """A clip's own .txt is never thrown away; one with nothing in it says nothing."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "a.txt").write_text("its own")
    (tmp_path / "b.txt").write_text("\n")
    prompts = [row.prompt for row in read(tmp_path / source, "given")]
    assert prompts == ["its own", "given", "given"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff\xfe", "is not UTF-8"), (b"x" * 70_000, "is longer than 65536 bytes")],
    ids=["not UTF-8", "long"],
)
def test_words_beside_a_video_that_are_no_prompt_are_trouble(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """From a list and from a folder alike."""
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "in.jsonl").write_text('{"video": "a.mp4"}')
    for source in (tmp_path / "in.jsonl", tmp_path):
        (row,) = read(source)
        assert says in trouble(row)


# ---- stamps


def settled(path: Path) -> Path:
    """A file whose last change lies back."""
    os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    return path


def test_a_stamp_changes_with_the_file_and_with_the_prompt(tmp_path: Path) -> None:
    """A list that was only just written has none, since its time does not tell the next change."""
    path = tmp_path / "in.jsonl"
    path.write_text(GOOD)
    stamp = open_input(settled(path), prompt="a").stamp
    assert stamp is not None
    assert open_input(path, prompt="a").stamp == stamp
    assert open_input(path, prompt="b").stamp != stamp
    os.utime(path, ns=(10**18 + 5, 10**18 + 5))
    assert open_input(path, prompt="a").stamp != stamp
    future = 10**19 // 4
    os.utime(path, ns=(future, future))
    assert open_input(path, prompt="a").stamp is None


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.parquet"])
def test_rows_that_depend_on_other_files_make_the_stamp_void(tmp_path: Path, name: str) -> None:
    """Words beside a video may change while the list does not."""
    path = tmp_path / name
    records = [{"video": "/a.mp4"}]
    if name.endswith("csv"):
        path.write_text("video\n/a.mp4\n")
    elif name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text(json.dumps(records[0]))
    settled(path)
    for prompt in ("given", None):
        source = open_input(path, prompt=prompt)
        before = source.stamp
        assert before is not None
        assert list(source.rows())
        assert source.stamp is None


# ---- arrays, pipes, standard input


def test_a_json_array_is_read_as_well(listed: Any) -> None:
    """On one line or on many; what is no object in it is a row with trouble."""
    for content in (f"[{GOOD}, 3]", f"\ufeff[\n  {GOOD},\n  3\n]\n"):
        good, bad = listed(content, "in.json")
        assert (good.video, good.trouble) == ("/v/a.mp4", None)
        assert "the line '3' is no JSON object" in trouble(bad)


def test_an_array_that_is_broken_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first row, with the command that makes lines of it."""
    path = tmp_path / "in.json"
    path.write_text(f"[\n{GOOD},\n")
    with pytest.raises(InputError, match="begins as a JSON array and is not JSON"):
        next(open_input(path, prompt=None).rows())
    monkeypatch.setattr(lines, "ARRAY_BYTES", 20)
    with pytest.raises(InputError, match=r"Make lines of it with: jq -c"):
        open_input(path, prompt=None)


def in_child(code: str, stdin: bytes, folder: Path) -> str:
    """What Python prints for some code with that standard input."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=stdin, capture_output=True, cwd=folder, check=False
    )
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode()


def test_standard_input_is_json_lines_counted_from_here(tmp_path: Path) -> None:
    """It has no stamp, and its relative paths count from the current folder."""
    code = (
        "from promptlift.batch.inputs import open_input\n"
        "source = open_input('-', prompt='p')\n"
        "print(source.description, source.stamp)\n"
        "for row in source.rows(): print(row.video, row.prompt, row.trouble is None)"
    )
    said = in_child(code, b'{"video": "a.mp4"}\nbad\n', tmp_path)
    assert said.splitlines() == ["- None", f"{tmp_path}/a.mp4 p True", "  False"]


def test_an_array_over_many_lines_cannot_come_through_a_pipe(tmp_path: Path) -> None:
    """It is refused before the first row, not taken for bad lines one by one."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(f"[\n{GOOD}\n]\n",))
    writer.start()
    source = open_input(path, prompt=None)
    assert source.stamp is None
    with pytest.raises(InputError, match="is a JSON array and not JSON lines"):
        next(source.rows())
    writer.join()


def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    """Such as the one of ``<(command)``: row by row, before its end is known."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    more = threading.Event()

    def write() -> None:
        with path.open("w") as file:
            file.write(GOOD + "\n")
            file.flush()
            more.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    rows = open_input(path, prompt=None).rows()
    # The buffer of the reader must not wait for more than there is.
    assert next(rows).video == "/v/a.mp4"
    more.set()
    writer.join()
    assert list(rows) == []


# ---- CSV and TSV


def test_csv_as_spreadsheets_write_it(listed: Any) -> None:
    """A mark, CRLF, quotes, newlines in quotes, empty cells and empty rows."""
    content = (
        "\ufeffid, video ,prompt,note\r\n"
        '1,/v/a.mp4,"a ""robot"", and\r\na cup",\r\n'
        ",,,\r\n"
        "2,/v/b.mp4,,of the house\r\n"
        "3,/v/c.mp4\r\n"
    )
    rows = listed(content, "in.csv", "else")
    assert [(r.number, r.id, r.video, r.prompt, dict(r.extra)) for r in rows] == [
        (0, "1", "/v/a.mp4", 'a "robot", and\r\na cup', {}),
        (1, "2", "/v/b.mp4", "else", {"note": "of the house"}),
        (2, "3", "/v/c.mp4", "else", {}),
    ]
    assert all(row.trouble is None for row in rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "video;prompt\n/v/a.mp4;one, two\n"),
        ("in.csv", "video\tprompt\n/v/a.mp4\tone, two\n"),
        ("in.tsv", "video\tprompt\n/v/a.mp4\tone, two\n"),
        ("in.csv", 'video,prompt\n/v/a.mp4,"one, two"\n'),
        ("in.csv", '"video","prompt"\r/v/a.mp4,"one, two"\r'),
    ],
    ids=["semicolons", "tabs", "TSV", "commas", "old Macs"],
)
def test_the_header_tells_what_parts_the_cells(listed: Any, name: str, content: str) -> None:
    """Commas, semicolons or tabs, by what makes a column ``video`` of it."""
    (row,) = listed(content, name)
    assert (row.video, row.prompt, row.trouble) == ("/v/a.mp4", "one, two", None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"/v/a.mp4,one, two,three", "a row has 4 cells and the header 2"),
        (b",no video", "'' is no path of a video"),
        (b'/v/a.mp4,"one"two', "is not a row"),
        (b'/v/a.mp4,"never closed', "is not a row"),
        (b"/v/\xffa.mp4,one", "is not UTF-8"),
        (b"http://x/a.mp4,one", "is a URL"),
        (b"/v/a.mp4," + b"x" * 200_000, "longer than a row can be"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_row_of_a_table_has_trouble_alone(listed: Any, line: bytes, says: str) -> None:
    """Even a quote that is never closed takes no other row with it."""
    around = b"/v/good.mp4,fine"
    content = b"\n".join([b"video,prompt", around, line, around, around, b""])
    rows = listed(content, "in.csv")
    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert [row.trouble is None for row in rows] == [True, False, True, True]
    assert says in trouble(rows[1])
    assert {rows[at].video for at in (0, 2, 3)} == {"/v/good.mp4"}


def test_a_lost_quote_far_from_the_end_takes_no_other_row_with_it(listed: Any) -> None:
    """The lines that it swallowed are read again, however many there are."""
    good = [f"/v/{number}.mp4,words for it" for number in range(20_000)]
    rows = listed("\n".join(["video,prompt", '/v/bad.mp4,"lost', *good]), "in.csv")
    assert len(rows) == 20_001
    assert [row.number for row in rows if row.trouble] == [0]
    assert rows[-1].video == "/v/19999.mp4"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"path,prompt\n", r"no column 'video', only 'path', 'prompt'"),
        (b"Video,prompt\n", r"Rename 'Video' to 'video'"),
        (b"", "is empty"),
        (b"video,a,a\n", "column 'a' stands twice"),
        (b"video,options\n", "no column 'options'"),
        ("video,prompt\n".encode("utf-16"), "is UTF-16"),
        (b"\x1f\x8b\x08rest", r"is compressed. Unpack it, or pipe it in: zcat in.csv"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_table_that_is_wholly_wrong_is_refused_at_once(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """A person would have to correct it anyhow, and nothing has been done yet."""
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError, match=says):
        open_input(tmp_path / "in.csv", prompt=None)


# ---- Parquet


def parquet(path: Path, table: pa.Table) -> Path:
    """Write a table in small groups."""
    pq.write_table(table, path, row_group_size=2)
    return path


def test_parquet_values_become_json_values(tmp_path: Path) -> None:
    """Times ISO 8601, decimals as text, bytes base64, NaN null, nested values nested."""
    at = datetime.datetime(2026, 3, 4, 5, 6, 7, 891, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "video": ["/v/a.mp4"],
            "prompt": pa.array(["one"], pa.dictionary(pa.int32(), pa.string())),
            "id": pa.array([7], pa.int64()),
            "time": pa.array([at], pa.timestamp("us", "UTC")),
            "fine": pa.array([1_000_000_001], pa.timestamp("ns")),
            "finer": pa.array([[{"t": 3_000}]], pa.list_(pa.struct([("t", pa.duration("ns"))]))),
            "day": pa.array([datetime.date(2026, 3, 4)]),
            "price": pa.array([decimal.Decimal("1.50")]),
            "raw": pa.array([b"\x00\xff"]),
            "nan": pa.array([float("nan")]),
            "half": pa.array([0.5], pa.float32()),
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
            "none": pa.array([None], pa.null()),
        }
    )
    (row,) = read(parquet(tmp_path / "in.parquet", table))
    assert row.trouble is None
    assert (row.video, row.prompt, row.id) == ("/v/a.mp4", "one", "7")
    assert row.extra == {
        "time": "2026-03-04T05:06:07.000891+00:00",
        "fine": "1970-01-01T00:00:01",
        "finer": [{"t": 3e-06}],
        "day": "2026-03-04",
        "price": "1.50",
        "raw": "AP8=",
        "nan": None,
        "half": 0.5,
        "map": [["k", 1]],
        "none": None,
    }
    json.dumps(row.extra, allow_nan=False)


def test_parquet_rows_set_options_and_have_trouble_like_lines(tmp_path: Path) -> None:
    """A struct is an object of options whose nulls say nothing; null is no video."""
    table = pa.table(
        {
            "video": pa.array([b"/v/a.mp4", None, b"http://x/a", b"\xff", b"/v/b.mp4"]),
            "options": pa.array(
                [{"seed": 3, "control": None}, None, None, None, {"seed": None, "control": "egde"}]
            ),
        }
    )
    rows = read(parquet(tmp_path / "in.pq", table), "given")
    assert [row.number for row in rows] == [0, 1, 2, 3, 4]
    assert (rows[0].video, rows[0].prompt, rows[0].options) == ("/v/a.mp4", "given", {"seed": 3})
    assert rows[0].trouble is None
    says = ["the video is null", "is a URL", "not UTF-8", "control is 'egde'"]
    for row, message in zip(rows[1:], says, strict=True):
        assert message in trouble(row)


def test_a_parquet_column_of_whole_videos_is_not_copied(tmp_path: Path) -> None:
    """What is carried through lies in the run's folder as well; megabytes a row have no place."""
    table = pa.table({"video": ["/v/a.mp4"], "bytes": [b"x" * 100_000]})
    (row,) = read(parquet(tmp_path / "in.parquet", table))
    assert "holds 100000 bytes of binary data" in trouble(row)
    assert len(json.dumps(row.extra)) < 2000


def test_parquet_that_is_none_or_lacks_its_column_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once; and without pyarrow the extra is named that brings it."""
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_input(path, prompt=None)
    parquet(path, pa.table({"clip": ["a"]}))
    with pytest.raises(InputError, match="no column 'video', only 'clip'"):
        open_input(path, prompt=None)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OptionError, match=r"Pip install 'promptlift\[parquet\]'"):
        open_input(path, prompt=None)


# ---- folders, patterns, single videos

TREE = [
    "b.mp4",
    "a/z.MOV",
    "a/deep/er/x.mkv",
    "a/deep/y.png",
    "c.d/w.webm",
    "A.mp4",
    "notes.txt",
    "list.jsonl",
    ".hidden.mp4",
    ".git/v.mp4",
    "a/[1].mp4",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of files, most of them videos by their names."""
    root = tmp_path / "clips"
    for name in TREE:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return root


def test_a_folder_gives_its_videos_in_the_order_of_names(tree: Path) -> None:
    """Folder by folder, hidden ones and other files left out, the same in every run."""
    (tree / "b.txt").write_text("beside it")
    rows = read(tree)
    assert [str(Path(row.video).relative_to(tree)) for row in rows] == [
        "A.mp4",
        "a/[1].mp4",
        "a/deep/er/x.mkv",
        "a/deep/y.png",
        "a/z.MOV",
        "b.mp4",
        "c.d/w.webm",
    ]
    assert [row.number for row in rows] == list(range(7))
    assert rows[5].prompt == "beside it"
    assert {row.prompt for row in read(tree, "for all")} == {"beside it", "for all"}


@pytest.mark.parametrize(
    "pattern",
    [
        "*.mp4",
        "*",
        "**",
        "**/*",
        "**/*.m*",
        "a/**",
        "a/**/*.mkv",
        "**/deep/**/*.mkv",
        "**/deep/*",
        "a/*/y.png",
        "a/*/**/x.mkv",
        "?.mp4",
        "[ab].mp4",
        "**/**/x.mkv",
        "a/deep/../*.MOV",
    ],
)
def test_a_pattern_finds_what_the_shell_finds(tree: Path, pattern: str) -> None:
    """All that Python's glob finds and that is a video, each once."""
    found = [row.video for row in read(f"{tree}/{pattern}")]
    known = {".mp4", ".mov", ".mkv", ".png", ".webm"}
    expected = {
        path
        for path in glob.glob(f"{tree}/{pattern}", recursive=True)  # noqa: PTH207 - it knows **
        if Path(path).suffix.lower() in known and Path(path).is_file()
    }
    assert expected
    assert sorted(found) == sorted(expected)


def test_a_pattern_counts_from_here_and_is_called_by_its_whole_path(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose name looks like a pattern is that file."""
    monkeypatch.chdir(tree)
    source = open_input("*/*.webm", prompt=None)
    assert source.description == f"{tree}/*/*.webm"
    assert source.stamp is None
    assert [row.video for row in source.rows()] == [f"{tree}/c.d/w.webm"]
    assert [row.video for row in read("a/[1].mp4")] == [f"{tree}/a/[1].mp4"]
    assert [row.video for row in read("b.mp4", "hello")] == [f"{tree}/b.mp4"]


def test_links_are_followed_but_not_in_circles(tree: Path) -> None:
    """A folder that leads back to one above it is left out; one elsewhere is walked."""
    (tree / "a" / "back").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree.parent / "elsewhere").mkdir()
    (tree.parent / "elsewhere" / "e.mp4").touch()
    (tree / "z").symlink_to(tree.parent / "elsewhere")
    names = [str(Path(row.video).relative_to(tree)) for row in read(tree)]
    assert names[-1] == "z/e.mp4"
    assert len(names) == 8


def test_a_folder_that_goes_while_it_is_walked_is_a_row_of_trouble(tree: Path) -> None:
    """What cannot be listed is told, and not passed over in silence; the rest is found."""
    rows = open_input(tree, prompt=None).rows()
    first = next(rows)
    for name in ("a/deep/er/x.mkv", "a/deep/y.png"):
        (tree / name).unlink()
    (tree / "a/deep/er").rmdir()
    found = [next(rows)]
    (tree / "a/deep").rmdir()
    found += list(rows)
    assert Path(first.video).name == "A.mp4"
    bad = [row for row in found if row.trouble]
    assert [row.video for row in bad] == [str(tree / "a/deep")]
    assert "No such file" in trouble(bad[0])
    assert Path(found[-1].video).name == "w.webm"
    assert [row.number for row in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    "what", ["", "*.avi", "nothing/*.mp4", "nothing", "nothing.csv", "n.jsonl"]
)
def test_nothing_there_is_said_before_any_row(tmp_path: Path, what: str) -> None:
    """An empty folder, a pattern without a match, a file that is missing."""
    with pytest.raises(InputError, match=r"there is no|cannot read"):
        read(f"{tmp_path}/{what}")


# ---- telling the kinds apart


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows", GOOD),
        ("rows.dat", "\ufeff \n" + GOOD),
        ("rows.JSONL", GOOD),
        ("rows.ndjson", GOOD),
        ("rows.CSV", "video,prompt\n/v/a.mp4,one\n"),
        ("rows.tab", "video\tprompt\n/v/a.mp4\tone\n"),
    ],
)
def test_a_list_is_known_by_its_name_or_its_beginning(listed: Any, name: str, content: str) -> None:
    """Letters of any size, and no suffix at all for JSON."""
    (row,) = listed(content, name)
    assert (row.video, row.prompt) == ("/v/a.mp4", "one")


def test_a_file_without_a_known_name_may_be_parquet_or_a_video(tmp_path: Path) -> None:
    """By its first bytes."""
    parquet(tmp_path / "table", pa.table({"video": ["/v/a.mp4"]}))
    assert [row.video for row in read(tmp_path / "table")] == ["/v/a.mp4"]
    (tmp_path / "clip").write_bytes(b"\0\0\0 ftypisom")
    assert [row.video for row in read(tmp_path / "clip")] == [f"{tmp_path}/clip"]


def test_a_format_can_be_named(tmp_path: Path) -> None:
    """It comes before the name of the file; one that does not exist is answered with a near one."""
    path = tmp_path / "rows.txt"
    path.write_text("video,prompt\n/v/a.mp4,one\n")
    assert read(path, format="csv")[0].prompt == "one"
    with pytest.raises(InputError, match=r"not clear what .* Name its format, one of: videos"):
        open_input(path, prompt=None)
    with pytest.raises(OptionError, match="Did you mean 'jsonl'"):
        open_input(path, prompt=None, format="json")
    with pytest.raises(OptionError, match="standard input cannot be read as csv"):
        open_input("-", prompt=None, format="csv")
    with pytest.raises(InputError, match="is a folder and no parquet"):
        open_input(tmp_path, prompt=None, format="parquet")
