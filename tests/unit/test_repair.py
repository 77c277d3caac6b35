"""What a model is asked after an answer was rejected, over HTTP, to the letter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptlift import check
from promptlift.cli.main import cli
from promptlift.engines import OpenAIEngine, OpenAISettings
from promptlift.errors import OptionError
from promptlift.options import Options
from promptlift.pipeline import upsample_item
from promptlift.pipeline.repair import feedback
from promptlift.record import Record
from promptlift.review import Claim, Finding, Review
from promptlift.review.verify import agreement, parse_answers, questions_about
from promptlift.targets import target
from promptlift.testing import synthetic_video
from promptlift.tokens import PIXTRAL, counter_for
from stubs.openai_server import MODEL, StubServer

PROMPT = "a red balloon drifts over the hills at sunset, static camera"
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera is static."
)
PANS = GOOD.replace("is static", "pans to the left")
LOOP = "A red balloon drifts over the hills at sunset. " + "The sky is orange and red. " * 40
STATIC = feedback(check(PANS, short_prompt=PROMPT), target("cosmos-transfer1"), most_words=200)
GENERAL = "Qwen2.5-VL-7B-Instruct"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a balloon at sunset, 640x360."""
    path = tmp_path_factory.mktemp("clips") / "balloon.mp4"
    return synthetic_video(path, seconds=1, fps=12)


def one_by_one(replies: Iterable[str]) -> Callable[[object], str]:
    """A server's replies in order."""
    given = iter(replies)
    return lambda _: next(given)


def do(clip: Path, server: StubServer, **options: Any) -> Record:
    """The record of one item; the server must have no complaint."""

    async def work() -> Record:
        engine = OpenAIEngine(OpenAISettings(base_url=server.base_url, retries=0))
        try:
            return (await upsample_item(clip, PROMPT, engine, Options(**options))).record
        finally:
            await engine.close()

    record = asyncio.run(work())
    assert server.violations == []
    return record


def test_a_general_model_is_told_what_is_wrong(clip: Path) -> None:
    """The first two turns stay byte for byte; then come its answer and what is wrong with it."""
    reply = one_by_one([f"<think>A pan?</think>{PANS}", PANS, GOOD])
    with StubServer(models=[GENERAL], context=16_384, reply=reply) as server:
        record = do(clip, server, seed=7)
    assert "static" in STATIC
    assert "moves" in STATIC
    first, second, third = (chat.body for chat in server.chats)
    assert [turn["role"] for turn in first["messages"]] == ["system", "user"]
    told = [{"role": "assistant", "content": PANS}, {"role": "user", "content": STATIC}]
    assert second["messages"] == third["messages"] == [*first["messages"], *told]
    assert [body["seed"] for body in (first, second, third)] == [7, 8, 9]
    assert {body["temperature"] for body in (first, second, third)} == {0.6}
    assert (record.status, record.prompt) == ("ok", GOOD)
    assert [one.feedback for one in record.attempts] == ["", STATIC, STATIC]
    assert [one.verdict for one in record.attempts] == ["rejected", "rejected", "ok"]


def test_a_loop_comes_back_shortened_and_a_refusal_not_at_all(clip: Path) -> None:
    """What no model can put right is asked for afresh, and a loop is no example to follow."""
    reply = one_by_one(["I'm sorry, I cannot help with that.", LOOP, GOOD])
    with StubServer(models=[GENERAL], context=16_384, reply=reply) as server:
        record = do(clip, server, reserve=400)
    first, second, third = (chat.body["messages"] for chat in server.chats)
    assert second == first
    assert third[:2] == first
    assert third[2]["content"].endswith("The sky is orange and red. [...]")
    assert len(third[2]["content"]) < 420
    assert third[3]["content"].startswith("It repeats itself (")
    assert record.status == "ok"


@pytest.mark.parametrize(
    ("model", "options"),
    [(MODEL, {}), (GENERAL, {"template": "verbatim/1"}), (MODEL, {"template": "instruct/2"})],
)
def test_a_model_of_one_turn_gets_another_seed(
    clip: Path, model: str, options: dict[str, str]
) -> None:
    """The Cosmos fine-tune and a verbatim template know of no second turn."""
    with StubServer(models=[model], reply=one_by_one([PANS, PANS, GOOD])) as server:
        record = do(clip, server, **options)
    bodies = [chat.body for chat in server.chats]
    assert bodies[0]["messages"] == bodies[1]["messages"] == bodies[2]["messages"]
    assert [(body["seed"], body["temperature"]) for body in bodies] == [
        (0, 0.6),
        (1, 0.6),
        (2, 0.3),
    ]
    assert [one.feedback for one in record.attempts] == ["", "", ""]


