"""The page, put together and written.

Everything is in the one file: the style, the drawings, and the pictures as data: addresses.
There is no script, and all text from inputs, models and errors is escaped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path

from promptlift import __version__
from promptlift.batch.manifest import Manifest
from promptlift.batch.measure import Measured, measure_run
from promptlift.batch.mirror import Place
from promptlift.batch.outcomes import Status
from promptlift.batch.plain import plain_text
from promptlift.batch.report.background import background_of
from promptlift.batch.report.figures import figures_of, headline_of
from promptlift.batch.report.pictures import Pictures, pictures_of
from promptlift.batch.report.results import results_of
from promptlift.batch.report.wrongs import wrongs_of
from promptlift.batch.run_dir import open_run
from promptlift.batch.summary import Summary, summarise_run
from promptlift.files import write_atomic

__all__ = ["render_report", "write_report"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_EXAMPLES = 5
_STATES = {"running": "running", "finished": "finished", "unfinished": "work is left"}
_KINDS: dict[str, Status] = {"running": "ok", "finished": "ok", "unfinished": "rejected"}


def write_report(
    run_dir: Path, output: Path, *, frames: bool = True, named: Place | None = None
) -> None:
    """Read every record of a run, and write the page about it, whole or not at all.

    Args:
        run_dir: The folder of the run, live, finished or dead.
        output: Where to.
        frames: Whether the hint frames of the sample are decoded again.
        named: What the run is called on the page; None for its folder.

    Raises:
        OptionError: The folder is no run.
        OutputError: It cannot be read, or the page not be written.
    """
    with open_run(run_dir) as run:
        found = summarise_run(run, examples=_EXAMPLES)
        summary = replace(found, run_dir=named or run_dir)
        measured = measure_run(run)
    pictures = pictures_of(measured.sample) if frames else []
    page = render_report(summary, measured, manifest=run.manifest, pictures=pictures)
    write_atomic(output, page.encode())


def render_report(
    summary: Summary,
    measured: Measured,
    *,
    manifest: Manifest | None = None,
    pictures: Sequence[Pictures] = (),
    now: float | None = None,
) -> str:
    """The page.

    Args:
        summary: How the run stands.
        measured: What its records say.
        manifest: What it is; None where that was lost.
        pictures: The frames of each of `Measured.sample`; none for a page without.
        now: Seconds since 1970; None for the clock's.
    """
    moment = time.time() if now is None else now
    style = files("promptlift.batch.report").joinpath("report.css").read_text(encoding="utf-8")
    name = Path(summary.run_dir).absolute().name or str(summary.run_dir)
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
    page = "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>Run {escape(name)}</title>\n<style>\n{style}</style>",
            "</head>\n<body>\n<main>",
            f"<h1>{escape(name)} {_badge(summary)}</h1>",
            f'<p class="lead">{escape(str(summary.run_dir))}, as of {at}</p>',
            headline_of(summary, measured),
            wrongs_of(summary, measured),
            figures_of(summary, measured),
            results_of(measured, pictures),
            background_of(summary, measured, manifest, now=moment),
            f"<footer>promptlift {escape(__version__)}</footer>",
            "</main>\n</body>\n</html>\n",
        ]
    )
    return plain_text(page)


def _badge(summary: Summary) -> str:
    return f'<span class="badge {_KINDS[summary.state]}">{_STATES[summary.state]}</span>'
