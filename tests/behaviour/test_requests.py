"""The requests that leave, to the letter: which model is told what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import promptlift
from promptlift.cli import main as main_module
from promptlift.record import Record
from promptlift.testing import synthetic_video
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
        ("gpt-4o-mini", {"target": "hunyuan-video-1.5"}, 420),
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
