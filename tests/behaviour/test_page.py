"""The page in a real browser, from a real server: what a person does, and what the person sees."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page

from promptlift.cosmos import read_spec
from promptlift.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.options import ITEM_OPTIONS, OnReject, Options, Strategy
from promptlift.record import Record, Video
from promptlift.review import CHECKS
from promptlift.targets import TARGETS
from promptlift.targets.templates import TEMPLATES
from promptlift.testing import synthetic_video
from promptlift.types import Control, Kind
from promptlift.web import presenters
from promptlift.web.routes import render_template
from stubs.browser import Visit, chromium, launched
from stubs.openai_checks import Asked
from stubs.openai_server import StubServer
from stubs.served import Served, eventually

PROMPT = "a red hot-air balloon drifts over the wooded hills"
LONG = (
    "A red hot-air balloon with cream stripes drifts slowly over the wooded hills at sunset. Long "
    "shadows lie across the slopes, and thin clouds glow above the horizon."
)
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script> & \"a 'balloon'"
KEY = "a-key-that-is-long-enough"
WEB = Path(presenters.__file__).parent

Open = Callable[..., Visit]

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    with launched(chromium() or "") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for everything here."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """A clip larger than two frames of it may be."""
    return synthetic_video(folder / "balloon.mp4", seconds=2, fps=6, size=(1280, 720))


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    """A clip that is quick to look at."""
    return synthetic_video(folder / "small.mp4", seconds=1, fps=8, size=(320, 180), motion="static")


@pytest.fixture(scope="module")
def embedded(folder: Path) -> Iterator[Served]:
    """A server with the embedded engine."""
    with Served(folder / "embedded") as served:
        yield served


class Slow:
    """A model that thinks for as long as it is told, and says what it is told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.says = LONG

    def __call__(self, _: Asked) -> str:
        """Think, and say it."""
        time.sleep(self.seconds)
        return self.says


@pytest.fixture(scope="module")
def model() -> Slow:
    """The model behind `served`."""
    return Slow()


@pytest.fixture(scope="module")
def served(folder: Path, model: Slow) -> Iterator[Served]:
    """A server with a model over HTTP."""
    with (
        StubServer(reply=model) as stub,
        Served(
            folder / "served",
            engine="openai",
            engine_settings={"base_url": stub.base_url, "retries": 0},
        ) as made,
    ):
        yield made


