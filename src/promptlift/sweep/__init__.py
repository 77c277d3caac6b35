"""Which sizes of frames a model takes, and why: predicted, and where there is an engine measured.

The bare request is what a program sends that resizes nothing: some frames at their own size, and
the prompt. Beside it stands what promptlift's plan makes of the same video.
"""

from __future__ import annotations

from promptlift.sweep.ladder import LADDER, ladder
from promptlift.sweep.measure import Pictures, measure
from promptlift.sweep.rows import Measured, Row, Verdict, predict

__all__ = ["LADDER", "Measured", "Pictures", "Row", "Verdict", "ladder", "measure", "predict"]
