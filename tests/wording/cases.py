"""Prompts and facts for the tests of the composer."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from hypothesis import strategies as st

from promptlift.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.types import Kind

T = TypeVar("T")

OFFICE = "a robotic arm hands over a coffee cup to a woman in a modern office"

# Prompts that speak of nothing that is measured.
NEUTRAL_PROMPTS = (
    OFFICE,
    "a chef chops tomatoes in a kitchen",
    "An excavator digs a trench. A worker watches from the next plot.",
    "two women talk over coffee at a table",
    "the robot picks up the block and puts it on the other one",
)

COLOURS = (
    "gray", "charcoal", "white", "black", "beige", "tan", "brown", "dark red", "red", "orange",
    "teal", "navy", "sky blue", "light green", "olive", "pink", "purple", "yellow",
)  # fmt: skip


def sure(value: T) -> Confident[T]:
    """A measured value that may be trusted."""
    return Confident(value=value, confidence=0.9)


def facts(**changes: Any) -> Facts:
    """Facts such as an office clip gives, with changes; a change to None leaves a fact out."""
    values: dict[str, Any] = {
        "kind": "rgb",
        "camera": Camera(moves=("static",)),
        "movement": Movement(amount="some", where="centre"),
        "light": Light(exposure="medium", contrast="normal", temperature="neutral"),
        "palette": Palette(dominant=("gray", "charcoal"), accents=("dark red",)),
        "sharpness": "sharp",
    }
    cuts = changes.pop("cuts", ())
    values.update(changes)
    measured = {name: sure(value) for name, value in values.items() if value is not None}
    return Facts(**measured, cuts=cuts)


def literal(model: type, name: str) -> tuple[Any, ...]:
    """The values that a literal field of a model may take, without None."""
    annotation = model.model_fields[name].annotation  # type: ignore[attr-defined]
    found: list[Any] = []
    for one in get_args(annotation):
        found.extend(get_args(one) or ([one] if isinstance(one, str) else []))
    return tuple(found)


MOVES = (
    "pan left", "pan right", "tilt up", "tilt down", "forward", "backward", "shake",
)  # fmt: skip
_OPPOSITES = ({"pan left", "pan right"}, {"tilt up", "tilt down"}, {"forward", "backward"})
_pace = st.sampled_from(["slow", "moderate", "fast", None])
_static = st.just(Camera(moves=("static",)))
_moving = st.builds(
    lambda moves, strength: Camera(moves=tuple(moves), strength=strength),
    st.lists(st.sampled_from(MOVES), min_size=1, max_size=2, unique=True).filter(
        lambda moves: set(moves) not in _OPPOSITES  # nobody moves both ways, nor is it measured
    ),
    _pace,
)
_names = st.lists(st.sampled_from(COLOURS), max_size=4, unique=True).map(tuple)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy.map(sure)


def any_facts(*, complete: bool = False, kinds: tuple[Any, ...] = get_args(Kind)) -> Any:
    """A strategy for facts; `complete` ones lack nothing and have something that moves."""
    optional = (lambda strategy: strategy.map(sure)) if complete else _maybe
    amounts = [a for a in literal(Movement, "amount") if a != "none" or not complete]
    places = literal(Movement, "where")
    light = st.builds(
        Light,
        exposure=st.sampled_from(literal(Light, "exposure")),
        contrast=st.sampled_from(literal(Light, "contrast")),
        temperature=st.sampled_from(literal(Light, "temperature"))
        | (st.nothing() if complete else st.none()),
    )
    movement = st.builds(
        Movement,
        amount=st.sampled_from(amounts),
        where=st.sampled_from(places) | (st.nothing() if complete else st.none()),
    )
    names = _names.filter(bool) if complete else _names
    return st.builds(
        Facts,
        kind=optional(st.sampled_from(kinds)),
        camera=optional(_static | _moving),
        movement=optional(movement),
        light=optional(light),
        palette=optional(st.builds(Palette, dominant=names, accents=_names)),
        sharpness=optional(st.sampled_from(["sharp", "soft", "blurred"])),
        cuts=st.just(())
        if complete
        else st.lists(st.floats(0.5, 9), max_size=6).map(lambda times: tuple(sorted(times))),
    )
