"""The requests that leave, to the letter: which model is told what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import promptlift
from promptlift.cli import main as main_module
from promptlift.options import Options
from promptlift.pipeline import Outcome, upsample_item
from promptlift.record import Record
from promptlift.testing import FakeEngine, synthetic_video
from stubs.openai_server import StubServer

Ask = Callable[..., tuple[Any, Record]]
PROMPT = "a red hot-air balloon drifts over the hills"
COSMOS = "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer"
LAST_WORDS = "a red hot-air balloon drifts over the hills under a wide blue sky."


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    synthetic_video(path, seconds=2, size=(320, 180))
    return path


@pytest.fixture
def ask(clip: Path) -> Ask:
    """Ask a model of that name, and give the body of the last request and the record."""

    def run(model: str, prompt: str = PROMPT, **options: Any) -> tuple[Any, Record]:
        options = {"attempts": 1, "on_reject": "best", **options}
        with StubServer(models=[model], reply=LAST_WORDS, context=8192) as server:
            record = promptlift.upsample(
                clip,
                prompt,
                engine="openai",
                engine_settings={"base_url": server.base_url},
                **options,
            )
            assert not server.violations
            return server.chats[-1].body, record

    return run


def words(body: Any) -> tuple[str, str]:
    """The system text and the user text of a request."""
    *system, user = body["messages"]
    return "".join(turn["content"] for turn in system), user["content"][-1]["text"]


@pytest.mark.parametrize(
    "model",
    [
        "qwen2.5vl:7b",
        "gpt-4o-mini",
        "gemma3:4b",
        "llava:13b",
        "moondream",
        "claude-sonnet-4-5",
        "mistral-small3.1",
        "mistralai/Pixtral-12B-2409",
        "nvidia/Cosmos-Reason2-8B",
        "my-vlm",
    ],
)
def test_general_models_are_given_the_task(ask: Ask, model: str) -> None:
    """Whatever they are called: a system turn, and images before the text."""
    body, record = ask(model)
    system, text = words(body)
    assert record.template == "instruct/2"
    assert system.startswith("You turn a short request into one prompt for a video generator.")
    assert text.startswith("Frames: 1 at 0.5 s, 2 at 1.5 s of 2.0 s.\n")
    assert text.endswith(f"\nRequest: {PROMPT}")
    kinds = [part["type"] for part in body["messages"][1]["content"]]
    assert kinds == ["image_url", "image_url", "text"]
    assert record.plan is not None
    assert record.tokens.predicted is not None


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (PROMPT, PROMPT),
        ("", "describe the following images"),
        (f"{PROMPT}\nat dawn", f"{PROMPT} at dawn"),
    ],
    ids=["words", "none", "lines"],
)
def test_cosmos_transfer1_upsampler_is_asked_as_nvidia_asks_it(
    ask: Ask, prompt: str, text: str
) -> None:
    """Two images, the bare words, no system text, 0.6, and 300 tokens whatever the target."""
    body, record = ask(COSMOS, prompt, target="hunyuan-video-1.5", frames=4)
    [turn] = body.pop("messages")
    *images, last = turn["content"]
    assert body == {"model": COSMOS, "max_tokens": 300, "temperature": 0.6, "seed": 0}
    assert turn["role"] == "user"
    assert [image["type"] for image in images] == ["image_url", "image_url"]
    assert last == {"type": "text", "text": text}
    assert record.template == "verbatim/1"
    assert record.template_reason == (
        "the Cosmos upsampler was trained without an instruction, and with at most 2 images, not 4"
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three pictures of three shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    made = {}
    for name, size in (("first", (640, 360)), ("last", (300, 600)), ("cup", (64, 64))):
        made[name] = folder / f"{name}.png"
        Image.new("RGB", size, "red" if name == "first" else "blue").save(made[name])
    return made


def test_pictures_are_told_in_order(pictures: dict[str, Path], clip: Path) -> None:
    """The first frame, the last, references: each in its own shape, with what it is, in the
    request, the record and the key; a single picture in the video's place is the first frame.
    """

    def run(video: Any = None, **given: Any) -> tuple[FakeEngine, Record]:
        engine, options = FakeEngine([LAST_WORDS]), {"on_reject": "best"}
        record = promptlift.upsample(video, PROMPT, engine=engine, **{**options, **given})
        return engine, record

    first, last, cup = pictures["first"], pictures["last"], pictures["cup"]
    engine, both = run(image=first, last_image=last, references=[cup, cup])
    (request,) = engine.requests
    roles = ["first", "last", "reference", "reference"]
    assert [frame.role for frame in request.frames] == roles
    assert [frame.role for frame in both.frames] == roles
    shapes = [frame.size.width / frame.size.height for frame in request.frames]
    assert shapes == pytest.approx([16 / 9, 0.5, 1, 1], rel=0.02)
    assert "told what each of them is to the video" in request.system
    text = request.text
    told = ["Picture 1 is the first", "Picture 2 is the last", "Pictures 3 and 4 are references"]
    assert [text.index(one) for one in told] == sorted(text.index(one) for one in told)
    assert both.video.name == "first.png"
    assert [(one.role, one.name) for one in both.pictures] == [
        ("last", "last.png"),
        ("reference", "cup.png"),
        ("reference", "cup.png"),
    ]
    assert both.plan is not None
    assert both.tokens.predicted is not None
    assert both.tokens.predicted <= both.plan.chosen.prompt_tokens
    _, alone = run(first)
    assert alone.key == run(image=first)[1].key
    assert [frame.role for frame in alone.frames] == ["first"]
    engine, sketch = run(references=[cup])
    assert [frame.role for frame in engine.requests[0].frames] == ["reference"]
    assert "Picture 1 is a reference" in engine.requests[0].text
    engine, onward = run(clip, last_image=last)
    assert [frame.role for frame in engine.requests[0].frames] == ["frame", "frame", "last"]
    others = [run(image=first, last_image=cup)[1], run(image=first, last_image=last)[1]]
    assert len({one.key for one in (both, alone, sketch, onward, *others)}) == 6
    engine = FakeEngine([LAST_WORDS], model="cosmos-upsampler")
    given = promptlift.Pictures.of(None, first, last, [cup])
    outcome = asyncio.run(upsample_item(given, PROMPT, engine, Options()))
    assert "3 pictures are given, and the model takes 2" in str(outcome.error)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"video": "clip", "image": "first"},
            r"both a video .*clip\.mp4.* and --image .*first\.png",
        ),
        ({"last_image": "last"}, r"--last-image .*last\.png.* is given without --image or a video"),
        ({"image": "first", "at": "1s"}, "both --at and --image are given"),
        ({"video": "clip", "references": ["cup"], "region": "0,0,1,1"}, "--region and --reference"),
        ({"image": "clip"}, r"--image is a video \(clip\.mp4\)"),
        ({"image": "first", "last_image": "clip"}, r"--last-image is a video"),
        ({"at": "1s"}, "--at is given, and there is no video"),
    ],
)
@pytest.mark.parametrize("engine", ["embedded", "fake"])
def test_what_does_not_go_together_is_named(
    pictures: dict[str, Path], clip: Path, engine: str, given: dict[str, Any], said: str
) -> None:
    """Both of the two, whether or not a model looks."""
    files = {**pictures, "clip": clip}

    def path(value: Any) -> Any:
        return [path(one) for one in value] if isinstance(value, list) else files.get(value, value)

    made = {name: path(value) for name, value in given.items()}
    with pytest.raises(promptlift.OptionError, match=said):
        promptlift.upsample(
            prompt=PROMPT, engine=FakeEngine([LAST_WORDS]) if engine == "fake" else engine, **made
        )


def test_words_alone_are_told_to_be_all_there_is() -> None:
    """No image, no frame, nothing measured; models that were trained with pictures need one."""

    def run(model: str, words: str) -> tuple[FakeEngine, Outcome]:
        engine = FakeEngine([LAST_WORDS], model=model)
        return engine, asyncio.run(upsample_item(None, words, engine, Options(on_reject="best")))

    engine, outcome = run("some-model", PROMPT)
    (request,) = engine.requests
    assert outcome.record.prompt is not None
    assert request.frames == ()
    assert "There is no picture: the request is all that is known." in request.system
    assert "rame" not in request.text.replace(PROMPT, "")
    assert outcome.record.plan is not None
    assert outcome.record.plan.chosen.frames == 0
    assert outcome.record.key is not None
    assert run("some-model", "two dogs")[1].record.key != outcome.record.key
    for model in ("cosmos-upsampler", "Cosmos-UpsamplePrompt1-12B-Video2World"):
        engine, outcome = run(model, PROMPT)
        assert (engine.requests, outcome.record.status) == ([], "failed")
        assert "writes from pictures, and there are none" in str(outcome.error)
    assert run("Cosmos-UpsamplePrompt1-12B-Text2World", PROMPT)[1].error is None
    engine, given = FakeEngine([LAST_WORDS]), promptlift.Pictures(None, ())
    nothing = asyncio.run(upsample_item(given, "", engine, Options()))
    assert "neither a video nor a prompt" in str(nothing.error)


@pytest.mark.parametrize(
    ("kind", "text", "images", "reserve"),
    [
        ("Text2World", f"Upsample the short caption to a long caption: {PROMPT}", 0, 512),
        (
            "Video2World",
            (
                "\nYour task is to transform a given prompt into a refined and concise video "
                "description, no more than 150 words.\nFocus only on the content, no filler words "
                "or descriptions on the style. Never mention things outside the video.\n"
                f"Prompt: {PROMPT}"
            ),
            1,
            400,
        ),
    ],
)
def test_predict1_upsamplers_are_asked_as_nvidia_asks_them(
    ask: Ask, kind: str, text: str, images: int, reserve: int
) -> None:
    """Each in its own words, with as many images as it takes."""
    body, record = ask(f"nvidia/Cosmos-UpsamplePrompt1-12B-{kind}")
    assert words(body) == ("", text)
    assert len(body["messages"][0]["content"]) == images + 1
    assert body["max_tokens"] == reserve
    assert len(record.frames) == images


@pytest.mark.parametrize(
    ("model", "options", "reserve"),
    [
        ("gpt-4o-mini", {"target": "hunyuan-video-1.5"}, 660),
        ("gpt-4o-mini", {"target": "hunyuan-video-1.5", "language": "en"}, 420),
        ("nvidia/Cosmos-Reason2-8B", {"target": "hunyuan-video-1.5"}, 4096),
        ("Qwen3-VL-8B-Thinking", {"reserve": 250}, 250),
    ],
)
def test_room_for_the_answer_follows_target_and_model(
    ask: Ask, model: str, options: dict[str, Any], reserve: int
) -> None:
    """At least 300 and what the target's prompts take; half the context at most for thoughts."""
    body, record = ask(model, **options)
    assert body["max_tokens"] == reserve
    assert record.plan is not None
    assert record.plan.reserve == reserve


