"""Options: one place for defaults, and every senseless value named."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from promptlift.errors import OptionError
from promptlift.options import Options


def test_defaults_are_those_of_the_cosmos_upsampler() -> None:
    """Two frames and temperature 0.6, as in Cosmos-Transfer1."""
    options = Options()
    assert (options.frames, options.temperature) == (2, 0.6)
    assert options.strategy == "spread"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", 0),
        ("frames", 65),
        ("fps", 0),
        ("reserve", 0),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("attempts", 0),
        ("attempts", 11),
        ("context", 0),
        ("max_side", 0),
        ("strategy", "middle"),
        ("on_reject", "shrug"),
        ("control", "edges"),
    ],
)
def test_senseless_values_are_named(name: str, value: object) -> None:
    """The error has the option's name and its value."""
    with pytest.raises(OptionError, match=name) as caught:
        Options(**{name: value})
    assert str(value) in str(caught.value)


def test_rate_may_be_given_as_text_number_or_fraction() -> None:
    """2, "2", "30000/1001" and a Fraction are all rates."""
    for rate in (2, "2", 2.0, Fraction(2)):
        assert Options(fps=rate).fps == 2
    assert Options(fps="30000/1001").fps == Fraction(30000, 1001)
    assert Options(fps=29.97).fps == Fraction(2997, 100)


def test_rate_of_any_length_is_refused_at_once() -> None:
    """No power of ten is written out, and a message shows the beginning of a long value.

    Words and zero denominators are no rates either.
    """
    long = "9" * 5000
    texts = ("1e99999999", "1e-99999999", Decimal("1e99999999"), long, f"1/{long}", float("nan"))
    for rate in (*texts, "fast", "1/0", None, True, 10**5000, Fraction(1, 10**5000)):
        with pytest.raises(OptionError, match=r"^fps is .{1,100}\. Give a ") as caught:
            Options(fps=rate)
        assert len(str(caught.value)) < 200
