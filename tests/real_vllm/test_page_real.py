"""The page before the real vLLM: what a model is shown, counts and says, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright")

from promptlift.testing import synthetic_video
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine
from stubs.browser import Visit, chromium, launched
from stubs.served import Served

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium on this machine"),
]


def test_a_clip_goes_through_the_page_to_the_model_and_back(ready: Machine, tmp_path: Path) -> None:
    """The model's words are on the screen, and its count of the prompt is the one foretold."""
    clip = synthetic_video(tmp_path / "balloon.mp4", seconds=1, fps=8, size=(1280, 720))
    with (
        Served(tmp_path / "data", engine="vllm") as server,
        launched(chromium() or "") as browser,
    ):
        guest = Visit(browser, server.url)
        guest.page.set_default_timeout(300_000)
        page = guest.begin(clip, "a red balloon over golden dunes")
        page.wait_for_selector("#job[data-state=finished]")
        guest.finished()
        assert REPLY.split(".")[0][:40] in page.inner_text("p.long")
        told = page.inner_text("#job")
        assert "exactly as predicted" in told
        assert "Fit to use. All 9 checks passed." in " ".join(told.split())
        assert page.locator(".frames img").count() == 2
        guest.leave()
    assert ready.status()
