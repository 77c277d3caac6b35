"""Is this answer fit to use? Pure checks, each with a name."""

from __future__ import annotations

from promptlift.core.review.clean import Cleaned, clean
from promptlift.core.review.model import CHECKS, Check, CheckName, Review, Verdict
from promptlift.core.review.verdict import review

__all__ = ["CHECKS", "Check", "CheckName", "Cleaned", "Review", "Verdict", "clean", "review"]