def test_a_context_without_room_for_more_turns_is_asked_afresh(clip: Path) -> None:
    """Nothing overflows, and what was wrong ends the first question: the context was full."""
    count, reply = counter_for(PIXTRAL), one_by_one([PANS, GOOD])
    with StubServer(models=["pixtral-12b"], context=1200, count_text=count, reply=reply) as server:
        record = do(clip, server)
    first, second = (chat.body for chat in server.chats)
    *images, text = second["messages"][1]["content"]
    assert images == first["messages"][1]["content"][:-1]
    asked = first["messages"][1]["content"][-1]["text"]
    assert text["text"] == f"{asked}\n\n{record.attempts[1].feedback}"
    assert "the camera is static; your prompt says that it moves" in record.attempts[1].feedback
    assert 200 < second["max_tokens"] < first["max_tokens"]
    assert (second["seed"], record.status) == (1, "ok")
    assert len([one for one in server.received if one.path == "/tokenize"]) == 2


@pytest.mark.parametrize("tells", [True, False])
def test_a_server_that_takes_one_turn_only_is_asked_afresh(clip: Path, tells: bool) -> None:
    """A chat template may refuse a conversation; the item goes on without, or without a word."""

    class OneTurn(StubServer):
        def answer(self, asked: Any) -> tuple[int, dict[str, Any]]:
            is_again = asked.follow_ups or (not tells and "before" in asked.text)
            return (400, {"error": {}}) if is_again else super().answer(asked)

    reply = one_by_one([PANS, "probed", GOOD, GOOD])
    with OneTurn(models=[GENERAL], context=16_384, reply=reply) as server:
        record = do(clip, server)
    assert [STATIC in one.feedback for one in record.attempts] == [False, tells]
    assert (record.status, len(record.attempts)) == ("ok", 2)
    assert sum(len(chat.body["messages"]) == 4 for chat in server.chats) == 1


def test_every_finding_becomes_a_sentence() -> None:
    """Errors come first; additions, which may be in the frames, are not told."""
    review = Review(
        verdict="rejected",
        text="A dog runs at night. A man waves",
        checks=(),
        findings=(
            Finding(name="cut", severity="error", message="no end of a sentence"),
            Finding(name="object", severity="warning", message="the text has no 'fence'."),
            Finding(name="object", severity="warning", message="a ball was added", span=(2, 5)),
            Finding(name="person", severity="warning", message="a man was added"),
            Finding(name="length", severity="warning", message="8 words"),
            Finding(name="quote", severity="error", message='The text leaves "OPEN" out.'),
            Finding(name="meta", severity="error", message="the request is named"),
            Finding(name="meta", severity="warning", message="second person"),
            Finding(name="language", severity="error", message="in han"),
            Finding(name="too_long", severity="info", message="8 of 512 tokens"),
        ),
        claims=(Claim(kind="object", said="", found="ball", status="added", found_span=(2, 5)),),
    )
    goal = target("cosmos-transfer1")
    assert feedback(review, goal, most_words=150, language="Chinese") == (
        'It breaks off before its end; write at most 150 words. Your prompt leaves "OPEN" out. '
        "Write only the prompt, and nothing about it or about the task (the request is named). "
        "It is not plain Chinese (in han); write it in Chinese. Your prompt has no 'fence'. "
        f"Write {goal.min_words} to 150 words. Write the whole prompt again."
    )


# ---- verification


def judged(reply: str) -> Callable[[Any], str]:
    """A server's replies: a good prompt, and what a judge says."""
    return lambda asked: reply if asked.system.startswith("You check") else GOOD


def test_the_model_is_asked_about_its_prompt_and_nothing_else_changes(clip: Path) -> None:
    """The judge sees the same frames, is cold, and cannot make a good prompt a bad one."""
    with StubServer(models=[GENERAL], context=16_384, reply=judged('{"1": "no"}')) as server:
        record = do(clip, server, verify=True)
    first, second = (chat.body for chat in server.chats)
    asked = second["messages"][-1]["content"]
    assert asked[:2] == first["messages"][-1]["content"][:2]
    assert asked[2]["text"].startswith(f"Request: {PROMPT}\nPrompt: {GOOD}\nQuestions:\n1. ")
    assert second["temperature"] == 0
    assert "response_format" not in first
    assert (record.status, record.prompt) == ("ok", GOOD)
    assert record.verification is not None
    assert (record.verification.model, record.verification.saw_frames) == (GENERAL, True)
    assert (record.verification.questions[0].answer, record.verification.agreed) == ("no", False)
    schema = second["response_format"]["json_schema"]["schema"]
    numbers = [str(number) for number in range(1, len(record.verification.questions) + 1)]
    assert list(schema["properties"]) == schema["required"] == numbers
    assert set(record.timings) == {"prepare", "ask", "verify"}


