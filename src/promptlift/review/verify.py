"""Second opinion on an answer: a model is asked about each claim, and says yes, no or unclear.

It stands beside the review and never changes its verdict. Every question is put so that yes
speaks for the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from promptlift.review.result import Claim, ClaimKind
from promptlift.text import counted

__all__ = [
    "SYSTEM",
    "Answer",
    "Question",
    "Verification",
    "agreement",
    "answer_schema",
    "parse_answers",
    "questions_about",
    "verification_text",
]

Answer = Literal["yes", "no", "unclear"]

SYSTEM: Final = """\
You check a prompt for a video generator against the short request that it was written from. \
Answer with one JSON object that has the number of each question, and yes, no or unclear, such as \
{"1": "yes", "2": "no"}. Other words for the same thing count as the same. Write nothing else."""

_MOST_QUESTIONS = 40
_ADDED = "Is this in the request or to be seen in the frames: {words}?"
_OF_KIND: dict[ClaimKind, str] = {
    "object": "Is this in the prompt, by this or another name: {words}?",
    "color": "Does the prompt give this the same color as the request: {words}?",
    "number": "Does the prompt have as many of this as the request: {words}?",
    "relation": "Are things placed in the prompt as the request says: {words}?",
    "action": "Does this happen in the prompt: {words}?",
    "order": "Do things happen in the prompt in this order: {words}?",
    "negation": "Is the prompt free of what the request excludes: {words}?",
    "quote": "Is this text in the prompt, letter by letter: {words}?",
    "name": "Is this name in the prompt: {words}?",
    "edit": "Does the prompt describe the video as it is after this change: {words}?",
    "camera": "Does the camera do in the prompt what the request says: {words}?",
    "time": "Is the time, the weather or the season in the prompt as in the request: {words}?",
    "style": "Does the prompt ask for this look: {words}?",
    "person": "Is this person in the prompt: {words}?",
    "event": "Does this happen in the prompt: {words}?",
}
# Where the request names nothing that can be asked about one by one.
_WHOLE = "Does the prompt describe what the request asks for?"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(_Model):
    """One question to the judge, and its answer.

    Attributes:
        kind: The kind of claim that it is about; None for the prompt as a whole.
        claim: The words that it is about: the request's, or the prompt's for what was added.
        question: As it was put.
        answer: ``unclear`` also where the judge gave none.
    """

    kind: ClaimKind | None
    claim: str
    question: str
    answer: Answer = "unclear"


class Verification(_Model):
    """What a model said of the prompt; no part of the review's verdict.

    Attributes:
        engine: Name of the judge's engine.
        model: Name of the judge's model.
        saw_frames: Whether the judge was shown the frames.
        questions: In the order of the claims.
        agreed: Whether every answer is yes; None where none is no and some are unclear.
        error: Why there are no answers; empty where there are.
    """

    engine: str
    model: str
    saw_frames: bool = False
    questions: tuple[Question, ...] = ()
    agreed: bool | None = None
    error: str = ""

    @property
    def summary(self) -> str:
        """What the judge said, in one line."""
        who = f"{self.engine} {self.model}".strip() or "the judge"
        if self.error:
            return f"not verified by {who}: {self.error}"
        yes = sum(one.answer == "yes" for one in self.questions)
        line = f"verified by {who}: yes to {yes} of {counted(len(self.questions), 'question')}"
        for answer in ("no", "unclear"):
            about = [one.claim or "all of it" for one in self.questions if one.answer == answer]
            line += f"; {answer}: {', '.join(about)}" if about else ""
        return line


def questions_about(claims: Sequence[Claim], *, frames: bool) -> tuple[Question, ...]:
    """A question for each thing that the request asks for and, with frames, that was added.

    Args:
        claims: See `promptlift.review.result.Review.claims`.
        frames: Whether the judge is shown the frames; without them nobody can say whether what
            was added is there.
    """
    made: dict[str, Question] = {}
    edits = [claim.said_span for claim in claims if claim.kind == "edit" and claim.said_span]
    for claim in claims:
        is_added, span = claim.status == "added", claim.said_span
        # The verb of an order to change something is nothing that happens.
        in_edit = claim.kind == "action" and span and any(a <= span[0] < b for a, b in edits)
        if in_edit or claim.kind == "scene" or (is_added and not frames):
            continue
        words = claim.found if is_added else claim.said
        text = (_ADDED if is_added else _OF_KIND[claim.kind]).format(words=_quoted(words))
        made.setdefault(text, Question(kind=claim.kind, claim=words, question=text))
    if all(claim.status == "added" or claim.kind == "scene" for claim in claims):
        made[_WHOLE] = Question(kind=None, claim="", question=_WHOLE)
    return tuple(made.values())[:_MOST_QUESTIONS]


def verification_text(short_prompt: str, prompt: str, questions: Sequence[Question]) -> str:
    """The user turn that puts the questions."""
    lines = [f"{number}. {one.question}" for number, one in enumerate(questions, 1)]
    return "\n".join(
        [
            f"Request: {short_prompt or 'describe what is there'}",
            f"Prompt: {prompt}",
            "Questions:",
            *lines,
        ]
    )


def answer_schema(questions: Sequence[Question]) -> dict[str, object]:
    """JSON schema of the judge's answer: an object with the answer to each number."""
    numbers = [str(number) for number in range(1, len(questions) + 1)]
    answer = {"type": "string", "enum": ["yes", "no", "unclear"]}
    return {
        "type": "object",
        "properties": dict.fromkeys(numbers, answer),
        "required": numbers,
        "additionalProperties": False,
    }


_PAIR = re.compile(r'"(\d{1,2})"\s*:\s*"(yes|no|unclear)\b[^"\n]{0,2}"', re.IGNORECASE)
_LINE = re.compile(
    r"^[\s*_#>-]*(\d{1,2})[\s*_]*[.):]?[\s*_]+(yes|no|unclear)\b(?=[\s*_.!]*$|[\s*_]*[,;:(.—–-])",
    re.IGNORECASE | re.MULTILINE,
)
_END_OF_THINKING = re.compile(r"(?:/think\w*|/thought|/reasoning)\W{0,3}[>\]▷]", re.IGNORECASE)


def parse_answers(text: str, questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions with their answers.

    Args:
        text: What the judge wrote: JSON as in `answer_schema`, whole or cut, or lines such as
            ``1. yes``, after its thinking if it shows any.
        questions: As they were put.

    Returns:
        ``unclear`` for a question without an answer, or with two that differ.
    """
    found: dict[int, set[str]] = {}
    said = _END_OF_THINKING.split(text)[-1]
    for pattern in (_PAIR, _LINE):
        for one in pattern.finditer(said):
            found.setdefault(int(one[1]), set()).add(one[2].lower())
    answers = []
    for number, question in enumerate(questions, 1):
        given = found.get(number, set())
        answer = next(iter(given)) if len(given) == 1 else "unclear"
        answers.append(question.model_copy(update={"answer": answer}))
    return tuple(answers)


def agreement(questions: Sequence[Question]) -> bool | None:
    """Whether a judge that gave these answers agrees; None where it does not say."""
    answers = {question.answer for question in questions}
    if "no" in answers:
        return False
    return None if "unclear" in answers or not answers else True


def _quoted(words: str) -> str:
    return words if words[:1] in '"“«「『' else f'"{words}"'
