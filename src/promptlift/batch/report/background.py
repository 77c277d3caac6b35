"""What the run is and who worked on it: inputs, settings, versions, writers, damage."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from html import escape

from promptlift.batch.manifest import Manifest
from promptlift.batch.measure import Measured
from promptlift.batch.summary import Summary
from promptlift.batch.words import span, writer_told
from promptlift.batch.writers import Life, WriterSeen
from promptlift.core.text import counted

__all__ = ["background_of"]

_WRITERS_SHOWN = 40
_KINDS: dict[Life, str] = {
    "live": "ok",
    "ended": "missing",
    "killed": "rejected",
    "silent": "rejected",
}


def background_of(
    summary: Summary, measured: Measured, manifest: Manifest | None, *, now: float
) -> str:
    """The tables at the end of the page."""
    return (
        f"<section><h2>Inputs</h2>{_inputs(summary)}</section>"
        f"<section><h2>Settings and versions</h2>{_settings(measured, manifest)}</section>"
        f"<section><h2>Who worked on it</h2>{_writers(summary, now)}{_damage(summary)}</section>"
    )


def _inputs(summary: Summary) -> str:
    rows = [
        [
            escape(one.source),
            f"{one.rows:,}",
            "to its end" if one.complete else "not to its end",
        ]
        for one in summary.inputs
    ]
    return _table(["input", "rows", "read"], rows) or '<p class="soft">None was read yet.</p>'


def _settings(measured: Measured, manifest: Manifest | None) -> str:
    lines = list(_used(measured))
    if manifest is not None:
        asked = [
            (name.replace("_", " "), _plain(value))
            for name, value in manifest.settings.items()
            if value not in (None, [], "")
        ]
        lines += [pair for pair in asked if pair[0] not in dict(lines)]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in lines)
    return f'<dl class="settings">{items}</dl>'


def _used(measured: Measured) -> Iterator[tuple[str, str]]:
    """What the records name; with the counts where they do not agree."""
    for kind, names in measured.used.items():
        if len(names) == 1:
            yield kind, next(iter(names))
        else:
            yield kind, ", ".join(f"{name} ({n:,})" for name, n in names.most_common())


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _writers(summary: Summary, now: float) -> str:
    shown = summary.writers[-_WRITERS_SHOWN:]
    rows = [_writer(writer, now) for writer in reversed(shown)]
    table = _table(["writer", "began", "worked for", "rows", "requests", ""], rows)
    more = len(summary.writers) - len(shown)
    return table + (f'<p class="soft">and {more:,} before these</p>' if more else "")


def _writer(writer: WriterSeen, now: float) -> list[str]:
    began = "" if writer.began is None else time.strftime("%m-%d %H:%M", time.gmtime(writer.began))
    requests = writer.counts.get("requests")
    told = writer_told(writer, now=now)
    return [
        f"<code>{escape(writer.name)}</code>",
        began,
        span(writer.seconds),
        f"{writer.finished:,}" if writer.finished else "",
        f"{requests:,}" if isinstance(requests, int) else "",
        f'<span class="badge {_KINDS[writer.life]}">{writer.life}</span> {escape(told)}',
    ]


def _damage(summary: Summary) -> str:
    lines = []
    if summary.torn:
        where = counted(summary.torn, "segment")
        lines.append(f"The last line of {where} was torn by a kill; its item is done again.")
    if summary.corrupt:
        what = counted(summary.corrupt, "line")
        lines.append(f"{what} of the journal are damaged and left out; their items are done again.")
    lines += [f"{one.segment}: {one.trouble}" for one in summary.damage if one.trouble]
    if not lines:
        return '<p class="soft">No line of the journal is torn or damaged.</p>'
    return "".join(f'<p class="reason">{escape(line)}</p>' for line in lines)


def _table(head: Iterable[str], rows: list[list[str]]) -> str:
    """Rows of HTML, in a box that scrolls by itself on a narrow screen."""
    if not rows:
        return ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'
