"""The numbers: how many, how long, how fast, and how they are spread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from promptlift.batch.distribution import Distribution
from promptlift.batch.measure import DECODE, ENGINE, Measured
from promptlift.batch.outcomes import STATUSES, Status
from promptlift.batch.report.charts import counts_chart, spread_chart
from promptlift.batch.summary import Summary
from promptlift.batch.words import rate, span
from promptlift.core.text import counted

__all__ = ["STATUS_WORDS", "figures_of", "headline_of"]

STATUS_WORDS: dict[Status, str] = {
    "ok": "fit to use as answered",
    "repaired": "fit to use once cleaned",
    "rejected": "rejected by the review",
    "failed": "failed",
    "missing": "no result yet",
}
_LEAST_ACTIVE_S = 1.0


def headline_of(summary: Summary, measured: Measured) -> str:
    """How many rows are done, and how fast that went."""
    share = f" ({summary.fit / summary.total:.1%})" if summary.total else ""
    fit = f"<b>{summary.fit:,}</b> of {counted(summary.total, 'row')} fit to use{share}"
    unread = "" if summary.complete else ". The input was not read to its end: more rows may come"
    parts = [(status, summary.rows[status], STATUS_WORDS[status]) for status in STATUSES]
    tiles = "".join(f"<li><b>{value}</b>{words}</li>" for value, words in _tiles(summary, measured))
    return (
        f'<section class="head"><p class="fit">{fit}{unread}.</p>'
        f"{_stack(parts, '{:,}'.format)}"
        f'<ul class="tiles">{tiles}</ul></section>'
    )


def _tiles(summary: Summary, measured: Measured) -> Iterator[tuple[str, str]]:
    active = summary.active_s
    if summary.live:
        eta = summary.eta_s
        left = "" if eta is None else f", about {span(eta)} left"
        yield rate(summary.rate, "rows"), f"now, by {counted(len(summary.live), 'writer')}{left}"
    if active >= _LEAST_ACTIVE_S:
        yield span(active), "of work, without the pauses between runs"
        yield rate(measured.items / active, "items"), "over all of it"
        yield rate(measured.answer_tokens / active, "tokens"), "of answers"
    if in_flight := _mean_in_flight(summary):
        yield f"{in_flight:.1f}", "requests in flight on average"
    if measured.answer_tokens:
        words = f"tokens of answers, {measured.prompt_tokens:,} of prompts"
        yield f"{measured.answer_tokens:,}", words
    requests = sum(count * times for times, count in measured.attempts.items())
    if requests:
        yield f"{requests:,}", f"answers for {counted(measured.items, 'item')}"


def _mean_in_flight(summary: Summary) -> float:
    told = [w for w in summary.writers if w.counts.get("engine_seconds")]
    seconds = sum(writer.seconds for writer in told)
    return sum(w.counts["engine_seconds"] for w in told) / seconds if seconds else 0.0


def figures_of(summary: Summary, measured: Measured) -> str:
    """Where the time went, and how times and tokens are spread."""
    del summary
    if not measured.items:
        return ""
    limit = max(measured.target_limits.values(), default=None)
    charts = [
        _chart(
            "Waiting for the engine",
            spread_chart(measured.engine_s, "seconds per item", "s"),
            _quantiles(measured.engine_s, seconds=True),
        ),
        _chart(
            "Opening and decoding",
            spread_chart(measured.decode_s, "seconds per item", "s"),
            _quantiles(measured.decode_s, seconds=True),
            "decode",
        ),
        _chart(
            "Prompts",
            spread_chart(measured.prompt_sizes, "tokens per prompt, frames included", ""),
            _quantiles(measured.prompt_sizes, seconds=False),
        ),
        _chart(
            "Results",
            counts_chart(
                measured.target_tokens, "tokens per result, as its target counts", limit=limit
            ),
            _targets(measured),
            "ok",
        ),
    ]
    return (
        "<section><h2>Time and tokens</h2>"
        f"{_where_time_went(measured)}"
        f'<div class="charts">{"".join(charts)}</div></section>'
    )


def _where_time_went(measured: Measured) -> str:
    total = sum(measured.stages.values())
    if not total:
        return ""
    decode, engine = measured.seconds(DECODE), measured.seconds(ENGINE)
    shares = [
        ("engine", engine, "waiting for the engine"),
        ("decode", decode, "opening and decoding videos"),
        ("other", total - engine - decode, "planning"),
    ]
    note = f"{span(total)} in all, added up over items that were worked on at once"
    return f'<p class="soft">Where the time of the items went: {note}.</p>{_stack(shares, span)}'


def _stack(parts: Sequence[tuple[str, float, str]], shown: Callable[[float], str]) -> str:
    """One bar of several parts, each with its class and its words, and a legend."""
    total = sum(value for _, value, _ in parts)
    there = [(kind, value, words) for kind, value, words in parts if value > 0]
    if not there:
        return ""
    bar = "".join(
        f'<i class="{kind}" style="flex-grow:{value / total:.5f}"></i>' for kind, value, _ in there
    )
    legend = "".join(
        f'<li><i class="{kind}"></i><b>{shown(value)}</b> {escape(words)} '
        f"<small>{value / total:.1%}</small></li>"
        for kind, value, words in there
    )
    return f'<div class="stack" aria-hidden="true">{bar}</div><ul class="legend">{legend}</ul>'


def _chart(title: str, svg: str, told: str, kind: str = "engine") -> str:
    if not svg:
        return ""
    caption = f"<figcaption>{escape(told)}</figcaption>"
    return f'<figure class="{kind}"><h3>{escape(title)}</h3>{svg}{caption}</figure>'


def _quantiles(spread: Distribution, *, seconds: bool) -> str:
    def told(value: float) -> str:
        return span(value) if seconds else f"{value:,.0f}"

    if not spread.count:
        return ""
    return (
        f"Half of {counted(spread.count, 'item')} below {told(spread.quantile(0.5))}, 90 % below "
        f"{told(spread.quantile(0.9))}, 99 % below {told(spread.quantile(0.99))}; the most "
        f"{told(spread.most)}."
    )


def _targets(measured: Measured) -> str:
    limits = ", ".join(
        f"{name} takes {limit:,}" for name, limit in sorted(measured.target_limits.items())
    )
    over = sum(
        count
        for tokens, count in measured.target_tokens.items()
        if tokens > max(measured.target_limits.values(), default=tokens)
    )
    above = counted(over, "result") if over else "none"
    return f"{limits}; {above} above." if limits else ""
