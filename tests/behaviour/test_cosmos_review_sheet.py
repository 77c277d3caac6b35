"""The review sheet: one page, safe to open, with everything that a person wants to compare."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loaders.desk import ThreadPool, lay, long
from promptlift.cosmos import render_review_sheet
from promptlift.engines import Request
from promptlift.options import Options
from promptlift.testing import FakeEngine

SHORT = "a robot arm hands a red cup to a woman"
EVIL = 'a <script>alert(1)</script> & "quoted" cup</p>'


@pytest.fixture(scope="module")
def page(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sheet of specs with one item of each status, in which the texts try to be markup."""
    desk = lay(clips, tmp_path_factory.mktemp("desk"))

    def reply(request: Request) -> str:
        short = request.short_prompt
        return "I cannot help with that." if "refuse" in short else long(short)

    desk.engine = FakeEngine(reply, context=4096)
    common = {"video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}
    prompts = [SHORT, EVIL, "refuse this cup", " ".join(["a robot arm hands over a cup"] * 15)]
    lines = [{"name": str(n), "prompt": p, **common} for n, p in enumerate(prompts)]
    lines.append({**lines[0], "name": "x", "video_path": "<b>.mp4"})
    region = {"prompt": "a red cup", "region_definitions_path": [0, 0, 0.5, 1]}
    regional = {"prompt": "", "input_video_path": "assets/rgb.mp4", "regional_prompts": [region]}
    specs = desk.put("a&b.jsonl", lines), desk.put("c.json", regional)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptlift.batch.runner.ProcessPool", ThreadPool)
        patch.setattr(
            "promptlift.cosmos.review_sheet.isolated_call", lambda work, *args: work(*args)
        )
        results = desk.run(*specs, regions=True, run_dir=desk.folder / "run")
        return render_review_sheet(results, Options())


def test_nothing_comes_from_elsewhere_and_text_is_text(page: str) -> None:
    """One card for each item, no script, no address but data:, and what specs and models say is
    escaped.
    """
    tags = re.findall(r"<(\w+)", page)
    assert tags.count("article") == page.count("</article>") == 7
    assert not set(tags) & {"script", "link", "iframe", "object", "base", "form"}
    addresses = re.findall(r'(?:src|href)="(.*?)"', page)
    assert addresses
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not re.search(r"<[^>]* on\w+=", page)
    assert "default-src 'none'" in page
    assert not re.search("https?://|<script>", page)
    assert "prefers-color-scheme: dark" in page
    empty = render_review_sheet([], Options())  # no spec could be used
    assert empty.rstrip().endswith("</html>")
    for text in ("&lt;script&gt;alert(1)&lt;/script&gt;", "a&amp;b.jsonl", "&lt;b&gt;.mp4"):
        assert text in re.sub(r"</?mark.*?>", "", page)


def test_each_item_is_explained(page: str) -> None:
    """Its status and reason, the frames that the model was shown (of a region the part only), the
    tokens, what its control leaves free, and both prompts, in which the words that were asked for
    are marked.
    """
    assert SHORT in re.sub(r"</?mark.*?>", "", page)
    assert long(SHORT) in re.sub(r"</?mark.*?>", "", page)
    marked = " ".join(re.findall(r'<mark class="kept">(.*?)</mark>', page)).split()
    assert {"arm", "hands", "red", "cup", "woman"} <= set(marked)
    assert not {"to", "light"} & set(marked)
    assert re.search(r"<b>kept</b> object: <q>cup</q>", page)
    assert "Best attempt, not used" in page
    counts = re.findall(r'<b class="(\w+)">(\d+)</b>', page)
    assert dict(counts) == {"done": "4", "rejected": "1", "kept": "1", "failed": "1"}
    assert page.count("data:image/jpeg;base64,") == 2 * 5
    for text in (
        "error: ",
        "long already (105 words)",
        "is not there",
        "0.38 s</figcaption>",
        "region 0, 0, 0.5, 1",
        "of 488 tokens that its text encoder reads, estimated from above",
        "of 4,096 tokens of context, 300 reserved for the answer",
        "Fixed: the outlines, the layout, the number of things and all motion.",
        "Free: materials, colours, light and weather.",
        "12 of 12 checks passed",
    ):
        assert text in page
