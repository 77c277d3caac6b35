"""``python -m promptlift.testing CLIP`` makes the demo clip."""

from __future__ import annotations

import sys
from pathlib import Path

from promptlift.testing.video import synthetic_video


def main() -> None:
    """Make the clip, and its folder where it is missing."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m promptlift.testing CLIP.mp4")
    clip = Path(sys.argv[1])
    clip.parent.mkdir(parents=True, exist_ok=True)
    synthetic_video(clip)


main()
