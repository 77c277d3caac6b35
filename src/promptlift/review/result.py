"""What a review says: findings, checks, claims and a verdict."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict

__all__ = [
    "CHECKS",
    "CLAIM_KINDS",
    "FORM_FAULTS",
    "Check",
    "CheckName",
    "Claim",
    "ClaimKind",
    "ClaimStatus",
    "Finding",
    "FindingName",
    "FormFault",
    "Review",
    "Severity",
    "TextSpan",
    "Verdict",
    "check_of",
    "verdict_of",
]

Verdict = Literal["ok", "repaired", "rejected"]
Severity = Literal["error", "warning", "info"]
TextSpan: TypeAlias = tuple[int, int]
"""First character and the one after the last."""

CheckName = Literal[
    "empty",
    "cut",
    "refusal",
    "thinking",
    "meta",
    "language",
    "loop",
    "too_long",
    "length",
    "unfaithful",
    "artefact",
    "form",
]
CHECKS: tuple[CheckName, ...] = get_args(CheckName)

ClaimKind = Literal[
    "object",
    "color",
    "number",
    "relation",
    "action",
    "order",
    "negation",
    "quote",
    "name",
    "edit",
    "camera",
    "time",
    "style",
    "scene",
    "person",
    "event",
]
CLAIM_KINDS: tuple[ClaimKind, ...] = get_args(ClaimKind)
ClaimStatus = Literal["kept", "changed", "missing", "added"]

FormFault = Literal[
    "syntax",
    "missing_key",
    "unknown_key",
    "null",
    "wrong_type",
    "wrong_time",
    "late_end",
    "unordered",
    "video_format",
    "thin",
]
"""What may be wrong with the form of a prompt that is a document."""
FORM_FAULTS: tuple[FormFault, ...] = get_args(FormFault)

FindingName: TypeAlias = CheckName | ClaimKind | FormFault


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Model):
    """One thing that is wrong with an answer, or worth knowing of it.

    Attributes:
        name: The check, or the kind of claim, that it belongs to.
        severity: An ``error`` rejects the answer; a ``warning`` and an ``info`` are shown.
        message: What was found, for a person.
        span: Where in `Review.text`; None where it is nowhere, such as a lost word.
    """

    name: FindingName
    severity: Severity
    message: str
    span: TextSpan | None = None


class Check(_Model):
    """The outcome of one named check.

    Attributes:
        name: Which check.
        passed: Whether it has no error.
        repaired: Whether cleaning removed something that the check looks for.
        detail: Its findings and what was removed, for a person; empty where there is nothing.
    """

    name: CheckName
    passed: bool
    repaired: bool = False
    detail: str = ""


class Claim(_Model):
    """What became of one thing that the short prompt asks for, or what was added to it.

    Attributes:
        kind: What sort of thing.
        said: The words of the short prompt; empty for what was ``added``.
        found: The words of the answer; empty for what is ``missing``.
        status: What became of it.
        said_span: Where `said` stands in the short prompt as it was typed.
        found_span: Where `found` stands in `Review.text`.
    """

    kind: ClaimKind
    said: str
    found: str
    status: ClaimStatus
    said_span: TextSpan | None = None
    found_span: TextSpan | None = None


class Review(_Model):
    """What was made of one answer.

    Attributes:
        verdict: ``ok`` (fit for use, unchanged), ``repaired`` (fit for use once cleaned) or
            ``rejected`` (at least one finding is an error).
        text: The cleaned answer; the answer itself where the verdict is ``ok``.
        checks: Every check in the order of `CHECKS`, passed or not.
        findings: Errors, warnings and remarks.
        claims: What the short prompt asks for, one by one, and what was added.
    """

    verdict: Verdict
    text: str
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def failed(self) -> tuple[CheckName, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)


def check_of(name: FindingName) -> CheckName:
    """The check that a finding belongs to: every kind of claim belongs to ``unfaithful``."""
    if name in FORM_FAULTS:
        return "form"
    return "unfaithful" if name in CLAIM_KINDS else name  # type: ignore[return-value]


def verdict_of(checks: tuple[Check, ...]) -> Verdict:
    """Draw the verdict from the checks."""
    if not all(check.passed for check in checks):
        return "rejected"
    return "repaired" if any(check.repaired for check in checks) else "ok"
