"""One page about a run, for whoever has to decide what to do next and whoever paid for it.

``page`` puts it together; ``wrongs``, ``figures``, ``results`` and ``background`` are its parts;
``charts`` draws, and ``pictures`` decodes the frames of the sample again.
"""

from promptlift.batch.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
