"""Cosmos's own files and classes: what its generators read, and a drop-in for its upsampler."""

from __future__ import annotations

from promptlift.cosmos.drop_in import PixtralPromptUpsampler
from promptlift.cosmos.plan import SpecOptions
from promptlift.cosmos.review_sheet import render_review_sheet
from promptlift.cosmos.spec_file import read_spec
from promptlift.cosmos.transfer1_check import check_spec
from promptlift.cosmos.upsample import (
    Outputs,
    SpecResult,
    SpecRows,
    upsample_specs,
    write_back,
)

__all__ = [
    "Outputs",
    "PixtralPromptUpsampler",
    "SpecOptions",
    "SpecResult",
    "SpecRows",
    "check_spec",
    "read_spec",
    "render_review_sheet",
    "upsample_specs",
    "write_back",
]
