"""How an answer is drawn, and what to change when it has to be drawn again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["FinishReason", "Sampling", "again"]

FinishReason = Literal["stop", "length", "other"]

# The user's own temperature first; then calmer, for loops and inventions; then livelier, for an
# answer that is stuck. Greedy decoding would repeat the rejected answer word for word.
_TEMPERATURES = (None, 0.3, 0.9)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn.

    Attributes:
        max_tokens: The most tokens that the answer may take.
        temperature: 0 for the likeliest answer; Cosmos-Transfer1 uses 0.6.
        seed: Makes an answer repeatable where the engine can.
    """

    max_tokens: int = 300
    temperature: float = 0.6
    seed: int = 0


def again(first: Sampling, attempt: int, *, failed: Collection[str], room: int) -> Sampling:
    """How to draw the next answer after one was rejected.

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
        changed = _TEMPERATURES[1 + (attempt - 2) % (len(_TEMPERATURES) - 1)]
        temperature = first.temperature if changed is None else changed
    elif temperature == 0:
        temperature = 0.3
    more = min(room, 2 * first.max_tokens) if "cut" in failed else first.max_tokens
    return replace(
        first,
        seed=first.seed + attempt,
        temperature=temperature,
        max_tokens=max(first.max_tokens, more),
    )
