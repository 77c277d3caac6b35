"""The size of the house, in numbers: it stays small enough for one person to know."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import promptlift
from promptlift.testing import synthetic_video

ROOT = Path(promptlift.__file__).parent
TESTS = Path(__file__).parents[1]

# What the house has; it may only get smaller. The aim is 25,000 lines in 140 files.
MAX_CODE_LINES = 29_850
MAX_FILES = 160
MAX_FILES_PER_1000_LINES = 7
MAX_SMALL_SHARE = 0.15
SMALL = 100
MAX_TEST_LINES = 28_600


@dataclass
class House:
    """What was counted.

    Attributes:
        lines: Code lines of each module: no blanks, comments or docstrings.
        homes: The modules that define a public class, alias or function, by its name.
        importers: The modules that import each module.
    """

    lines: dict[str, int] = field(default_factory=dict)
    homes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    importers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def total(self) -> int:
        """All code lines."""
        return sum(self.lines.values())

    @property
    def defined_twice(self) -> dict[str, set[str]]:
        """Public names that two modules define."""
        return {name: homes for name, homes in self.homes.items() if len(homes) > 1}

    @property
    def small_with_one_importer(self) -> list[str]:
        """Modules that may belong into the only one that imports them."""
        return [
            name
            for name, lines in self.lines.items()
            if lines < SMALL and len(self.importers[name]) == 1 and name in inner_modules()
        ]


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = ("promptlift", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    """Every module with its file."""
    return {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def inner_modules() -> set[str]:
    """Modules that are not a package's own file."""
    outer = ("__init__.py", "__main__.py")
    return {name for name, path in sources().items() if path.name not in outer}


def docstring_lines(tree: ast.Module) -> Iterator[int]:
    """The lines that docstrings take."""
    kinds = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            assert text.end_lineno is not None
            yield from range(text.lineno, text.end_lineno + 1)


def code_lines(text: str, tree: ast.Module) -> int:
    """Lines with code on them."""
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    written = {number for number, line in lines if line and not line.startswith("#")}
    return len(written - set(docstring_lines(tree)))


def public_names(tree: ast.Module) -> Iterator[str]:
    """Classes, functions and annotated aliases that a module defines for others."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") and node.name != "main":
                yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if name[:1].isupper() and not name.isupper():
                yield name


@cache
def house() -> House:
    """Count the package."""
    counted = House()
    for name, path in sources().items():
        text = path.read_text()
        tree = ast.parse(text)
        counted.lines[name] = code_lines(text, tree)
        for public in public_names(tree):
            counted.homes[public].add(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("promptlift"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    counted.importers[full if full in sources() else str(node.module)].add(name)
    return counted


def test_the_package_is_small() -> None:
    """Few lines in few files, and few files for the lines."""
    total, files = house().total, len(sources())
    print(f"{total:,} code lines in {files} files: {1000 * files / total:.1f} for 1,000 lines")
    assert total <= MAX_CODE_LINES
    assert files <= MAX_FILES
    assert 1000 * files / total <= MAX_FILES_PER_1000_LINES


def test_a_public_name_means_one_thing() -> None:
    """No class, alias or function is defined in two modules."""
    assert not house().defined_twice


def test_small_modules_serve_more_than_one() -> None:
    """A small module that one other imports belongs into that one."""
    small, share = house().small_with_one_importer, MAX_SMALL_SHARE * len(inner_modules())
    print(f"{len(small)} of {len(inner_modules())} modules are small and have one importer")
    assert len(small) <= share, small


def test_the_tests_are_small() -> None:
    """Tests that nobody can read hold nothing."""
    lines = sum(len(path.read_text().splitlines()) for path in TESTS.rglob("*.py"))
    print(f"{lines:,} lines of tests")
    assert lines <= MAX_TEST_LINES


ENTERED = """
import os, sys, threading
import promptlift
root = os.path.dirname(promptlift.__file__) + os.sep
seen = set()
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(root) and not code.co_name.startswith("<"):
        seen.add((code.co_filename, code.co_qualname))
sys.setprofile(note)
threading.setprofile(note)
{code}
sys.setprofile(None)
print("entered", len({{file for file, _ in seen}}), len(seen))
"""


def entered(code: str) -> tuple[int, int]:
    """How many modules and functions of ours some code enters, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", ENTERED.format(code=code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    line = next((one for one in done.stdout.splitlines() if one.startswith("entered")), None)
    assert line is not None, done.stderr
    _, modules, functions = line.split()
    print(f"{modules} modules, {functions} functions")
    return int(modules), int(functions)


RUN = """
from promptlift.cli.main import main
sys.argv = ["promptlift", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a balloon."""
    path = tmp_path_factory.mktemp("house") / "clip.mp4"
    return synthetic_video(path, seconds=1, size=(320, 180))


def test_a_run_passes_through_few_hands(clip: Path) -> None:
    """What one `promptlift run` enters; the aim is 45 modules and 300 functions."""
    arguments = ["run", str(clip), "a balloon", "--engine", "embedded", "-q"]
    modules, functions = entered(RUN.format(arguments=arguments))
    assert modules <= 52
    assert functions <= 430


def test_a_row_of_a_batch_passes_through_few_hands(clip: Path, tmp_path: Path) -> None:
    """What one row of `promptlift batch run` enters here; the aim is 60 modules, 400 functions."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"video": str(clip), "prompt": "a balloon"}))
    run_dir = str(tmp_path / "run")
    arguments = ["batch", "run", str(rows), "-o", run_dir, "--engine", "embedded", "-q"]
    modules, functions = entered(RUN.format(arguments=arguments))
    assert modules <= 56
    assert functions <= 475


POST = """
import httpx2
from pathlib import Path
from promptlift.server import run
from promptlift.server.config import ServerConfig
def ask(url):
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
        upload = http.post("/v1/uploads", content=Path({clip!r}).read_bytes()).json()["id"]
        for prompt in ("a cat", "a dog", "a balloon"):
            seen.clear()  # all but the last warm the server up
            fields = {{"upload_id": upload, "prompt": prompt}}
            http.post("/v1/upsample", json=fields).raise_for_status()
    sys.setprofile(None)
    os.kill(os.getpid(), 15)
def started(url):
    threading.Thread(target=ask, args=(url,)).start()
run.run_server(ServerConfig(data=Path({data!r}), port=0, engine="embedded"), started)
"""


def test_a_request_passes_through_few_hands(clip: Path, tmp_path: Path) -> None:
    """What a warm ``POST /v1/upsample`` enters: at most 40 modules and 220 functions."""
    modules, functions = entered(POST.format(clip=str(clip), data=str(tmp_path / "data")))
    assert 10 <= modules <= 40
    assert 100 <= functions <= 220
