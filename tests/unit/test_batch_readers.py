"""Inputs of a batch: what is a row, what is not, and that a bad record stops no other."""

from __future__ import annotations

import datetime
import decimal
import glob
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptlift.batch.readers import ExpandedInput, open_input
from promptlift.batch.rows import Row, row_digest
from promptlift.errors import InputError, OptionError

GOOD = '{"video": "/v/a.mp4", "prompt": "one"}'
Listed = Callable[..., list[Row]]


def read(source: str | Path, prompt: str | None = None, format: str | None = None) -> list[Row]:  # noqa: A002
    """All rows of an input."""
    return list(open_input(source, prompt=prompt, format=format).rows())


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    """Writes bytes or text into a list and reads its rows."""

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


def test_a_line_gives_video_prompt_id_options_and_the_rest(listed: Listed) -> None:
    """The four columns have a meaning, and every other one is copied as it is."""
    options = {"control": "edge", "seed": 7}
    record = {"video": "/v/a.mp4", "prompt": "a robot", "id": "clip 7", "options": options}
    more = {"scene": {"at": [1, 2.5, None]}, "ok": True}
    (row,) = listed(json.dumps({**record, **more}))
    assert (row.number, row.video, row.prompt, row.id) == (0, "/v/a.mp4", "a robot", "clip 7")
    assert (row.options, row.extra, row.trouble) == (options, more, None)
    assert row.digest == row_digest("/v/a.mp4", "a robot", options, "clip 7")
    lines = [GOOD, '{"video":"/v/a.mp4","id":12}', '{"video":"/v/a.mp4","id":null}']
    rows = listed("\n".join(lines))
    assert [row.id for row in rows] == [rows[0].digest[:12], "12", rows[2].digest[:12]]


