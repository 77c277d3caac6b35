"""The page in a real browser, from a real server: what a person does, and what the person sees."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page

from promptlift.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.options import ITEM_OPTIONS, OnReject, Options, Strategy
from promptlift.record import Record
from promptlift.review import CHECKS, Claim
from promptlift.targets import TARGET_NAMES
from promptlift.targets.templates import TEMPLATES
from promptlift.testing import synthetic_video
from promptlift.types import Control, Kind
from promptlift.web import presenters
from promptlift.web.routes import render_template
from stubs.browser import Visit, chromium, launched
from stubs.openai_checks import Asked
from stubs.openai_server import Fault, StubServer
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


class Model:
    """The model behind the server: says what it is given, once it may."""

    def __init__(self) -> None:
        self.says = LONG
        self.may = threading.Event()

    def __call__(self, _: Asked) -> str:
        """The answer."""
        self.may.wait(60)
        return self.says


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
    return synthetic_video(folder / "balloon.mp4", seconds=2, fps=4, size=(1280, 720))


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    """A clip that is quick to look at."""
    return synthetic_video(folder / "small.mp4", seconds=1, fps=8, size=(320, 180), motion="static")


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """The server of the model."""
    with StubServer(reply=Model()) as made:
        yield made


@pytest.fixture
def model(stub: StubServer) -> Iterator[Model]:
    """The model as every test finds it."""
    made = stub.reply = Model()
    made.may.set()
    stub.piece_seconds = 0.0
    yield made
    made.may.set()


@pytest.fixture(scope="module")
def served(folder: Path, stub: StubServer) -> Iterator[Served]:
    """A server with a model over HTTP, and with none."""
    how = {"base_url": stub.base_url, "retries": 0}
    with Served(folder / "served", engine="openai", engine_settings=how, also=["embedded"]) as made:
        engines = "/v1/engines"
        eventually(
            lambda: all(one["state"] == "ready" for one in made.http.get(engines).json()["engines"])
        )
        yield made


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[Served]:
    """A server with a key."""
    with Served(folder / "locked", keys=[KEY]) as made:
        yield made


@pytest.fixture
def visit(browser: Browser, model: Model) -> Iterator[Open]:
    """Opens windows; when they are closed, nothing unexpected may have gone wrong in them."""
    del model  # it is reset before each test
    opened: list[Visit] = []

    def open_one(server: Served, **how: Any) -> Visit:
        opened.append(Visit(browser, server.url, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        one.leave()


def text(page: Page, selector: str) -> str:
    """What a person reads there."""
    return " ".join(page.inner_text(selector).split())


# ---- what is on the screen, wide and narrow, light and dark


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=str)
def test_a_clip_becomes_a_prompt(
    served: Served, visit: Open, clip: Path, width: int, dark: bool
) -> None:
    """The frames, the budget, the facts, the text and the review are on the screen.

    Nothing sticks out sideways, axe finds nothing serious, and no other host is asked.
    """
    guest = visit(served, width=width, dark=dark)
    page = guest.go()
    assert guest.flaws() == []
    guest.run(clip, PROMPT, engine="embedded")
    assert "No model saw the video" in text(page, "#h-job")
    pictures = page.locator(".frames img")
    assert pictures.count() == 2
    shown = [
        page.evaluate("one => one.naturalWidth + 'x' + one.naturalHeight", picture)
        for picture in pictures.element_handles()
    ]
    assert shown == [shown[0]] * 2
    assert shown[0].replace("x", "×") in text(page, "figcaption >> nth=0")
    assert "more than the context has" in text(page, ".against")
    assert page.get_attribute(".timeline", "aria-label") == (
        "Where the frames lie in the clip of 2.00 seconds"
    )
    assert "The camera pans right" in text(page, ".facts")
    assert "balloon" in text(page, "p.long")
    assert "made of your words and of measurements" in text(page, ".verdict.warn")
    assert guest.too_wide() == []
    assert guest.flaws() == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=str)
def test_the_other_tabs_are_fit_to_be_seen(
    served: Served, visit: Open, width: int, dark: bool
) -> None:
    """Compare, batch and history hold to the same, with every option unfolded."""
    guest = visit(served, width=width, dark=dark)
    for tab in ("compare", "batch", "history"):
        page = guest.go(f"/{tab}")
        for details in page.locator("summary").element_handles():
            details.click()
        assert guest.too_wide() == []
        assert guest.flaws() == []


def test_without_javascript_results_can_be_read(browser: Browser, served: Served) -> None:
    """The page says what it needs; what was written before is found and shown."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(served.url)
        assert "needs JavaScript" in text(page, "noscript")
        page.goto(f"{served.url}/history?q=balloon")
        page.click(".list a >> nth=0")
        assert "balloon" in text(page, "p.long")


