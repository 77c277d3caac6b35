"""The review sheet: one page that a person reads before spending GPU hours.

Everything is in the one file: the style, and the pictures as data: addresses. There is no
script, and all text from specs and models is escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from promptlift import __version__
from promptlift.core.lexicon import ENGLISH_FUNCTION_WORDS
from promptlift.core.prompts import fixed_by, free_under
from promptlift.core.record import Record
from promptlift.core.review.words import stem
from promptlift.cosmos.items import Item
from promptlift.cosmos.results import Finished, Result
from promptlift.cosmos.sidecar import Status

__all__ = ["render_sheet"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LEAD = (
    "What the model was shown, what was asked for and what came of it. Your own words are "
    "<mark>marked</mark> where the long prompt keeps them."
)
_WORD = re.compile(r"[^\W_]+")
_STATUSES: dict[Status, str] = {
    "done": "long prompt in place",
    "kept": "left as it was",
    "rejected": "no answer fit to use",
    "failed": "failed",
}
_LOOKS = {
    "rgb": "the RGB video",
    "vis": "the blur (vis) control",
    "hdmap": "the HD map control",
}


def render_sheet(specs: Sequence[Finished], *, written: bool = True) -> str:
    """The page for specs that are finished.

    Args:
        specs: What became of them.
        written: Whether the changes were made; False after a dry run.
    """
    style = files("promptlift.cosmos").joinpath("sheet.css").read_text(encoding="utf-8")
    results = [result for spec in specs for result in spec.results]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>Prompts to review ({len(results)})</title>\n<style>\n{style}</style>",
            "</head>\n<body>\n<main>\n<h1>Prompts to review</h1>",
            f'<p class="lead">{_LEAD}</p>',
            _counts(results),
            *(_spec(spec, written=written) for spec in specs),
            f"<footer>promptlift {escape(__version__)}</footer>",
            "</main>\n</body>\n</html>\n",
        ]
    )


def _counts(results: Sequence[Result]) -> str:
    counted = Counter(result.status for result in results)
    cells = [
        f'<li><b class="{status}">{counted[status]}</b>{words}</li>'
        for status, words in _STATUSES.items()
        if counted[status]
    ]
    return f'<ul class="counts">{"".join(cells)}</ul>'


def _spec(finished: Finished, *, written: bool) -> str:
    spec = finished.output.spec
    where = f"{'written' if written else 'not written (dry run)'} to {finished.output.path}"
    where = where if finished.changes else "unchanged"
    return "\n".join(
        [
            f'<section class="spec"><header><h2>{escape(spec.path.name)}</h2>',
            f"<p>{escape(spec.format.title)}, {escape(where)}</p></header>",
            *map(_item, finished.results),
            "</section>",
        ]
    )


def _item(result: Result) -> str:
    parts = [_top(result)]
    if result.reason:
        parts.append(f'<p class="reason {result.status}">{escape(result.reason)}</p>')
    parts.append(_frames(result))
    if result.job is not None:
        parts += [f"<p><small>{escape(note)}</small></p>" for note in result.job.notes]
    parts.append(_prompts(result))
    if result.record is not None:
        parts.append(_facts(result, result.record))
    return f"<article>{''.join(parts)}</article>"


def _top(result: Result) -> str:
    title = result.item.where or "prompt"
    chips = []
    if result.job is not None:
        look = _LOOKS.get(result.job.look_at, f"the {result.job.look_at} control")
        chips.append(f"shown: {look}")
    if isinstance(result.item, Item):
        chips += [f"control: {hint.key}" for hint in result.item.hints]
        if result.item.region is not None:
            chips.append(f"region {', '.join(f'{side:g}' for side in result.item.region)}")
        if result.item.region_mask is not None:
            chips.append(f"region: {result.item.region_mask}")
    return (
        f'<div class="top"><h3>{escape(title)}</h3>'
        f'<span class="badge {result.status}">{_STATUSES[result.status]}</span>'
        + "".join(f'<span class="chip">{escape(chip)}</span>' for chip in chips)
        + "</div>"
    )


def _frames(result: Result) -> str:
    if not result.pictures or result.record is None:
        return ""
    figures = [
        f'<figure><img src="{escape(picture)}" alt="hint frame at {frame.seconds:.2f} seconds">'
        f"<figcaption>{frame.seconds:.2f} s, {frame.width}x{frame.height}</figcaption></figure>"
        for picture, frame in zip(result.pictures, result.record.frames, strict=True)
    ]
    return f'<div class="frames">{"".join(figures)}</div>'


def _prompts(result: Result) -> str:
    if not result.before and result.after is None:
        return ""
    short, long = result.before, result.after
    parts = [_prompt("Short prompt" if long or result.job else "Prompt", escape(short), short)]
    if long is not None:
        parts.append(_prompt("Long prompt", _marked(long, short), long, "long"))
    return f'<div class="prompts">{"".join(parts)}</div>'


def _prompt(title: str, html: str, text: str, kind: str = "short") -> str:
    shown = html or "<small>none: describe what is there</small>"
    count = len(text.split())
    return (
        f'<section><h4>{title}</h4><p class="{kind}">{shown}</p>'
        f"<small>{count} {'word' if count == 1 else 'words'}</small></section>"
    )


def _marked(long: str, short: str) -> str:
    """The long prompt with the user's own words marked."""
    said = {stem(word) for word in _words(short)}
    parts, position = [], 0
    for match in _WORD.finditer(long):
        word = match[0].lower()
        if word in ENGLISH_FUNCTION_WORDS or stem(word) not in said:
            continue
        parts += [escape(long[position : match.start()]), f"<mark>{escape(match[0])}</mark>"]
        position = match.end()
    return "".join([*parts, escape(long[position:])])


