"""The journal of a run: what was done, appended by many writers, read by anyone.

``lines`` is the format, ``writer`` appends to one segment, ``index`` reads them all; ``answers``
holds what came from an engine and has no result yet.
"""

from promptlift.batch.journal.answers import Answers, clear_answers
from promptlift.batch.journal.folder import open_folder
from promptlift.batch.journal.index import Index, Standing
from promptlift.batch.journal.writer import JournalFull, Writer

__all__ = [
    "Answers",
    "Index",
    "JournalFull",
    "Standing",
    "Writer",
    "clear_answers",
    "open_folder",
]
