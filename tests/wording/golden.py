"""A score of texts, to be read in review; ``python -m wording.golden`` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptlift.core.compose import compose
from promptlift.core.facts import Camera, Light, Movement, Palette
from wording.cases import OFFICE, facts

GOLDEN = Path(__file__).with_name("golden.txt")

_FORWARD = Camera(moves=("forward",), strength="moderate")
_WARM = Light(exposure="bright", contrast="high", temperature="warm")
_NIGHT = Light(exposure="very dark", contrast="high", temperature="cool")
_CONTROL = {"camera": None, "light": None, "palette": None, "sharpness": None}

CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    (OFFICE, {}, "1"),
    (OFFICE, {}, "2"),
    (OFFICE, {}, "3"),
    ("", {}, "4"),
    ("", {"camera": Camera(moves=("tilt up",), strength="slow"), "light": _WARM}, "5"),
    (
        "a red car drives down a highway toward a low sun",
        {
            "camera": _FORWARD,
            "light": Light(exposure="medium", contrast="high", temperature="warm"),
            "palette": Palette(dominant=("tan", "gray"), accents=("red", "orange")),
            "movement": Movement(amount="some", where="throughout"),
        },
        "6",
    ),
    (
        "driving along a city street",
        {"camera": Camera(moves=("forward", "pan left"), strength="slow"), "light": _WARM},
        "7",
    ),
    (
        "a humanoid robot walks down a warehouse aisle",
        {
            "camera": Camera(moves=("backward",), strength="slow"),
            "palette": Palette(dominant=("brown", "navy", "blue"), accents=("orange",)),
            "movement": Movement(amount="strong", where="centre"),
        },
        "8",
    ),
    ("make it rainy", {}, "9"),
    ("a man runs down an alley at night", {"light": _NIGHT}, "10"),
    ("a man runs down an alley at night", {"light": _WARM}, "11"),
    ("the camera pans left over a harbour", {"camera": Camera(moves=("pan left",))}, "12"),
    (
        "two chefs argue. One of them laughs!",
        {"camera": Camera(moves=("shake",), strength="slow")},
        "13",
    ),
    ("kitchen, robot, tomato, cutting board", {"light": _WARM, "sharpness": "soft"}, "14"),
    (
        "children play football in a park",
        {"camera": Camera(moves=("pan right", "shake"), strength="fast"), "light": _WARM},
        "15",
    ),
    ("a cat sleeps on a sofa", {"movement": Movement(amount="none")}, "16"),
    ("a dog runs along a beach", {"cuts": (1.5,)}, "17"),
    (OFFICE, {"kind": "edge", **_CONTROL}, "18"),
    ("a drone delivers a parcel", {"light": _NIGHT, "palette": None}, "19"),
    (
        "a quiet library",
        {"light": Light(exposure="very bright", contrast="low"), "sharpness": "blurred"},
        "20",
    ),
    ("put the pot to the left of the purple item", {}, "21"),
    ("机器人把一杯咖啡递给一位女士", {}, "22"),
)


def written() -> str:
    """The golden file's text."""
    blocks = []
    for prompt, changes, seed in CASES:
        changed = ", ".join(f"{name}={value!r}" for name, value in changes.items())
        text = compose(prompt, facts(**changes), seed=seed)
        blocks.append(f"prompt: {prompt}\nfacts:  {changed or 'as in the office'}\n{text}\n")
    return "\n".join(blocks)


if __name__ == "__main__":
    GOLDEN.write_text(written(), encoding="utf-8")