def _words(text: str) -> Iterable[str]:
    return (
        word for word in map(str.lower, _WORD.findall(text)) if word not in ENGLISH_FUNCTION_WORDS
    )


def _facts(result: Result, record: Record) -> str:
    cells = [_review(record)] if record.review else []
    tokens = record.tokens
    if tokens.target is not None and tokens.target_limit:
        about = ", estimated from above" if tokens.target_estimated else ""
        cells.append(
            _bar(
                f"For {record.target}",
                tokens.target,
                tokens.target_limit,
                f"of {tokens.target_limit:,} tokens that its text encoder reads{about}",
            )
        )
    if record.plan is not None and tokens.predicted is not None:
        used = tokens.actual or tokens.counted or tokens.predicted
        room = f"of {record.plan.context:,} tokens of context, {record.plan.reserve:,} kept for"
        cells.append(_bar("Hint frames and text", used, record.plan.context, f"{room} the answer"))
    if result.job is not None and result.job.controls:
        fixed, free = fixed_by(result.job.controls), free_under(result.job.controls) or "nothing"
        html = f"<p>Fixed: {escape(fixed)}.</p><p>Free: {escape(free)}.</p>"
        cells.append(_cell("The controls", html))
    if record.engine is not None:
        seconds = sum(record.timings.values())
        count = len(record.attempts)
        answers = f"{count or 'no'} {'answer' if count == 1 else 'answers'}"
        text = f"{record.engine.name}, {record.engine.model}: {answers} in {seconds:.1f} s"
        cells.append(_cell("Asked", f"<p>{escape(text)}</p>"))
    return f'<div class="facts">{"".join(cells)}</div>'


def _review(record: Record) -> str:
    assert record.review is not None
    told = [
        f"<li>{escape(check.name)}: {escape(check.detail or 'found')}"
        f"{' (repaired)' if check.repaired else ''}</li>"
        for check in record.review.checks
        if not check.passed or check.repaired
    ]
    passed = sum(check.passed for check in record.review.checks)
    summary = f"<p>{passed} of {len(record.review.checks)} checks passed</p>"
    return _cell("Review", summary + (f"<ul>{''.join(told)}</ul>" if told else ""))


def _bar(title: str, used: int, limit: int, words: str) -> str:
    share = 100 * used / limit
    full = ' class="full"' if share > 100 else ""
    return _cell(
        title,
        f'<div class="bar"><i{full} style="width:{min(share, 100):.1f}%"></i></div>'
        f"<p><b>{used:,}</b> {escape(words)}</p>",
    )


def _cell(title: str, html: str) -> str:
    return f"<section><h4>{escape(title)}</h4>{html}</section>"
