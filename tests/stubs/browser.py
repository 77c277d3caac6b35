"""A real headless Chromium on a page of ours: it notes whatever a person would have noticed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from stubs.served import eventually

__all__ = ["Visit", "chromium", "launched"]

_AXE = Path(__file__).parent.parent / "assets" / "axe-core-4.14.1.min.js"
_ALL_THERE = "[...document.querySelectorAll('.frames img')].every(one => one.naturalWidth > 0)"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """A browser with a camera that shows a test picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", *_CAMERA]
        )
        yield browser
        browser.close()


class Visit:
    """One person's visit: a window, and what went wrong in it.

    Args:
        browser: Where.
        url: The server.
        width: Of the window, in pixels.
        dark: Whether the person likes it dark.
        may_fail: Pattern of the paths that may be refused.
        cut_off: Whether the server is away in between, of which htmx complains.

    Attributes:
        page: The window.
        hosts: Every host that was asked for anything.
        refused: Requests answered with an error, as status and path.
        complaints: What the browser's console said was wrong, besides refused requests.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        width: int = 1280,
        dark: bool = False,
        may_fail: str = "^$",
        cut_off: bool = False,
    ) -> None:
        self.url = url
        self.may_fail = may_fail
        self.cut_off = cut_off
        self.hosts: set[str] = set()
        self.refused: list[tuple[int, str]] = []
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            permissions=["camera", "clipboard-read", "clipboard-write"],
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("response", lambda answer: self._answered(answer.status, answer.url))
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self._said("error", f"dialog {dialog.message}"))

    def go(self, path: str = "/") -> Page:
        """Open an address of the server."""
        self.page.goto(self.url + path)
        return self.page

    def begin(self, video: Path, prompt: str, engine: str | None = None) -> Page:
        """Give a video and a prompt on the front page, and press the button."""
        page = self.go()
        page.set_input_files("[data-file]", video)
        page.wait_for_selector(".clip img")
        page.fill("#prompt", prompt)
        if engine is not None:
            page.select_option("#engine", engine)
        page.click(".ask .primary")
        page.wait_for_selector("#job[data-job]")
        return page

    def run(self, video: Path, prompt: str, engine: str | None = None) -> Page:
        """The same, and wait until the job is over."""
        page = self.begin(video, prompt, engine)
        self.finished()
        return page

    def finished(self) -> None:
        """Wait until the job on the page is over, and its pictures are there."""
        self.page.wait_for_selector("#job:is([data-state=finished], [data-state=failed])")
        eventually(lambda: self.page.evaluate(_ALL_THERE))

    def flaws(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it stands."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def too_wide(self) -> list[str]:
        """Elements that make the page scroll sideways."""
        wide: list[str] = self.page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll("body *")]
                .filter(one => one.getBoundingClientRect().right > innerWidth)
                .map(one => one.tagName + "." + one.className)"""
        )
        return wide

    def leave(self) -> None:
        """Close the window, and assert that nothing went wrong that was not expected."""
        self.context.close()
        assert self.hosts <= {urlsplit(self.url).netloc}
        assert [one for one in self.refused if not re.search(self.may_fail, one[1])] == []
        assert self.cut_off or self.complaints == [], self.complaints

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.netloc)

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.refused.append((status, urlsplit(url).path))

    def _said(self, kind: str, text: str) -> None:
        # Requests that are refused are counted by themselves; the browser and htmx say so as well.
        refused = text.startswith(("Failed to load resource", "Response Status Error Code"))
        if kind in ("error", "warning") and not refused:
            self.complaints.append(text)