# ---- one video, one prompt


def test_a_draft_is_on_the_page_before_the_answer(
    served: Served, stub: StubServer, model: Model, visit: Open, small: Path
) -> None:
    """Its words are marked as a draft, are text and nothing else, and survive a reload."""
    model.says = written = f"{EVIL} {LONG}"
    stub.piece_seconds = 0.2
    guest = visit(served)
    page = guest.begin(small, "a draft of a balloon")

    def draft() -> str:
        found: str = page.evaluate("document.querySelector('.draft')?.textContent ?? ''")
        return found

    eventually(lambda: EVIL in draft())
    early = draft()
    assert written.startswith(early)
    assert early != written
    assert page.locator(".draft *").count() == 0
    assert "Draft, not reviewed yet" in text(page, "[data-draft] [role=status]")
    assert page.locator(".frames img").count() == 2
    assert "of 4,096 tokens" in text(page, "#job")
    assert guest.flaws() == []
    page.reload()
    eventually(lambda: len(draft()) > len(early))
    stub.piece_seconds = 0.0
    model.says = LONG
    guest.finished()
    assert page.locator(".draft").count() == 0
    assert "not reviewed yet" not in text(page, "#job")
    assert "balloon" in text(page, "p.long")


def test_a_server_that_is_killed_loses_nothing(
    folder: Path, visit: Open, small: Path, stub: StubServer, model: Model
) -> None:
    """Started again, it goes on with the job, the open page shows the rest, history has it."""
    how = {"engine": "openai", "engine_settings": {"base_url": stub.base_url}}
    with Served(folder / "killed", **how) as server:
        guest = visit(server, cut_off=True)
        guest.run(small, "a balloon from before")
        model.may.clear()
        page = guest.begin(small, PROMPT)
        page.wait_for_selector(".steps li:nth-child(2).now")
        server.kill()
    model.may.set()
    with Served(folder / "killed", port=server.address[1], **how):
        guest.finished()
        assert text(page, "p.long") == LONG
        assert page.locator(".frames img").count() == 2
        guest.go("/history")
        assert page.locator(".list li").count() == 2
        width = "document.querySelector('.thumb img').naturalWidth"
        eventually(lambda: page.evaluate(width) == 192)
        page.fill("#q", "zebra")
        page.wait_for_selector(".empty")
        page.fill("#q", "BALLOON before")
        page.wait_for_selector(".list li")
        assert page.url.endswith("/history?q=BALLOON%20before")
        page.click(".list a")
        page.wait_for_selector(".frames img")
        assert text(page, "p.long") == LONG


def test_a_video_is_dropped(served: Served, visit: Open, small: Path) -> None:
    """Beside its place nothing happens, and the browser stays where it is."""
    guest = visit(served)
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


def test_a_job_can_be_stopped(served: Served, visit: Open, small: Path, model: Model) -> None:
    """The button ends it, and what is left can be tried again."""
    model.may.clear()
    guest = visit(served)
    page = guest.begin(small, "a balloon to be stopped")
    page.click("text=Stop >> visible=true")
    page.wait_for_selector("#job[data-state=cancelled]")
    assert text(page, "#h-job") == "! Stopped"
    assert page.locator("#job .error").count() == 0
    model.may.set()
    page.click("text=Try again")
    guest.finished()
    assert page.get_attribute("#job", "data-state") == "finished"


