"""The options that steer a result: how the model is told, and what the review makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptlift import Upsampler
from promptlift.errors import OptionError
from promptlift.options import Options
from promptlift.review import Review, negative_prompt, review, understand
from promptlift.targets import target
from promptlift.targets.templates import TemplateInput, Turn, template
from promptlift.testing import synthetic_video
from promptlift.types import Role
from stubs.openai_server import StubServer

ENGLISH = (
    "A gray cat sleeps on a worn sofa beside a window. Its chest rises and falls slowly while soft "
    "light comes through the curtains and falls on the cushions."
)
GERMAN = (
    "Eine graue Katze schläft auf einem alten Sofa neben einem Fenster. Ihre Brust hebt und senkt "
    "sich langsam, während weiches Licht durch die Vorhänge auf die Kissen fällt."
)
CHINESE = "一只灰色的猫睡在窗边的旧沙发上，胸口缓缓起伏，柔和的光线透过窗帘洒在靠垫上。"


def reviewed(text: str, short: str = "a gray cat sleeps on a sofa", **options: Any) -> Review:
    """The review of an answer to these options."""
    made = Options(**{"target": "plain", **options})
    return review(
        text,
        finish_reason="stop",
        short_prompt=short,
        target=made.goal,
        creativity=made.creativity,
        style=made.style,
    )


def asked(short: str, roles: tuple[Role, ...] = ("frame",), **options: Any) -> Turn:
    """What a general model is told."""
    made = Options(**options)
    return template("instruct/2").render(
        TemplateInput(
            understand(short),
            made.goal,
            creativity=made.creativity,
            style=made.style,
            variation=made.variation,
            roles=roles,
        )
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [("zh", "Chinese"), ("ZH-Hans", "Chinese"), ("german", "German"), ("deu", "German")],
)
def test_a_language_is_a_name_or_a_code(given: str, name: str) -> None:
    """Names in any case, codes with a region or without."""
    options = Options(language=given, target="plain")
    assert options.language == name
    assert f"plain {name}" in asked("a cat", language=given, target="plain").system


def test_the_result_is_in_the_language_that_is_asked_for() -> None:
    """In that and in no other, whatever the target writes by itself."""
    texts = {"English": ENGLISH, "German": GERMAN, "Chinese": CHINESE}
    for language in texts:
        for written, text in texts.items():
            failed = reviewed(text, language=language).failed
            assert ("language" in failed) == (written != language), (language, written)
    assert "plain English" in asked("ein Hund", target="hunyuan-video-1.5", language="en").system


def test_a_language_that_the_target_does_not_read() -> None:
    """The error names both, and what it reads."""
    with pytest.raises(OptionError, match="'German' is asked for, and ltx-2 reads English"):
        Options(target="ltx-2", language="de")


def test_creativity_says_how_much_may_be_added() -> None:
    """It is told to the model, changes the length, and judges a person that nobody asked for."""
    added = f"{ENGLISH} A woman walks in and an explosion shakes the room."
    found = {
        level: [f.severity for f in reviewed(added, creativity=level).findings if f.span]
        for level in ("low", "medium", "high")
    }
    assert found == {"low": ["error"] * 2, "medium": ["warning"] * 2, "high": ["info"] * 2}
    assert reviewed(ENGLISH, creativity="low").verdict == "ok"
    longest = [Options(creativity=level).goal.max_words for level in ("low", "medium", "high")]
    assert longest[0] < longest[1] == longest[2]
    systems = {asked("a cat", creativity=level).system for level in ("low", "medium", "high")}
    assert len(systems) == 3
    assert "Add no people" not in asked("a cat", creativity="high").text


@pytest.mark.parametrize(
    ("short", "gone", "stays"),
    [
        ("a time-lapse of clouds over a city", "motion blur", "flicker"),
        ('a shop with a sign that reads "OPEN"', "text, logos", "watermarks are laid over"),
        ("a still pond at noon, nothing moves", "stops", "motion is unnatural"),
        ("a knight in pixel art", "computer game", "poor quality"),
        ("a party on a VHS tape", "low in resolution", "overexposed"),
        ("clocks melting in a surreal desert", "deformed", "otion is unnatural"),
        ("a lamp flickers in the hall", "flicker", "jitter"),
    ],
)
def test_a_negative_prompt_has_nothing_that_is_asked_for(short: str, gone: str, stays: str) -> None:
    """The target's own, less what the request or the result asks for; the rest stays."""
    goal = target("cosmos-transfer1")
    for request, prompt in ((short, ""), ("", short)):
        made = negative_prompt(goal, prompt, short_prompt=request)
        assert gone in goal.negative
        assert gone not in made
        assert stays in made
        assert made.endswith(".")


