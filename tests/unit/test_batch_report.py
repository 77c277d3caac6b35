"""The page about a run: safe to open anywhere, true to the run, and of use to its reader."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from loaders.run_dirs import (
    PROMPTS,
    Maker,
    make_run_of_ended_process,
    make_videos,
    mixed_rows,
)
from promptlift.batch.report import write_report
from promptlift.batch.rows import Row
from promptlift.errors import OutputError
from promptlift.testing import synthetic_video

EVIL = 'a <script>alert(1)</script> & "quoted" balloon</p>'
VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Lists the tags and their attributes, and checks that each is closed by its own."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the tag opened last."""
        assert self.open.pop() == tag


def page_of(run: Path) -> str:
    """The page about a run."""
    write_report(run, run.parent / "run.html")
    return (run.parent / "run.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, ``run``, and rows in it whose texts try to be markup."""
    made = tmp_path_factory.mktemp("a<b>&c")
    make_run_of_ended_process(made)
    evil = [
        Row.of(0, str(made / "clip0.mp4"), EVIL, id="<i>evil</i>"),
        Row.of(1, str(made / "<img src=x>.mp4"), "p", id="<u>gone</u>"),
    ]
    Maker(made / "run").write(evil, source="<b>input</b>.jsonl", end="<s>done</s>")
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    """The page about that run."""
    return page_of(folder / "run")


def test_the_page_needs_nothing_else_and_escapes_all_text(page: str) -> None:
    """No script, no address but data:, a policy against the rest; themes and a phone's width."""
    outline = Outline(page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        *("What went wrong", "Time and tokens", "Sample of results", "Inputs"),
        *("Settings and versions", "Processes"),
    ]
    assert not outline.tags & {"script", "link", "iframe", "object", "base", "form", "a"}
    addresses = [value for name, value in outline.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    for text in ("default-src 'none'", "prefers-color-scheme: dark", "max-width: 640px"):
        assert text in page
    for markup in ("<script", "<i>evil", "<u>gone", "<b>input", "<s>done", "<img src=x", "a<b>&c"):
        assert markup not in page, markup
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "://" not in page


def test_the_page_counts_and_explains(page: str) -> None:
    """Rows by what became of them; reasons with remedies and examples; what to do next."""
    assert "<b>5</b> of 12 rows fit to use (41.7%)" in page
    assert "<b>6</b> failed" in page
    assert "unfinished" in page
    cards = re.findall(r"<article>.*?</article>", page.split("Time and tokens")[0], re.DOTALL)
    assert len(cards) == 6
    transient = next(card for card in cards if "engine_transient" in card)
    assert "a rerun tries again" in transient
    assert "<code>later</code> the engine at port 8000 is gone" in transient
    assert "Start it again." in transient
    assert "2 rows" in next(card for card in cards if "video_not_found" in card)
    assert "refusal" in cards[-1]
    assert "promptlift batch retry" in page
    assert "--only failed,rejected" in page
    assert re.search(r"<span>refusal</span><i style=\"width:100.0%\"></i><b>1</b>", page)
    assert "<dt>model</dt><dd>scripted</dd>" in page
    assert "<dt>temperature</dt><dd>0.6</dd>" in page
    assert "<td>rows.jsonl</td><td>10</td>" in page
    assert len(re.findall(r"<td><code>[^<]+-\d+-[0-9a-f]{8}</code></td>", page)) == 3
    assert "The last line of 1 part was torn by a kill" in page
    assert re.search(r"<td>waiting for the engine</td>(<td>[\d.]+ s</td>\s*){5}", page)


def test_the_sample_shows_frames_and_prompts(page: str) -> None:
    """Short and long side by side, with the frames at their times, as images that open."""
    cards = re.findall(r"<article>.*?</article>", page.split("Sample of results")[1], re.DOTALL)
    assert len(cards) == 5
    card = next(card for card in cards if "<h3>first</h3>" in card)
    assert PROMPTS[0] in card
    assert "A red hot-air balloon drifts over the hills. Soft light" in card
    urls = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', card)
    images = [Image.open(io.BytesIO(base64.b64decode(url))) for url in urls]
    assert [image.size for image in images] == [(160, 96)] * 2
    assert re.findall(r"<figcaption>(.*?)</figcaption>", card) == ["0.38 s", "1.12 s"]
    refused = next(card for card in cards if "Rejected: refusal" in card)
    assert "I&#39;m sorry, but I cannot help with that." in refused


def test_frames_come_from_the_video_that_was_shown_or_not_at_all(tmp_path: Path) -> None:
    """A replaced video and a missing one are reported as such; others are not affected."""
    make_videos(tmp_path)
    maker = Maker(tmp_path / "run")
    maker.write(mixed_rows(tmp_path)[:2])
    synthetic_video(tmp_path / "clip0.mp4", seconds=0.5, size=(160, 96), fps=8, seed=9)
    (tmp_path / "clip1.mp4").unlink()
    page = page_of(maker.run_dir)
    assert "No frames: the video is no longer the one that was shown." in page
    assert "No frames: the video is gone or can no longer be read." in page


def test_a_run_without_results_has_a_page_that_is_written_whole(tmp_path: Path) -> None:
    """Nothing to draw and nothing wrong."""
    maker = Maker(tmp_path / "run")
    maker.write([Row.of(0, "/no.mp4", "p")], do=lambda row: False, end=None)
    page = page_of(maker.run_dir)
    Outline(page)
    assert "<b>0</b> of 1 row fit to use" in page
    assert "Nothing failed, and nothing was rejected" in page
    assert "Time and tokens" not in page
    with pytest.raises(OutputError, match="there is no directory"):
        write_report(maker.run_dir, tmp_path / "no" / "run.html")
