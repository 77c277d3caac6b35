"""Ask an engine until an answer passes the review, and say which answer was best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from promptlift.core.review import Review
from promptlift.core.sampling import Sampling, again
from promptlift.engines.base import Completion, Engine, Request, StreamsText
from promptlift.errors import TransientEngineError

__all__ = ["Answer", "Judge", "Telling", "ask", "best_of"]

Judge = Callable[[Completion], tuple[Review, int]]
"""Reviews an answer; gives the review and the tokens of its text for the target."""

Telling = Callable[[str | None], None]
"""Is told the text of an answer as it is written; None begins anew: what was told is void."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and what was made of it.

    Attributes:
        completion: As the engine gave it.
        review: The verdict, the cleaned text and the checks.
        target_tokens: Tokens of the cleaned text for the target's text encoder.
        sampling: How it was drawn.
        seconds: How long the engine took.
    """

    completion: Completion
    review: Review
    target_tokens: int
    sampling: Sampling
    seconds: float

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that it failed."""
        return tuple(check.name for check in self.review.checks if not check.passed)


async def ask(
    engine: Engine,
    request: Request,
    judge: Judge,
    *,
    attempts: int,
    room: int,
    answers: list[Answer],
    telling: Telling | None = None,
) -> None:
    """Ask until an answer passes, at most so many times.

    Args:
        engine: Who is asked.
        request: What is asked the first time; later with other sampling.
        judge: Reviews each answer.
        attempts: How many times at most, at least 1.
        room: Tokens left for an answer in the context.
        answers: Each answer is added here as it comes, so that none is lost to a later error.
        telling: Is told each answer as it is written, where the engine can do so.

    Raises:
        EngineError: The engine did not answer.
    """
    first = request.sampling
    while True:
        start = time.perf_counter()
        completion = await _completed(engine, request, telling)
        seconds = round(time.perf_counter() - start, 6)
        review, tokens = judge(completion)
        answers.append(Answer(completion, review, tokens, request.sampling, seconds))
        if review.verdict != "rejected" or len(answers) >= attempts:
            return
        sampling = again(first, len(answers), failed=answers[-1].failed, room=room)
        request = replace(request, sampling=sampling)


async def _completed(engine: Engine, request: Request, telling: Telling | None) -> Completion:
    """An answer; one that broke off while it was told is asked for again, as a whole."""
    if telling is None or not isinstance(engine, StreamsText):
        return await engine.complete(request)
    telling(None)
    try:
        return await engine.stream(request, telling)
    except TransientEngineError:
        telling(None)
    return await engine.complete(request)


def best_of(answers: Sequence[Answer]) -> Answer:
    """The answer with the best verdict; of equals the one with fewest failed checks, then first."""
    order = {"ok": 0, "repaired": 1, "rejected": 2}
    return min(answers, key=lambda answer: (order[answer.review.verdict], len(answer.failed)))
