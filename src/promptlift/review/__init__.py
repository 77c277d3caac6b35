"""Is this answer fit to use? All checks, in order, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.review.checks import (
    CHECKS,
    NO_WORDS,
    Check,
    CheckName,
    Review,
    Verdict,
    artefact,
    cut,
    empty,
    language,
    loop,
    refusal,
    verdict_of,
)
from promptlift.review.clean import Cleaned, clean, leftover, well_formed
from promptlift.review.faithful import unfaithful
from promptlift.targets import Target, estimate_tokens
from promptlift.tokens import CountText

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.types import Kind

__all__ = ["CHECKS", "Check", "CheckName", "Cleaned", "Review", "Verdict", "clean", "review"]


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
    wanted = " ".join(well_formed(short_prompt).split())
    cleaned = clean(text, wanted)
    outcomes = {"empty": (empty(cleaned.text, wanted), "")}
    if outcomes["empty"][0] != NO_WORDS:
        outcomes |= _content(cleaned.text, finish_reason, wanted, facts, control)
        if cleaned.tangled:
            outcomes["meta"] = ("wrapped too deeply to be cleaned", "")
        outcomes["too_long"] = _length(cleaned.text, target, count_tokens)
    checks = tuple(_check(name, *outcomes.get(name, ("", "")), cleaned) for name in CHECKS)
    return Review(verdict=verdict_of(checks), text=cleaned.text, checks=checks)


def _content(
    text: str, finish_reason: str, short_prompt: str, facts: Facts | None, control: Kind | None
) -> dict[str, tuple[str, str]]:
    return {
        "cut": (cut(text, finish_reason), ""),
        "refusal": (refusal(text), ""),
        "meta": (leftover(text, short_prompt), ""),
        "language": (language(text, short_prompt), ""),
        "loop": (loop(text), ""),
        "unfaithful": unfaithful(text, short_prompt, facts),
        "artefact": (artefact(text, short_prompt, control or _kind(facts)), ""),
    }


def _kind(facts: Facts | None) -> Kind | None:
    return facts.kind.value if facts and facts.kind else None


def _length(text: str, target: Target, count: CountText | None) -> tuple[str, str]:
    tokens = estimate_tokens(text, target) if count is None else count(text)
    note = f"{tokens} of {target.limit} {target.unit}" + (", estimated" if count is None else "")
    return (note, "") if tokens > target.limit else ("", note)


def _check(name: CheckName, problem: str, note: str, cleaned: Cleaned) -> Check:
    removed = ""
    if name == "meta" and cleaned.removed:
        removed = "took off " + ", ".join(cleaned.removed)
    if name == "language" and cleaned.invisible:
        removed = f"took out {cleaned.invisible} invisible characters"
    return Check(
        name=name,
        passed=not problem,
        repaired=bool(removed),
        detail="; ".join(part for part in (problem, note, removed) if part),
    )
