"""The direction of imports, and what each room may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import promptlift

ROOT = Path(promptlift.__file__).parent

# A room may import from itself and from the rooms named; every room may import `errors`.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "__init__": {"*"},  # lazily
    "__main__": {"cli"},
    "core": set(),
    "config": {"core"},
    "background": set(),
    "frames": {"core", "files"},
    "facts": {"core"},
    "engines": {"core", "files", "__init__"},
    "tokenizers": {"core", "files"},
    "testing": {"core", "engines", "frames", "files", "__init__"},
    "planning": {"core", "tokenizers", "frames"},
    "pipeline": {"core", "config", "frames", "facts", "engines", "tokenizers", "__init__"},
    "api": {"core", "config", "engines", "frames", "pipeline", "background"},
    "cosmos": {
        "api",
        "background",
        "batch",
        "config",
        "core",
        "engines",
        "files",
        "frames",
        "pipeline",
        "planning",
        "tokenizers",
        "__init__",
    },
    "batch": {
        "api",
        "background",
        "config",
        "core",
        "engines",
        "files",
        "frames",
        "pipeline",
        "tokenizers",
        "__init__",
    },
    "scale": {
        "batch",
        "config",
        "core",
        "engines",
        "files",
        "frames",
        "pipeline",
        "__init__",
    },
    "server": {
        "api",
        "background",
        "batch",
        "config",
        "core",
        "engines",
        "files",
        "frames",
        "pipeline",
        "planning",
        "testing",
        "tokenizers",
        "__init__",
    },
    "client": {"core", "files", "__init__"},
    "sweep": {"core", "engines", "files", "frames", "testing", "tokenizers", "__init__"},
    "doctor": {"api", "core", "engines", "testing", "tokenizers"},
    "cli": {
        "*",
    },
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
}


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
    allowed = MAY_IMPORT[here] | {here, "errors"}
    for name in imported(ast.parse(path.read_text())):
        if not name.startswith("promptlift."):
            continue
        part = name.split(".")[1]
        there = part if (ROOT / part).is_dir() or (ROOT / f"{part}.py").exists() else "__init__"
        assert "*" in allowed or there in allowed, f"{here} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda p: p.stem)
def test_core_is_pure(path: Path) -> None:
    """The core imports nothing but the standard library, pydantic and itself, and no I/O."""
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
        assert top in {*sys.stdlib_module_names, "pydantic", "promptlift"}, name
        assert top not in barred, name


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    """``import promptlift`` is free: every name is loaded on first use."""
    assert not loaded_by("import promptlift") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    """``promptlift --help`` loads click and no more."""
    code = (
        "import contextlib, io\n"
        "from promptlift.cli.main import _run\n"
        "with contextlib.redirect_stdout(io.StringIO()): _run(['--help'])"
    )
    assert not loaded_by(code) & HEAVY


def test_planning_a_size_never_loads_the_decoder() -> None:
    """The budget of a bare size is arithmetic: no PyAV, no NumPy, no pydantic."""
    code = "import promptlift\npromptlift.plan(promptlift.Size(1280, 720), 'x')"
    assert not loaded_by(code) & {"av", "numpy", "PIL", "pydantic", "mistral_common"}


def test_a_server_never_loads_the_decoder() -> None:
    """It has children for videos; in itself PyAV would be 16 MiB for nothing."""
    pytest.importorskip("fastapi")
    assert "av" not in loaded_by("import promptlift.server.serving, promptlift.server.page")


def test_every_public_name_is_there() -> None:
    """Each name in ``__all__`` can be had, and ``dir`` shows exactly those."""
    for name in promptlift.__all__:
        assert getattr(promptlift, name) is not None
    assert sorted(dir(promptlift)) == sorted(promptlift.__all__)
    with pytest.raises(AttributeError, match="no attribute 'upsampel'"):
        _ = promptlift.upsampel
