"""The labelled data that the benchmark ships with keeps what it promises."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

from promptlift.targets import TARGET_NAMES, all_targets

ERRORS = {"color", "number", "relation", "negation", "edit", "quote", "camera", "scene"}
ERRORS |= {"cut", "refusal", "thinking", "loop", "meta", "language"}
FORMS = {"empty", "cut", "refusal", "thinking", "meta", "language", "loop"}
FORMS |= {"too_long", "length", "artefact", "quote"}
CLASSES = {"color": 60, "number": 60, "relation": 50, "action_order": 40, "negation": 40}
CLASSES |= {"text": 45, "camera": 35, "edit": 50, "scene_terms": 50}
FINDINGS = {"color": 90, "number": 70, "relation": 50, "negation": 50, "edit": 55, "quote": 50}
FINDINGS |= {"camera": 35, "object": 90, "scene": 150, "person": 25, "event": 25, "order": 20}
LANGUAGES = {"en": 240, "de": 12, "fr": 12, "es": 12, "zh": 12, "ja": 12}


def _lines(name: str) -> list[dict[str, Any]]:
    text = files("promptlift").joinpath("bench_data", name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


REQUESTS = _lines("requests.jsonl")
CONTROLS = _lines("controls.jsonl")


def test_every_class_language_and_defect_has_its_share() -> None:
    """A figure of the benchmark rests on as many lines as its documents say."""
    classes = Counter(name for line in REQUESTS for name in line["classes"])
    languages = Counter(line["language"] for line in REQUESTS)
    findings = Counter(each["finding"] for line in REQUESTS for each in line["defects"])
    for counts, least in ((classes, CLASSES), (languages, LANGUAGES), (findings, FINDINGS)):
        assert {name: counts[name] for name in least if counts[name] < least[name]} == {}


def test_no_line_repeats_another() -> None:
    """Ids and short prompts are unique, and long ones are not written by formula."""
    for name in ("id", "short"):
        assert len({line[name].lower() for line in REQUESTS}) == len(REQUESTS) >= 300
    openings = (re.sub(r"^The video \w+ ", "", good) for line in REQUESTS for good in line["good"])
    assert max(Counter(" ".join(text.lower().split()[:4]) for text in openings).values()) <= 3


def test_every_defect_can_be_made() -> None:
    """Each replacement finds its words in the good answer and changes it."""
    ids = {line["id"] for line in REQUESTS}
    for line in REQUESTS:
        assert line["target"] in TARGET_NAMES
        for defect in line["defects"]:
            story = len(line["short"].split()) > 55 and defect["severity"] == "warning"
            assert story or (defect["severity"] == "error") == (defect["finding"] in ERRORS)
            text = line["good"][0]
            for old, new in defect.get("replace", ()):
                assert old in text, (line["id"], old)
                text = text.replace(old, new)
            assert text != line["good"][0] or "text" in defect or defect["other"] in ids


def test_controls_cover_every_target_and_form() -> None:
    """Each target has an example, most have more, and each form has one with its defect."""
    passing = Counter(line["target"] for line in CONTROLS if not line["findings"])
    passing += Counter(goal.name for goal in all_targets() for _ in goal.examples)
    assert set(passing) == set(TARGET_NAMES)
    assert {name for line in CONTROLS for name in line["findings"]} == FORMS