def test_a_text_is_copied_saved_edited_and_reviewed_again(
    served: Served, visit: Open, small: Path, tmp_path: Path
) -> None:
    """An edit is held to the same checks, markup is text, and headline, copy and file follow it."""
    guest = visit(served)
    page = guest.run(small, PROMPT)

    def copied(button: str) -> str:
        page.evaluate("navigator.clipboard.writeText('')")
        page.click(button)
        eventually(lambda: page.evaluate("navigator.clipboard.readText()"))
        found: str = page.evaluate("navigator.clipboard.readText()")
        return found

    def saved(button: str) -> str:
        with page.expect_download() as caught:
            page.click(f"text={button}")
        caught.value.save_as(tmp_path / caught.value.suggested_filename)
        return (tmp_path / caught.value.suggested_filename).read_text()

    assert copied("#head [data-copy]") == copied(".came [data-copy]") == LONG
    assert saved("Save text") == f"{LONG}\n"
    record = Record.model_validate_json(saved("Save record"))
    assert (record.status, record.short_prompt, record.prompt) == ("ok", PROMPT, LONG)
    edit = f"Here is the prompt: {EVIL}"
    page.click("[data-change]")
    assert page.evaluate("document.activeElement.name") == "text"
    page.fill("[data-edit]", edit)
    assert copied(".came [data-copy]") == edit
    assert saved("Save text") == f"{edit}\n"
    page.click("text=Review the edit")
    page.wait_for_selector(".verdict.rejected")
    assert text(page, "p.long") == edit
    assert text(page, "#h-job") == "✕ Edited: Not fit to use"
    eventually(lambda: "Not fit to use" in (page.text_content("#announcer") or ""))
    assert copied("#head [data-copy]") == edit
    assert "This is your own text" in text(page, ".verdict.rejected")
    assert page.locator(".checks li.fail").count() >= 2
    assert page.locator("p.long img, p.long script").count() == 0
    assert page.locator(".asked mark.missing").count() >= 2
    assert page.locator(".claims li.missing").count() >= 2
    page.click("[data-change]")
    page.fill("[data-edit]", LONG)
    page.click("text=Review the edit")
    page.wait_for_selector(".verdict.ok")
    assert text(page, ":focus") == "Edit"
    assert text(page, "#h-job").startswith("✓ Edited: Fit to use")


def test_a_json_prompt_is_indented_and_copied_on_one_line(served: Served, visit: Open) -> None:
    """It is read and edited with a line for each value; what is copied and saved is the prompt."""
    guest = visit(served, width=390, dark=True)
    page = guest.go()
    page.fill("#prompt", 'a forklift with a sign "A, {B}"')
    page.select_option("#engine", "embedded")
    page.select_option("#target", "cosmos3")
    page.click(".ask .primary")
    page.wait_for_selector("#job[data-state=finished]")
    written = page.input_value("[data-edit]")
    shown = page.inner_text("pre.json")
    assert "\n" not in written
    assert shown == json.dumps(json.loads(written), indent=2, ensure_ascii=False)
    page.click("#head [data-copy]")
    eventually(lambda: page.evaluate("navigator.clipboard.readText()") == written)
    page.click("[data-change]")
    assert page.input_value("[data-edit]") == shown
    page.click("text=Review the edit")
    page.wait_for_selector("#head:has-text('Edited')")
    assert page.input_value("[data-edit]") == written
    assert guest.too_wide() == []
    assert guest.flaws() == []


def test_a_prompt_with_markup_is_text_everywhere(served: Served, visit: Open, small: Path) -> None:
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


def test_words_alone_are_enough(served: Served, visit: Open) -> None:
    """Without a video the form does the same, and the job shows no frames and no measurements;
    a model that goes by pictures says so.
    """
    guest = visit(served)
    page = guest.go()
    page.fill("#prompt", "a red balloon over hills")
    page.click(".ask .primary")
    guest.finished()
    assert "writes from pictures, and there are none" in text(page, "#job .error")
    page.select_option("#engine", "embedded")
    page.click(".ask .primary")
    page.wait_for_selector("#job[data-state=finished]")
    assert "words alone" in text(page, ".head")
    assert text(page, "p.long") == "a red balloon over hills"
    assert "There is no picture" in text(page, "#job")
    assert page.locator("#h-frames, #h-facts").count() == 0
    assert guest.flaws() == []
    guest.go("/history")
    assert "words alone" in text(page, "#found")


