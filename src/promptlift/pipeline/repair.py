"""What an engine is asked after an answer was rejected.

A general model gets its answer back with what is wrong with it, in plain words: the conversation
so far stays byte for byte, so that a server may keep the images in its prefix cache. Where the
context has no room for more turns, or the server takes none, the first question ends with what was
wrong. A model that was trained to take one turn, and an answer that is none, get the first question
again as it was, drawn with another seed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from promptlift import review
from promptlift.engines.base import CountsTokens, Engine, FollowUp, Request
from promptlift.errors import EngineError
from promptlift.pipeline.keys import choose_template
from promptlift.pipeline.prepare import Prepared
from promptlift.review import Finding, Review
from promptlift.review.result import CLAIM_KINDS
from promptlift.targets import Target, prompt_language
from promptlift.targets.templates import TEMPLATES
from promptlift.tokens import counter_for
from promptlift.types import Sampling

__all__ = ["feedback", "repair_request", "resample", "takes_follow_ups"]

_END = "Write the whole prompt again."
_EARLIER = "\n\nYou answered this before, and the answer was rejected. "
# What an answer may lose of its room to what was wrong with the one before.
_LEAST_ROOM = 0.75
# Nothing in such an answer can be put right.
_NO_ANSWER = frozenset({"empty", "refusal"})
_TOKENS_A_WORD = 1.4  # of English, with some headroom
_CHARACTERS_A_WORD = 10  # an answer of more than that is far too long
_LOOP_CHARACTERS = 400  # more of a loop invites another
_LEFT_OUT = " [...]"
_ADDITIONS = frozenset({"person", "event"})
# How findings speak of an answer.
_OF_THE_TEXT = re.compile(r"\b[Tt]he (?:text|answer)\b")


def takes_follow_ups(prepared: Prepared) -> bool:
    """Whether the engine understands what is said about its answer: a model with an instruction."""
    assert prepared.profile is not None, "it was prepared for an engine"
    options, info = prepared.options, prepared.profile.info
    usual, _ = choose_template(options.model_copy(update={"template": None}), info)
    used, _ = choose_template(options, info)
    is_general = used.takes_instruction or used.name not in TEMPLATES  # or the user's own
    return info.reads_text and usual.takes_instruction and is_general


def resample(first: Sampling, attempt: int, *, failed: Collection[str], room: int) -> Sampling:
    """How to ask the same question again after an answer was rejected.

    Args:
        first: How the first answer was drawn.
        attempt: How many answers there were so far, at least 1.
        failed: Names of the checks that the last answer failed.
        room: Tokens left for an answer in the context.

    Returns:
        A new seed; from the third answer on another temperature as well; and, after an answer
        that was cut, as much more room as there is, up to twice what was reserved.
    """
    temperature = first.temperature
    if attempt >= 2:
        # Calmer, for loops and inventions; then livelier, for an answer that is stuck.
        temperature = 0.9 if attempt % 2 else 0.3
    elif temperature == 0:
        temperature = 0.3  # greedy decoding would repeat the rejected answer word for word
    return replace(
        _with_room(first, failed, room), seed=first.seed + attempt, temperature=temperature
    )


async def repair_request(
    engine: Engine,
    prepared: Prepared,
    request: Request,
    reviews: Sequence[Review],
    room: int,
    *,
    more_turns: bool = True,
) -> Request | None:
    """The request that tells a model what is wrong with the best of its answers.

    Args:
        engine: Who is asked.
        prepared: The item.
        request: The first request.
        reviews: Of all answers so far, in order.
        room: Tokens of the context that the first request leaves.
        more_turns: Whether the server takes more than one turn.

    Returns:
        None where no answer can be put right, or the context has no room to say how.
    """
    fixable = [
        one
        for one in reviews
        if _NO_ANSWER.isdisjoint(one.failed) and not one.text.startswith("<think>")
    ]
    if not fixable:
        return None
    assert prepared.profile is not None, "it was prepared for an engine"
    assert prepared.plan is not None, "the engine takes tokens"
    family, first = prepared.profile.family, request.sampling
    # Of equals the last one, which was told of the faults of those before.
    best = min(reversed(fixable), key=lambda one: sum(f.severity == "error" for f in one.findings))
    goal = prepared.options.goal
    language = prompt_language(goal, review.understand(prepared.short_prompt).language)
    count_tokens, most = counter_for(family), int(first.max_tokens / _TOKENS_A_WORD)
    turn = FollowUp(_shown(best, goal), feedback(best, goal, most_words=most, language=language))
    again = replace(request, follow_ups=(turn,))
    left = room - family.follow_up(*turn, count_tokens)
    if more_turns and left < first.max_tokens and isinstance(engine, CountsTokens):
        try:
            counted = await engine.count(again)
        except EngineError:
            counted = None  # it will say so itself when it is asked for the answer
        if counted is not None:
            left = prepared.plan.context - counted
    if not more_turns or left < first.max_tokens:
        left = room - count_tokens(_EARLIER + turn.text)
        if left < first.max_tokens * _LEAST_ROOM:
            return None
        first = replace(first, max_tokens=min(first.max_tokens, left))
        most = int(first.max_tokens / _TOKENS_A_WORD)
        text = feedback(best, goal, most_words=most, language=language)
        again = replace(request, text=request.text + _EARLIER + text)
    sampling = replace(
        _with_room(first, best.failed, left), seed=request.sampling.seed + len(reviews)
    )
    if first.temperature == 0 and len(reviews) > 1:
        sampling = replace(sampling, temperature=0.3)  # the same answer may be told the same
    return replace(again, sampling=sampling)


def feedback(review: Review, goal: Target, *, most_words: int, language: str = "English") -> str:
    """What a model is told of its answer.

    Args:
        review: Of the answer.
        goal: What the prompt is for.
        most_words: What the model has room to write.
        language: English name of the language to write.

    Returns:
        A sentence for each error, and for each warning that a model can do something about, and
        the order to write all of it again.
    """
    most_words = min(goal.max_words, most_words)
    added = {claim.found_span for claim in review.claims if claim.status == "added"} - {None}
    told: dict[str, None] = {}
    for severity in ("error", "warning"):
        for finding in review.findings:
            # An addition may well be in the frames.
            is_addition = finding.name in _ADDITIONS or finding.span in added
            worth_telling = severity == "error" or (
                not is_addition and (finding.name == "length" or finding.name in CLAIM_KINDS)
            )
            if finding.severity == severity and worth_telling:
                told[_sentence(finding, goal, most_words, language)] = None
    return " ".join([*told, _END])


_SENTENCES = {
    "cut": "It breaks off before its end; write at most {most} words.",
    "too_long": "It is too long for {goal.name} ({message}); write at most {most} words.",
    "length": "Write {least} to {most} words.",
    "loop": "It repeats itself ({message}); say everything once.",
    "language": "It is not plain {language} ({message}); write it in {language}.",
    "meta": "Write only the prompt, and nothing about it or about the task ({message}).",
    "thinking": "Write only the prompt, without thinking aloud before it or in it.",
    "artefact": "Describe the scene itself, not how the control video shows it ({message}).",
}


def _sentence(finding: Finding, goal: Target, most_words: int, language: str) -> str:
    message = finding.message.strip().rstrip(".")
    if sentence := _SENTENCES.get(finding.name):
        least = min(goal.min_words, most_words)
        return sentence.format(
            message=message, goal=goal, least=least, most=most_words, language=language
        )
    message = _OF_THE_TEXT.sub("your prompt", message)
    return f"{message[:1].upper()}{message[1:]}."


def _shown(review: Review, goal: Target) -> str:
    """The answer as the model gets it back: cleaned, and without the end of one that never ends."""
    looped = "loop" in review.failed
    limit = _LOOP_CHARACTERS if looped else _CHARACTERS_A_WORD * goal.max_words
    if len(review.text) <= limit:
        return review.text
    return review.text[:limit].rsplit(" ", 1)[0] + _LEFT_OUT


def _with_room(first: Sampling, failed: Collection[str], room: int) -> Sampling:
    more = min(room, 2 * first.max_tokens) if "cut" in failed else first.max_tokens
    return replace(first, max_tokens=max(first.max_tokens, more))
