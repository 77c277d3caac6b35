"""The page about a run: safe to open anywhere, true to the run, and of use to whoever reads it."""

from __future__ import annotations

import base64
import io
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from loaders.run_dirs import PROMPTS, Maker, make_run, make_videos, mixed_rows
from promptlift.batch.distribution import Distribution
from promptlift.batch.manifest import Manifest
from promptlift.batch.measure import Measured, measure
from promptlift.batch.report import render_report, write_report
from promptlift.batch.report.charts import counts_chart, nice_step, spread_chart, ticks_between
from promptlift.batch.report.pictures import Pictures, pictures_of, shown_times
from promptlift.batch.rows import Row
from promptlift.batch.summary import summarise
from promptlift.core.record import Record
from promptlift.errors import OutputError
from promptlift.testing import synthetic_video

EVIL = 'a <script>alert(1)</script> & "quoted" balloon</p>'
VOID = {"meta", "img", "br", "line", "rect"}


class Outline(HTMLParser):
    """Keeps the tags in their order and checks that each is closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.seen.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.seen.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the tag opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    """Read a page."""
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, ``run``, and rows in it whose texts try to be markup."""
    made = tmp_path_factory.mktemp("a<b>&c")
    make_run(made)
    evil = [
        Row.of(0, str(made / "clip0.mp4"), EVIL, id="<i>evil</i>"),
        Row.of(1, str(made / "<img src=x>.mp4"), "p", id="<u>gone</u>"),
    ]
    Maker(made / "run").write(evil, source="<b>input</b>.jsonl", end="<s>done</s>")
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    """The page about that run, an hour later."""
    run, later = folder / "run", time.time() + 3600
    measured = measure(run)
    return render_report(
        summarise(run, now=later),
        measured,
        manifest=Manifest.read(run),
        pictures=pictures_of(measured.sample),
        now=later,
    )


def test_the_page_is_whole(page: str) -> None:
    """Every tag is closed, and the sections stand in the order in which they are of use."""
    outline(page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "What went wrong",
        "Time and tokens",
        "A sample of results",
        "Inputs",
        "Settings and versions",
        "Who worked on it",
    ]