@pytest.fixture
def visit(browser: Browser, model: Slow) -> Iterator[Open]:
    """Opens windows; when they are closed, nothing unexpected may have gone wrong in them."""
    opened: list[Visit] = []
    model.seconds, model.says = 0.0, LONG

    def open_one(server: Served, **how: Any) -> Visit:
        opened.append(Visit(browser, server.url, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        one.leave()


def text(page: Page, selector: str) -> str:
    """What a person reads there."""
    return " ".join(page.inner_text(selector).split())


def knows(server: Served) -> list[str]:
    """The engines that the server has met."""
    engines = server.http.get("/v1/engines").json()["engines"]
    return [one["label"] for one in engines if one["state"] == "ready"]


def draft_on(page: Page) -> str:
    """The draft that is on the screen; nothing where there is none."""
    found: str = page.evaluate("document.querySelector('.draft')?.textContent ?? ''")
    return found


def test_a_draft_is_on_the_page_before_the_answer(folder: Path, visit: Open, small: Path) -> None:
    """Its words are marked as a draft, are text and nothing else, and survive a reload."""
    written = f"{EVIL} {LONG}"
    with (
        StubServer(reply=written, piece_seconds=0.3) as stub,
        Served(
            folder / "draft", engine="openai", engine_settings={"base_url": stub.base_url}
        ) as server,
    ):
        guest = visit(server)
        page = guest.begin(small, PROMPT)
        eventually(lambda: EVIL in draft_on(page))
        early = draft_on(page)
        assert written.startswith(early)
        assert early != written
        assert page.locator(".draft *").count() == 0
        assert "Draft, not reviewed yet" in text(page, "[data-draft] [role=status]")
        assert not page.is_visible("[data-draft] + .wait")
        assert page.locator(".frames img").count() == 2
        assert "of 4,096 tokens" in text(page, "#job")
        assert guest.flaws() == []
        page.reload()
        eventually(lambda: len(draft_on(page)) > len(early))
        stub.piece_seconds = 0.0
        stub.reply = LONG
        guest.finished()
        assert page.locator(".draft").count() == 0
        assert "not reviewed yet" not in text(page, "#job")
        assert "balloon" in text(page, "p.long")


class TestLooks:
    """What is on the screen, wide and narrow, light and dark."""

    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=str)
    def test_a_clip_becomes_a_prompt(
        self, embedded: Served, visit: Open, clip: Path, width: int, dark: bool
    ) -> None:
        """The frames, the budget, the facts, the text and the review are on the screen.

        Nothing sticks out sideways, axe finds nothing serious, and no other host is asked.
        """
        guest = visit(embedded, width=width, dark=dark)
        page = guest.go()
        assert guest.flaws() == []
        guest.run(clip, PROMPT)
        assert "but no model saw the video" in text(page, "#h-job")
        pictures = page.locator(".frames img")
        assert pictures.count() == 2
        shown = [
            page.evaluate("one => one.naturalWidth + 'x' + one.naturalHeight", picture)
            for picture in pictures.element_handles()
        ]
        told = text(page, "figcaption >> nth=0")
        assert shown == [shown[0]] * 2
        assert shown[0].replace("x", "×") in told
        assert "more than the context has" in text(page, ".against")
        assert page.get_attribute(".timeline", "aria-label") == (
            "Where the frames lie in the clip of 2.00 seconds"
        )
        assert "The camera pans right" in text(page, ".facts")
        assert "balloon" in text(page, "p.long")
        assert page.locator("p.long mark").count() >= 4
        assert "Fit to use. All 9 checks passed." in text(page, ".verdict.ok")
        assert page.locator(".checks li.pass").count() == 9
        assert guest.too_wide() == []
        assert guest.flaws() == []

    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=str)
    def test_the_other_tabs_are_fit_to_be_seen(
        self, embedded: Served, visit: Open, width: int, dark: bool
    ) -> None:
        """Compare, batch and history hold to the same, with every option unfolded."""
        guest = visit(embedded, width=width, dark=dark)
        for tab in ("compare", "batch", "history"):
            page = guest.go(f"/{tab}")
            for details in page.locator("summary").element_handles():
                details.click()
            guest.page.wait_for_load_state("networkidle")
            assert guest.too_wide() == []
            assert guest.flaws() == []


