"""Tests of behaviour use what a user of the library may use, so that rooms can be rebuilt."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SEALED = ("behaviour", "contract", "fault", "parity")
FILES = sorted(path for folder in SEALED for path in (TESTS / folder).rglob("*.py"))

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


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The modules of the package that a file imports, and the names from each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_only_public_names_are_imported(path: Path) -> None:
    """Names that the package or a room exports, and the exceptions."""
    for module, name in imported(path):
        depth = module.count(".")
        if not module.startswith("promptlift") or f"{module}.{name}" in EXCEPTIONS:
            continue
        if module in EXCEPTIONS or depth == 0:
            continue
        room = import_module(module)
        assert depth == 1, f"{module} is inside a room"
        assert not name or name in room.__all__, f"{module} does not export {name}"
