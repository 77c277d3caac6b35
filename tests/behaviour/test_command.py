"""The command as a user types it: real processes, real files, real exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from promptlift import __version__
from promptlift.cli import main as main_module
from promptlift.cli.main import COMMANDS, cli
from promptlift.record import Record
from promptlift.testing import synthetic_video
from stubs.openai_server import StubServer

Run = Callable[..., subprocess.CompletedProcess[str]]
Call = Callable[..., tuple[int, str, str]]
PROMPT = "a red hot-air balloon drifts over the hills"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a clip of two seconds in it."""
    path = tmp_path_factory.mktemp("work")
    synthetic_video(path / "clip.mp4", seconds=2, size=(320, 180))
    return path


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command in this process: its exit code, and what it says on stdout and stderr."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main_module._run(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def promptlift(folder: Path) -> Run:
    """Run the command in the working folder."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "promptlift", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            input=stdin,
        )

    return run


def one_line_error(code: int, out: str, error: str) -> str:
    """Assert that a run failed as it should, and give what it said."""
    assert (code, out) == (2, ""), error
    (line,) = error.strip().splitlines()
    assert line.startswith("promptlift: error: ")
    assert line.endswith(".")
    return line


def test_stdout_holds_the_long_prompt_and_nothing_else(promptlift: Run) -> None:
    """One paragraph on stdout; on stderr one note that no model is set up."""
    done = promptlift("run", "clip.mp4", PROMPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{PROMPT}. The camera pans slowly to the right.\n"
    assert done.stderr.count("no vision-language model is set up") == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", ["1e99999999", "1e-99999999", "9" * 5000])
def test_number_of_any_length_is_refused_at_once(call: Call, number: str) -> None:
    """Every command that takes a rate calls it a wrong use, and shows its beginning."""
    for arguments in (
        ("run", "clip.mp4", PROMPT, "--strategy", "fps", "--fps", number),
        ("hint", "clip.mp4", "-o", "hint.mp4", "--fps", number),
    ):
        code, out, error = call(*arguments)
        assert (code, out) == (2, ""), error
        assert number[:80] in error
        assert len(error) < 500


@pytest.mark.parametrize(
    ("model", "origin", "template", "reason"),
    [
        ("qwen2.5vl:7b", None, "instruct/2", "a general model needs an instruction"),
        (
            "upsampler",
            "/checkpoints/models--nvidia--Cosmos-UpsamplePrompt1-12B-Transfer/snapshots/0f3a",
            "verbatim/1",
            "the Cosmos upsampler was trained without an instruction",
        ),
        *(
            (name, None, "verbatim/1", "the Cosmos upsampler was trained without an instruction")
            for name in ("hub/Cosmos.UpsamplePrompt1:Q4_K_M.gguf", "cosmos-upsampler")
        ),
    ],
    ids=["general", "origin", "file", "alias"],
)
def test_template_and_why_are_told(
    call: Call, model: str, origin: str | None, template: str, reason: str
) -> None:
    """On stderr, in the record, and to the model itself."""
    with StubServer(models=[model]) as server:
        server.cards = {model: {"root": origin or model}}
        engine = ("--engine", "openai", "--base-url", server.base_url)
        _, out, error = call("run", "clip.mp4", PROMPT, *engine, "--json", "--attempts", "1")
        (asked,) = server.chats
    record = Record.model_validate_json(out)
    assert (record.template, record.template_reason) == (template, reason)
    assert f"promptlift: template {template}: {reason}" in error.splitlines()
    is_instructed = "one prompt for a video generator" in json.dumps(asked.body)
    assert is_instructed is (template == "instruct/2")


def test_same_call_gives_the_same_text(promptlift: Run, call: Call) -> None:
    """Two processes agree to the letter, whatever the seed, and -q is silent."""
    text = promptlift("run", "clip.mp4", PROMPT).stdout
    assert call("run", "-q", "clip.mp4", PROMPT) == (0, text, "")
    assert call("run", "clip.mp4", PROMPT, "--seed", "7")[1] == text


def test_prompt_from_stdin_or_none_at_all(promptlift: Run, call: Call) -> None:
    """A dash reads the prompt from stdin; without a prompt what was measured is described."""
    piped = promptlift("run", "clip.mp4", "-", stdin=f"{PROMPT}\n")
    assert piped.stdout == call("run", "clip.mp4", PROMPT)[1]
    assert call("run", "clip.mp4")[1].startswith("The camera pans slowly to the right. The colors")


@pytest.mark.parametrize("words", ["a cat on a sofa", "a black/white film", "一只猫在沙发上"])
def test_words_need_no_video(promptlift: Run, call: Call, words: str) -> None:
    """One argument that names no file is the prompt; without a model it comes back as it is."""
    code, out, error = call("run", words, "--target", "ltx-2")
    assert (code, out) == (0, f"{words}\n")
    assert "unchanged" in error
    record = Record.model_validate_json(call("run", words, "--json", "-q")[1])
    assert (record.status, record.facts, record.frames) == ("unchanged", None, ())
    assert (record.video.name, record.video.content) == ("", None)
    code, _, error = call("run", words, "--dry-run")
    assert (code, "words alone: " in error) == (0, True)
    assert promptlift("run", "-", "-q", stdin="clip.mov").stdout == "clip.mov\n"


def test_json_is_the_record(call: Call) -> None:
    """--json prints the record, of a failure too, and it holds to its schema."""
    record = Record.model_validate_json(call("run", "clip.mp4", PROMPT, "--json")[1])
    assert record.short_prompt == PROMPT
    assert record.promptlift == __version__
    assert record.prompt is not None
    assert record.prompt + "\n" == call("run", "clip.mp4", PROMPT)[1]
    code, out, _ = call("run", "missing.mp4", PROMPT, "--json")
    failed = Record.model_validate_json(out)
    assert failed.error is not None
    assert (code, failed.error.code) == (2, "video_not_found")


def test_output_goes_to_a_file(call: Call, folder: Path) -> None:
    """-o writes the text, or the record where the name ends in .json; stdout stays empty."""
    assert call("run", "clip.mp4", PROMPT, "-o", "long.txt")[:2] == (0, "")
    assert call("run", "clip.mp4", PROMPT, "-o", "record.json")[:2] == (0, "")
    text = (folder / "long.txt").read_text(encoding="utf-8")
    record = Record.model_validate_json((folder / "record.json").read_text(encoding="utf-8"))
    assert text == f"{record.prompt}{os.linesep}"


def test_hints_are_saved_as_the_model_sees_them(call: Call, folder: Path) -> None:
    """--save-hints writes as many pictures as the record has frames, at the planned size."""
    from PIL import Image

    _, out, _ = call("run", "clip.mp4", PROMPT, "--json", "--frames", "3", "--save-hints", "seen")
    record = Record.model_validate_json(out)
    pictures = sorted((folder / "seen").iterdir())
    assert len(pictures) == len(record.frames) == 3
    for path, frame in zip(pictures, record.frames, strict=True):
        with Image.open(path) as picture:
            assert picture.size == (frame.width, frame.height)


def test_dry_run_shows_the_plan(call: Call) -> None:
    """--dry-run prints no prompt, and tells the frames and the tokens on stderr."""
    code, out, error = call("run", "clip.mp4", PROMPT, "--dry-run")
    assert (code, out) == (0, "")
    assert "2 frames of 316x176 at 0.50 s, 1.50 s" in error
    assert "of 4,096 tokens, 300 reserved for the answer" in error


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_rejected_answer_exits_with_1(call: Call, quiet: tuple[str, ...]) -> None:
    """A refusal is no prompt: exit code 1, nothing on stdout, and why on stderr, with -q too."""
    with StubServer(reply="I'm sorry, but I cannot help with that.") as server:
        engine = ("--engine", "openai", "--base-url", server.base_url, "--attempts", "1")
        code, out, error = call("run", "clip.mp4", PROMPT, *engine, *quiet)
    assert (code, out) == (1, "")
    assert "refusal" in error
    assert len(error.splitlines()) == 1 or not quiet


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["a robot", "--control", "depth"], "control video (depth)"),
        (["Ein Arm gibt einer Frau in einem Büro einen Becher"], "German"),
        (["机械臂把咖啡杯递给一个女人"], "han"),
        (["remove the people from the hills"], "describes the result"),
        (["the camera tilts up over\nred hills"], "nothing was measured"),
        (["a balloon and a lake " * 60, "--target", "cogvideox"], "tokens"),
    ],
)
def test_words_that_nothing_is_added_to_come_back_as_they_are(
    call: Call, arguments: list[str], why: str
) -> None:
    """Without a model that is no failure: exit code 0, and a line that says why and what helps."""
    code, out, error = call("run", "clip.mp4", *arguments)
    assert (code, out) == (0, f"{arguments[0].strip()}\n")
    assert why in error
    assert "promptlift doctor" in error
    assert len(error.splitlines()) == 1
    record = Record.model_validate_json(call("run", "clip.mp4", *arguments, "--json", "-q")[1])
    assert (record.status, record.prompt) == ("unchanged", record.short_prompt)
    assert why in record.note
    assert record.review is None


def test_neither_a_prompt_nor_anything_to_say_is_a_wrong_use(call: Call) -> None:
    """A control video without a prompt gives nothing to begin with: exit code 2, with -q too."""
    code, out, error = call("run", "-q", "clip.mp4", "--control", "edge")
    assert (code, out) == (2, "")
    assert "yours is empty" in error
    assert "give a short prompt" in error.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "missing.mp4", "x"], "missing.mp4"),
        (["run", "missing.mp4"], "missing.mp4: no such file"),
        (["run", "clips/missing"], "clips/missing: no such file"),
        (["run", "C:\\clips\\a cat"], "no such file"),
        (["run", ""], "neither a video nor a prompt"),
        (["run", "a cat", "--region", "0,0,1,0.5"], "--region is given, and there is no video"),
        (["run", ".", "x"], "director"),
        (["run", "clip.mp4", "bell \x07"], "U+0007"),
        (["run", "clip.mp4", "x " * 25_000, "--dry-run"], "more than the context"),
        (["run", "clip.mp4", "x", "--target", "cosmos-transfer"], "cosmos-transfer1"),
        (["run", "clip.mp4", "x", "--engine", "gpt"], "no engine 'gpt'"),
        (["run", "clip.mp4", "x", "--frames", "0"], "frames is 0"),
        (["run", "clip.mp4", "x", "--context", "310", "--dry-run"], "more than the context of 310"),
        (["run", "clip.mp4", "x", "--control", "edges"], "control is edges"),
        (["budget", "clip.mp4", "--size", "320x180", "--context", "400"], "more than the context"),
        (["budget", "missing.mp4"], "missing.mp4"),
        (["budget", "0x0"], "0x0"),
        (["facts", "missing.mp4"], "missing.mp4"),
        (["hint", "missing.mp4", "-o", "x.mp4"], "missing.mp4"),
        (["hint", "clip.mp4", "-o", "x.tiff"], "tiff"),
        (["run", "-q", "clip.mp4", "x", "-o", "nowhere/x.txt"], "there is no directory 'nowhere'"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_with_a_remedy(call: Call, arguments: list[str], said: str) -> None:
    """Each mistake gives one line that names the value, exit code 2, and no traceback."""
    assert said in one_line_error(*call(*arguments))


def test_files_that_are_no_video_are_named(call: Call, folder: Path) -> None:
    """Half a download, a web page, a playlist; and a pipe nobody writes to, without waiting."""
    whole = (folder / "clip.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(folder / "pipe.mp4")
    (folder / "page.mp4").write_text("<!DOCTYPE html><html><body>not found</body></html>")
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    for name in ("half.mp4", "page.mp4", "list.mp4", "pipe.mp4"):
        assert name in one_line_error(*call("run", name, "x"))


# The first call loads what the second needs: nobody may not even read the interpreter's folder.
AS_NOBODY = """
import contextlib, io, os, sys
from promptlift.cli.main import _run
with contextlib.redirect_stderr(io.StringIO()):
    _run([argument.replace("secret", "missing") for argument in sys.argv[1:]])
