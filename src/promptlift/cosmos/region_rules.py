"""What Cosmos-Transfer1 does with the regional prompts of a spec before it upsamples anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath

from promptlift.cosmos.transfer1_rules import PREPROCESSORS, TRANSFER, Spoken, fails

__all__ = ["MASK_SUFFIXES", "regions"]

MASK_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".flv", ".wmv")
"""The names of files that it takes for a mask: SUPPORTED_VIDEO_TYPES."""

_VIDEO = "cosmos_transfer1/utils/video_utils.py"
_REGIONAL = "cosmos_transfer1/utils/regional_prompting_utils.py"


def regions(given: object, *, first: bool, is_there: Callable[[str], bool], said: Spoken) -> None:
    """Go through the regional prompts as the preprocessors do.

    Args:
        given: ``regional_prompts`` of the spec.
        first: Whether this is the first item of the run.
        is_there: Whether a file that is named can be read as a video.
        said: Hears what is worth knowing on the way.

    Raises:
        End: The preprocessor raises.
    """
    if not isinstance(given, list):
        return
    found = [region for region in given if isinstance(region, Mapping)]
    for number, region in enumerate(found):
        defined = region.get("region_definitions_path")
        if "mask_prompt" not in region and isinstance(defined, str):
            _check_mask(f"regional_prompts[{number}]", defined, is_there, first=first)
        elif not {"mask_prompt", "region_definitions_path"} & region.keys():
            said.add(
                f"regional_prompts[{number}] names no region: ValueError after the upsampling, "
                "since prompts and regions are counted.",
                f"{_REGIONAL}:191-195",
            )
    if found:
        said.add("Regional prompts are not upsampled.", f"{TRANSFER}:335-340")


def _check_mask(where: str, named: str, is_there: Callable[[str], bool], *, first: bool) -> None:
    if PurePath(named).suffix.lower() not in MASK_SUFFIXES or not is_there(named):
        fails(
            f"The region of {where} is {named[:200]!r}, which is no video that is there: "
            "ValueError: Invalid video file.",
            f"{PREPROCESSORS}:115-123",
            f"{_VIDEO}:102-116",
        )
    if not first:
        fails(
            f"The first item has put a tensor's name, which ends in .pt, in the place of the mask "
            f"of {where}: ValueError: Invalid video file.",
            f"{PREPROCESSORS}:119-123",
            f"{TRANSFER}:324-333",
        )
