"""What a model is told of the controls that the generator follows."""

from __future__ import annotations

from typing import get_args

import pytest

from promptlift.targets import target
from promptlift.targets.templates import fixed_by, free_under, template
from promptlift.types import Control, Kind


def told(shown: Kind | None, *controls: Control) -> str:
    """The user turn of the instructing template."""
    made = template("instruct/1").render("a cup", shown, controls, target("cosmos-transfer1"))
    return made.text


@pytest.mark.parametrize("control", get_args(Control))
def test_every_control_fixes_something(control: Control) -> None:
    """No control is without words, and what it fixes is told."""
    assert fixed_by((control,))
    assert f"a control that fixes {fixed_by((control,))}" in told(None, control)


def test_what_is_shown_and_what_is_followed_are_told_apart() -> None:
    """An RGB picture under a depth control is not called a depth map, and the other way round."""
    rgb, depth = told(None, "depth"), told("depth")
    assert "geometry" in rgb
    assert "depth map" not in rgb
    assert "depth map" in depth
    assert "follows" not in depth


def test_what_is_free_is_what_no_control_fixes() -> None:
    """A blurred copy carries the rough colours into the result; an upscaler leaves nothing free."""
    assert "colours" in free_under(("edge",))
    assert "colours" not in free_under(("edge", "blur"))
    assert "Materials and fine detail are free" in told(None, "blur")
    assert free_under(("edge", "upscale")) == ""
    text = told(None, "upscale")
    assert "fixes the whole picture: agree with the frames." in text
    assert "are free" not in text