class TestOne:
    """One video, one prompt."""

    def test_a_server_that_is_killed_loses_nothing_of_what_is_on_the_page(
        self, folder: Path, visit: Open, small: Path, model: Slow
    ) -> None:
        """Started again, it goes on with the job, and the open page tells the rest by itself."""
        model.seconds = 2.0
        with StubServer(reply=model) as stub:
            how = {"engine": "openai", "engine_settings": {"base_url": stub.base_url}}
            with Served(folder / "killed", **how) as server:
                guest = visit(server, cut_off=True)
                page = guest.begin(small, PROMPT)
                page.wait_for_selector(".steps li:nth-child(2).now")
                server.kill()
            with Served(folder / "killed", port=server.address[1], **how):
                guest.finished()
                assert text(page, "p.long") == LONG
                assert page.locator(".frames img").count() == 2

    def test_a_video_is_dropped(self, embedded: Served, visit: Open, small: Path) -> None:
        """Beside its place nothing happens, and the browser stays where it is."""
        guest = visit(embedded)
        page = guest.go()
        dragged = page.evaluate_handle(
            """async bytes => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "dropped.mp4"));
                return data;
            }""",
            list(small.read_bytes()),
        )
        page.dispatch_event("h1", "drop", {"dataTransfer": dragged})
        assert page.is_visible("[data-drop]")
        page.dispatch_event("[data-drop]", "dragover", {"dataTransfer": dragged})
        assert page.locator("[data-drop].over").count() == 1
        page.dispatch_event("[data-drop]", "drop", {"dataTransfer": dragged})
        page.wait_for_selector(".clip img")
        assert "dropped.mp4" in text(page, ".clip")
        page.click("text=Choose another")
        page.click("[hx-post='/page/examples/hills']")
        page.wait_for_selector(".clip:has-text('hills.mp4') img", timeout=30_000)
        page.click("text=Choose another")
        page.set_input_files("[data-file]", small)
        page.wait_for_selector(".clip:has-text('small.mp4') img")
        assert page.locator("[data-slot] [name=upload_id]").count() == 1

    def test_a_job_can_be_stopped(
        self, served: Served, visit: Open, small: Path, model: Slow
    ) -> None:
        """The button ends it, and what is left can be tried again."""
        model.seconds = 3.0
        guest = visit(served)
        page = guest.begin(small, "a balloon to be stopped")
        page.click("text=Stop >> visible=true")
        page.wait_for_selector("#job[data-state=cancelled]")
        assert text(page, "#h-job") == "! Stopped"
        assert page.locator("#job .error").count() == 0
        model.seconds = 0.0
        page.click("text=Try again")
        guest.finished()
        assert page.get_attribute("#job", "data-state") == "finished"

    def test_a_text_is_copied_edited_and_reviewed_again(
        self, served: Served, visit: Open, small: Path
    ) -> None:
        """An edit is held to the same checks, markup is text, and headline and copy follow it."""
        guest = visit(served)
        page = guest.run(small, PROMPT)

        def copied(button: str) -> str:
            page.evaluate("navigator.clipboard.writeText('')")
            page.click(button)
            page.wait_for_selector("button:has-text('Copied')")
            found: str = page.evaluate("navigator.clipboard.readText()")
            page.wait_for_selector("button:has-text('Copied')", state="detached")
            return found

        assert copied("text=Copy the prompt") == copied(".came [data-copy]") == LONG
        edit = f"Here is the prompt: {EVIL}"
        page.click("[data-change]")
        assert page.evaluate("document.activeElement.name") == "text"
        page.fill("[data-edit]", edit)
        assert copied(".came [data-copy]") == edit
        page.click("text=Review the edit")
        page.wait_for_selector(".verdict.rejected")
        assert text(page, "p.long") == edit
        assert text(page, "#h-job") == "✕ Edited: Not fit to use"
        assert "Not fit to use" in (page.text_content("#announcer") or "")
        assert copied("text=Copy the prompt") == edit
        assert "This is your own text" in text(page, ".verdict.rejected")
        assert page.locator(".checks li.fail").count() >= 2
        assert page.locator("p.long img, p.long script").count() == 0
        assert page.locator(".asked .lost").count() >= 4
        page.click("[data-change]")
        page.fill("[data-edit]", LONG)
        page.click("text=Review the edit")
        page.wait_for_selector(".verdict.ok")
        assert text(page, ":focus") == "Edit"
        assert text(page, "#h-job") == "✓ Edited: Fit to use"

    def test_a_prompt_with_markup_is_text_everywhere(
        self, served: Served, visit: Open, small: Path
    ) -> None:
        """In the result, in the history and in the form after a reload."""
        guest = visit(served)
        page = guest.run(small, EVIL)
        assert text(page, ".asked p") == EVIL
        page.reload()
        assert page.input_value("#prompt") == EVIL
        guest.go("/history")
        assert EVIL in text(page, "#found")
        guest.go("/history?q=%22%3E%3Cscript%3Ealert(3)%3C/script%3E")
        assert "alert(3)" in text(page, ".empty")

    def test_the_text_the_record_and_a_spec_are_saved(
        self, served: Served, visit: Open, small: Path, tmp_path: Path
    ) -> None:
        """The files are what they should be; the spec is one that Cosmos reads, edits included."""
        guest = visit(served)
        page = guest.run(small, PROMPT)

        def saved(button: str) -> Path:
            with page.expect_download() as caught:
                page.click(f"text={button}")
            path = tmp_path / caught.value.suggested_filename
            caught.value.save_as(path)
            return path

        assert saved("Save text").read_text() == f"{LONG}\n"
        record = Record.model_validate_json(saved("Save record").read_bytes())
        assert (record.status, record.short_prompt, record.prompt) == ("ok", PROMPT, LONG)
        page.click("[data-change]")
        page.fill("[data-edit]", "Ein roter Ballon über den Hügeln.")
        path = saved("Save Cosmos spec")
        spec = read_spec(path)
        assert path.name == "small.cosmos-transfer1.json"
        assert spec.format.name == "transfer1"
        assert json.loads(path.read_text()) == {
            "prompt": "Ein roter Ballon über den Hügeln.",
            "input_video_path": "small.mp4",
            "edge": {"control_weight": 1.0},
        }

    def test_again_and_variations_ask_with_other_seeds(
        self, served: Served, visit: Open, small: Path, model: Slow
    ) -> None:
        """Another seed is another job; variations stand side by side."""
        guest = visit(served)
        page = guest.run(small, "a balloon with another seed")
        first = page.get_attribute("#job", "data-job")
        model.says = LONG.replace("cream", "golden")
        page.click("text=Again with another seed")
        page.wait_for_selector(f"#job:not([data-job='{first}'])")
        guest.finished()
        assert "golden" in text(page, "p.long")
        assert "seed" in text(page, ".head")
        page.click("text=Three variations")
        page.wait_for_url("**/compare?jobs=*")
        page.wait_for_selector("#columns[aria-busy=false]")
        titles = page.locator(".column h2").all_inner_texts()
        assert len(set(titles)) == 3
        assert all(title.startswith("Seed: ") for title in titles)

    def test_a_recording_is_a_video_like_any_other(self, served: Served, visit: Open) -> None:
        """The camera's pictures are sent once it is stopped."""
        guest = visit(served)
        page = guest.go()
        page.click("[data-record]")
        page.wait_for_selector("[data-recording] video")
        page.wait_for_timeout(700)
        page.click("[data-stop]")
        page.wait_for_selector(".clip img")
        assert "recording.webm" in text(page, ".clip")
        page.click(".ask .primary")
        guest.finished()
        assert page.get_attribute("#job", "data-state") == "finished"

    def test_the_keyboard_is_enough(self, embedded: Served, visit: Open) -> None:
        """Tab, Enter and letters take an example to a prompt; the focus goes to what came."""
        guest = visit(embedded)
        page = guest.go()

        def tab_to(selector: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                if page.evaluate(f"document.activeElement.matches({selector!r})"):
                    return
            raise AssertionError(selector)

        tab_to("[hx-post='/page/examples/hills']")
        page.keyboard.press("Enter")
        page.wait_for_selector(".clip img", timeout=30_000)
        assert page.input_value("#prompt") == "a balloon rises above wooded hills"
        tab_to("#prompt")
        page.keyboard.type("A ")
        tab_to(".primary")
        page.keyboard.press("Enter")
        guest.finished()
        assert page.evaluate("document.activeElement.id") == "h-job"
        assert "Fit to use" in text(page, "#h-job")
        assert "Fit to use" in (page.text_content("#announcer") or "")


class TestErrors:
    """What is wrong and what to do, in words."""

    def test_what_is_no_video_is_refused_in_words(
        self, embedded: Served, visit: Open, tmp_path: Path
    ) -> None:
        """The message and the remedy are read out, and another file can be given at once."""
        (tmp_path / "notes.mp4").write_text("this is no video at all\n" * 50)
        guest = visit(embedded, may_fail="^/v1/uploads$")
        page = guest.go()
        page.set_input_files("[data-file]", tmp_path / "notes.mp4")
        page.wait_for_selector("#notice .error")
        assert "What to do:" in text(page, "#notice")
        assert str(embedded.data) not in text(page, "#notice")
        assert page.is_visible("[data-drop]")
        assert guest.flaws() == []

    def test_what_is_missing_or_malformed_is_said(
        self, embedded: Served, visit: Open, small: Path
    ) -> None:
        """Without a video; with a size that is none; with a job that is not there."""
        guest = visit(embedded, may_fail="^/page/jobs$")
        page = guest.go()
        page.click(".ask .primary")
        page.wait_for_selector("#notice .error")
        assert "There is no video yet. What to do: choose one, record one" in text(page, "#notice")
        page.set_input_files("[data-file]", small)
        page.wait_for_selector(".clip img")
        assert text(page, "#notice") == ""
        page.fill("#frames", "3")
        page.evaluate("document.querySelector('#frames').removeAttribute('max')")
        page.fill("#frames", "99")
        page.click(".ask .primary")
        page.wait_for_selector("#notice .error")
        assert "Frames is 99. What to do: give a value from 1 to 64." in text(page, "#notice")
        guest.go("/?job=" + "0" * 32)
        assert text(page, ".error").startswith("There is no such job. What to do:")
        for path in ("/batch?run=x", "/compare?jobs=x,y", "/batch?run=" + "0" * 32):
            guest.go(path)
            assert "There is no such" in text(page, "#notice")
            assert page.locator(".ask").count() == 1

    def test_an_answer_that_is_not_fit_is_shown_as_such(
        self, served: Served, visit: Open, small: Path, model: Slow
    ) -> None:
        """The best attempt is there to read, under what is wrong with it, and all attempts."""
        model.says = "I'm sorry, but I can't help with that request."
        guest = visit(served)
        page = guest.run(small, "a balloon that is refused")
        assert text(page, "#h-job") == "✕ Not fit to use"
        assert "Best attempt, not fit to use" in text(page, ".came")
        assert "The model refused" in text(page, ".checks")
        assert text(page, "p.long") == model.says
        page.click("text=3 attempts")
        assert page.locator(".attempts li").count() == 3
        assert guest.flaws() == []

    def test_an_engine_that_fails_is_told_with_its_remedy(
        self, browser: Browser, folder: Path, visit: Open, small: Path
    ) -> None:
        """A job that failed says why and what to do, and can be tried again when that is done."""
        with (
            StubServer(reply=LONG, faults=["500"] * 3) as stub,
            Served(
                folder / "failing",
                engine="openai",
                engine_settings={"base_url": stub.base_url, "retries": 0},
            ) as server,
        ):
            guest = visit(server)
            page = guest.run(small, PROMPT)
            assert "It did not work" in text(page, "#h-job")
            assert "What to do:" in text(page, "#job .error")
            stub.faults.clear()
            page.click("text=Try again")
            page.wait_for_selector("#job[data-state=finished]")

    def test_only_the_frames_of_a_job_are_given_out(self, embedded: Served, small: Path) -> None:
        """More of them, or larger ones than anybody shows a model, are refused unseen."""
        job = (
            embedded.http.post(
                "/page/jobs", data={"upload_id": embedded.upload(small), "prompt": PROMPT}
            )
            .headers["hx-push-url"]
            .partition("=")[2]
        )

        def status(number: int, **query: Any) -> int:
            address = f"/page/jobs/{job}/frames/{number}"
            return embedded.http.get(address, params=query).status_code

        assert status(1, count=2, size="316x176") == 200
        assert status(1, count=2, size="316x176", form="png") == 200
        assert status(2, count=2, size="316x176") == 404
        assert status(0, count=3, size="316x176") == 422
        assert status(0, count=2, size="9999x9999") == 422
        assert status(0, count=2, size="0x9") == 422


class TestMany:
    """Batches, comparisons, history."""

    def test_a_batch_of_rows_is_watched_and_exported(
        self, served: Served, visit: Open, small: Path, tmp_path: Path
    ) -> None:
        """Good rows give prompts, bad ones say what is wrong and what to do, and stop nobody."""
        rows = [
            {"video": "folder/small.mp4", "prompt": PROMPT, "id": "first"},
            {"video": "small.mp4", "frames": 3},
            {"video": "lost.mp4", "prompt": PROMPT},
            {"video": "small.mp4", "options": {"frames": 99}},
            {"video": "small.mp4", "options": {"fames": 9}},
        ]
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join([*map(json.dumps, rows), "no row", EVIL]) + "\n")
        guest = visit(served)
        page = guest.go("/batch")
        page.set_input_files("[data-files]", [str(small), str(path)])
        page.fill("#prompt", "a red balloon for all")
        page.click(".primary")
        page.wait_for_selector("#run [data-summary]:has-text('Finished')")
        assert text(page, "#run [data-summary]") == "Finished: 2 prompts fit to use of 7 rows"
        told = text(page, "#run table")
        assert "among the files that were sent. What to do: add the video beside" in told
        assert "Frames is 99. What to do: give a value from 1 to 64" in told
        assert "There is no option 'fames'. What to do: did you mean 'frames'" in told
        assert EVIL[:20] in told
        assert guest.flaws() == []
        page.set_viewport_size({"width": 390, "height": 800})
        box = page.locator("#run td:has-text('What to do: add the video')").bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390, "the remedy is in sight on a phone"

        def export(form: str) -> str:
            answer = page.request.get(
                f"{served.url}{page.get_attribute(f'a[href$={form}]', 'href')}"
            )
            assert "attachment" in answer.headers["content-disposition"]
            return answer.text()

        lines = [json.loads(line) for line in export("records").splitlines()]
        assert [one["status"] for one in lines] == ["ok", "ok", *["failed"] * 5]
        assert [one["prompt"] for one in lines[:2]] == [PROMPT, "a red balloon for all"]
        assert lines[0]["id"] == "first"
        assert lines[2]["error_code"] == "video_not_sent"
        assert Record.model_validate(lines[1]["record"]).plan is not None
        assert export("csv").startswith("id,video,prompt,long_prompt,status,")
        cosmos = [json.loads(line) for line in export("cosmos").splitlines()]
        assert cosmos[0] == {"visual_input": "folder/small.mp4", "prompt": LONG}
        page.reload()
        assert "Finished: 2 prompts" in text(page, "#run [data-summary]")

    def test_several_videos_without_rows_share_the_prompt(
        self, served: Served, visit: Open, small: Path, clip: Path, tmp_path: Path
    ) -> None:
        """One of them is no video: it fails alone."""
        (tmp_path / "bad.mp4").write_text("nothing\n" * 100)
        guest = visit(served, may_fail="^/v1/uploads$")
        page = guest.go("/batch")
        page.set_input_files("[data-files]", [str(small), str(clip), str(tmp_path / "bad.mp4")])
        page.fill("#prompt", PROMPT)
        page.click(".primary")
        page.wait_for_selector("#run [data-summary]:has-text('Finished')")
        assert text(page, "#run [data-summary]") == "Finished: 2 prompts fit to use of 3 rows"
        assert page.locator(".chosen .bad").count() == 1
        assert "it is not a video" in text(page, "#run table")

    def test_two_ways_stand_side_by_side(self, served: Served, visit: Open, clip: Path) -> None:
        """Each column says in what it differs, what it was shown and what that cost."""
        guest = visit(served, may_fail="^/page/compare$")
        page = guest.go("/compare")
        page.set_input_files("[data-file]", clip)
        page.wait_for_selector(".clip img")
        page.fill("#prompt", PROMPT)
        page.fill("[name='b.size']", "")
        assert not page.is_visible("[name='c.size']"), "the third way is there when it is wanted"
        page.check("[name='c.on']")
        assert page.is_visible("[name='c.size']")
        page.uncheck("[name='c.on']")
        page.click(".ask .primary")
        page.wait_for_selector("#notice .error")
        assert "there is nothing to compare" in text(page, "#notice").lower()
        page.fill("[name='b.size']", "320x180")
        page.click(".ask .primary")
        page.wait_for_selector("#columns[aria-busy=false]")
        assert page.locator(".column h2").all_inner_texts() == [
            "Size: automatic",
            "Size: 320x180",
        ]
        assert page.locator(".column .frames img").count() == 4
        assert "320×180" in text(page, ".column >> nth=1")
        assert guest.flaws() == []
        page.reload()
        assert page.locator(".column").count() == 2

    def test_two_engines_stand_side_by_side(
        self, folder: Path, visit: Open, small: Path, model: Slow
    ) -> None:
        """Each column says which engine it is of; one of them alone is asked by its name as well.

        What is done again, and each variation, is asked of the same engine.
        """
        with (
            StubServer(reply=model) as stub,
            Served(folder / "two", also=[f"big=openai:base_url={stub.base_url}"]) as server,
        ):
            eventually(lambda: len(knows(server)) == 2)
            guest = visit(server, may_fail="^/page/compare$")
            page = guest.go("/compare")
            page.set_input_files("[data-file]", small)
            page.wait_for_selector(".clip img")
            page.fill("#prompt", PROMPT)
            page.click(".ask .primary")
            page.wait_for_selector("#columns[aria-busy=false]")
            assert page.locator(".column h2").all_inner_texts() == [
                "Engine: embedded",
                "Engine: big",
            ]
            assert text(page, ".column >> nth=1 >> p.long") == LONG
            assert text(page, ".column >> nth=0 >> p.long") != LONG
            assert guest.too_wide() == []
            assert guest.flaws() == []
            page.reload()
            assert page.input_value("[name='b.engine']") == "big"
            page.select_option("[name='a.engine']", "big")
            page.click(".ask .primary")
            page.wait_for_selector("#notice .error")
            assert "choose another engine" in text(page, "#notice")
            guest.run(small, "a balloon of the other engine")
            page.select_option("#engine", "big")
            page.click(".ask .primary")
            page.wait_for_selector("#job[data-state=finished] .sign.pass")
            first = page.get_attribute("#job", "data-job")
            page.click("text=Again with another seed")
            page.wait_for_selector(f"#job:not([data-job='{first}'])")
            guest.finished()
            assert text(page, "p.long") == LONG

    def test_history_outlives_the_server(
        self, browser: Browser, folder: Path, visit: Open, small: Path
    ) -> None:
        """Killed and started again, the page finds what was asked, by words of the answer too."""
        with Served(folder / "history") as server:
            guest = visit(server)
            guest.run(small, "a balloon from before")
            server.kill()
        with Served(folder / "history") as server:
            guest = visit(server)
            page = guest.go("/history")
            assert page.locator(".list li").count() == 1
            page.wait_for_load_state("networkidle")
            width = page.evaluate("document.querySelector('.thumb img').naturalWidth")
            assert width == 192
            page.fill("#q", "zebra")
            page.wait_for_selector(".empty")
            page.fill("#q", "BALLOON before")
            page.wait_for_selector(".list li")
            assert page.url.endswith("/history?q=BALLOON%20before")
            page.click(".list a")
            page.wait_for_selector(".frames img")
            assert "balloon" in text(page, "p.long")


