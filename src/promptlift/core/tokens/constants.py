"""Reading a model's constants out of its own configuration files, already parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from promptlift.errors import OptionError

__all__ = ["Json", "flag", "look_up", "number"]

Json: TypeAlias = Mapping[str, Any]


def look_up(source: Json | None, path: str) -> object:
    """What lies at a dotted path such as ``vision_config.patch_size``; None where nothing does."""
    found: object = source
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def number(*places: tuple[Json | None, str], default: int) -> int:
    """The first whole number above 0 at any of the places, in order.

    Args:
        places: Parsed files, each with a dotted path into it.
        default: What the well-known checkpoints have.

    Raises:
        OptionError: Something else than such a number is there.
    """
    for source, path in places:
        found = look_up(source, path)
        if isinstance(found, list | tuple) and found:
            found = found[0]  # a height and a width that are the same
        if found is None:
            continue
        # JSON knows no difference between 3136 and 3136.0, and some files have the latter.
        if isinstance(found, bool) or not isinstance(found, int | float) or not _whole(found):
            raise OptionError(
                f"the model's configuration has {found!r} for {path}",
                remedy="give a configuration with a whole number above 0 there",
            )
        return int(found)
    return default


def _whole(found: float) -> bool:
    return 0 < found < float("inf") and int(found) == found


def flag(*places: tuple[Json | None, str], default: bool) -> bool:
    """The first true or false at any of the places, in order."""
    for source, path in places:
        found = look_up(source, path)
        if isinstance(found, bool):
            return found
    return default
