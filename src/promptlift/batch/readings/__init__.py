"""Keep the rows of an input in the run's folder, ahead of the work, and read them back.

``spool`` reads an input into ``inputs/`` and hands its rows on; ``kept`` reads what is there;
``files`` is the form of the files. See ``docs/design/0002-batch.md``.
"""

from promptlift.batch.readings.kept import Reading, readings
from promptlift.batch.readings.spool import Spool

__all__ = ["Reading", "Spool", "readings"]