def test_nothing_comes_from_elsewhere(page: str) -> None:
    """No script, no address but data:, and a policy that forbids the rest."""
    seen = outline(page)
    assert not set(seen.seen) & {"script", "link", "iframe", "object", "base", "form", "a"}
    addresses = [value for _, name, value in seen.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_text_is_text(page: str) -> None:
    """What rows, paths, models and errors say is escaped, wherever it stands."""
    for markup in ("<script", "<i>evil", "<u>gone", "<b>input", "<s>done", "<img src=x", "a<b>&c"):
        assert markup not in page, markup
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;input&lt;/b&gt;.jsonl" in page
    assert "&lt;u&gt;gone&lt;/u&gt;" in page


def test_the_headline_counts_rows(page: str) -> None:
    """How many are fit to use, of how many, and what became of the others."""
    assert "<b>5</b> of 12 rows fit to use (41.7%)" in page
    legend = dict(re.findall(r"<b>(\d+)</b> (rejected by the review|failed|fit to use \w+)", page))
    assert legend["1"] in ("rejected by the review", "fit to use once")
    assert "<b>6</b> failed" in page
    assert "work is left" in page


def test_failures_come_with_remedies_and_examples(page: str) -> None:
    """Each reason has a card: how many rows, which, why, and what to do about it."""
    cards = re.findall(r"<article>.*?</article>", page.split("Time and tokens")[0])
    assert len(cards) == 6
    transient = next(card for card in cards if "engine_transient" in card)
    assert "a rerun asks again" in transient
    assert "<code>later</code> the engine at port 8000 is gone" in transient
    assert "Start it again." in transient
    missing = next(card for card in cards if "video_not_found" in card)
    assert "2 rows" in missing
    assert "refusal" in cards[-1]
    assert "promptlift retry" in page
    assert "--only failed,rejected" in page


def test_the_checks_are_counted(page: str) -> None:
    """Every check that a best answer failed, not only the first."""
    assert re.search(r"<span>refusal</span><i style=\"width:100.0%\"></i><b>1</b>", page)
    assert "<span>unfaithful</span>" in page


def test_the_sample_shows_frames_and_prompts(page: str) -> None:
    """Short and long side by side, with the frames at their times, as pictures that open."""
    cards = re.findall(r"<article>.*?</article>", page.split("A sample of results")[1])
    assert len(cards) == 5
    card = next(card for card in cards if "<h3>first</h3>" in card)
    assert PROMPTS[0] in card
    assert "A red hot-air balloon drifts over the hills. Soft light" in card
    urls = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', card)
    pictures = [Image.open(io.BytesIO(base64.b64decode(url))) for url in urls]
    assert [picture.size for picture in pictures] == [(160, 96)] * 2
    assert re.findall(r"<figcaption>(.*?)</figcaption>", card) == ["0.12 s", "0.38 s"]
    refused = next(card for card in cards if "Rejected: refusal" in card)
    assert "I&#x27;m sorry, but I cannot help with that." in refused


def test_the_background_is_told(page: str) -> None:
    """Inputs, engine, settings, writers, and what a kill has torn."""
    assert "<dt>model</dt><dd>scripted</dd>" in page
    assert "<dt>temperature</dt><dd>0.6</dd>" in page
    assert "<td>rows.jsonl</td><td>10</td><td>to its end</td>" in page
    assert len(re.findall(r"<td><code>[^<]+-\d+-[0-9a-f]{8}</code></td>", page)) == 3


def test_light_and_dark_and_narrow(page: str) -> None:
    """The style is inside, knows both themes, and a phone."""
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 640px" in page
    assert 'name="viewport"' in page


def test_a_torn_segment_is_told(folder: Path, page: str) -> None:
    """Once its writer no longer lives; while it does, the line is being written."""
    run = folder / "run"
    told = "The last line of 1 segment was torn by a kill"
    assert told in page
    assert told not in render_report(summarise(run), measure(run))


def test_without_frames_no_video_is_opened(folder: Path, tmp_path: Path) -> None:
    """The page has no picture and says nothing of missing ones."""
    write_report(folder / "run", tmp_path / "run.html", frames=False)
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "No frames" not in page
    assert "A sample of results" in page


def test_frames_come_from_the_video_that_was_shown_or_not_at_all(tmp_path: Path) -> None:
    """A replaced video and one that is gone are said to be so; what is damaged stops nothing."""
    make_videos(tmp_path)
    rows = mixed_rows(tmp_path)[:2]
    maker = Maker(tmp_path / "run")
    maker.write(rows)
    synthetic_video(tmp_path / "clip0.mp4", seconds=0.5, size=(160, 96), fps=8, seed=9)
    (tmp_path / "clip1.mp4").unlink()
    sample = measure(maker.run_dir).sample
    told = {o.row.video[-9:]: p for (o, _), p in zip(sample, pictures_of(sample), strict=True)}
    assert told["clip0.mp4"] == Pictures((), "the video is no longer the one that was shown")
    assert told["clip1.mp4"] == Pictures((), "the video is gone or cannot be read any more")
    page = render_report(
        summarise(maker.run_dir), measure(maker.run_dir), pictures=pictures_of(sample)
    )
    assert "No frames: the video is gone" in page


def test_of_many_frames_a_few_are_shown() -> None:
    """At most four, the first and the last among them, each with its time."""
    frames = [{"exact_seconds": str(n), "seconds": float(n)} for n in range(16)]
    assert shown_times({"frames": frames}) == [0.0, 5.0, 10.0, 15.0]
    assert shown_times({"frames": frames[:3]}) == [0.0, 1.0, 2.0]
    assert shown_times({}) == []


def test_a_run_without_results_has_a_page(tmp_path: Path) -> None:
    """Nothing to draw, nothing wrong, and what to do next."""
    maker = Maker(tmp_path / "run")
    maker.write([Row.of(0, "/no.mp4", "p")], do=lambda row: False, end=None)
    write_report(maker.run_dir, tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    outline(page)
    assert "<b>0</b> of 1 row fit to use" in page
    assert "Nothing failed, and nothing was rejected" in page
    assert "<svg" not in page


def test_a_page_that_cannot_be_written_leaves_the_old_one(folder: Path, tmp_path: Path) -> None:
    """It is written whole or not at all."""
    with pytest.raises(OutputError, match="there is no folder"):
        write_report(folder / "run", tmp_path / "no" / "run.html", frames=False)
    assert list(tmp_path.iterdir()) == []


def test_other_versions_are_told_with_their_counts(tmp_path: Path) -> None:
    """Where the records do not agree on what was used, each is named."""
    make_videos(tmp_path)
    rows = mixed_rows(tmp_path)[:2]

    def older(record: Record) -> Record:
        return record.model_copy(update={"promptlift": "0.0.9"})

    run = tmp_path / "run"
    Maker(run, alter=older).write(rows, do=lambda row: row.number == 0)
    Maker(run).write(rows, do=lambda row: row.number == 1)
    page = render_report(summarise(run), measure(run))
    assert re.search(r"<dt>promptlift</dt><dd>\S+ \(1\), \S+ \(1\)</dd>", page)


def bars_of(svg: str) -> list[float]:
    """The heights of the bars of a chart, in pixels."""
    return [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', svg)]


def spread_of(*values: float) -> Distribution:
    """How these are spread."""
    spread = Distribution()
    for value in values:
        spread.add(value)
    return spread


def test_a_chart_has_labelled_axes() -> None:
    """What is counted, of what, in which unit, and round numbers along both sides."""
    svg = spread_chart(spread_of(0.1, 0.2, 0.2, 0.4, 1, 3, 9), "seconds per item", "s")
    assert 'aria-label="seconds per item (logarithmic)"' in svg
    assert ">items</text>" in svg
    assert ">median</text>" in svg
    assert all(f">{tick}</text>" in svg for tick in ("0.1", "1", "5"))
    assert all(f">{level}</text>" in svg for level in ("0", "1", "2"))


def test_bars_are_as_high_as_they_say() -> None:
    """Heights go with the counts, and each bar says its own to who points at it."""
    counts = {10: 1, 110: 4, 210: 2}
    svg = counts_chart(counts, "tokens", limit=300)
    one, four, two = bars_of(svg)
    assert [four, two] == pytest.approx([4 * one, 2 * one], abs=0.3)
    assert re.findall(r"<title>(.*?): (\d+)</title>", svg)[1][1] == "4"
    assert ">limit</text>" in svg


@pytest.mark.parametrize("values", [[2.0], [1.0, 1.0], [0.0, 0.0], [1e-4, 1e5], [99.5, 100.5]])
def test_odd_spreads_are_drawn(values: list[float]) -> None:
    """One number, all the same, nothing but zeros, nine powers of ten: all inside the picture."""
    svg = spread_chart(spread_of(*values), "seconds", "s")
    outline(svg)
    for x in re.findall(r' x1?="(-?[\d.]+)"', svg):
        assert 0 <= float(x) <= 420
    assert bars_of(svg)
    assert spread_chart(Distribution(), "seconds", "s") == ""
    assert counts_chart({}, "tokens") == ""


@given(st.floats(1e-3, 1e4), st.floats(1.5, 1e6), st.booleans())
def test_ticks_are_few_and_inside(low: float, factor: float, is_log: bool) -> None:
    """Whatever the span, there is a handful of ticks between its ends, ascending."""
    high = low * factor
    ticks = ticks_between(low, high, is_log=is_log)
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)


@given(st.floats(1e-6, 1e9))
def test_steps_are_round(least: float) -> None:
    """1, 2 or 5 times a power of ten, not below what is asked for and not far above."""
    step = nice_step(least)
    assert least * (1 - 1e-6) <= step <= least * 2.5 * (1 + 1e-6)
    assert f"{step:e}"[0] in "125"


def test_a_page_of_nothing_measured_is_a_page(folder: Path) -> None:
    """The records could not be read; what the journal says is told all the same."""
    outline(render_report(summarise(folder / "run"), Measured()))
