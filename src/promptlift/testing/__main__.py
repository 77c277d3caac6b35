"""``python -m promptlift.testing CLIP.mp4`` draws the demo clip, and creates its directory."""

from __future__ import annotations

import sys
from pathlib import Path

from promptlift.testing.video import synthetic_video

if len(sys.argv) != 2:
    sys.exit("usage: python -m promptlift.testing CLIP.mp4")
Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
synthetic_video(sys.argv[1])
