"""The direction of imports, and what each room may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import promptlift

ROOT = Path(promptlift.__file__).parent

# What every room may import: the values and the arithmetic that everything else is made of.
PURE = {"errors", "text", "types", "language", "instants", "targets", "review", "record"}
BASE = PURE | {"facts", "files", "options", "planning", "template_file", "tokens", "__init__"}
# A room may import from itself, from the base and from the rooms named.
MAY_IMPORT: dict[str, set[str]] = {
    **{room: set() for room in BASE},
    "__init__": {"*"},  # lazily
    "__main__": {"cli"},
    "video": set(),
    "engines": set(),
    "testing": {"engines", "video"},
    "planning": {"video"},
    "pipeline": {"video", "facts", "engines"},
    "api": {"engines", "video", "pipeline"},
    "rendering": {"api", "engines", "pipeline"},
    "store": {"pipeline"},
    "batch": {"engines", "video", "pipeline", "store"},
    "cosmos": {"api", "batch", "engines", "video", "pipeline", "store"},
    "cluster": {"batch", "engines", "video", "pipeline", "store"},
    "prompt_files": {"cosmos"},
    "bench": {"cosmos", "prompt_files"},
    "server": {"engines", "video", "pipeline", "web"},  # web: app.py adds the page
    "web": {"server", "testing", "video"},
    "client": {"video"},  # the names of pictures, nothing that reads them
    "sweep": {"engines", "video", "testing"},
    "doctor": {"api", "engines", "testing"},
    "cli": {"*"},
}
HEAVY = {
    "av",
    "numpy",
    "PIL",
    "mistral_common",
    "tiktoken",
    "pydantic",
    "rich",
    "httpx2",
    "ray",
    "pyarrow",
    "fastapi",
    "uvicorn",
    "jinja2",
    "matplotlib",
    "msgspec",
}


DECODER = {"av", "numpy", "PIL"}


def modules() -> list[Path]:
    """Every source file of the package."""
    return sorted(ROOT.rglob("*.py"))


def room(parts: tuple[str, ...]) -> str:
    """The room that a module lies in: its package, or itself at the top level."""
    return parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> list[str]:
    """The full names of everything imported anywhere in a module, type checking included."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """No module imports from a room that its own room does not stand on."""
    here = room(path.relative_to(ROOT).parts)
    allowed = MAY_IMPORT[here] | BASE | {here}
    for name in imported(ast.parse(path.read_text())):
        if not name.startswith("promptlift."):
            continue
        part = name.split(".")[1]
        there = part if (ROOT / part).is_dir() or (ROOT / f"{part}.py").exists() else "__init__"
        assert "*" in allowed or there in allowed, f"{here} imports {name}"


def pure_modules() -> list[Path]:
    """The source files of the rooms that hold no more than values and arithmetic.

    The targets' package reads its contracts, which are files beside it.
    """
    reads = ROOT / "targets" / "__init__.py"
    return [
        path for path in modules() if room(path.relative_to(ROOT).parts) in PURE and path != reads
    ]


@pytest.mark.parametrize("path", pure_modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_values_and_arithmetic_do_no_input_or_output(path: Path) -> None:
    """These rooms import the standard library, pydantic and each other, and no I/O."""
    tree = ast.parse(path.read_text())
    typing_only = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for name in imported(node)
    }
    barred = {"os", "pathlib", "time", "random.random", "logging", "socket", "subprocess", "io"}
    for name in set(imported(tree)) - typing_only:
        top = name.split(".")[0]
        fine = {*sys.stdlib_module_names, "msgspec", "pydantic", "promptlift"}
        assert top in fine, name
        assert top not in barred, name


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


COMMAND = """
import contextlib, io
from promptlift.cli.main import _run
with contextlib.redirect_stdout(io.StringIO()): _run({arguments})
"""


@pytest.mark.parametrize(
    ("code", "barred"),
    [
        ("import promptlift", HEAVY),
        (COMMAND.format(arguments=["--help"]), HEAVY),
        # The budget of a bare size is arithmetic.
        ("import promptlift as p\np.plan(p.Size(1280, 720), 'x')", DECODER | {"pydantic"}),
        (
            COMMAND.format(arguments=["budget", "1280x720", "--family", "qwen2.5-vl"]),
            DECODER | {"pydantic", "mistral_common"},
        ),
        # A server has children for videos; in itself PyAV would be 16 MiB for nothing.
        ("import promptlift.server.run, promptlift.web.routes", {"av"}),
    ],
    ids=["import", "help", "plan", "budget", "server"],
)
def test_nothing_is_loaded_that_is_not_needed(code: str, barred: set[str]) -> None:
    """Names of the package and commands are loaded on first use."""
    assert not loaded_by(code) & barred


def test_the_formats_of_the_cosmos_command_are_those_that_are_read() -> None:
    """The list stands in the command as well, so that its help loads no reader."""
    from promptlift.cli.cosmos import FORMATS
    from promptlift.cosmos import formats

    assert tuple(formats.FORMATS) == FORMATS


def test_every_public_name_is_there() -> None:
    """Each name in ``__all__`` can be had, and ``dir`` shows exactly those."""
    for name in promptlift.__all__:
        assert getattr(promptlift, name) is not None
    assert sorted(dir(promptlift)) == sorted(promptlift.__all__)
    with pytest.raises(AttributeError, match="no attribute 'upsampel'"):
        _ = promptlift.upsampel


# ---- tests of behaviour use what a user of the library may use, so that rooms can be rebuilt

TESTS = Path(__file__).parents[1]
SEALED = [
    path
    for folder in ("behaviour", "contract", "fault", "parity")
    for path in sorted((TESTS / folder).rglob("*.py"))
]

# Modules inside a room that these tests may import all the same, and why.
EXCEPTIONS = {
    "promptlift.cli.main": "the command, called in this process or by name in a child",
    "promptlift.batch.export": "one function, named as its module",
    "promptlift.engines.vllm.launch": "the parts of a card that is made up",
    "promptlift.cosmos.transfer1_check": "NVIDIA's arithmetic, beside the writer it is for",
    "promptlift.targets.templates": "every template, to find it among the choices",
    "promptlift.server.schemas": "every field of every request, to try them all",
    "promptlift.web.routes": "every field of the form and every template, to try them all",
    "promptlift.web.presenters": "the words of the page, against the templates and the options",
}


@pytest.mark.parametrize("path", SEALED, ids=lambda path: str(path.relative_to(TESTS)))
def test_only_public_names_are_tested(path: Path) -> None:
    """Names that the package or a room exports, and the exceptions."""
    for full in imported(ast.parse(path.read_text())):
        if not full.startswith("promptlift") or full in EXCEPTIONS:
            continue
        module, _, name = full.rpartition(".")
        if module in EXCEPTIONS or module in ("", "promptlift"):
            continue
        assert module.count(".") == 1, f"{module} is inside a room"
        assert name in import_module(module).__all__, f"{module} does not export {name}"