class TestKey:
    """A server with a key, in a browser."""

    def test_the_page_asks_for_the_key_once(self, folder: Path, visit: Open, small: Path) -> None:
        """A wrong key opens nothing; the right one lets pages, pictures and events through.

        The cookie is not the key, no script can read it, and a new server knows nothing of it.
        """
        with Served(folder / "locked", keys=[KEY]) as server:
            guest = visit(server, may_fail="^/(history|page/enter)?$")
            page = guest.go("/history?q=cup")
            assert text(page, "h1") == "This server needs a key"
            assert guest.flaws() == []
            page.fill("#key", "not-the-key-at-all")
            page.click(".primary")
            page.wait_for_selector(".error")
            page.fill("#key", KEY)
            page.click(".primary")
            page.wait_for_url("**/history?q=cup")
            assert page.locator("#found").count() == 1
            guest.run(small, PROMPT)
            assert page.locator(".frames img").count() == 2
            (cookie,) = guest.context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            assert KEY not in cookie["value"]
            assert page.evaluate("document.cookie") == ""
            server.kill()
        with Served(folder / "locked", keys=[KEY], port=server.address[1]):
            guest.go("/")
            assert text(page, "h1") == "This server needs a key"

    def test_a_session_is_a_signed_cookie(self, folder: Path) -> None:
        """What was not issued here opens nothing; after the key, the way leads nowhere else."""
        with Served(folder / "sessions", keys=[KEY]) as server:
            nobody = {"authorization": ""}

            def enter(key: str, then: str = "/") -> Any:
                data = {"key": key, "then": then}
                return server.http.post("/page/enter", data=data, headers=nobody)

            assert enter("not-the-key-at-all").status_code == 401
            for wanted, given in {
                "/history?q=cup": "/history?q=cup",
                "//elsewhere.example/": "/",
                "/\\elsewhere.example": "/",
                "https://elsewhere.example/": "/",
                "/a\r\nSet-Cookie: x": "/",
            }.items():
                assert enter(KEY, wanted).headers["location"] == given
            name, _, value = enter(KEY).headers["set-cookie"].partition(";")[0].partition("=")
            server.http.cookies.clear()
            owner, until, mac = value.split(".")
            forged = (f"x{owner}.{until}.{mac}", f"{owner}.{int(until) + 1}.{mac}", f"{value}0")
            for cookie, status in [(value, 200), *((bad, 401) for bad in (*forged, mac, "..", ""))]:
                headers = {**nobody, "cookie": f"other={{; =; {name}={cookie}; more=2"}
                assert server.http.get("/v1/jobs", headers=headers).status_code == status
            assert server.http.get("/page/history", headers=nobody).status_code == 401


