"""The review sheet: one page, safe to open, with everything that a person wants to compare."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loaders.desk import lay, long, make_clips
from promptlift.cosmos.sheet import render_sheet
from promptlift.testing import FakeEngine

SHORT = "a robot arm hands a red cup to a woman"
EVIL = 'a <script>alert(1)</script> & "quoted" cup</p>'
VOID = {"meta", "img", "br", "link"}


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

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the tag opened last."""
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    """Read a page."""
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sheet of a batch with one item of each fate, in which the texts try to be markup."""
    clips = make_clips(tmp_path_factory.mktemp("clips"))
    desk = lay(clips, tmp_path_factory.mktemp("desk"))

    def reply(request: object) -> str:
        short = getattr(request, "short_prompt", "")
        return "I cannot help with that." if "refuse" in short else long(short)

    desk.engine = FakeEngine(reply, context=4096)
    common = {"video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}
    prompts = [SHORT, EVIL, "refuse this cup", " ".join(["a robot arm hands over a cup"] * 15)]
    lines = [{"name": str(n), "prompt": p, **common} for n, p in enumerate(prompts)]
    lines.append({**lines[0], "name": "x", "video_path": "<b>.mp4"})
    spec = desk.put("a&b.jsonl", lines)
    return render_sheet(desk.run(spec, pictures=True))


def test_the_page_is_whole(page: str) -> None:
    """Every tag is closed, and there is one card for each item."""
    assert outline(page).seen.count("article") == 5


def test_nothing_comes_from_elsewhere(page: str) -> None:
    """No script, no address but data:, and a policy that forbids the rest."""
    seen = outline(page)
    assert "script" not in seen.seen
    assert not set(seen.seen) & {"link", "iframe", "object", "base", "form"}
    addresses = [value for _, name, value in seen.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_text_is_text(page: str) -> None:
    """What specs and models say is escaped."""
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a&amp;b.jsonl" in page
    assert "&lt;b&gt;.mp4" in page


def test_short_and_long_stand_side_by_side_with_kept_words_marked(page: str) -> None:
    """The user's content words are marked in the long prompt, and the rest is not."""
    assert SHORT in page
    for word in ("robot", "arm", "hands", "red", "cup", "woman"):
        assert f"<mark>{word}</mark>" in page
    assert "<mark>to</mark>" not in page
    assert "<mark>light</mark>" not in page
    assert long(SHORT) in re.sub(r"</?mark>", "", page)


def test_each_fate_is_counted_and_explained(page: str) -> None:
    """Two done, one rejected, one kept, one failed, the last three with their reasons."""
    counts = re.findall(r'<b class="(\w+)">(\d+)</b>', page)
    assert dict(counts) == {"done": "2", "rejected": "1", "kept": "1", "failed": "1"}
    assert "refusal: " in page
    assert "long already (105 words)" in page
    assert "is not there" in page


def test_the_tokens_and_the_control_are_told(page: str) -> None:
    """A bar for the generator's text encoder, one for the context, and what the edge leaves."""
    assert "of 488 tokens that its text encoder reads, estimated from above" in page
    assert "of 4,096 tokens of context, 300 kept for the answer" in page
    assert re.search(r'<i style="width:\d+\.\d%"></i>', page)
    assert "Fixed: the outlines, the layout, the number of things and all motion." in page
    assert "Free: materials, colours, light and weather." in page
    assert "9 of 9 checks passed" in page


def test_light_and_dark(page: str) -> None:
    """The style is inside, and knows both themes."""
    assert "prefers-color-scheme: dark" in page
    assert "color-scheme: light dark" in page


def test_a_sheet_of_nothing_is_a_page(tmp_path: Path) -> None:
    """Where no spec could be used there is still a page to open."""
    outline(render_sheet([]))