@pytest.mark.parametrize("status", [400, 500])
def test_a_broken_judge_is_a_note(clip: Path, status: int) -> None:
    """The item is as good as without; who failed and why is in the record."""

    class Broken(StubServer):
        def answer(self, asked: Any) -> tuple[int, dict[str, Any]]:
            if asked.system.startswith("You check"):
                return status, {"error": {"message": "no"}}
            return super().answer(asked)

    with Broken(models=[GENERAL], context=16_384, reply=GOOD) as server:
        record = do(clip, server, verify=True)
    assert (record.status, record.error) == ("ok", None)
    assert record.verification is not None
    assert record.verification.error
    assert (record.verification.questions, record.verification.agreed) == ((), None)


def test_the_command_takes_another_judge(clip: Path) -> None:
    """The judge is another engine; its answers are a line on stderr."""
    with (
        StubServer(models=[GENERAL], context=16_384, reply=GOOD) as writer,
        StubServer(models=[GENERAL], context=16_384, reply="1. yes") as server,
    ):
        judge = f"openai:base_url={server.base_url}"
        words = ["run", str(clip), PROMPT, "--engine", "openai", "--base-url", writer.base_url]
        done = CliRunner().invoke(cli, [*words, "--judge", judge])
        wrong = CliRunner().invoke(cli, [*words, "--judge", "embedded"])
        assert isinstance(wrong.exception, OptionError)
    assert done.exit_code == 0, done.stderr
    assert f"promptlift: verified by openai {GENERAL}: yes to 1 of " in done.stderr
    (chat,) = server.chats
    assert chat.body["messages"][-1]["content"][0]["type"] == "image_url"


AGREED = {"no": False, "unclear": None, "yes": True}
CLAIMS = (
    Claim(kind="number", said="two dogs", found="two dogs", status="kept"),
    Claim(kind="quote", said='"OPEN"', found="", status="missing"),
    Claim(kind="scene", said="all of it", found="", status="missing"),
    Claim(kind="edit", said="make it night", found="", status="missing", said_span=(20, 33)),
    Claim(kind="action", said="make", found="", status="missing", said_span=(20, 24)),
    Claim(kind="person", said="", found="a man", status="added"),
    Claim(kind="number", said="two dogs", found="dogs", status="changed"),
)


def test_each_claim_is_a_question() -> None:
    """Once, and what was added only where the judge sees the frames; nothing said is one whole."""
    questions = questions_about(CLAIMS, frames=True)
    assert [one.claim for one in questions] == ["two dogs", '"OPEN"', "make it night", "a man"]
    assert questions[1].question == 'Is this text in the prompt, letter by letter: "OPEN"?'
    assert [one.claim for one in questions_about(CLAIMS, frames=False)] == [
        *("two dogs", '"OPEN"', "make it night")
    ]
    assert [one.claim for one in questions_about((), frames=True)] == [""]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("1. yes\n2. no\n3. unclear\n4. Yes.", "yes no unclear yes"),
        ("**1.** Yes, two dogs run.\n2) NO - it is gone\n- 3: yes (a field)", "yes no yes unclear"),
        (
            "1. yes\n2. yes\n1. no\n3. yes and no\n4. I see a man: yes",
            "unclear yes unclear unclear",
        ),
        ("<think>1. no\n2. no</think>1. yes\n2. yes\n5. yes\n12. yes", "yes yes unclear unclear"),
        ("1. yes\n2. yes\n3. yes\n4. yes", "yes yes yes yes"),
        ('{"1": "yes", "2": "no", "3": "unclear", "4": "yes"}', "yes no unclear yes"),
        (
            '```json\n{"answers": {"1" : "Yes.",\n"2": "no", "2": "yes", "3": "ye',
            "yes unclear unclear unclear",
        ),
        (
            '{"1": true, "2": ["no"], "3": {"a": "yes"}, "40": "yes"}',
            "unclear unclear unclear unclear",
        ),
        ("Sure! All is well, yes.", "unclear unclear unclear unclear"),
    ],
)
def test_answers_are_read_strictly(text: str, answers: str) -> None:
    """A number and a word; what is missing, contradictory or a speech is unclear."""
    parsed = parse_answers(text, questions_about(CLAIMS, frames=True))
    assert [one.answer for one in parsed] == answers.split()
    assert agreement(parsed) is AGREED[min(answers.split())]