def test_again_and_variations_ask_with_other_seeds(
    served: Served, visit: Open, small: Path, model: Model
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
    assert all("Variation: " in title for title in titles)
    page.click("text=Open this result >> nth=1")
    assert "variation 2" in text(page, ".head")
    page.click("text=Back to the comparison")
    assert page.locator(".column").count() == 3


def test_a_recording_is_a_video_like_any_other(served: Served, visit: Open) -> None:
    """The camera's pictures are sent once it is stopped."""
    guest = visit(served)
    page = guest.go()
    page.click("[data-record]")
    page.wait_for_selector("[data-recording] video")
    seconds = "document.querySelector('[data-recording] video').currentTime"
    eventually(lambda: page.evaluate(seconds) > 0.4)
    page.click("[data-stop]")
    page.wait_for_selector(".clip img")
    assert "recording.webm" in text(page, ".clip")
    page.click(".ask .primary")
    guest.finished()
    assert page.get_attribute("#job", "data-state") == "finished"


def test_the_keyboard_is_enough(served: Served, visit: Open) -> None:
    """Tab, Enter and letters take an example to a prompt; the focus goes to what came."""
    guest = visit(served)
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
    eventually(lambda: "Fit to use" in (page.text_content("#announcer") or ""))


# ---- what is wrong and what to do, in words


def test_what_is_missing_or_malformed_is_said(
    served: Served, visit: Open, small: Path, tmp_path: Path
) -> None:
    """Without a video, or with a file that is none; a wrong number; a job that is not there.

    The message and the remedy are read out, and another file can be given at once.
    """
    (tmp_path / "notes.mp4").write_text("this is no video at all\n" * 50)
    guest = visit(served, may_fail="^/(page/jobs|v1/uploads)$")
    page = guest.go()
    page.set_input_files("[data-file]", tmp_path / "notes.mp4")
    page.wait_for_selector("#notice .error")
    assert "it is not a video" in text(page, "#notice")
    assert str(served.data) not in text(page, "#notice")
    assert guest.flaws() == []
    page.click(".ask .primary")
    page.wait_for_selector("#notice .error:has-text('There is neither a video nor a prompt yet')")
    assert "What to do: write a short prompt, choose a video" in text(page, "#notice")
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
    served: Served, visit: Open, small: Path, model: Model
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
    served: Served, visit: Open, small: Path, stub: StubServer
) -> None:
    """A job that failed says why and what to do, and can be tried again when that is done."""
    stub.faults.extend([Fault.parse("500")] * 3)
    guest = visit(served)
    page = guest.run(small, "a balloon that fails")
    assert "It did not work" in text(page, "#h-job")
    assert "What to do:" in text(page, "#job .error")
    stub.faults.clear()
    page.click("text=Try again")
    page.wait_for_selector("#job[data-state=finished]")


def test_only_the_frames_of_a_job_are_given_out(served: Served, small: Path) -> None:
    """More of them, or larger ones than anybody shows a model, are refused unseen."""
    asked = {"upload_id": served.upload(small), "prompt": PROMPT}
    answer = served.http.post("/page/jobs", data=asked)
    job = answer.headers["hx-push-url"].partition("=")[2]

    def status(number: int, **query: Any) -> int:
        address = f"/page/jobs/{job}/frames/{number}"
        return served.http.get(address, params=query).status_code

    assert status(1, count=2, size="316x176") == 200
    assert status(1, count=2, size="316x176", form="png") == 200
    assert status(2, count=2, size="316x176") == 404
    assert status(0, count=3, size="316x176") == 422
    assert status(0, count=2, size="9999x9999") == 422
    assert status(0, count=2, size="0x9") == 422


# ---- batches and comparisons


def test_a_batch_of_rows_is_watched_and_exported(
    served: Served, visit: Open, small: Path, tmp_path: Path
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
        answer = page.request.get(f"{served.url}{page.get_attribute(f'a[href$={form}]', 'href')}")
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
    served: Served, visit: Open, small: Path, tmp_path: Path
) -> None:
    """One of them is no video: it fails alone."""
    (tmp_path / "bad.mp4").write_text("nothing\n" * 100)
    guest = visit(served, may_fail="^/v1/uploads$")
    page = guest.go("/batch")
    page.set_input_files("[data-files]", [small, tmp_path / "bad.mp4"])
    page.fill("#prompt", PROMPT)
    page.click(".primary")
    page.wait_for_selector("#run [data-summary]:has-text('Finished')")
    table = text(page, "#run table")
    assert text(page, "#run [data-summary]") == "Finished: 1 prompt fit to use of 2 rows", table
    assert page.locator(".chosen .bad").count() == 1
    assert "it is not a video" in text(page, "#run table")


