"""What went wrong, first of all: by reason, with examples, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from html import escape

from promptlift.batch.measure import Measured
from promptlift.batch.summary import Example, Group, Summary
from promptlift.core.text import counted

__all__ = ["wrongs_of"]


def wrongs_of(summary: Summary, measured: Measured) -> str:
    """The failures and rejections, and the commands that go on from here."""
    if summary.groups:
        cards = "".join(map(_group, summary.groups))
        body = f'<div class="wrongs">{cards}</div>'
    else:
        body = '<p class="soft">Nothing failed, and nothing was rejected.</p>'
    return f"<section><h2>What went wrong</h2>{body}{_checks(measured)}{_next(summary)}</section>"


def _group(group: Group) -> str:
    again = '<span class="chip">a rerun asks again</span>' if group.retryable else ""
    remedies = dict.fromkeys(one.remedy for one in group.examples if one.remedy)
    told = "".join(f'<p class="remedy">{_sentence(remedy)}</p>' for remedy in remedies)
    examples = "".join(map(_example, group.examples))
    more = group.rows - len(group.examples)
    rest = f'<li class="soft">and {counted(more, "more row", "more rows")}</li>' if more else ""
    return (
        f'<article><div class="top"><span class="badge {group.status}">{group.status}</span>'
        f"<h3>{escape(group.code)}</h3><b>{counted(group.rows, 'row')}</b>{again}</div>"
        f'{told}<ul class="examples">{examples}{rest}</ul></article>'
    )


def _example(example: Example) -> str:
    named = not example.video or example.video in example.message
    video = "" if named else f"<small>{escape(example.video)}</small>"
    return f"<li><code>{escape(example.id)}</code> {escape(example.message)}{video}</li>"


def _sentence(text: str) -> str:
    return f"{escape(text[:1].upper() + text[1:])}."


def _checks(measured: Measured) -> str:
    """Which checks the best answers of the rejected items failed; one answer may fail several."""
    if not measured.failed_checks:
        return ""
    most = max(measured.failed_checks.values())
    rows = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{100 * count / most:.1f}%"></i>'
        f"<b>{count:,}</b></li>"
        for name, count in measured.failed_checks.most_common()
    )
    return (
        '<h3>Checks that the best answers failed</h3><p class="soft">Items that were rejected, by '
        f'check; one may fail several.</p><ul class="bars">{rows}</ul>'
    )


def _next(summary: Summary) -> str:
    lines = "".join(
        f"<dt>{escape(what)}</dt><dd><code>{escape(command)}</code></dd>"
        for what, command in _steps(summary)
    )
    return f'<h3>What to do next</h3><dl class="next">{lines}</dl>' if lines else ""


def _steps(summary: Summary) -> Iterator[tuple[str, str]]:
    folder = shlex.quote(str(summary.run_dir))
    if summary.live:
        yield "see how it stands", f"promptlift status {folder}"
        return
    if summary.left or not summary.complete:
        yield f"go on with the {counted(summary.left, 'row')} left", "the same command again"
    if summary.rows["failed"] > summary.retryable:
        yield "once it is mended, do again what failed", f"promptlift retry {folder}"
    if summary.rows["rejected"]:
        yield "do again what was rejected", f"promptlift retry {folder} --what rejected"
    if summary.groups:
        yield (
            "list what went wrong",
            (f"promptlift export {folder} -o wrong.csv --only failed,rejected"),
        )
    if summary.fit:
        yield "take the results", f"promptlift export {folder} -o prompts.jsonl"
