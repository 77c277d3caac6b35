"""Which of the known families counts a checkpoint's pictures, by the checkpoint's own files."""

from __future__ import annotations

from typing import Any

from promptlift.core.tokens import FAMILIES, UNKNOWN, Family, family_from_config
from promptlift.core.video import Size
from promptlift.errors import BudgetError, OptionError

__all__ = ["family_name"]

# Small, as hint frames are, and beyond every limit, in both shapes.
_SIDES = ((64, 48), (320, 180), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
_SIZES = tuple(Size(*sides) for pair in _SIDES for sides in (pair, pair[::-1]))


def family_name(
    config: dict[str, Any],
    preprocessor: dict[str, Any] | None = None,
    processor: dict[str, Any] | None = None,
) -> str | None:
    """The family that counts the pictures of a checkpoint, by name.

    What a picture costs at most is the preprocessor's to say, and may have been raised. Where it
    costs more than by the family of that name, the model is to be measured instead: it is
    ``unknown``. Where it costs less, the name stands, and its pictures may be planned smaller
    than they could be.

    Args:
        config: ``config.json``, or ``params.json`` in Mistral's format.
        preprocessor: ``preprocessor_config.json``, where there is one.
        processor: ``processor_config.json``, where there is one.

    Returns:
        A key of `promptlift.core.tokens.FAMILIES`; None where the kind of model is not known.
    """
    try:
        made = family_from_config(config, preprocessor, processor=processor)
    except OptionError:
        return None
    usual = FAMILIES.get(made.name)
    covered = usual and all(_cost(made, size) <= _cost(usual, size) for size in _SIZES)
    return made.name if covered else UNKNOWN.name


def _cost(family: Family, size: Size) -> int:
    try:
        return family.image(size)
    except BudgetError:
        return 0