def test_marks_line_ends_and_blank_lines_change_nothing(listed: Listed) -> None:
    """Whatever an editor or a spreadsheet adds."""
    rows = listed(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\n   \n" + GOOD.encode())
    assert [row.number for row in rows] == [0, 1]
    assert {(row.video, row.prompt, row.trouble) for row in rows} == {("/v/a.mp4", "one", None)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "input: the line '{' is not a JSON object: Expecting property name"),
        (b'[{"video": "a"}]', "is not a JSON object: it is another value. write"),
        (b'{"vidoe": "a.mp4"}', "no video, only 'vidoe'. name the column"),
        (b"{}", "no video, only none. name the column"),
        (b'{"video": 3}', "the video is 3. give a text"),
        (b'{"video": "https://x/a.mp4"}', "video_refused: 'https://x/a.mp4' is a URL, and promptl"),
        (b'{"video": "/a.mp4", "options": "edge"}', 'the options are "edge"'),
        (b'{"video": "/\xff.mp4"}', "can't decode byte 0xff"),
        (b"[" * 100_000, "recursion depth"),
        (b'{"video": "/a.mp4", "n": ' + b"9" * 5000 + b"}", "is not a JSON object: Exceeds"),
        (b'{"video": "/a.mp4", "x": "' + b"x" * 3_200_000 + b'"}', "it is longer than 1 MiB"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_line_is_a_row_with_an_error(listed: Listed, line: bytes, message: str) -> None:
    """It is counted, says what is wrong and what to do, and the lines around it are read."""
    before, bad, after = listed(GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode())
    assert message in trouble(bad)
    assert [before.number, bad.number, after.number] == [0, 1, 2]
    assert before.trouble is None
    assert after.trouble is None
    assert len(json.dumps(bad.extra)) < 3000


def test_null_and_numbers_that_json_has_not(listed: Listed) -> None:
    """An option that is null is not set; NaN and the infinities would make the export invalid."""
    (row,) = listed(
        '{"video": "/a.mp4", "a": NaN, "b": [-Infinity, 1e999, 2.5],'
        ' "options": {"seed": null, "frames": 3}}'
    )
    assert row.extra == {"a": None, "b": [None, None, 2.5]}
    assert row.options == {"frames": 3}


# ---- where videos and prompts lie


def test_relative_paths_count_from_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the current folder."""
    monkeypatch.chdir(Path(__file__).parent)
    listing = tmp_path / "in.csv"
    listing.write_text("video,prompt\na.mp4,x\n./b.mp4,x\n../c.mp4,x\n")
    videos = [row.video for row in read(listing)]
    assert videos == [f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4", f"{tmp_path}/../c.mp4"]


def test_a_prompt_is_the_row_s_or_beside_the_video_or_the_command_s(tmp_path: Path) -> None:
    """An empty text is a prompt where the format can express it; an empty file is none."""
    for name, text in (("a", "\ufeff from the file\n"), ("c", "\n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    listing = tmp_path / "in.jsonl"
    listing.write_text(
        '{"video":"a.mp4","prompt":"own"}\n{"video":"a.mp4"}\n{"video":"b.mp4"}\n'
        '{"video":"a.mp4","prompt":""}\n{"video":"c.mp4"}\n'
    )
    assert [row.prompt for row in read(listing)] == ["own", "from the file", "", "", ""]
    prompts = [row.prompt for row in read(listing, "given")]
    assert prompts == ["own", "from the file", "given", "", "given"]
    for content, message in (
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 70_000, "is longer than 65536"),
    ):
        (tmp_path / "bad.mp4").touch()
        (tmp_path / "bad.txt").write_bytes(content)
        listing.write_text('{"video": "bad.mp4"}')
        for source in (listing, tmp_path):
            (row,) = read(source)
            assert message in trouble(row)


# ---- pipes, standard input


def test_a_json_array_is_refused(listed: Listed) -> None:
    """With the command that makes lines of it."""
    with pytest.raises(InputError, match=r"is a JSON array.*\. Make lines of it with: jq"):
        listed(f"\ufeff[\n  {GOOD},\n  3\n]\n", "in.json")


def test_a_pipe_is_read_row_by_row(tmp_path: Path) -> None:
    """Such as the one of ``<(command)``, before its end."""
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
    assert next(rows).video == "/v/a.mp4"  # while the writer waits
    more.set()
    writer.join()
    assert list(rows) == []


# ---- CSV and TSV


def test_csv_as_spreadsheets_write_it(listed: Listed) -> None:
    """A mark, CRLF, quotes, newlines in quotes, empty cells and empty rows."""
    content = (
        "\ufeffid, video ,prompt,note\r\n"
        '1,/v/a.mp4,"a ""robot"", and\r\na cup",\r\n'
        ",,,\r\n"
        "2,/v/b.mp4,,of the house\r\n"
        "3,/v/c.mp4\r\n"
    )
    rows = listed(content, "in.csv", "else")
    assert [(r.number, r.id, r.video, r.prompt, dict(r.extra), r.trouble) for r in rows] == [
        (0, "1", "/v/a.mp4", 'a "robot", and\r\na cup', {}, None),
        (1, "2", "/v/b.mp4", "else", {"note": "of the house"}, None),
        (2, "3", "/v/c.mp4", "else", {}, None),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "video;prompt\n/v/a.mp4;one, two\n"),
        ("in.csv", "video\tprompt\n/v/a.mp4\tone, two\n"),
        ("in.tab", "video\tprompt\n/v/a.mp4\tone, two\n"),
        ("in.CSV", '"video","prompt"\r/v/a.mp4,"one, two"\r'),
    ],
    ids=["semicolons", "tabs", "TSV", "old Macs"],
)
def test_the_header_decides_the_separator(listed: Listed, name: str, content: str) -> None:
    """Commas, semicolons or tabs, by what makes a column ``video`` of it."""
    (row,) = listed(content, name)
    assert (row.video, row.prompt, row.trouble) == ("/v/a.mp4", "one, two", None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"/v/a.mp4,one, two,three", "a row has 4 cells and the header 2"),
        (b"/v/\xffa.mp4,one", "is not UTF-8"),
    ],
)
def test_a_bad_row_of_a_table_takes_no_other_with_it(
    listed: Listed, line: bytes, message: str
) -> None:
    """Its row has an error, and the rows around it are read."""
    around = b"/v/good.mp4,fine"
    before, bad, after = listed(b"\n".join([b"video,prompt", around, line, around]), "in.csv")
    assert message in trouble(bad)
    assert {before.video, after.video} == {"/v/good.mp4"}
    assert before.trouble is after.trouble is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'/v/a.mp4,"never closed', "from line 2: field larger than field limit"),
        (b'/v/a.mp4,"closed"too soon', "from line 2: ',' expected after"),
        (b"/v/a.mp4," + b"x" * 200_000, "from line 2: a line is longer than 131,072"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_table_whose_quotes_do_not_match_is_refused(
    listed: Listed, line: bytes, message: str
) -> None:
    """What follows could be anything, so no row of it is guessed; the line is named."""
    rest = b"/v/good.mp4," + b"x" * 100_000
    with pytest.raises(InputError, match=message):
        listed(b"\n".join([b"video,prompt", line, rest, rest]), "in.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,words\n", r"no video, only 'path', 'words'"),
        (b"video,a,a\n", "column 'a' stands twice"),
        (b"video,options\n", "no column 'options'"),
        ("video,prompt\n".encode("utf-16"), "no video, only"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_table_that_is_wrong_as_a_whole_is_refused_at_once(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """Before anything is done."""
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
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
            "finer": pa.array([3_001], pa.duration("ns")),
            "day": pa.array([datetime.date(2026, 3, 4)]),
            "price": pa.array([decimal.Decimal("1.50")]),
            "raw": pa.array([b"\x00\xff"]),
            "nan": pa.array([float("nan")]),
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
            "none": pa.array([None], pa.null()),
        }
    )
    (row,) = read(parquet(tmp_path / "in.parquet", table))
    assert row.trouble is None
    assert (row.video, row.prompt, row.id) == ("/v/a.mp4", "one", "7")
    assert row.extra == {
        "time": "2026-03-04T05:06:07.000891Z",
        "fine": "1970-01-01T00:00:01",
        "finer": 3e-06,
        "day": "2026-03-04",
        "price": "1.50",
        "raw": "AP8=",
        "nan": None,
        "map": [["k", 1]],
        "none": None,
    }


def test_parquet_rows_have_options_and_errors_like_lines(tmp_path: Path) -> None:
    """A struct is an object of options whose nulls are not set; large binary data is refused."""
    table = pa.table(
        {
            "video": pa.array([b"/v/a.mp4", None, b"http://x/a", b"/v/c"]),
            "options": pa.array([{"seed": 3, "control": None}, *[None] * 3]),
            "blob": pa.array([*[None] * 3, b"x" * 100_000]),
        }
    )
    rows = read(parquet(tmp_path / "in.pq", table), "given")
    assert [row.number for row in rows] == list(range(4))
    assert (rows[0].video, rows[0].prompt, rows[0].options) == ("/v/a.mp4", "given", {"seed": 3})
    assert rows[0].trouble is None
    messages = ["there is no video, only", "is a URL", "100004 bytes"]
    for row, message in zip(rows[1:], messages, strict=True):
        assert message in trouble(row)
        assert len(json.dumps(row.extra)) < 2000


def test_a_prompt_needs_no_video(tmp_path: Path, listed: Listed) -> None:
    """A list of prompts alone, in every format; the name of a video in another column is none."""
    parquet(tmp_path / "a.parquet", pa.table({"prompt": ["a cat", "a dog"]}))
    (tmp_path / "a.csv").write_text("prompt,scene\na cat,1\na dog,2\n")
    (tmp_path / "a.txt").write_text("\ufeffa cat\n\n  a dog \n")
    rows = [read(tmp_path / f"a.{form}") for form in ("parquet", "csv", "txt")]
    rows.append(listed('{"prompt": "a cat"}\n{"prompt": "a dog", "video": null}'))
    for pair in rows:
        assert [(row.video, row.prompt, row.trouble) for row in pair] == [
            ("", "a cat", None),
            ("", "a dog", None),
        ]
    (row,) = listed('{"vidoe": "a.mp4", "prompt": "a cat"}')
    assert "there is no video, only 'vidoe'" in trouble(row)
    (tmp_path / "a.txt").write_text("clips/a.mp4\n")
    assert "is the name of a video" in trouble(read(tmp_path / "a.txt")[0])


def test_bad_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; without PyArrow the extra is named that installs it."""
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_input(path, prompt=None)
    parquet(path, pa.table({"clip": ["a"]}))
    with pytest.raises(InputError, match="no video, only 'clip'"):
        open_input(path, prompt=None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OptionError, match=r"Run `pip install 'promptlift\[parquet\]'`"):
        open_input(path, prompt=None)


# ---- folders, patterns, single videos

TREE = [
    *("b.mp4", "a/z.MOV", "a/deep/er/x.mkv", "a/deep/y.png", "c.d/w.webm", "A.mp4", "a/[1].mp4"),
    *("notes.txt", "list.jsonl", ".hidden.mp4", ".git/v.mp4"),
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
    """Without hidden ones and other files; links are followed, but not in circles."""
    (tree / "b.txt").write_text("beside it")
    (tree / "a" / "back").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree.parent / "elsewhere").mkdir()
    (tree.parent / "elsewhere" / "e.mp4").touch()
    (tree / "z").symlink_to(tree.parent / "elsewhere")
    rows = read(tree)
    assert [str(Path(row.video).relative_to(tree)) for row in rows] == [
        *("A.mp4", "b.mp4", "a/[1].mp4", "a/z.MOV", "a/deep/y.png", "a/deep/er/x.mkv"),
        *("c.d/w.webm", "z/e.mp4"),
    ]
    assert [row.number for row in rows] == list(range(8))
    assert rows[1].prompt == "beside it"
    assert {row.prompt for row in read(tree, "for all")} == {"beside it", "for all"}


@pytest.mark.parametrize(
    "pattern",
    [
        *("*.mp4", "**", "**/*.m*", "a/**/*.mkv", "**/deep/**/*.mkv", "**/deep/*", "a/*/y.png"),
        *("?.mp4", "[ab].mp4", "**/**/x.mkv", "a/deep/../*.MOV"),
    ],
)
def test_a_pattern_finds_what_the_shell_finds(tree: Path, pattern: str) -> None:
    """All that Python's glob finds and that is a video, each once."""
    found = [row.video for row in read(f"{tree}/{pattern}")]
    suffixes = {".mp4", ".mov", ".mkv", ".png", ".webm"}
    expected = {
        path
        for path in glob.glob(f"{tree}/{pattern}", recursive=True)  # noqa: PTH207 - it knows **
        if Path(path).suffix.lower() in suffixes and Path(path).is_file()
    }
    assert expected
    assert sorted(found) == sorted(expected)


def test_a_name_that_looks_like_a_pattern_is_a_name(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern counts from the current folder."""
    monkeypatch.chdir(tree)
    assert [row.video for row in read("*/*.webm")] == [f"{tree}/c.d/w.webm"]
    assert [row.video for row in read("a/[1].mp4")] == [f"{tree}/a/[1].mp4"]


@pytest.mark.parametrize("name", ["", "*.avi", "nothing/*.mp4", "nothing.csv"])
def test_a_missing_input_is_an_error_before_any_row(tmp_path: Path, name: str) -> None:
    """An empty folder, a pattern without a match, a missing file."""
    with pytest.raises(InputError, match=r"there is no|cannot read"):
        read(f"{tmp_path}/{name}")


# ---- detection of the format


def test_a_format_can_be_named(tmp_path: Path) -> None:
    """Else the name decides; an unknown one with those that there are."""
    parquet(tmp_path / "table", pa.table({"video": ["/v/a.mp4"]}))
    assert [row.video for row in read(tmp_path / "table", format="parquet")] == ["/v/a.mp4"]
    path = tmp_path / "rows.txt"
    path.write_text("video,prompt\n/v/a.mp4,one\n")
    assert read(path, format="csv")[0].prompt == "one"
    path = path.rename(tmp_path / "rows.dat")
    with pytest.raises(InputError, match=r"is not clear.*Name it with --format, one of: videos"):
        open_input(path, prompt=None)
    with pytest.raises(OptionError, match="Use one of: videos, jsonl"):
        open_input(path, prompt=None, format="json")
    with pytest.raises(OptionError, match="standard input cannot be read as csv"):
        open_input("-", prompt=None, format="csv")
    with pytest.raises(InputError, match="is a folder and not parquet"):
        open_input(tmp_path, prompt=None, format="parquet")


def rows_of_lines(
    tmp_path: Path, lines: list[Any], *, expand: bool = False, variations: int = 1
) -> list[Row]:
    """The rows of a list, with those that they expand to."""
    path = tmp_path / "list.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    rows = open_input(path, prompt=None, expand=expand)
    return list(ExpandedInput(rows, expand, variations).rows())


def test_prompts_expand_to_their_product_where_that_is_asked_for(tmp_path: Path) -> None:
    r"""Alternatives in braces, and lists; without the option all are plain."""
    plain = {"video": "a.mp4", "id": "x", "prompt": "a {red|blue} car at {dawn|dusk}"}
    assert [row.prompt for row in rows_of_lines(tmp_path, [plain])] == [plain["prompt"]]
    made = rows_of_lines(tmp_path, [plain], expand=True)
    cars = [f"a {color} car at {time}" for color in ("red", "blue") for time in ("dawn", "dusk")]
    assert [row.prompt for row in made] == cars
    assert [row.id for row in made] == ["x", "x-2", "x-3", "x-4"]
    many = {"video": "a.mp4", "id": "y", "prompt": ["a cat", r"\{a\} {dog|fox}"]}
    made = rows_of_lines(tmp_path, [many], expand=True)
    assert [row.prompt for row in made] == ["a cat", "{a} dog", "{a} fox"]
    assert [row.id for row in made] == ["y", "y.2", "y.2-2"]
    bad = ["{open", "shut}", "{a{b}}", "{a|b|c|d|e|f|g|h|i|j}" * 4]
    rows = rows_of_lines(tmp_path, [{"video": "a.mp4", "prompt": one} for one in bad], expand=True)
    assert [row.prompt for row in rows] == bad
    assert all(row.trouble and row.trouble[0] == "prompt" for row in rows), rows


def test_a_row_has_its_variations_and_the_first_is_the_row_itself(tmp_path: Path) -> None:
    """So that what was finished without variations stays finished."""
    line = {"video": "a.mp4", "prompt": "a cat"}
    (alone,) = rows_of_lines(tmp_path, [line])
    first, *others = rows_of_lines(tmp_path, [line], variations=3)
    assert first == alone
    assert [row.options for row in others] == [{"variation": 2}, {"variation": 3}]
    assert len({row.digest for row in (first, *others)}) == 3
