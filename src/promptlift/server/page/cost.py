"""The budget as a bar: what the frames and the words take, what is kept, what is left."""

from __future__ import annotations

from typing import NamedTuple

from promptlift.core.record import Planned, Priced, Tokens

__all__ = ["Bar", "Cost", "Part", "cost_of"]

_WIDEST = 1.9  # contexts; what costs more is drawn to the edge and told in numbers


class Part(NamedTuple):
    """One stretch of a bar: its kind, its tokens, and where it is drawn, in percent."""

    kind: str
    tokens: int
    left: float
    width: float


class Bar(NamedTuple):
    """One way to show the frames.

    Attributes:
        parts: From left to right.
        total: Tokens of all of it, the answer's reserve included.
        fits: Whether the context takes it.
        limit: Where the context ends, in percent.
        beyond: Whether it goes on past the edge of the drawing.
    """

    parts: list[Part]
    total: int
    fits: bool
    limit: float
    beyond: bool


class Cost(NamedTuple):
    """The bar of what was sent, and that of the video's own size.

    Attributes:
        plan: As it was planned.
        sent: Its bar.
        source: The bar of the frames unresized; None where they were not resized.
        said: What the engine counted; None if it does not.
    """

    plan: Planned
    sent: Bar
    source: Bar | None
    said: int | None
    foretold: int | None

    @property
    def smaller(self) -> float:
        """How many times fewer pixels a frame has than the video."""
        source, sent = self.plan.source, self.plan.plan
        return source.width * source.height / max(1, sent.width * sent.height)


def cost_of(plan: Planned, tokens: Tokens | None = None) -> Cost:
    """Draw a plan."""
    resized = (plan.source.width, plan.source.height) != (plan.plan.width, plan.plan.height)
    most = max(_total(plan, plan.plan), _total(plan, plan.source) if resized else 0, plan.context)
    scale = min(most, round(_WIDEST * plan.context))
    return Cost(
        plan=plan,
        sent=_bar(plan, plan.plan, scale),
        source=_bar(plan, plan.source, scale) if resized else None,
        said=tokens.actual or tokens.counted if tokens else None,
        foretold=tokens.predicted if tokens else None,
    )


def _total(plan: Planned, priced: Priced) -> int:
    return priced.prompt_tokens + plan.reserve


def _bar(plan: Planned, priced: Priced, scale: int) -> Bar:
    images = priced.frames * priced.tokens_per_frame
    total = _total(plan, priced)
    amounts = [
        ("image", images),
        ("text", priced.prompt_tokens - images),
        ("answer", plan.reserve),
        ("free", max(0, plan.context - total)),
    ]
    parts, place = [], 0
    for kind, amount in amounts:
        left, right = (min(edge, scale) / scale * 100 for edge in (place, place + amount))
        place += amount
        if amount:
            parts.append(Part(kind, amount, round(left, 3), round(right - left, 3)))
    limit = round(plan.context / scale * 100, 3)
    return Bar(parts, total, total <= plan.context, limit, total > scale)
