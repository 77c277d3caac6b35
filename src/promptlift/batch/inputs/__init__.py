"""Read what is to be done: folders and patterns of videos, JSON lines, CSV, TSV, Parquet.

``opening`` tells the kinds apart; ``lines``, ``table``, ``parquet`` and ``folder`` read one each;
``columns`` makes rows of records, with ``places`` for where the videos lie and ``asked`` for the
options that a row sets. Anything else with the shape of `Input` can take the place of these.
"""

from promptlift.batch.inputs.asked import ROW_OPTIONS, row_options
from promptlift.batch.inputs.base import Input
from promptlift.batch.inputs.opening import FORMATS, open_input

__all__ = ["FORMATS", "ROW_OPTIONS", "Input", "open_input", "row_options"]
