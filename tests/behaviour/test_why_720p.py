"""The page that says why 720p fails: fresh, and without a number that nobody computed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# Numbers that are names, or that say where something stands.
NAMES = re.compile(
    r"720p|1080p|\.mp4|16:9|\d+x\d+|H\.264|vLLM 0\.\d+|[Tt]ransfer1|example1_input_video"
    r"|lines 50-63|--frames \d|columns \+ 1|why-720p-fails|why_720p"
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("why_720p", DOCS / "why_720p.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(script: ModuleType) -> str:
    """The page as it lies there."""
    return str(script.PAGE.read_text(encoding="utf-8"))


def test_the_page_is_fresh(script: ModuleType, page: str) -> None:
    """It is what ``python docs/why_720p.py`` would write now."""
    assert page == script.page()


def test_the_template_has_no_number_of_its_own(script: ModuleType) -> None:
    """What is not a name is computed: outside the places for values there is no digit."""
    text = re.sub(r"{{\w+}}", "", script.TEMPLATE.read_text(encoding="utf-8"))
    text = re.sub(r"(?m)^\d\. ", "", text)  # the numbers of a list
    assert re.findall(r".*\d.*", NAMES.sub("", text)) == []


def test_the_known_numbers_are_there(page: str) -> None:
    """What was measured with the real class and the real engine is what the page says."""
    for known in ("4,685", "2,465", "2,479", "4699", "8,320", "160 KiB", "640 MiB", "1.41 GiB"):
        assert known in page
    assert "| 640x480 | 1,230 | 2,465 | 1,631 | passes | 640x480 | 2,465 |" in page


def test_the_sentence_about_the_picture_is_true(script: ModuleType) -> None:
    """Its text for those who do not see it: up to 896x504 all pass, from 960x704 on all fail."""
    verdicts = {str(row.size): row.verdict for row in script.rows()}
    names = list(verdicts)
    first_fail = names.index("960x704")
    assert names.index("896x504") == first_fail - 1
    assert {verdicts[name] for name in names[:first_fail]} == {"passes"}
    assert {verdicts[name] for name in names[first_fail:]} == {"fails"}


@pytest.mark.parametrize(
    "error",
    [
        "maximum context length is 4096 tokens",
        "decoder prompt (length 4699) is longer than the maximum model length of 4096",
        "4699 in the messages, 300 in the completion",
    ],
)
def test_a_stuck_person_finds_it(page: str, error: str) -> None:
    """What vLLM prints stands on the page as one line, word for word."""
    assert error in page