class TestFiles:
    """What is shipped."""

    def test_third_party_files_are_what_their_notice_says(self) -> None:
        """Each has its sum, its version and its licence, and nothing else lies beside them."""
        folder = WEB / "static" / "vendor"
        notice = (folder / "NOTICE.txt").read_text()
        entry = r"(?ms)^(\S+\.(?:js|woff2))$.*?\((LICENSE\S+)\).*?sha256: (\w+)"
        named = re.findall(entry, notice)
        assert len(named) == 4
        for name, licence, digest in named:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            assert (folder / licence).stat().st_size > 100
        listed = {"NOTICE.txt", *(one[0] for one in named), *(one[1] for one in named)}
        assert {path.name for path in folder.iterdir()} == listed

    def test_static_files_are_cached_by_their_content(self, embedded: Served) -> None:
        """The address has a digest of the very bytes, so that it can be cached for a year."""
        digest = hashlib.sha256((WEB / "static/page.css").read_bytes()).hexdigest()[:12]
        address = f"/page/static/page.css?v={digest}"
        assert address in embedded.http.get("/").text
        answer = embedded.http.get(address)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert embedded.http.get("/page/static/routes.py").status_code == 404

    def test_the_page_has_no_inline_code_and_names_no_other_host(self) -> None:
        """The policy would refuse inline scripts, styles and handlers."""
        ours = [*WEB.glob("templates/*.html"), *WEB.glob("static/*.*")]
        assert len(ours) > 15
        for path in ours:
            text = path.read_text()
            assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) <= {"http://www.w3.org"}
            if path.suffix == ".html":
                inline = r"\sstyle=|<style|\son\w+=|hx-on|javascript:|\|\s*safe"
                assert not re.search(inline + r"|<script(?![^>]*\ssrc=)", text), path.name


