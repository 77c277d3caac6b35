"""Many items: rows read from any input, the run that loses nothing, its status and its export."""

from __future__ import annotations

from promptlift.batch.runner import BatchRun, RunSettings
from promptlift.batch.status import RowResult, raw_record, row_results

__all__ = ["BatchRun", "RowResult", "RunSettings", "raw_record", "row_results"]
