"""Is this answer fit to use? All checks, in order, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptlift.review.camera import camera_mentions
from promptlift.review.checks import (
    artefact,
    cut,
    empty,
    has_words,
    keywords,
    language,
    length,
    loop,
    nearly_equal,
    unfinished,
)
from promptlift.review.claims import compare, style_claim
from promptlift.review.clean import Cleaned, clean_answer, thought_tags, well_formed
from promptlift.review.request import understand
from promptlift.review.result import (
    CHECKS,
    Check,
    CheckName,
    Claim,
    Finding,
    FindingName,
    Review,
    Severity,
    TextSpan,
    check_of,
    verdict_of,
)
from promptlift.review.talk import Flaw, meta, refusal, second_person, thinking
from promptlift.targets import Target, estimate_tokens
from promptlift.targets.documents import ParsedDocument, document_form
from promptlift.tokens import CountText

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.review.request import UserRequest
    from promptlift.types import Creativity, Kind

__all__ = ["review"]


def review(
    text: str,
    *,
    finish_reason: str,
    short_prompt: str,
    target: Target,
    count_tokens: CountText | None = None,
    facts: Facts | None = None,
    control: Kind | None = None,
    creativity: Creativity = "medium",
    style: str = "",
    others: Iterable[str] = (),
    camera_apart: bool = False,
    document: ParsedDocument | None = None,
    original: str | None = None,
) -> Review:
    """Review an answer by every check, after cleaning it where that is safe.

    Of a document, what it says in sentences is compared with the request; what is for prose only,
    such as its length in words, is not checked.

    Args:
        text: The answer, as the engine gave it.
        finish_reason: Why the engine ended, in its own word: ``stop``, ``max_tokens``, ``SAFETY``.
        short_prompt: The user's words; blank for "describe", to which any answer is faithful.
        target: The generator that the prompt is for.
        count_tokens: The target's own tokenizer; None to estimate its count from above.
        facts: What was measured; None if nothing was.
        control: The kind of control video that was shown to the engine; None to go by the facts.
        creativity: How much may be added: ``low`` makes an addition an error, ``high`` a remark.
        style: The style that the user asks for besides; empty for none.
        others: Other variations of the prompt, to which it must not be nearly equal.
        camera_apart: Whether the text may say nothing of the camera but what the user says.
        document: What was read out of the answer, where the target's prompts are documents; None
            to read it as a prompt that somebody wrote.
        original: Where the short prompt is a finished prompt that is said again, the user's words
            that it was made of: the answer is compared with them as well, the claims are theirs,
            and to say no more than the finished prompt is no fault.

    Returns:
        The verdict, the cleaned text, and every check.
    """
    request = understand(well_formed(short_prompt))
    asked = _Asked(
        request=request,
        words=" ".join(request.text.split()),
        target=target,
        count_tokens=count_tokens,
        facts=facts,
        control=control or (facts.kind.value if facts and facts.kind else None),
        creativity=creativity,
        style=style,
        others=tuple(others),
        camera_apart=camera_apart,
        original=original,
    )
    if form := document_form(target):
        return _review_document(document or form.check(well_formed(text)), finish_reason, asked)
    return _review_prose(clean_answer(text, request.text, target), finish_reason, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What an answer is judged by; see `review`. `words` are the short prompt in one line."""

    request: UserRequest
    words: str
    target: Target
    count_tokens: CountText | None
    facts: Facts | None
    control: Kind | None
    creativity: Creativity
    style: str
    others: tuple[str, ...]
    camera_apart: bool
    original: str | None

    def token_count(self, text: str) -> tuple[Flaw, Severity]:
        """What a text costs the target, and whether that is too much."""
        target, count = self.target, self.count_tokens
        tokens = estimate_tokens(text, target) if count is None else count(text)
        note = f"{tokens} of {target.limit} {target.unit}{', estimated' if count is None else ''}"
        if target.max_characters and len(text) > target.max_characters:
            note = f"{len(text):,} of {target.max_characters:,} characters"
            return Flaw(note), "error"
        return Flaw(note), "error" if tokens > target.limit else "info"

    def repetition(self, text: str) -> Flaw | None:
        """That a text is nearly the same as another variation."""
        if not any(nearly_equal(text, other) for other in self.others):
            return None
        what = (
            "The text is nearly the same as another variation; choose other light, setting and "
            "details where the request leaves them open."
        )
        return Flaw(what, (0, len(text)))

    def camera_fault(self, text: str) -> Flaw | None:
        """That a text moves the camera, or is silent of it, against what the target wants."""
        wanted, mentions = self.target.camera, camera_mentions(text)
        if wanted == "required" and not mentions:
            return Flaw(
                f"The text says nothing of the camera; {self.target.name} wants to be told."
            )
        measured = self.facts is not None and self.facts.camera is not None
        if wanted != "only asked" or self.request.camera or measured:
            return None
        for span, move in mentions:
            if move != "static":
                what = "The camera moves, which was neither asked for nor measured"
                return Flaw(f"{what}; {self.target.name} wants no motion invented.", span)
        return None

    def compared(self, text: str) -> tuple[tuple[Claim, ...], list[Finding]]:
        """What a text makes of the request and the style; additions are as severe as is wanted."""
        claims, compared = compare(self.request, text, self.facts, camera_apart=self.camera_apart)
        findings = list(compared)
        if self.creativity != "medium":
            added = {(claim.kind, claim.found_span) for claim in claims if claim.status == "added"}
            severity: Severity = "error" if self.creativity == "low" else "info"
            findings = [
                finding.model_copy(update={"severity": severity})
                if (finding.name, finding.span) in added
                else finding
                for finding in findings
            ]
        if self.original is not None:
            request = understand(well_formed(self.original))
            claims, more = compare(request, text, self.facts, camera_apart=self.camera_apart)
            spans = {claim.found_span for claim in claims if claim.status == "added"}
            findings += [one for one in more if one.span not in spans and one not in findings]
        if self.style and (claim := style_claim(self.style, text)):
            claims += (claim,)
            if claim.status == "missing":
                message = f"The style {self.style!r} is asked for; the text does not name it."
                findings.append(Finding(name="style", severity="warning", message=message))
        return claims, findings


