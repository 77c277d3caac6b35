"""Write hint frames out, in the form that the name of the target asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.errors import OutputError
from promptlift.frames.clip import write_clip
from promptlift.frames.pngs import write_pngs
from promptlift.frames.sheet import write_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from promptlift.core.video import Frame

__all__ = ["check_target", "write_clip", "write_hints", "write_pngs", "write_sheet"]


def check_target(target: Path) -> None:
    """Refuse a name that says no known form, before any work is done for it.

    Raises:
        OutputError: It ends in something else than ``.mp4``, ``.png`` or nothing.
    """
    if target.suffix.lower() not in {"", ".mp4", ".png"} and not target.is_dir():
        raise OutputError(
            f"what {target.name!r} should be cannot be told from its name",
            remedy="end it in .mp4 for a clip or .png for a contact sheet, or name a folder",
        )


def write_hints(frames: Sequence[Frame], target: Path, *, fps: Fraction) -> None:
    """Write a hint clip (``.mp4``), a contact sheet (``.png``) or a folder of PNGs.

    Args:
        frames: At least one.
        target: Where to; see `write_clip`, `write_sheet` and `write_pngs`.
        fps: Frames a second at which a clip plays.

    Raises:
        OutputError: The target cannot be written, or its name says no known form.
        OptionError: The clip cannot have this size or rate.
    """
    check_target(target)
    suffix = "" if target.is_dir() else target.suffix.lower()
    if suffix == ".mp4":
        write_clip(frames, target, fps=fps)
    elif suffix == ".png":
        write_sheet(frames, target)
    else:
        write_pngs(frames, target)