def test_variants_and_engines_stand_side_by_side(served: Served, visit: Open, clip: Path) -> None:
    """Each column says in what it differs, what it was shown and what that cost."""
    guest = visit(served, may_fail="^/page/compare$")
    page = guest.go("/compare")
    page.set_input_files("[data-file]", clip)
    page.wait_for_selector(".clip img")
    page.fill("#prompt", PROMPT)
    page.select_option("[name='b.engine']", "openai")
    assert not page.is_visible("[name='c.size']"), "the third way is there when it is wanted"
    page.check("[name='c.on']")
    assert page.is_visible("[name='c.size']")
    page.uncheck("[name='c.on']")
    page.click(".ask .primary")
    page.wait_for_selector("#notice .error")
    assert "there is nothing to compare" in text(page, "#notice").lower()
    page.fill("[name='b.size']", "320x180")
    page.check("[name='c.on']")
    page.select_option("[name='c.engine']", "embedded")
    page.fill("[name='c.frames']", "2")
    page.click(".ask .primary")
    page.wait_for_selector("#columns[aria-busy=false]")
    assert page.locator(".column h2").all_inner_texts() == [
        "Engine: openai, Size: automatic",
        "Engine: openai, Size: 320x180",
        "Engine: embedded, Size: automatic",
    ]
    assert page.locator(".column .frames img").count() == 6
    assert "320×180" in text(page, ".column >> nth=1")
    assert text(page, ".column >> nth=0 >> p.long") == LONG
    assert text(page, ".column >> nth=2 >> p.long") != LONG
    assert guest.too_wide() == []
    assert guest.flaws() == []
    page.reload()
    assert page.locator(".column").count() == 3
    assert page.input_value("[name='c.engine']") == "embedded"


# ---- a server with a key, in a browser


def test_the_page_asks_for_the_key_once(locked: Served, visit: Open, small: Path) -> None:
    """A wrong key opens nothing; the right one lets pages, pictures and events through.

    The cookie is not the key, and no script can read it.
    """
    guest = visit(locked, may_fail="^/(history|page/enter)?$")
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


def test_a_session_is_a_signed_cookie(locked: Served) -> None:
    """What was not issued here opens nothing; after the key, the way leads nowhere else."""
    nobody = {"authorization": ""}

    def enter(key: str, then: str = "/") -> Any:
        data = {"key": key, "then": then}
        return locked.http.post("/page/enter", data=data, headers=nobody)

    assert enter("not-the-key-at-all").status_code == 401
    for wanted, target in {
        "/history?q=cup": "/history?q=cup",
        "//elsewhere.example/": "/",
        "/\\elsewhere.example": "/",
        "https://elsewhere.example/": "/",
        "/a\r\nSet-Cookie: x": "/",
    }.items():
        assert enter(KEY, wanted).headers["location"] == target
    name, _, value = enter(KEY).headers["set-cookie"].partition(";")[0].partition("=")
    locked.http.cookies.clear()
    owner, until, mac = value.split(".")
    forged = (f"x{owner}.{until}.{mac}", f"{owner}.{int(until) + 1}.{mac}", f"{value}0")
    for cookie, status in [(value, 200), *((bad, 401) for bad in (*forged, mac, "..", ""))]:
        headers = {**nobody, "cookie": f"other={{; =; {name}={cookie}; more=2"}
        assert locked.http.get("/v1/jobs", headers=headers).status_code == status
    assert locked.http.get("/history", headers=nobody).status_code == 401


# ---- what is shipped


def test_third_party_files_are_what_their_notice_says() -> None:
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


def test_static_files_are_asked_for_again(served: Served) -> None:
    """They have a validator, so that an unchanged one is not sent; no module is given out."""
    answer = served.http.get("/page/static/page.css")
    assert answer.headers["cache-control"] == "no-cache"
    again = {"if-none-match": answer.headers["etag"]}
    assert served.http.get("/page/static/page.css", headers=again).status_code == 304
    assert served.http.get("/page/static/routes.py").status_code == 404


def test_the_page_has_no_inline_code_and_names_no_other_host() -> None:
    """The policy would refuse inline scripts, styles and handlers."""
    ours = [*WEB.glob("templates/*.html"), *WEB.glob("static/*.*")]
    assert len(ours) > 15
    for path in ours:
        text = path.read_text()
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) <= {"http://www.w3.org"}
        if path.suffix == ".html":
            inline = r"\sstyle=|<style|\son\w+=|hx-on|javascript:|\|\s*safe"
            assert not re.search(inline + r"|<script(?![^>]*\ssrc=)", text), path.name


