"""The options of one upsampling, with their defaults: the one place that has them."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from pathlib import Path
from typing import Any, Literal, get_args

from promptlift.core.budget import DEFAULT_CONTEXT, DEFAULT_RESERVE
from promptlift.core.facts import Kind
from promptlift.core.prompts import Control
from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["OnReject", "Options", "Strategy", "parse_fraction"]

_FRACTION = re.compile(r"\d{1,9}(?:\.\d{0,20})?|\.\d{1,20}|\d{1,9}/[1-9]\d{0,8}", re.ASCII)
_LONGEST_SHOWN = 80  # characters of a value that a message shows

Strategy = Literal["spread", "first", "fps", "scenes"]
OnReject = Literal["fail", "best", "original"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one video and one short prompt are treated.

    Attributes:
        frames: How many hint frames are shown.
        strategy: Which: ``spread`` over the clip, the ``first``, at ``fps`` frames a second from
            the start, or where the ``scenes`` change most.
        fps: Frames a second, for the strategy of that name.
        exact: Never take a nearby keyframe for the frame at the very instant.
        size: A box in pixels that each frame is fitted into; None to have it planned.
        max_side: Longest side in pixels of a planned frame; None for what fits.
        context: Tokens of prompt and answer together; None for what the engine has, or 4096
            where it has none.
        reserve: Tokens kept for the answer.
        template: Name of the template; None for ``verbatim/1`` where the model is the Cosmos
            upsampler, and ``instruct/1`` for any other.
        control: The kind of picture shown, where the user knows better than the measurement.
        controls: What the generator is made to follow besides the prompt; empty for what the
            picture shown is of.
        target: The generator that the prompt is for.
        target_tokenizer: The tokenizer file of the target; None to estimate from above.
        temperature: 0 for the likeliest answer.
        seed: Makes an answer repeatable where the engine can.
        attempts: How often an engine is asked until an answer passes the review.
        on_reject: What the result is when none passes: ``fail`` for none, ``best`` for the best
            attempt, ``original`` for the short prompt. The record says ``rejected`` in any case.
        isolated: Decode in a child process that can be killed, for files nobody vouches for.
    """

    frames: int = 2
    strategy: Strategy = "spread"
    fps: Fraction = Fraction(2)
    exact: bool = False
    size: Size | None = None
    max_side: int | None = None
    context: int | None = None
    reserve: int = DEFAULT_RESERVE
    template: str | None = None
    control: Kind | None = None
    controls: tuple[Control, ...] = ()
    target: str = "cosmos-transfer1"
    target_tokenizer: Path | None = None
    temperature: float = 0.6
    seed: int = 0
    attempts: int = 3
    on_reject: OnReject = "fail"
    isolated: bool = False

    def __post_init__(self) -> None:
        _within("frames", self.frames, 1, 64)
        _within("fps", self.fps, Fraction(1, 3600), 1000)
        _within("reserve", self.reserve, 1, 1_000_000)
        _within("temperature", self.temperature, 0, 2)
        _within("attempts", self.attempts, 1, 10)
        _one_of("strategy", self.strategy, get_args(Strategy))
        _one_of("on_reject", self.on_reject, get_args(OnReject))
        if self.control is not None:
            _one_of("control", self.control, get_args(Kind))
        for control in self.controls:
            _one_of("controls", control, get_args(Control))
        if self.context is not None:
            _within("context", self.context, 1, 100_000_000)
        if self.max_side is not None:
            _within("max_side", self.max_side, 1, 100_000)
            if self.size is not None:
                raise OptionError(
                    f"both a size ({self.size}) and a longest side ({self.max_side}) are given",
                    remedy="give one",
                )

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Options from keywords, as a library call gives them.

        Raises:
            OptionError: One is unknown or has a value that makes no sense.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                remedy = f"did you mean {close[0]!r}" if close else f"use {', '.join(known)}"
                raise OptionError(f"there is no option {name!r}", remedy=remedy)
        if "fps" in options:
            options["fps"] = _rate(options["fps"])
        return cls(**options)

    @property
    def fallback_context(self) -> int:
        """The context to plan for where the engine has none of its own."""
        return DEFAULT_CONTEXT if self.context is None else self.context


def parse_fraction(value: object) -> Fraction:
    """Read ``2``, ``0.5``, ``30000/1001`` or a number; a float means what it is written as.

    The text is bounded before a fraction is made of it: that of ``1e99999999`` would take hours.

    Raises:
        ValueError: It is something else, negative, or has too many digits.
    """
    if isinstance(value, bool):
        raise ValueError("a truth value")
    if isinstance(value, Rational):
        return Fraction(value)
    if isinstance(value, str | float | Decimal) and _FRACTION.fullmatch(text := str(value).strip()):
        return Fraction(text)
    raise ValueError("no number of a few digits")


def _rate(value: object) -> Fraction:
    try:
        return parse_fraction(value)
    except ValueError:
        raise OptionError(
            f"fps is {_shown(repr, value)}", remedy="give a rate such as 2, 0.5 or 30000/1001"
        ) from None


def _within(name: str, value: float | Fraction, low: float | Fraction, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(
            f"{name} is {_shown(str, value)}",
            remedy=f"give a value from {_plain(low)} to {_plain(high)}",
        )


def _shown(write: Callable[[object], str], value: object) -> str:
    try:
        text = write(value)
    except ValueError:  # Python does not write integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _plain(value: float | Fraction) -> str:
    return str(value) if isinstance(value, int | Fraction) else f"{value:g}"


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(f"{name} is {value!r}", remedy=f"use one of: {', '.join(known)}")