def test_what_is_told_of_the_clip_is_what_the_record_says(ask: Ask) -> None:
    """The camera as it was measured; a control and a region in words; lines as they were typed."""
    body, record = ask("my-vlm", "0:00 a balloon\n0:01 a bird", controls=("edge",), target="ltx-2")
    _, text = words(body)
    assert record.facts is not None
    assert record.facts.camera is not None
    assert record.facts.camera.value.moves == ("pan right",)
    assert "Camera: it pans right slowly, as was measured." in text
    assert "a control that fixes the outlines" in text
    assert "Request:\n0:00 a balloon\n0:01 a bird" in text
    assert record.short_prompt == "0:00 a balloon\n0:01 a bird"
    _, text = words(ask("my-vlm", region="0,0,0.5,1")[0])
    assert "one region of a larger picture" in text


def test_own_words_are_sent_and_are_in_the_record(
    ask: Ask, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A template from a file, an instruction beside the built-in one; each is another item."""
    path = tmp_path / "mine.j2"
    path.write_text("Film it.\n---\n{{ short_prompt }} for {{ target.name }}")
    body, record = ask("my-vlm", template=path)
    assert words(body) == ("Film it.", f"{PROMPT} for cosmos-transfer1")
    assert record.template is not None
    assert record.template.startswith("mine.j2@")
    assert record.template_reason == "chosen with --template"
    body, other = ask("my-vlm", instruction="Mention the wind.")
    assert words(body)[0].endswith("\nMention the wind.")
    assert other.instruction == "Mention the wind."
    plain = ask("my-vlm")[1]
    assert len({record.key, other.key, plain.key}) == 3
    with StubServer(models=["my-vlm"], reply=LAST_WORDS) as server:
        engine = ("--engine", "openai", "--base-url", server.base_url)
        code = main_module._run(
            ["run", str(clip), PROMPT, *engine, "--template", str(path), "--dry-run"]
        )
        out, error = capsys.readouterr()
        chats = [json.dumps(one.body) for one in server.chats]
    assert (code, out) == (0, "")
    assert "system:\n  Film it.\n" in error
    assert f"user [2 images]:\n  {PROMPT} for cosmos-transfer1\n" in error
    assert not any(PROMPT in chat for chat in chats)


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("remove the people from the street", "Describe the result as if it had always been so"),
        ("change the red car to a blue one", "Describe the result as if it had always been so"),
        ('a sign reads "OPEN 24H"', 'letters and quotation marks: "OPEN 24H".'),
        ("0:00-0:01 a door opens\n0:01-0:02 a cat runs in", "keep that order of events"),
        ("a street, the camera pans left", "Camera: as the request orders it."),
    ],
)
def test_what_a_prompt_orders_brings_its_line(ask: Ask, prompt: str, line: str) -> None:
    """An edit, words to be drawn, times and the camera; and the prompt stays as it was typed."""
    _, text = words(ask("my-vlm", prompt)[0])
    assert line in text
    assert text.endswith(prompt)
    assert line not in words(ask("my-vlm", "a robot removes a lid from a jar")[0])[1]
