"""The journal of a run: what was done, appended by many writers, read by anyone.

``lines`` is the format, ``writer`` appends to one segment, ``index`` reads them all.
"""

from promptlift.batch.journal.folder import open_folder
from promptlift.batch.journal.index import Index, Standing
from promptlift.batch.journal.writer import JournalFull, Writer

__all__ = ["Index", "JournalFull", "Standing", "Writer", "open_folder"]