os.setgid(65534)
os.setuid(65534)
sys.exit(_run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="others cannot become nobody")
def test_root_sees_what_others_may_not_read_named(tmp_path: Path) -> None:
    """The same where the tests run as root: as nobody, a file that may not be read is one line."""
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "run", "secret.mp4", "x", "--engine", "embedded"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "secret.mp4" in one_line_error(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["-dash.mp4", "concat:a.mp4", "http:x.mp4", "sp ace 漢字.mp4"])
def test_odd_names_are_names(call: Call, folder: Path, name: str) -> None:
    """Names that look like options or protocols are files like any other."""
    (folder / name).write_bytes((folder / "clip.mp4").read_bytes())
    code, out, error = call("run", "--", name, PROMPT)
    assert code == 0, error
    assert out == call("run", "clip.mp4", PROMPT)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_work(promptlift: Run, call: Call, folder: Path) -> None:
    """A name that is not UTF-8 is opened, and shown with a stand-in where it is shown."""
    name = os.fsdecode(b"bad\xff.mp4")
    (folder / name).write_bytes((folder / "clip.mp4").read_bytes())
    done = promptlift("run", name, PROMPT, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["video"]["name"] == "bad\ufffd.mp4"
    one_line_error(*call("run", os.fsdecode(b"no\xff.mp4"), PROMPT))


def test_failures_leave_no_file_behind(call: Call, folder: Path) -> None:
    """After a failed hint and a failed run the folder holds what it held before."""
    before = sorted(path.name for path in folder.iterdir())
    assert call("hint", "missing.mp4", "-o", "new.mp4")[0] == 2
    assert call("hint", "missing.mp4", "-o", "new-folder")[0] == 2
    assert call("run", "missing.mp4", "x", "-o", "new.txt", "--save-hints", "new-hints")[0] == 2
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    """Output into a pipe that closes early ends quietly."""
    command = f"{sys.executable} -m promptlift run clip.mp4 --json -q | head -c 1"
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_version_and_help(call: Call) -> None:
    """The version is the package's, help lists every command, and a slip is named."""
    assert call("--version")[1] == f"promptlift {__version__}\n"
    text = call("--help")[1]
    assert all(f"\n  {name} " in text for name in COMMANDS)
    code, _, error = call("rum")
    assert code == 2
    assert "No such command 'rum'" in error


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_is_true(name: str) -> None:
    """The line that the list shows for a command is the first of the command's own help."""
    import click

    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name][1]
    undocumented = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert undocumented in ([], ["temperature", "seed"])


