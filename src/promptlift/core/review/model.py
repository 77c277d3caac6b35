"""What a review says: the checks by name, and the verdict that follows from them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

__all__ = ["CHECKS", "Check", "CheckName", "Review", "Verdict", "verdict_of"]

Verdict = Literal["ok", "repaired", "rejected"]
CheckName = Literal[
    "empty",
    "cut",
    "refusal",
    "meta",
    "language",
    "loop",
    "too_long",
    "unfaithful",
    "artefact",
]
CHECKS: tuple[CheckName, ...] = get_args(CheckName)


class Check(BaseModel):
    """The outcome of one named check.

    Attributes:
        name: Which check.
        passed: Whether the cleaned text is free of what the check looks for.
        repaired: Whether cleaning took something away that the check looks for.
        detail: What was found, or why nothing could be checked; empty where all is well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: CheckName
    passed: bool
    repaired: bool = False
    detail: str = ""


class Review(BaseModel):
    """What was made of one answer.

    Attributes:
        verdict: ``ok`` (fit for use, unchanged), ``repaired`` (fit for use once cleaned) or
            ``rejected`` (at least one check failed).
        text: The cleaned answer; the answer itself where the verdict is ``ok``.
        checks: Every check in the order of `CHECKS`, passed or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Verdict
    text: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[CheckName, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)


def verdict_of(checks: tuple[Check, ...]) -> Verdict:
    """Draw the verdict from the checks."""
    if not all(check.passed for check in checks):
        return "rejected"
    return "repaired" if any(check.repaired for check in checks) else "ok"
