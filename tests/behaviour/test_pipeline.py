"""One item from a video and a short prompt to a record, with scripted engines."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import pytest

from promptlift import upsample
from promptlift.engines import Completion, Engine
from promptlift.errors import (
    BudgetError,
    ConfigEngineError,
    OptionError,
    PromptError,
    TransientEngineError,
    VideoNotFound,
)
from promptlift.options import Options
from promptlift.pipeline import Outcome, Prepared, Stage, upsample_item
from promptlift.record import Record
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.tokens import PIXTRAL, counter_for
from promptlift.types import Size
from promptlift.video import Source
from stubs.faulty_engine import FaultyEngine

PROMPT = "a red balloon drifts over the hills at sunset"
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera pans gently."
)
CUT = "A red balloon drifts over the hills at sunset while the sky"
LOOP = "A red balloon drifts over the hills at sunset. " + "The sky is orange and red. " * 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a balloon at sunset, 640x360."""
    path = tmp_path_factory.mktemp("clips") / "balloon.mp4"
    synthetic_video(path, seconds=2, fps=12)
    return path


def pixtral(replies: list[str | Completion] | str = GOOD, **options: object) -> FakeEngine:
    """A scripted engine that counts as a real Pixtral server does."""
    return FakeEngine(
        [replies] if isinstance(replies, str) else replies,
        count_text=counter_for(PIXTRAL),
        count_image=PIXTRAL.image,
        **options,  # type: ignore[arg-type]
    )


def do(
    source: Source, prompt: str = PROMPT, engine: Engine | None = None, **options: object
) -> Outcome:
    """Run one item to its end."""
    made = Options(**{"template": "verbatim/1", **options})
    return asyncio.run(upsample_item(source, prompt, engine or pixtral(), made))


def failed_checks(record: Record) -> list[tuple[str, ...]]:
    """The names of the failed checks of each attempt."""
    return [attempt.failed for attempt in record.attempts]


def test_a_good_answer_is_the_result(clip: Path) -> None:
    """The prompt is the answer, and the record says who, what, which frames and at what cost.

    Asked are the images at the planned size in order of time, the user's words, and the reserve.
    """
    engine = pixtral()
    record = do(clip, engine=engine, reserve=200, seed=5).record
    assert (record.status, record.prompt, record.error) == ("ok", GOOD, None)
    assert record.engine is not None
    assert record.engine.model == "scripted"
    assert record.video.name == "balloon.mp4"
    assert record.video.content is not None
    assert record.video.content.startswith("sha256:")
    assert record.plan is not None
    assert [f.exact_seconds for f in record.frames] == ["1/2", "3/2"]
    assert {Size(f.width, f.height) for f in record.frames} == {record.plan.size}
    assert set(record.timings) == {"prepare", "ask"}
    assert record.facts is not None
    (request,) = engine.requests
    assert (request.system, request.text, request.key) == ("", PROMPT, record.key)
    assert [str(f.time) for f in request.frames] == ["1/2", "3/2"]
    assert {f.size for f in request.frames} == {record.plan.size}
    assert (request.sampling.max_tokens, request.sampling.seed) == (200, 5)


def test_an_empty_prompt_asks_to_describe(clip: Path) -> None:
    """Without words of the user's the engine is asked as Cosmos asks."""
    engine = pixtral()
    record = do(clip, "  ", engine=engine).record
    assert engine.requests[0].text == "describe the following images"
    assert (record.status, record.short_prompt) == ("ok", "")


def test_rejected_answers_are_asked_again_and_the_good_one_wins(clip: Path) -> None:
    """A cut answer and a loop are both kept in the record, and the third answer is the result."""
    engine = pixtral([Completion(CUT, "length"), LOOP, GOOD])
    record = do(clip, engine=engine, reserve=200).record
    assert (record.status, record.prompt) == ("ok", GOOD)
    assert [a.verdict for a in record.attempts] == ["rejected", "rejected", "ok"]
    assert "cut" in failed_checks(record)[0]
    assert "loop" in failed_checks(record)[1]
    assert [request.sampling.seed for request in engine.requests] == [0, 1, 2]
    assert [request.sampling.temperature for request in engine.requests] == [0.6, 0.6, 0.3]
    assert record.sampling is not None
    assert record.sampling.seed == 2


def test_nothing_bad_passes_as_success(clip: Path) -> None:
    """When no attempt passes there is no prompt, and the best attempt's review says why."""
    record = do(clip, engine=pixtral([Completion(CUT, "length")]), attempts=2).record
    assert (record.status, record.prompt) == ("rejected", None)
    assert len(record.attempts) == 2
    assert record.review is not None
    assert [c.name for c in record.review.checks if not c.passed] == ["cut"]


@pytest.mark.parametrize(("policy", "result"), [("best", CUT), ("original", PROMPT)])
def test_the_policy_decides_what_a_rejected_item_gives(
    clip: Path, policy: str, result: str
) -> None:
    """The best attempt or the user's own words, and still a record that says rejected."""
    engine = pixtral([Completion(CUT, "length")])
    record = do(clip, engine=engine, attempts=1, on_reject=policy).record
    assert (record.status, record.prompt) == ("rejected", result)


def test_a_repaired_answer_is_cleaned(clip: Path) -> None:
    """A label and a fence around a good answer are taken off, and the record says repaired."""
    record = do(clip, engine=pixtral(f"```\n{GOOD}\n```")).record
    assert (record.status, record.prompt) == ("repaired", GOOD)