class TestValues:
    """Records as the page shows them."""

    def test_every_option_of_an_item_is_a_field(self, embedded: Served) -> None:
        """With its label, its help and its choices; what belongs to the server is none."""
        form = embedded.http.get("/").text
        for name in ITEM_OPTIONS:
            assert f' name="{name}"' in form
        assert "target_tokenizer" not in form
        assert "isolated" not in form
        for choice in (*TARGETS, *TEMPLATES, *get_args(Strategy), *get_args(OnReject)):
            assert f'<option value="{choice}"' in form
        for control in get_args(Control):
            assert f'name="controls" value="{control}"' in form
        described = Options.model_fields["attempts"].description
        assert described is not None
        assert described in form

    def test_every_check_and_fact_has_words(self) -> None:
        """Every check has its statements, and every measurement becomes a sentence of its own."""
        words = (WEB / "templates/_words.html").read_text()
        assert [name for name in CHECKS if f'"{name}": (' not in words] == []

        def shown(name: str, **values: Any) -> str:
            return " ".join(re.sub(r"<.*?>", " ", render_template(name, **values)).split())

        facts: list[dict[str, Any]] = [
            *({"camera": Camera(moves=(move,), strength="slow")} for move in ("static", "tilt up")),
            {"camera": Camera(moves=("shake", "pan right"), strength="fast")},
            *({"kind": kind} for kind in get_args(Kind)),
            {"movement": Movement(amount="some", where="left")},
            {"light": Light(exposure="very dark", contrast="high", temperature="cool")},
            {"palette": Palette(dominant=("gray", "brown"), accents=("red",))},
        ]
        texts = []
        for values in facts:
            sure = {name: Confident(value=value, confidence=0.9) for name, value in values.items()}
            texts.append(shown("_facts.html", facts=Facts.model_validate(sure)))
            assert texts[-1].endswith(". 90 % sure")
        assert len(set(texts)) == len(texts)
        told = " ".join(texts)
        assert "The camera pans right fast and shakes, as if held by hand." in told
        assert "Mostly gray, brown, with accents of red." in told

    @given(st.text(max_size=80), st.text(max_size=200))
    def test_marked_prompts_are_the_prompts(self, short: str, long: str) -> None:
        """Put together, the pieces give both texts letter by letter, whatever they are."""
        marked = presenters.marked_prompts(short, long)
        assert "".join(piece.text for piece in marked.short) == short
        assert "".join(piece.text for piece in marked.long) == long
        assert 0 <= marked.kept <= marked.total

    def test_shared_words_are_marked(self) -> None:
        """Endings do not matter, function words do not count, and repeats are all marked."""
        marked = presenters.marked_prompts(
            "a robot hands the blue cup over", "The robot's hand holds a cup, a red cup."
        )
        assert [one.text for one in marked.long if one.mark] == ["robot", "hand", "cup", "cup"]
        assert [one for one in marked.short if one.mark == "lost"] == [("blue", "lost")]
        assert (marked.kept, marked.total) == (3, 4)

    @pytest.mark.parametrize("name", presenters.SPEC_TARGETS)
    @pytest.mark.parametrize("kind", ["rgb", "depth", "blur"])
    def test_a_spec_is_read_back_as_what_it_is(self, tmp_path: Path, name: str, kind: str) -> None:
        """Its format is told from its keys alone; a control video is its own control."""
        facts = Facts.model_validate({"kind": {"value": kind, "confidence": 0.9}})
        video = Video(name="my clip.mp4")
        record = Record(
            status="ok", video=video, short_prompt="x", target=name, facts=facts, promptlift="0"
        )
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(presenters.cosmos_spec(record, "Ein Fluß.")))
        spec = read_spec(path)
        assert (spec.format.target, spec.warnings) == (name, ())
        (item,) = spec.items
        assert getattr(item, "prompt", None) == "Ein Fluß."
        assert getattr(item, "video", None) == "my clip.mp4"
        key = {"depth": "depth", "blur": "vis"}.get(kind)
        if key and name != "cosmos-predict2.5":
            control = json.loads(path.read_text())[key]
            assert "my clip.mp4" in control.values()
