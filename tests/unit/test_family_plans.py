"""The plan for every family: it fits, never enlarges, keeps the shape, and wastes nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.errors import BudgetError
from promptlift.planning import MIN_SIDE, Budget, make_plan
from promptlift.tokens import FAMILIES, family
from promptlift.types import Size, fit

every_family = pytest.mark.parametrize("name", FAMILIES)
shapes = st.tuples(st.integers(32, 4200), st.integers(32, 4200))


def shape_kept(source: Size, shown: Size, within: Fraction) -> bool:
    """Whether the shown picture has the source's shape, or the nearest that whole pixels give."""
    bend = abs(Fraction(shown.width * source.height, shown.height * source.width) - 1)
    pixel = Fraction(1, 2 * min(shown.width, shown.height))
    return bend <= max(within, pixel + Fraction(1, 1000))


@every_family
@settings(max_examples=10)
@given(shapes, st.integers(1, 4), st.sampled_from([4096, 8192, 32_768]), st.integers(3, 900))
def test_every_plan_fits_and_keeps_the_shape(
    name: str, shape: tuple[int, int], frames: int, context: int, text: int
) -> None:
    """Whatever the family, what is planned fits, is no larger than the source and looks like it."""
    source = Size(*shape)
    budget = Budget(family(name), context, chat_tokens=text)
    try:
        plan = make_plan(source, frames, budget)
    except BudgetError:
        tried = [fit(source, Size(side, side)) for side in range(MIN_SIDE, max(shape) + 1, 61)]
        assert not any(budget.cost(size, frames).fits for size in tried)
        return
    assert plan.chosen.fits
    assert plan.chosen.prompt_tokens + budget.reserve <= context
    assert plan.size.width <= source.width
    assert plan.size.height <= source.height
    narrow = min(plan.size.width, plan.size.height) <= budget.family.unit
    assert narrow or shape_kept(source, plan.size, Fraction(2, 100))


@every_family
@pytest.mark.parametrize("source", [Size(1280, 720), Size(720, 1280), Size(3840, 2160)], ids=str)
def test_a_large_context_shows_all_that_is_of_use(name: str, source: Size) -> None:
    """With room for all, a frame is shown as it is, or as large as the model can use."""
    counted = family(name)
    plan = make_plan(source, 2, Budget(counted, 131_072))
    longest = max(plan.size.width, plan.size.height)
    of_use = counted.max_side is None or longest <= counted.max_side
    assert of_use
    at_bound = counted.max_side is not None and longest > counted.max_side - counted.unit
    full = counted.max_pixels is not None and plan.size.pixels > counted.max_pixels * 0.95
    assert plan.size == source or at_bound or full


@pytest.mark.parametrize("name", ["gemma3", "idefics3", "smolvlm2", "smolvlm2-small"])
def test_where_size_costs_nothing_it_is_kept(name: str) -> None:
    """A model that counts every picture alike gets the source, not the smallest that fits."""
    assert make_plan(Size(640, 480), 2, Budget(family(name), 8192)).size == Size(640, 480)


def test_where_no_size_would_help_the_plan_fails_with_the_arithmetic() -> None:
    """InternVL3 takes 13 tiles for 4:3 at any size: two such frames never fit 4,096 tokens."""
    budget = Budget(family("internvl3"))
    with pytest.raises(BudgetError, match=r"frames \(2 of 64x48\) take 6,660 tokens"):
        make_plan(Size(640, 480), 2, budget)
    assert make_plan(Size(640, 480), 1, budget).size == Size(640, 480)


def test_where_a_smaller_size_costs_less_in_steps_the_step_is_found() -> None:
    """InternVL3 shows 16:9 in eight tiles, or in two when the picture is small."""
    plan = make_plan(Size(1920, 1080), 2, Budget(family("internvl3")))
    assert plan.chosen.tokens_per_frame == 3 * 256 + 2
    larger = Size(plan.size.width + 16, plan.size.height + 9)
    assert family("internvl3").image(larger) == 9 * 256 + 2


def test_a_stretching_model_gets_the_largest_size_that_fits() -> None:
    """For Qwen-VL the next larger size of the shape would cost too much."""
    budget = Budget(family("qwen2.5-vl"))
    plan = make_plan(Size(3840, 2160), 2, budget)
    assert plan.chosen.fits
    grown = Size(plan.size.width + 32, plan.size.height + 18)
    assert not budget.cost(grown, 2).fits


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl", "glm-4v"])
def test_no_plan_rounds_into_a_refused_shape(name: str) -> None:
    """A strip just within 200 to 1 is planned at a size that the model takes."""
    for width in range(780, 800):
        plan = make_plan(Size(width, 4), 2, Budget(family(name), 1100))
        assert max(plan.size.width, 1) <= 200 * plan.size.height
        assert plan.chosen.fits
