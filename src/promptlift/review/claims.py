"""What became of each thing that the user asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.review.faithful import unfaithful
from promptlift.review.result import Claim, Finding

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.review.request import UserRequest

__all__ = ["compare"]


def compare(
    request: UserRequest, text: str, facts: Facts | None = None
) -> tuple[tuple[Claim, ...], tuple[Finding, ...]]:
    """Compare a cleaned answer with the user's words and with what was measured.

    Returns:
        A claim for each thing that was asked for or added, and a finding for each that matters.
    """
    problem, note = unfaithful(text, request.text, facts)
    findings = [Finding(name="unfaithful", severity="error", message=problem)] if problem else []
    if note:
        findings.append(Finding(name="unfaithful", severity="info", message=note))
    return (), tuple(findings)
