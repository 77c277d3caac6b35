"""Is this answer fit to use? All checks, in order, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.review.checks import (
    artefact,
    cut,
    empty,
    has_words,
    keywords,
    language,
    length,
    loop,
    unfinished,
)
from promptlift.review.claims import compare
from promptlift.review.clean import THOUGHTS, Cleaned, clean, thought_tags, well_formed
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
from promptlift.review.talk import Flaw, meta, refusal, second_person, thinking
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
    "understand",
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
        finish_reason: Why the engine ended, in its own word: ``stop``, ``max_tokens``, ``SAFETY``.
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
    cleaned = clean(text, request.text, target)
    text = cleaned.text
    claims: tuple[Claim, ...] = ()
    findings: list[Finding] = []

    def find(name: CheckName, problem: Flaw | None, severity: Severity = "error") -> None:
        if problem:
            message, span = problem
            findings.append(Finding(name=name, severity=severity, message=message, span=span))

    find("empty", empty(text, wanted))
    if ended := unfinished(finish_reason):
        find(*ended)
    if has_words(text):
        find("cut", cut(text) if ended is None else None)
        refused = refusal(text)
        find("refusal", refused)
        if cleaned.tangled:
            find("meta", Flaw("wrapped too deeply to be cleaned"))
        elif not refused:
            thought = thinking(text, wanted)
            find("thinking", thought)
            find("meta", None if thought else meta(text, wanted))
        find("meta", second_person(text, wanted), "warning")
        find("meta", None if target.style == "last tags" else keywords(text), "warning")
        find("language", language(text, request, target))
        find("loop", loop(text))
        tokens = estimate_tokens(text, target) if count_tokens is None else count_tokens(text)
        note = f"{tokens} of {target.limit} {target.unit}"
        note += ", estimated" if count_tokens is None else ""
        find("too_long", Flaw(note), "error" if tokens > target.limit else "info")
        find("length", length(text, target), "warning")
        if not refused and not thought_tags(text):
            claims, compared = compare(request, text, facts)
            findings += compared
        find("artefact", artefact(text, wanted, control or _kind(facts)))
    checks = tuple(_check(name, findings, cleaned) for name in CHECKS)
    return Review(
        verdict=verdict_of(checks),
        text=text,
        checks=checks,
        findings=tuple(findings),
        claims=claims,
    )


def _kind(facts: Facts | None) -> Kind | None:
    return facts.kind.value if facts and facts.kind else None


def _check(name: CheckName, findings: list[Finding], cleaned: Cleaned) -> Check:
    removed = ""
    if name == "thinking" and THOUGHTS in cleaned.removed:
        removed = "took off " + THOUGHTS
    if name == "meta" and (others := [kind for kind in cleaned.removed if kind != THOUGHTS]):
        removed = "took off " + ", ".join(others)
    if name == "language" and cleaned.invisible:
        removed = f"took out {cleaned.invisible} invisible characters"
    own = [finding for finding in findings if check_of(finding.name) == name]
    return Check(
        name=name,
        passed=all(finding.severity != "error" for finding in own),
        repaired=bool(removed),
        detail="; ".join([*(finding.message for finding in own), *filter(None, [removed])]),
    )
