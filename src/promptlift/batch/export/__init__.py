"""Write what a run has made: JSON lines, Parquet, CSV, or a folder of text files.

An export is the rows of all readings in their order, joined with the result that stands for each.
Rows that share an item each get its result. It is written beside and renamed, so that its name
holds a whole export or the earlier one.
"""

from promptlift.batch.export.columns import COLUMNS, Columns
from promptlift.batch.export.export import FORMS, Exported, export

__all__ = ["COLUMNS", "FORMS", "Columns", "Exported", "export"]