def test_key_is_identity_by_content(clip: Path, tmp_path: Path) -> None:
    """Another name or bytes for the same video is the same item; another anything else is not."""
    copy = tmp_path / "other name.mp4"
    copy.write_bytes(clip.read_bytes())
    key = do(clip).record.key
    assert do(copy).record.key == key
    assert do(copy.read_bytes()).record.key == key
    others = [
        do(clip, "another prompt").record.key,
        do(clip, frames=3).record.key,
        do(clip, seed=1).record.key,
        do(clip, temperature=0.1).record.key,
        do(clip, template="instruct/2").record.key,
        do(clip, target="wan-2.2").record.key,
        do(clip, context=2048).record.key,
        do(clip, engine=pixtral(revision="2")).record.key,
    ]
    assert None not in others
    assert len({key, *others}) == len(others) + 1


def test_a_failure_has_a_record_too(clip: Path) -> None:
    """A missing video gives a record with the error's parts and what was known by then."""
    outcome = do(clip.with_name("missing.mp4"))
    assert isinstance(outcome.error, VideoNotFound)
    record = outcome.record
    assert (record.status, record.prompt, record.key) == ("failed", None, None)
    assert record.error is not None
    assert record.error.code == "video_not_found"
    assert record.error.retryable is False
    assert record.video.name == "missing.mp4"
    assert record.short_prompt == PROMPT


def test_an_engine_failure_keeps_what_was_done(clip: Path) -> None:
    """When the engine fails, the frames, the plan and the key are in the record."""
    fault = TransientEngineError("it is busy", remedy="try again")
    outcome = do(clip, engine=FaultyEngine(pixtral(), [fault]))
    assert outcome.error is fault
    assert outcome.record.key is not None
    assert len(outcome.record.frames) == 2
    assert outcome.record.error is not None
    assert outcome.record.error.retryable is True


@pytest.mark.parametrize(
    ("prompt", "options", "error"),
    [
        ("bell \x07", {}, PromptError),
        ("x " * 25_000, {}, BudgetError),
        (PROMPT, {"size": Size(1000, 1000), "context": 700}, BudgetError),
        (PROMPT, {"context": 100_000}, ConfigEngineError),
        (PROMPT, {"frames": 20, "template": "instruct/2"}, ConfigEngineError),
        (PROMPT, {"target_tokenizer": Path("nowhere.json")}, OptionError),
    ],
    ids=["control", "long", "size", "context", "frames", "tokenizer"],
)
def test_bad_input_is_one_clear_error_and_no_request(
    clip: Path, prompt: str, options: dict[str, object], error: type[Exception]
) -> None:
    """What cannot work is said before the engine is asked."""
    engine = pixtral()
    outcome = do(clip, prompt, engine, **options)
    assert type(outcome.error) is error
    assert "\n" not in str(outcome.error)
    assert engine.requests == []


def test_plan_only_stops_before_the_engine(clip: Path) -> None:
    """A dry run has the plan and the frames, and the status says that nothing was asked.

    Whoever follows the progress hears of each stage, and of the frames when they are known.
    """
    stages: list[tuple[Stage, bool]] = []

    def note(stage: Stage, prepared: Prepared | None) -> None:
        stages.append((stage, prepared is not None and bool(prepared.frames)))

    engine = pixtral()
    made = Options(frames=4)
    outcome = asyncio.run(upsample_item(clip, PROMPT, engine, made, plan_only=True, progress=note))
    assert outcome.record.status == "planned"
    assert len(outcome.frames) == 4
    assert outcome.record.tokens.predicted is not None
    assert engine.requests == []
    asyncio.run(upsample_item(clip, PROMPT, engine, made, progress=note))
    assert stages == [("prepare", False), ("prepare", False), ("ask", True)]


def test_isolated_decoding_gives_the_same_record(clip: Path) -> None:
    """A child process that can be killed sees exactly what this one sees."""
    here, there = do(clip).record, do(clip, isolated=True).record
    assert here.frames == there.frames
    assert here.facts == there.facts
    assert here.video == there.video


@pytest.mark.parametrize("at", ["0:01,0.25s", ["0.25", 1], (Fraction(1), Fraction(1, 4))])
def test_frames_at_times_that_the_user_names(clip: Path, at: object) -> None:
    """Those very frames, in order, in any spelling; a time after the end is said with the end."""
    record = do(clip, at=at).record
    assert [frame.exact_seconds for frame in record.frames] == ["1/4", "1"]
    assert record.plan is not None
    assert (record.plan.strategy, record.plan.chosen.frames) == ("at", 2)
    late = do(clip, at="0,2.5s")
    assert isinstance(late.error, OptionError)
    assert "a frame at 2.5 s is asked for, and the video lasts 2 s" in str(late.error)
    assert late.record.key != record.key
    with pytest.raises(OptionError, match="the video lasts 2 s"):  # without a model too
        upsample(clip, PROMPT, engine="embedded", at="2.5s")
    for other in ({"strategy": "first"}, {"frames": 3}):
        with pytest.raises(OptionError, match=r"--at"):
            Options(at=at, **other)
    row = Options(frames=3, strategy="first").merged({"at": "1s"})
    assert (row.frame_count, row.strategy, Options(at=at).merged({"frames": 3}).at) == (
        1,
        "spread",
        (),
    )
