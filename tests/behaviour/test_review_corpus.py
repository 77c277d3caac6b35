"""The labelled corpus: what must pass, what must be repaired and what must be rejected, and why.

The files are in ``tests/corpus``, one case a line. Every case was written for this project.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.facts import Camera, Confident, Facts
from promptlift.review import Review, review
from promptlift.targets import DEFAULT_TARGET, target

_CORPUS = Path(__file__).parents[1] / "corpus"


def _cases(name: str) -> list[Any]:
    lines = (_CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [
        pytest.param(case, id=f"{number}-{case.get('what') or case.get('fails') or 'good'}")
        for number, case in enumerate(map(json.loads, lines), start=1)
    ]


def _review(case: dict[str, Any]) -> Review:
    camera = case.get("camera")
    facts = (
        Facts(camera=Confident[Camera](value=Camera(moves=(camera,)), confidence=0.9))
        if camera
        else None
    )
    return review(
        case["answer"],
        finish_reason=case.get("finish", "stop"),
        short_prompt=case["prompt"],
        target=target(case.get("target", DEFAULT_TARGET)),
        facts=facts,
        control=case.get("control"),
    )


@pytest.mark.parametrize("case", _cases("good.jsonl"))
def test_a_good_answer_is_ok_and_unchanged(case: dict[str, Any]) -> None:
    """An answer that a person would use passes every check and comes back as it was."""
    result = _review(case)
    assert [check for check in result.checks if not check.passed] == []
    assert result.verdict == "ok"
    assert result.text == case["answer"]


@pytest.mark.parametrize("case", _cases("bad.jsonl"))
def test_a_bad_answer_fails_the_check_that_names_its_fault(case: dict[str, Any]) -> None:
    """A bad answer is rejected, and the check of its fault is among those that failed."""
    result = _review(case)
    assert result.verdict == "rejected"
    assert case["fails"] in result.failed
    assert next(check.detail for check in result.checks if check.name == case["fails"])


@pytest.mark.parametrize("case", _cases("repaired.jsonl"))
def test_a_wrapped_answer_is_unwrapped(case: dict[str, Any]) -> None:
    """Wrapping that can be taken off safely is, and the verdict says so."""
    result = _review(case)
    assert result.text == case["text"]
    assert result.verdict == "repaired"
    assert any(check.repaired and check.detail for check in result.checks)
