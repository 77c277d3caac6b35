"""The plan: the largest frames that fit, whole patches, the right shape, for every family."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.errors import BudgetError, OptionError
from promptlift.planning import MIN_SIDE, Budget, answer_reserve, make_plan, plan
from promptlift.targets import target
from promptlift.tokens import FAMILIES, family
from promptlift.types import Size, fit

sides = st.integers(1, 9000)
every_family = pytest.mark.parametrize("name", FAMILIES)
shapes = st.tuples(st.integers(32, 4200), st.integers(32, 4200))


def wasted(side: int) -> bool:
    """Whether the last 16-pixel patch of a side is half empty or more."""
    return side > 16 and 0 < side % 16 <= 8


def brute_force(source: Size, frames: int, budget: Budget) -> int:
    """The most pixels of any size that obeys every rule of the plan, found by trying them all."""
    shape = Fraction(source.width, source.height)
    best = 0
    for width in range(1, min(source.width, 1024) + 1):
        for height in range(1, min(source.height, 1024) + 1):
            size = Size(width, height)
            if wasted(width) or wasted(height) or size.pixels <= best:
                continue
            long_error = Fraction(min(width, height), max(width, height)) / min(shape, 1 / shape)
            if abs(long_error - 1) <= Fraction(1, 100) and budget.cost(size, frames).fits:
                best = size.pixels
    return best


@pytest.mark.parametrize(
    "source", [Size(200, 113), Size(97, 160), Size(256, 256), Size(161, 90)], ids=str
)
@pytest.mark.parametrize("context", [400, 640, 4096])
def test_nothing_larger_would_have_fitted(source: Size, context: int) -> None:
    """The plan has as many pixels as the best of all sizes that obey the rules."""
    budget = Budget(chat_tokens=10, context=context, reserve=300)
    assert make_plan(source, 2, budget).size.pixels == brute_force(source, 2, budget)


def test_error_says_by_how_much_and_what_to_do() -> None:
    """When even 64-pixel frames do not fit, the arithmetic and the way out are in the message."""
    with pytest.raises(BudgetError) as caught:
        make_plan(Size(1280, 720), 2, Budget(chat_tokens=4000))
    text = str(caught.value)
    assert "the frames (2 of 64x36) take 30 tokens" in text
    assert "4,330 together, 234 more than the context of 4,096" in text
    assert "Shorten the prompt" in text


def test_sixty_four_pixels_are_the_least_and_do_fit() -> None:
    """One token less than the smallest prompt is an error; exactly that much is a plan."""
    least = 30 + 5 + 300
    plan = make_plan(Size(1280, 720), 2, Budget(chat_tokens=5, context=least))
    assert plan.chosen.prompt_tokens + 300 <= least
    with pytest.raises(BudgetError):
        make_plan(Size(1280, 720), 2, Budget(chat_tokens=5, context=least - 1))


def test_an_insisted_size_is_honoured_or_refused() -> None:
    """A box is kept where it fits, the shape kept inside it, and refused with the arithmetic.

    A longest side is an upper bound, not a demand.
    """
    budget = Budget(chat_tokens=5)
    assert make_plan(Size(1280, 720), 2, budget, size=Size(640, 640)).size == Size(640, 360)
    with pytest.raises(BudgetError, match=r"1024x576\) take 4,680 tokens, .* 889 more"):
        make_plan(Size(1280, 720), 2, budget, size=Size(1024, 1024))
    assert make_plan(Size(1280, 720), 2, Budget(), max_side=320).size == Size(316, 176)
    assert make_plan(Size(160, 96), 2, Budget(), max_side=320).size == Size(160, 96)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(Size(1, 1), "1x1"), (Size(16, 2048), "8x1024"), (Size(20, 20), "16x16")],
    ids=str,
)
def test_odd_shapes_have_a_plan(source: Size, expected: str) -> None:
    """A pixel, a strip and an icon are planned for without complaint."""
    assert str(make_plan(source, 2, Budget()).size) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"frames": 0},
        {"size": Size(0, 10)},
        {"max_side": 0},
        {"size": Size(10, 10), "max_side": 10},
    ],
    ids=str,
)
def test_senseless_numbers_are_refused(options: dict[str, object]) -> None:
    """No frames, no pixels and two sizes at once are named as such."""
    arguments = {"frames": 2, **options}
    with pytest.raises(OptionError):
        make_plan(Size(640, 480), budget=Budget(), **arguments)  # type: ignore[arg-type]


@given(sides, sides, sides, sides)
def test_fitting_keeps_inside_and_true(width: int, height: int, wide: int, high: int) -> None:
    """`fit` stays inside the box and the source, touches one side, and rounds to the nearest."""
    size = fit(Size(width, height), Size(wide, high))
    assert size.width <= min(width, wide)
    assert size.height <= min(height, high)
    assert size.width in (width, wide) or size.height in (height, high)
    assert abs(size.width * height - size.height * width) <= max(width, height)


# ---- every family


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
    assert name != "pixtral" or not (wasted(plan.size.width) or wasted(plan.size.height))
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


def test_where_a_smaller_size_costs_less_in_steps_the_step_is_found() -> None:
    """InternVL3 takes 13 tiles for 4:3 at any size, so that two frames never fit 4,096 tokens.

    16:9 is shown in eight tiles, or in two when the picture is small.
    """
    budget = Budget(family("internvl3"))
    with pytest.raises(BudgetError, match=r"frames \(2 of 64x48\) take 6,660 tokens"):
        make_plan(Size(640, 480), 2, budget)
    assert make_plan(Size(640, 480), 1, budget).size == Size(640, 480)
    plan = make_plan(Size(1920, 1080), 2, budget)
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


def test_reserve_follows_target_language_and_model() -> None:
    """1.4 tokens a word of English, 2.2 of others, at least 300; thoughts take up to half."""
    long = target("hunyuan-video-1.5")
    assert answer_reserve(target("cogvideox")) == 300
    assert answer_reserve(long) == 420
    assert answer_reserve(long, language="Chinese") == 660
    assert answer_reserve(long, reasons=True, context=4096) == 2048
    assert answer_reserve(long, reasons=True, context=40_960) == 4200
    size = Size(640, 360)
    assert plan(size, target="hunyuan-video-1.5").reserve == 420
    assert plan(size, family="cosmos-reason2", context=8192).reserve == 3000
    assert plan(size, family="cosmos-reason2", reserve=301).reserve == 301