# ---- records as the page shows them


def test_every_option_of_an_item_is_a_field(served: Served) -> None:
    """With its label, its help and its choices; what belongs to the server is none."""
    form = served.http.get("/").text
    for name in ITEM_OPTIONS:
        assert f' name="{name}"' in form
    assert "target_tokenizer" not in form
    assert "isolated" not in form
    for choice in (*TARGET_NAMES, *TEMPLATES, *get_args(Strategy), *get_args(OnReject)):
        assert f'<option value="{choice}"' in form
    for control in get_args(Control):
        assert f'name="controls" value="{control}"' in form
    described = Options.model_fields["attempts"].description
    assert described is not None
    assert described in form


def test_every_check_and_fact_has_words() -> None:
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


_SPANS = st.none() | st.tuples(st.integers(-5, 300), st.integers(-5, 300))
_CLAIMS = st.builds(
    Claim,
    kind=st.just("object"),
    said=st.text(max_size=9),
    found=st.text(max_size=9),
    status=st.sampled_from(["kept", "changed", "missing", "added"]),
    said_span=_SPANS,
    found_span=_SPANS,
)


@settings(max_examples=50)
@given(st.lists(_CLAIMS, max_size=6), st.text(max_size=80), st.text(max_size=200))
def test_marked_texts_are_the_texts(claims: list[Claim], short: str, long: str) -> None:
    """Put together, the pieces give both texts letter by letter, whatever the claims are."""
    marked = presenters.marked_texts(claims, short, long)
    assert "".join(piece.text for piece in marked.short) == short
    assert "".join(piece.text for piece in marked.long) == long


def test_the_words_of_claims_are_marked() -> None:
    """Also in an answer before cleaning, and the noun apart from a color that is not its own."""
    short, long = "two red cars stop", "Three blue cars wait, and a man waves."
    claims = [
        Claim(kind="number", said="2 cars", found="Three blue cars", status="changed",
              said_span=(8, 12), found_span=(0, 15)),
        Claim(kind="color", said="red cars", found="blue cars", status="changed",
              said_span=(8, 12), found_span=(6, 15)),
        Claim(kind="action", said="stop", found="", status="missing", said_span=(13, 17)),
        Claim(kind="person", said="", found="a man", status="added", found_span=(26, 31)),
    ]  # fmt: skip
    marked = presenters.marked_texts(claims, short, f"Sure: {long}")
    shown = [[(text, mark) for text, mark in pieces if mark] for pieces in marked]
    assert shown == [
        [("red", "changed"), ("cars", "changed"), ("stop", "missing")],
        [("Three blue cars", "changed"), ("a man", "added")],
    ]
    claims.append(Claim(kind="object", said="cars", found="cars", status="kept",
                        said_span=(8, 12), found_span=(11, 15)))  # fmt: skip
    assert presenters.marked_texts(claims, short, long).long[0] == ("Three blue", "changed")
    assert presenters.marked_texts((), short, long) == ([(short, "")], [(long, "")])


def test_an_answer_against_the_request_says_which_words(
    served: Served, visit: Open, small: Path, model: Model
) -> None:
    """In both texts and as a list; remarks do not reject, and what is marked is not told twice."""
    model.says = LONG.replace("A red", "A blue") + " Suddenly an explosion tears it apart."
    guest = visit(served)
    page = guest.run(small, f"{PROMPT} slowly")
    assert "blue" in text(page, "p.long mark.changed")
    assert "explosion" in page.locator("p.long mark.added").all_inner_texts()
    assert text(page, ".asked mark.changed") == "red"
    claims = page.locator(".claims li").all_inner_texts()
    assert any(" ".join(one.split()).startswith("≠ changed color: said") for one in claims)
    assert text(page, ".legend >> nth=0") == "changed added kept"
    assert "explosion" not in text(page, ".checks")
    assert "about your words, listed under your prompt" in text(page, ".checks")
    assert guest.flaws() == []
    page.click("[data-change]")
    page.fill("[data-edit]", LONG + " A man waves.")
    page.click("text=Review the edit")
    page.wait_for_selector(".verdict.ok:has-text('All checks passed, ')")
    assert re.fullmatch(r"✓ Edited: Fit to use, \d remarks?", text(page, "#h-job"))
    assert text(page, "p.long mark.added") == "A man"
    assert page.locator("mark.changed").count() == 0
