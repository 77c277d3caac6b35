"""What tests of code that uses promptlift need: made here, quick, and the same every time."""

from promptlift.testing.video import Motion, synthetic_pictures, synthetic_video

__all__ = ["Motion", "synthetic_pictures", "synthetic_video"]
