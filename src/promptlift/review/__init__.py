"""Is this answer fit to use? All checks, in order, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.review.checks import (
    NO_WORDS,
    artefact,
    cut,
    empty,
    language,
    loop,
    refusal,
)
from promptlift.review.claims import compare
from promptlift.review.clean import Cleaned, clean, leftover, well_formed
from promptlift.review.request import understand
from promptlift.review.result import (
    CHECKS,
    Check,
    CheckName,
    Claim,
    Finding,
    Review,
    Severity,
    Verdict,
    check_of,
    verdict_of,
)
from promptlift.targets import Target, estimate_tokens
from promptlift.tokens import CountText

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.types import Kind

__all__ = [
    "CHECKS",
    "Check",
    "CheckName",
    "Claim",
    "Cleaned",
    "Finding",
    "Review",
    "Verdict",
    "clean",
    "review",
]


def review(
    text: str,
    *,
    finish_reason: str,
    short_prompt: str,
    target: Target,
    count_tokens: CountText | None = None,
    facts: Facts | None = None,
    control: Kind | None = None,
) -> Review:
    """Review an answer by every check, after cleaning it where that is safe.

    Args:
        text: The answer, as the engine gave it.
        finish_reason: Why the engine ended: ``stop``, ``length`` or ``other``.
        short_prompt: The user's words; blank for "describe", to which any answer is faithful.
        target: The generator that the prompt is for.
        count_tokens: The target's own tokenizer; None to estimate its count from above.
        facts: What was measured; None if nothing was.
        control: The kind of control video that was shown to the engine; None to go by the facts.

    Returns:
        The verdict, the cleaned text, and every check.
    """
    request = understand(well_formed(short_prompt))
    wanted = " ".join(request.text.split())
    cleaned = clean(text, wanted)
    claims: tuple[Claim, ...] = ()
    findings: list[Finding] = []
    if problem := empty(cleaned.text, wanted):
        findings.append(_error("empty", problem))
    if problem != NO_WORDS:
        findings += _form(cleaned, finish_reason, wanted)
        findings += _length(cleaned.text, target, count_tokens)
        claims, compared = compare(request, cleaned.text, facts)
        findings += compared
        if problem := artefact(cleaned.text, wanted, control or _kind(facts)):
            findings.append(_error("artefact", problem))
    checks = tuple(_check(name, findings, cleaned) for name in CHECKS)
    return Review(
        verdict=verdict_of(checks),
        text=cleaned.text,
        checks=checks,
        findings=tuple(findings),
        claims=claims,
    )


def _form(cleaned: Cleaned, finish_reason: str, short_prompt: str) -> list[Finding]:
    text = cleaned.text
    problems: dict[CheckName, str] = {
        "cut": cut(text, finish_reason),
        "refusal": refusal(text),
        "meta": leftover(text, short_prompt),
        "language": language(text, short_prompt),
        "loop": loop(text),
    }
    if cleaned.tangled:
        problems["meta"] = "wrapped too deeply to be cleaned"
    return [_error(name, problem) for name, problem in problems.items() if problem]


def _error(name: CheckName, message: str) -> Finding:
    return Finding(name=name, severity="error", message=message)


def _kind(facts: Facts | None) -> Kind | None:
    return facts.kind.value if facts and facts.kind else None


def _length(text: str, target: Target, count: CountText | None) -> list[Finding]:
    tokens = estimate_tokens(text, target) if count is None else count(text)
    note = f"{tokens} of {target.limit} {target.unit}" + (", estimated" if count is None else "")
    severity: Severity = "error" if tokens > target.limit else "info"
    return [Finding(name="too_long", severity=severity, message=note)]


def _check(name: CheckName, findings: list[Finding], cleaned: Cleaned) -> Check:
    removed = ""
    if name == "meta" and cleaned.removed:
        removed = "took off " + ", ".join(cleaned.removed)
    if name == "language" and cleaned.invisible:
        removed = f"took out {cleaned.invisible} invisible characters"
    own = [finding for finding in findings if check_of(finding.name) == name]
    return Check(
        name=name,
        passed=all(finding.severity != "error" for finding in own),
        repaired=bool(removed),
        detail="; ".join([*(finding.message for finding in own), *filter(None, [removed])]),
    )
