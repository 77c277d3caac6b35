"""The documentation tells the truth: what is generated is fresh, what is linked is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from promptlift.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks/README.md"]


def generator() -> ModuleType:
    """The script that writes the reference."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands.md", "errors.md", "targets.md", "record.schema.json"])
def test_the_reference_is_fresh(name: str) -> None:
    """Each generated page is what ``python docs/generate.py`` would write now."""
    made = generator().PAGES[name]()
    assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == made


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the documentation names a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_budget_is_what_the_command_prints() -> None:
    """The table in the README is the command's own output."""
    printed = CliRunner().invoke(cli, ["budget", "1280x720", "--prompt", "Test prompt"]).stdout
    table = printed.split("\n\n")[0]
    assert "1280x720" in table
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
