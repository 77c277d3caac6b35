"""The run: rows in, journal lines out, through gates and without barriers.

``run`` is the whole; ``sieve`` tells what is finished, ``crowd`` holds what is under way,
``worker`` does one item; ``limit``, ``breaker`` and ``patient`` stand before the engine, ``room``
and ``gate`` before the decoders; ``besides`` is what goes on meanwhile, ``tally`` what is counted.
"""

from promptlift.batch.runner.breaker import EngineDown
from promptlift.batch.runner.run import BatchRun, Stop
from promptlift.batch.runner.settings import RunSettings

__all__ = ["BatchRun", "EngineDown", "RunSettings", "Stop"]
