"""A family made of what an engine counted: never below it, growing, and refusing nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import OptionError
from promptlift.tokens import calibrate, family
from promptlift.types import Size

sizes = st.builds(Size, st.integers(1, 4000), st.integers(1, 4000))
samples = st.lists(st.tuples(sizes, st.integers(1, 20_000)), min_size=1, max_size=8)

SMALL, LARGE = Size(320, 180), Size(1280, 720)


@given(samples)
def test_it_never_counts_less_than_was_observed(observed: list[tuple[Size, int]]) -> None:
    """Whatever the samples, none of them lies above the count, and more pixels never cost less."""
    made = calibrate(observed)
    for size, tokens in observed:
        assert tokens <= made.image(size) <= made.image(Size(size.width + 40, size.height + 9))


@pytest.mark.parametrize("name", ["pixtral", "mistral-small", "qwen2.5-vl", "qwen3-vl", "kimi-vl"])
def test_two_samples_of_a_model_that_counts_area_are_enough(name: str) -> None:
    """Between the samples the prediction is from above, by a third at most."""
    counted = family(name)
    made = calibrate([(size, counted.image(size)) for size in (SMALL, LARGE)])
    for width in range(400, 1200, 16):
        size = Size(width, round(width * 9 / 16))
        true = counted.image(size)
        assert true <= made.image(size) <= true * 1.34 + 10, size


def test_one_sample_is_proportional_above_and_constant_below() -> None:
    """Nothing is known of smaller pictures, so they are taken to cost as much."""
    made = calibrate([(Size(560, 560), 400)], name="house model")
    assert (made.name, made.tokenizer) == ("house model", "estimate")
    assert made.image(Size(28, 28)) == 440
    assert made.image(Size(560, 560)) == 440
    assert made.image(Size(1120, 1120)) == 1760


@pytest.mark.parametrize("bad", [[], [(SMALL, 0)], [(SMALL, 90), (LARGE, -1)]], ids=str)
def test_nothing_to_go_by_is_refused(bad: list[tuple[Size, int]]) -> None:
    """No sample, and an image of no tokens, are errors with a way out."""
    with pytest.raises(OptionError, match=r"(?i)counted"):
        calibrate(bad)
