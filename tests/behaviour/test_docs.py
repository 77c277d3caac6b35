"""The documentation tells the truth: what is generated is fresh, what is linked is there."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from promptlift.cli.main import cli

ROOT = Path(__file__).parents[2]
# Numbers that are names, or that say where something stands.
NAMES = re.compile(
    r"720p|1080p|\.mp4|16:9|\d+x\d+|H\.264|vLLM 0\.\d+|[Tt]ransfer1|example1_input_video"
    r"|lines 50-63|--frames \d|columns \+ 1|why-720p-fails|why_720p"
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks/README.md"]


@cache
def script(name: str) -> ModuleType:
    """A script that writes pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands.md", "errors.md", "targets.md", "record.schema.json"])
def test_the_reference_is_fresh(name: str) -> None:
    """Each generated page is what ``python docs/generate.py`` would write now."""
    made = script("generate").PAGES[name]()
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


# ---- the page that says why 720p fails


def test_the_page_about_720p_is_fresh_and_found() -> None:
    """It is what its script would write now, with the measured numbers and vLLM's own messages."""
    why = script("why_720p")
    page = why.PAGE.read_text(encoding="utf-8")
    assert page == why.page()
    for known in (
        *("4,685", "2,465", "2,479", "4699", "8,320", "160 KiB", "640 MiB", "1.41 GiB"),
        "| 640x480 | 1,230 | 2,465 | 1,631 | passes | 640x480 | 2,465 |",
        "maximum context length is 4096 tokens",
        "decoder prompt (length 4699) is longer than the maximum model length of 4096",
        "4699 in the messages, 300 in the completion",
    ):
        assert known in page


def test_the_template_has_no_number_of_its_own() -> None:
    """What is not a name is computed: outside the places for values there is no digit."""
    text = re.sub(r"{{\w+}}", "", script("why_720p").TEMPLATE.read_text(encoding="utf-8"))
    text = re.sub(r"(?m)^\d\. ", "", text)  # the numbers of a list
    assert re.findall(r".*\d.*", NAMES.sub("", text)) == []


def test_the_sentence_about_the_picture_is_true() -> None:
    """Its text for those who do not see it: up to 896x504 all pass, from 960x704 on all fail."""
    verdicts = {str(row.size): row.verdict for row in script("why_720p").rows()}
    names = list(verdicts)
    first_fail = names.index("960x704")
    assert names.index("896x504") == first_fail - 1
    assert {verdicts[name] for name in names[:first_fail]} == {"passes"}
    assert {verdicts[name] for name in names[first_fail:]} == {"fails"}
