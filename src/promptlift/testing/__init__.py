"""For tests of code that uses promptlift: a scripted engine, and videos drawn on the spot."""

from promptlift.testing.engines import FakeEngine
from promptlift.testing.video import Motion, synthetic_pictures, synthetic_video

__all__ = ["FakeEngine", "Motion", "synthetic_pictures", "synthetic_video"]
