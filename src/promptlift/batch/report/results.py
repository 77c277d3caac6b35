"""A sample of results: what the model was shown, what was asked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from promptlift.batch.measure import Measured, Sampled
from promptlift.batch.outcomes import Trouble, trouble_of
from promptlift.batch.report.pictures import Pictures, shown_times
from promptlift.batch.words import span

__all__ = ["results_of"]


def results_of(measured: Measured, pictures: Sequence[Pictures]) -> str:
    """Cards of the sample; nothing where there is none."""
    sample = measured.sample
    if not sample:
        return ""
    shown = list(pictures) or [Pictures()] * len(sample)
    cards = "".join(_card(one, seen) for one, seen in zip(sample, shown, strict=True))
    rejected = f", and {len(measured.rejected)} of those rejected" if measured.rejected else ""
    return (
        "<section><h2>A sample of results</h2>"
        f'<p class="soft">{len(measured.fit)} of the items with a prompt that is fit to use'
        f"{rejected}, drawn by their keys: the same ones every time, and a fair draw.</p>"
        f"{cards}</section>"
    )


def _card(sampled: Sampled, pictures: Pictures) -> str:
    outcome, record = sampled
    return (
        f'<article><div class="top"><h3>{escape(outcome.row.id)}</h3>'
        f'<span class="badge {outcome.status}">{outcome.status}</span>'
        f"<small>{escape(outcome.row.video)}</small></div>"
        f"{_frames(record, pictures)}{_prompts(record)}"
        f'<p class="soft">{escape(_told(record))}</p></article>'
    )


def _frames(record: Mapping[str, Any], pictures: Pictures) -> str:
    if pictures.missing:
        return f'<p class="soft">No frames: {escape(pictures.missing)}.</p>'
    figures = [
        f'<figure><img src="{escape(url)}" alt="hint frame at {seconds:.2f} seconds">'
        f"<figcaption>{seconds:.2f} s</figcaption></figure>"
        for url, seconds in zip(pictures.urls, shown_times(record), strict=False)
    ]
    return f'<div class="frames">{"".join(figures)}</div>' if figures else ""


def _prompts(record: Mapping[str, Any]) -> str:
    short, long_prompt = record.get("short_prompt") or "", record.get("prompt")
    parts = [_prompt("Asked", short or "(nothing: describe what is there)", short)]
    if long_prompt is not None:
        parts.append(_prompt("Long prompt", long_prompt, long_prompt, "long"))
    else:
        parts.append(_rejected(record))
    return f'<div class="prompts">{"".join(parts)}</div>'


def _prompt(title: str, shown: str, text: str, kind: str = "short") -> str:
    count = len(text.split())
    return (
        f'<div><h4>{title}</h4><p class="{kind}">{escape(shown)}</p>'
        f"<small>{count} {'word' if count == 1 else 'words'}</small></div>"
    )


def _rejected(record: Mapping[str, Any]) -> str:
    trouble = trouble_of(record) or Trouble("rejected", "no answer was fit to use", "")
    attempts = record.get("attempts") or ()
    last = attempts[-1]["text"] if attempts else ""
    return (
        f'<div><h4>Rejected: {escape(trouble.code)}</h4><p class="reason">'
        f'{escape(trouble.message)}</p><p class="answer">{escape(last)}</p></div>'
    )


def _told(record: Mapping[str, Any]) -> str:
    tokens, attempts = record.get("tokens") or {}, record.get("attempts") or ()
    used = tokens.get("actual") or tokens.get("counted") or tokens.get("predicted")
    count = len(attempts)
    parts = [
        f"{used:,} tokens of prompt" if used else "",
        f"{tokens['completion']:,} of answer" if tokens.get("completion") is not None else "",
        f"{tokens['target']:,} of {tokens['target_limit']:,} for {record.get('target')}"
        if tokens.get("target") is not None and tokens.get("target_limit")
        else "",
        f"{count} {'answer' if count == 1 else 'answers'} in {span(_seconds(record))}",
    ]
    return ", ".join(part for part in parts if part)


def _seconds(record: Mapping[str, Any]) -> float:
    return float(sum((record.get("timings") or {}).values()))