def test_a_negative_prompt_stays_whole_where_nothing_contradicts_it() -> None:
    """Words in another sense, and what is denied, take nothing out."""
    for short in ("a boy plays football by a frozen lake", "a lake, no text, without blur", ""):
        for goal in (target("cosmos-transfer1"), target("wan-2.2")):
            assert negative_prompt(goal, short, short_prompt=short) == goal.negative
    kept = negative_prompt(target("wan-2.2"), "", short_prompt="a man runs, static camera")
    assert kept == target("wan-2.2").negative
    tags = negative_prompt(target("wan-2.2"), "", short_prompt="a logo spins on a VHS tape")
    assert "watermark, subtitles" in tags
    assert "low resolution" not in tags


def test_a_target_without_a_negative_prompt() -> None:
    """One line that says so."""
    with pytest.raises(OptionError, match="a negative prompt is asked for, and cogvideox takes"):
        Options(target="cogvideox", negative=True)


@pytest.mark.parametrize(
    ("name", "place"),
    [("ltx-2", "begin with it"), ("hunyuan-video", "first of the tags"), ("plain", "name it")],
)
def test_a_style_is_put_where_the_target_wants_it(name: str, place: str) -> None:
    """And counts as a claim: where it is missing, that is a warning."""
    text = asked("a cat", target=name, style="watercolor animation").text
    assert "Style: watercolor animation; " in text
    assert place in text


def test_a_style_is_a_claim() -> None:
    """Kept in other spellings and in kin; not looked for in another language."""
    for answer, status in (
        (f"Watercolour animation. {ENGLISH}", "kept"),
        (f"{ENGLISH} It is painted like an aquarelle, animated frame by frame.", "kept"),
        (ENGLISH, "missing"),
    ):
        made = reviewed(answer, style="watercolor animation")
        assert [claim.status for claim in made.claims if claim.kind == "style"] == [status]
        warned = [f.severity for f in made.findings if f.name == "style"]
        assert warned == ["warning"] * (status == "missing")
        assert made.verdict == "ok"
    german = reviewed(GERMAN, style="watercolor animation", language="de")
    assert not [claim for claim in german.claims if claim.kind == "style"]


def test_variations_differ_in_what_is_free() -> None:
    """Light where the request says nothing of it, other details where it does."""
    lights = {asked("a cat", variation=n).text for n in range(1, 11)}
    assert len(lights) == 10
    assert "variation" not in asked("a cat").text
    assert "night with lamps" in asked("a cat", variation=4).text
    at_dusk = asked("a cat at dusk", variation=4).text
    assert "night with lamps" not in at_dusk
    assert "other details of the setting" in at_dusk
    assert "night with lamps" in asked("a cat", roles=(), variation=4).text
    given = asked("a cat", roles=("first",), variation=4).text  # which has its light already
    assert "another pace" in given
    assert "light" not in given


def test_a_variation_that_is_nearly_another_is_asked_again(tmp_path: Path) -> None:
    """It counts as no answer; those that differ come out, each with its number and seed."""
    clip = tmp_path / "clip.mp4"
    synthetic_video(clip, seconds=1, size=(320, 180))
    copy, other = (
        ENGLISH.replace("worn", "old"),
        (
            "Lamps glow over a worn sofa at night, and a gray cat sleeps on it, curled into a ball "
            "between two cushions while rain runs down the dark window behind."
        ),
    )
    replies = iter([ENGLISH, copy, other])
    with StubServer(reply=lambda _: next(replies), models=["my-vlm"], context=8192) as server:
        settings = {"base_url": server.base_url}
        made = Upsampler(engine="openai", engine_settings=settings, target="plain", seed=5)
        with made:
            done = list(made.variations(clip, "a gray cat sleeps on a sofa", 2))
    records = [outcome.record for outcome in done]
    assert [record.prompt for record in records] == [ENGLISH, other]
    assert [record.variation for record in records] == [1, 2]
    assert [len(record.attempts) for record in records] == [1, 2]
    assert "nearly the same as another variation" in records[1].attempts[1].feedback
    assert [record.attempts[0].sampling.seed for record in records] == [5, 1005]
    assert len({record.key for record in records}) == 2