class _Findings(list[Finding]):
    """Findings, to which flaws of a text are added; `place` finds their places in the whole."""

    def __init__(self, place: Callable[[TextSpan | None], TextSpan | None] = lambda span: span):
        super().__init__()
        self._place = place

    def find(self, name: FindingName, flaw: Flaw | None, severity: Severity = "error") -> None:
        """Add a flaw, if there is one."""
        if flaw:
            message, span = flaw
            where = self._place(span)
            self.append(Finding(name=name, severity=severity, message=message, span=where))


def _review_prose(cleaned: Cleaned, finish_reason: str, asked: _Asked) -> Review:
    text, target = cleaned.text, asked.target
    claims: tuple[Claim, ...] = ()
    findings = _Findings()
    find = findings.find
    find("empty", empty(text, asked.words if asked.original is None else ""))
    if ended := unfinished(finish_reason):
        find(*ended)
    if has_words(text):
        find("cut", cut(text) if ended is None else None)
        refused = refusal(text)
        find("refusal", refused)
        if cleaned.tangled:
            find("meta", Flaw("wrapped too deeply to be cleaned"))
        elif not refused:
            thought = thinking(text, asked.words)
            find("thinking", thought)
            find("meta", None if thought else meta(text, asked.words))
        find("meta", second_person(text, asked.words), "warning")
        find("meta", None if target.style == "last tags" else keywords(text), "warning")
        find("language", language(text, asked.request, target))
        find("loop", loop(text))
        find("too_long", *asked.token_count(text))
        find("length", length(text, target), "warning")
        if not refused and not thought_tags(text):
            claims, compared = asked.compared(text)
            findings += compared
            find("scene", asked.repetition(text))
            find("camera", asked.camera_fault(text), "warning")
        find("artefact", artefact(text, asked.words, asked.control))
    checks = tuple(_check(name, findings, _removed(name, cleaned)) for name in CHECKS)
    return _made(text, checks, findings, claims)


def _review_document(document: ParsedDocument, finish_reason: str, asked: _Asked) -> Review:
    prose, place = document.prose, document.place
    claims: tuple[Claim, ...] = ()
    findings = _Findings(place)
    findings += document.findings
    find = findings.find
    if ended := unfinished(finish_reason):
        find(*ended)
    if not document.data:
        flaw = refusal(document.text)
        ended = ended or (("refusal", flaw) if flaw else None)
        if ended:  # which is why it cannot be read
            findings.clear()
            find(*ended)
    elif not has_words(prose):
        find("empty", Flaw("no words"))
    else:
        find("refusal", refusal(prose))
        find("language", language(prose, asked.request, asked.target))
        for start, end in document.passages:
            if flaw := loop(prose[start:end]):
                find("loop", flaw._replace(span=(start, end)))
                break
        find("too_long", *asked.token_count(document.as_read or document.text))
        claims, compared = asked.compared(prose)
        claims = tuple(
            claim.model_copy(update={"found_span": place(claim.found_span)}) for claim in claims
        )
        findings += [one.model_copy(update={"span": place(one.span)}) for one in compared]
        findings += _lost_lettering(claims, document)
        find("scene", asked.repetition(prose))
        find("artefact", artefact(prose, asked.words, asked.control))
    removed = f"took off {', '.join(document.removed)}" if document.removed else ""
    checks = tuple(_check(name, findings, removed if name == "form" else "") for name in CHECKS)
    return _made(document.text, checks, findings, claims)


def _made(
    text: str, checks: tuple[Check, ...], findings: list[Finding], claims: tuple[Claim, ...]
) -> Review:
    return Review(
        verdict=verdict_of(checks),
        text=text,
        checks=checks,
        findings=tuple(findings),
        claims=claims,
    )


def _lost_lettering(claims: tuple[Claim, ...], document: ParsedDocument) -> Iterator[Finding]:
    """Quotations that the document has, but not where the generator takes letters from."""
    for claim in claims:
        if claim.kind == "quote" and claim.status != "missing":
            words = claim.said[1:-1].rstrip(".,")
            if not any(words in one for one in document.lettering):
                message = f"The request says {claim.said}; it is in none of the texts to be read."
                yield Finding(
                    name="quote", severity="error", message=message, span=claim.found_span
                )


def _removed(name: CheckName, cleaned: Cleaned) -> str:
    """What cleaning took off that a check looks for, in words."""
    if name == "thinking" and "thoughts" in cleaned.removed:
        return "took off thoughts"
    if name == "meta" and (others := [kind for kind in cleaned.removed if kind != "thoughts"]):
        return "took off " + ", ".join(others)
    if name == "language" and cleaned.invisible:
        return f"took out {cleaned.invisible} invisible characters"
    return ""


def _check(name: CheckName, findings: list[Finding], removed: str) -> Check:
    own = [finding for finding in findings if check_of(finding.name) == name]
    return Check(
        name=name,
        passed=all(finding.severity != "error" for finding in own),
        repaired=bool(removed),
        detail="; ".join([*(finding.message for finding in own), *filter(None, [removed])]),
    )
