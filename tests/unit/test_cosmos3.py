"""The JSON prompts of Cosmos3: asked for, read, checked, and made without a model."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from promptlift.api import check, upsample
from promptlift.cli.main import cli
from promptlift.engines.base import Completion
from promptlift.engines.no_model import EmbeddedEngine
from promptlift.errors import OptionError
from promptlift.options import Options
from promptlift.pipeline import upsample_item
from promptlift.record import Record
from promptlift.review import Review
from promptlift.targets import target
from promptlift.targets.documents import VideoParameters, document_form, video_format
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.types import Size
from stubs.openai_server import StubServer

GOAL = target("cosmos3")
FORM = document_form(GOAL)
(EXAMPLE,) = GOAL.examples
DOCUMENT = json.loads(EXAMPLE.prompt)
ANSWER = {key: value for key, value in DOCUMENT.items() if key not in ("resolution", "fps")}
SHORT = "a forklift stops at a door"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at 25 frames a second, 320x180."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return synthetic_video(path, seconds=6, fps=25, size=(320, 180), motion="static")


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """The example with a change."""
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return json.dumps(document, indent=1)


def named(review: Review) -> list[str]:
    """What errors and warnings are called."""
    return [finding.name for finding in review.findings if finding.severity != "info"]


def test_the_example_has_nothing_wrong_with_it() -> None:
    """Alone, and beside the short prompt that it was made from."""
    assert named(check(EXAMPLE.prompt, target=GOAL)) == []
    review = check(EXAMPLE.prompt, target=GOAL, short_prompt=EXAMPLE.short)
    assert review.verdict == "ok"
    assert {claim.status for claim in review.claims} <= {"kept", "added"}
    for claim in review.claims:
        assert claim.found_span is not None
        assert review.text[slice(*claim.found_span)] == claim.found.replace('"', '\\"')


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(duration="0:05"),
        lambda it: it.update(text_and_signage_elements=["DOCK 7"]),
        lambda it: it.pop("audio_description"),
        lambda it: [it.pop(key) for key in set(it) - {"temporal_caption", "resolution",
                    "aspect_ratio", "duration", "fps"}],
    ],
    ids=["reasoner", "transfer", "no sound", "narrative"],
)  # fmt: skip
def test_every_dialect_of_the_makers_is_read(change: Callable[[dict[str, Any]], object]) -> None:
    """They differ in how they tell a duration and a sign, and in what they leave out."""
    assert named(check(changed(change), target=GOAL)) == []


@pytest.mark.parametrize(
    ("name", "words", "change"),
    [
        ("late_end", '"0:02-0:09"', lambda it: it["segments"][1].update(time_range="0:02-0:09")),
        ("video_format", '"W": 1281', lambda it: it["resolution"].update(W=1281)),
        ("video_format", '"4,3"', lambda it: it.update(aspect_ratio="4,3")),
        ("video_format", "25", lambda it: it.update(fps=25)),
        ("video_format", '"12s"', lambda it: it.update(duration="12s")),
        ("null", "null", lambda it: it["subjects"][0].update(clothing=None)),
        ("missing_key", "", lambda it: it.pop("cinematography")),
        ("missing_key", "A worker", lambda it: it["subjects"][1].pop("pose")),
        ("missing_key", '""', lambda it: it["actions"][0].update(description="")),
        ("unordered", '"0:02-0:05"', lambda it: it["segments"].reverse()),
        ("wrong_time", '"soon"', lambda it: it["actions"][0].update(time="soon")),
        ("wrong_type", '"none"', lambda it: it.update(transitions="none")),
        ("unknown_key", '"see"', lambda it: it.update(scene_imagination="see")),
        ("quote", "", lambda it: it.update(text_and_signage_elements=[])),
        ("loop", "grey", lambda it: it.update(background_setting="The floor is grey. " * 20)),
    ],
)
def test_each_defect_has_its_own_finding(
    name: str, words: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """And no other, at its place."""
    review = check(changed(change), target=GOAL, short_prompt=EXAMPLE.short)
    found = [one for one in review.findings if one.name not in ("too_long", "person", "length")]
    assert [one.name for one in found] == [name]
    assert (review.verdict == "rejected") == (name != "unknown_key")
    if words:
        assert found[0].span is not None
        assert words in review.text[slice(*found[0].span)]


@pytest.mark.parametrize(
    ("motion", "order", "status"),
    [
        ("Static", "static camera", "kept"),
        ("Slow, subtle push-in toward the door", "the camera zooms in", "kept"),
        ("Pan left", "the camera pans right", "changed"),
    ],
)
def test_camera_motion_is_compared(motion: str, order: str, status: str) -> None:
    """Though no sentence says that it is the camera that moves."""

    def film(document: dict[str, Any]) -> None:
        for one in (document["cinematography"], *document["segments"]):
            one["camera_motion" if "framing" in one else "camera"] = motion
        caption = document["temporal_caption"].replace(" The camera does not move.", "")
        document["temporal_caption"] = caption

    review = check(changed(film), target=GOAL, short_prompt=f"a forklift, {order}")
    assert [claim.status for claim in review.claims if claim.kind == "camera"] == [status]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"```json\n{EXAMPLE.prompt}\n```", "syntax"),
        (EXAMPLE.prompt[:-20], "syntax"),
        ("A forklift drives down the aisle.", "syntax"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("[" * 9000, "syntax"),
    ],
)
def test_what_is_no_object_is_said(text: str, name: str) -> None:
    """A prompt file must hold the object and nothing else."""
    assert named(check(text, target=GOAL))[0] == name


def test_a_prompt_is_compared_with_the_clip(clip: Path) -> None:
    """Its rate and its duration; the generator has sizes of its own."""
    review = check(EXAMPLE.prompt, target=GOAL, video=clip)
    messages = [one.message for one in review.findings if one.name == "video_format"]
    assert messages == [
        "duration is '5s'; the video has '6s'",
        "fps is 24; the video has 25",
    ]


@pytest.mark.parametrize(
    ("wish", "size", "fps", "frames"),
    [
        ({}, "1280x720", 24, 145),  # as the clip: its shape, the nearest rate, its 6 s
        ({"video_seconds": 5, "video_fps": 30}, "1280x720", 30, 153),
        ({"video_size": "544x736"}, "544x736", 24, 145),
    ],
)
def test_code_sets_the_video(
    clip: Path, wish: dict[str, Any], size: str, fps: int, frames: int
) -> None:
    """From the options, else the clip, else what is usual; whatever the model says of it."""
    answer = json.dumps({**ANSWER, "duration": "9s", "scene_imagination": "focus: x"})
    engine = FakeEngine([f"Sure:\n```json\n{answer}\n```"], context=20_000)
    record = do(clip, engine, **wish)
    assert engine.requests[0].video is not None
    assert (str(engine.requests[0].video.size), engine.requests[0].video.frames) == (size, frames)
    assert (record.status, record.error) == ("repaired", None)
    assert record.document is not None
    width, height = map(int, size.split("x"))
    assert record.document["resolution"] == {"W": width, "H": height}
    assert record.document["fps"] == fps
    assert record.document["duration"] == f"{frames // fps}s"
    assert list(record.document) == list(DOCUMENT)
    assert record.prompt == json.dumps(record.document)


def do(clip: Path, engine: Any, prompt: str = SHORT, **options: Any) -> Record:
    """One item."""
    made = Options(target="cosmos3", **options)
    return asyncio.run(upsample_item(clip, prompt, engine, made)).record


def test_what_the_generator_does_not_make_is_refused() -> None:
    """In one line, before anything is read."""
    for wish in ({"video_size": "1000x500"}, {"video_fps": 25}, {"video_seconds": 30}):
        with pytest.raises(OptionError, match="cosmos3 does not make"):
            Options(target="cosmos3", **wish)
        Options(**wish)  # other targets do not care
    portrait = video_format(GOAL, VideoParameters(size=None, fps=None, seconds=None))
    assert (portrait.size, portrait.frames) == (Size(1280, 720), 189)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_is_asked_with_the_schema(clip: Path, *, refuses: bool) -> None:
    """One that refuses it is asked in words; broken JSON is told to the model, which repairs it."""
    broken, good = json.dumps(ANSWER)[:-30] + "}", json.dumps(ANSWER)
    refusals = {"response_format": "response_format is not supported"} if refuses else {}
    with StubServer(
        reply=lambda asked: good if asked.follow_ups else broken, context=20_000, refusals=refusals
    ) as server:
        settings = {"base_url": server.base_url, "family": "pixtral"}
        record = upsample(clip, SHORT, engine="openai", engine_settings=settings, target="cosmos3")
        assert server.violations == []
        asked = [chat.asked for chat in server.chats if chat.asked is not None]
        asked = [one for one in asked if (one.max_tokens or 0) > 1]
    assert record.status == "ok"
    assert [attempt.failed for attempt in record.attempts] == [("form",), ()]
    assert "It is no JSON" in record.attempts[1].feedback
    schema = asked[0].schema
    assert schema is not None
    assert schema["required"] == [key for key in DOCUMENT if key not in FORMAT]
    times = schema["properties"]["segments"]["items"]["properties"]["time_range"]["enum"]
    assert times[0] == "0:00-0:01"
    assert times[-1] == "0:05-0:06"
    if refuses:
        assert asked[-1].schema is None


FORMAT = ("resolution", "aspect_ratio", "duration", "fps")


def test_a_cut_answer_is_cut_and_no_more(clip: Path) -> None:
    """That it is no JSON then goes without saying."""
    engine = FakeEngine([Completion(json.dumps(ANSWER)[:900], "length")], context=20_000)
    record = do(clip, engine, attempts=1, on_reject="best")
    assert record.attempts[0].failed == ("cut",)
    assert record.document is None


def test_without_a_model_it_holds_what_was_said_and_measured(clip: Path) -> None:
    """And is valid, with everything else empty."""
    pan = synthetic_video(clip.with_name("pan.mp4"), seconds=2, fps=12)
    record = do(pan, EmbeddedEngine(), 'a balloon over hills past a sign "HILLS"')
    assert record.document is not None
    assert named(check(record.prompt or "", target=GOAL)) == ["thin"]
    assert record.document["temporal_caption"].startswith("a balloon over hills past a sign")
    camera = record.document["cinematography"]["camera_motion"]
    assert camera == "The camera pans slowly to the right."
    assert record.document["text_and_signage_elements"][0]["text"] == "HILLS"
    assert record.document["subjects"] == []


def test_nothing_that_a_model_writes_stops_the_reader() -> None:
    """Values of any type anywhere, keys left out, texts that are cut: findings, and no error."""
    random = Random(1)
    odd: tuple[Any, ...] = (
        None,
        [],
        {},
        "",
        0,
        1.5,
        True,
        [None],
        [{}],
        {"a": 1},
        ["a"],
        "0:00-0:01",
        "\ud800",
    )

    def spoilt(value: Any) -> Any:
        if random.random() < 0.06:
            return random.choice(odd)
        if isinstance(value, dict):
            return {key: spoilt(one) for key, one in value.items() if random.random() > 0.03}
        return [*map(spoilt, value)] if isinstance(value, list) else value

    video = video_format(GOAL, VideoParameters(seconds=5))
    assert FORM is not None
    for number in range(200):
        text = json.dumps(spoilt(DOCUMENT), indent=number % 2)
        text = text[: random.randrange(len(text))] if number % 5 == 0 else text
        for parsed in (FORM.parse(text, video), FORM.check(text, video.parameters)):
            assert len(parsed.places) in (0, len(parsed.prose) + 1)
            spans = [one.span for one in parsed.findings if one.span is not None]
            assert all(0 <= start < end <= len(parsed.text) for start, end in spans)
        json.dumps(FORM.parse(text, video).data, ensure_ascii=False, allow_nan=False).encode()


def test_files_hold_whole_documents(clip: Path, tmp_path: Path) -> None:
    """An export writes one a row; checked are these, with places in the file, and records."""
    (tmp_path / "late.json").write_text(
        changed(lambda it: it["actions"][2].update(time="0:04-0:06")), encoding="utf-8"
    )
    record = {"short_prompt": "a cup", "schema_version": 1, "target": "cosmos3"}
    lost = changed(lambda it: it.pop("context"))
    (tmp_path / "record.json").write_text(json.dumps({**record, "prompt": lost}))
    found = CliRunner().invoke(cli, ["check", str(tmp_path)], standalone_mode=False)
    line = (tmp_path / "late.json").read_text().splitlines().index('   "time": "0:04-0:06",') + 1
    errors = [one.partition(".json:")[2] for one in found.stdout.splitlines() if "error" in one]
    assert errors[0].startswith(f"{line}:12: error late_end: actions[2].time is '0:04-0:06'")
    assert errors[1].endswith("missing_key: context is missing")
    rows, run, out = tmp_path / "rows.jsonl", tmp_path / "run", tmp_path / "out"
    rows.write_text(json.dumps({"id": "balloon", "video": str(clip), "prompt": "a balloon"}))
    for arguments in (
        ["run", str(rows), "-o", str(run), "--target", "cosmos3", "--engine", "embedded", "-q"],
        ["export", str(run), "-o", str(out)],
    ):
        done = CliRunner().invoke(cli, ["batch", *arguments], standalone_mode=False)
        assert done.return_value in (0, None), done.output
    document = json.loads((out / "balloon.prompt.json").read_text(encoding="utf-8"))
    assert document["temporal_caption"].startswith("a balloon")
    assert document["fps"] == 24
    assert not (out / "balloon.txt").exists()