@pytest.mark.parametrize(
    ("size", "tokens", "fits"), [("1280x720", 4685, False), ("640x480", 2465, True)]
)
def test_budget_tells_the_source_from_the_plan(
    call: Call, size: str, tokens: int, fits: bool
) -> None:
    """--json prints the plan with the names that the record has for it."""
    shown = json.loads(call("budget", size, "--prompt", "Test prompt", "--json")[1])
    assert shown["source"]["prompt_tokens"] == tokens
    assert shown["source"]["fits"] is fits
    assert (shown["context"], shown["reserve"], shown["family"]) == (4096, 300, "pixtral")
    assert shown["chosen"]["fits"] is True


def test_budget_of_a_video_is_that_of_its_size(call: Call) -> None:
    """A file and its size give the same table."""
    table = call("budget", "clip.mp4")[1]
    assert table == call("budget", "320x180")[1]
    assert table.splitlines()[-1].split() == ["fits", "yes", "yes"]


def test_a_defect_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of ours is not taken for a rejected answer, and is shown whole."""

    def broken(**_: object) -> None:
        raise RuntimeError("the house is upside down")

    monkeypatch.setattr(main_module.cli, "main", broken)
    with pytest.raises(SystemExit) as ended:
        main_module.main(["doctor"])
    assert ended.value.code == 70
    said = capsys.readouterr().err
    assert "the house is upside down" in said
    assert "please report it" in said


@pytest.mark.parametrize(("color", "code"), [("red", 0), ("blue", 1)])
def test_each_finding_is_a_line(call: Call, color: str, code: int) -> None:
    """Errors reject and are said even with -q; warnings are said and do not reject."""
    with StubServer(
        reply=f"A {color} hot-air balloon drifts over the hills. A man waves."
    ) as server:
        run = ("run", "clip.mp4", PROMPT, "--engine", "openai", "--base-url", server.base_url)
        found, out, error = call(*run)
        quiet = call(*run, "-q")[2]
    assert (found, bool(out)) == (code, not code)
    assert any("warning: " in line and "man" in line for line in error.splitlines())
    errors = [line for line in error.splitlines() if "rejected (" in line]
    assert errors == quiet.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["rejected (color)"] * code
