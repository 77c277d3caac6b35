"""The drop-in class, called as Cosmos-Transfer1's pipeline calls its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from promptlift.cosmos import PixtralPromptUpsampler
from promptlift.engines import Engine, VllmEngine
from promptlift.errors import (
    ConfigEngineError,
    ItemEngineError,
    OptionError,
    VideoError,
    VideoNotFound,
    VideoUnreadable,
)
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.tokens import PIXTRAL
from promptlift.types import Size
from promptlift.video import FrameChoice, hint_frames, open_video, write_pngs
from stubs.faulty_engine import FaultyEngine
from vllm_stub.make import Stub, make_stub

ANSWER = (
    "A red hot-air balloon with cream stripes drifts slowly to the right over dark wooded hills "
    "at sunset, while the camera pans to the right and warm orange light fills the cloudy sky."
)
TORCHRUN = {
    **dict.fromkeys(["RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK"], "0"),
    **dict.fromkeys(["WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"], "1"),
    "ROLE_NAME": "default",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_RUN_ID": "none",
}


def pixtral() -> FakeEngine:
    """An engine that answers well and counts images as Pixtral does."""
    model = "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer"
    return FakeEngine([ANSWER], model=model, count_image=PIXTRAL.image, max_images=2)


def upsampler(engine: Engine, *, offload: bool = False, **more: object) -> PixtralPromptUpsampler:
    """The class as Cosmos's pipeline makes it, with an engine for tests."""
    return PixtralPromptUpsampler("checkpoints", offload, engine=engine, **more)  # type: ignore[arg-type]


def loaded(made: PixtralPromptUpsampler) -> bool:
    """Whether it holds an engine."""
    return made.upsampler_model is not None


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small clip."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return synthetic_video(path, seconds=0.2, size=(320, 180))


@pytest.mark.parametrize(
    ("size", "shown", "tokens"),
    [
        ((640, 480), (640, 480), 2 * 30 * 41 + 3 + 3),  # Cosmos's own examples: not shrunk
        ((1280, 720), (912, 512), None),
    ],
)
def test_every_size_works_as_cosmos_calls_it(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int], tokens: int | None
) -> None:
    """Two frames of any size fit a context of 4096, and the answer comes back as a string."""
    video = synthetic_video(tmp_path / "clip.mp4", seconds=0.1, size=size, fps=20)
    engine = pixtral()
    made = upsampler(engine)
    text = made._prompt_upsample_with_offload(prompt="a red balloon", video_path=str(video))
    assert text == ANSWER
    sent = engine.requests[-1]
    assert sent.text == "a red balloon"
    assert [frame.size for frame in sent.frames] == [Size(*shown)] * 2
    assert made.last_record is not None
    predicted = made.last_record.tokens.predicted
    assert predicted is not None
    assert predicted <= 4096 - 300
    assert tokens in (None, predicted)


def test_a_list_of_pictures_is_shown_whole(clip: Path, tmp_path: Path) -> None:
    """As in Cosmos's standalone program, in order; of more than its model takes, two are shown."""
    with open_video(clip) as reader:
        write_pngs(hint_frames(reader, FrameChoice("first"), box=Size(320, 180)), tmp_path)
    pictures = sorted(map(str, tmp_path.glob("*.png")))
    engine = pixtral()
    for shown in (pictures, pictures[:1]):
        assert upsampler(engine)._prompt_upsample("a red balloon", shown) == ANSWER
    assert [len(request.frames) for request in engine.requests] == [2, 1]
    made = upsampler(engine, on_reject="best")
    made._prompt_upsample("a red balloon", [*pictures, pictures[0]])
    assert made.last_record is not None
    assert len(made.last_record.frames) == 2
    assert "at most 2 images, not 3" in str(made.last_record.template_reason)


def test_without_a_prompt_what_is_there_is_described_and_without_a_video_nobody_asked(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Cosmos asks; no frame_1.png or anything else appears in the folder for temporary files.
    Where Cosmos asks about no picture at all, this is an error.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    engine = pixtral()
    made = upsampler(engine)
    assert made._prompt_upsample(None, clip) == ANSWER
    assert engine.requests.pop().text == "describe the following images"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    cases: list[tuple[Any, type[VideoError]]] = [
        (tmp_path / "absent.mp4", VideoNotFound),
        (tmp_path / "noise.mp4", VideoUnreadable),
        (None, VideoUnreadable),  # seg or depth without input_control
        ([], VideoUnreadable),  # what Cosmos makes of a video that it cannot read
    ]
    for video, kind in cases:
        with pytest.raises(kind):
            made._prompt_upsample_with_offload("a red balloon", video)
    assert engine.requests == []


WORKER = """
import json, os, sys
from promptlift.cosmos import PixtralPromptUpsampler
names, clip, absent = json.loads(sys.argv[1])
made = PixtralPromptUpsampler("checkpoints", engine="embedded")
for name in names:
    del os.environ[name]
os.environ["MASTER_PORT"] = "31000"
made._prompt_upsample("a red balloon over the hills", clip)
after = {name: os.environ.get(name) for name in names}
try:
    made._prompt_upsample("a red balloon", absent)
except Exception:
    print(json.dumps([after, {name: os.environ.get(name) for name in names}]))
made.close()
"""


def test_an_error_gives_torchruns_variables_back(clip: Path, tmp_path: Path) -> None:
    """Cosmos's pipeline takes them away around the call and puts them back only after success; on
    an error those of the import come back, but for what somebody has set since.
    """
    arguments = json.dumps([list(TORCHRUN), str(clip), str(tmp_path / "absent.mp4")])
    command = [sys.executable, "-c", WORKER, arguments]
    done = subprocess.run(command, env=os.environ | TORCHRUN, stdout=subprocess.PIPE, check=True)
    after_success, after_error = json.loads(done.stdout)
    assert after_success == {**dict.fromkeys(TORCHRUN), "MASTER_PORT": "31000"}
    assert after_error == {**TORCHRUN, "MASTER_PORT": "31000"}


def test_a_garbled_answer_never_passes(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cut answer is asked for again; after three attempts it is an error with what was wrong, or
    the user's words with `original`, or some answer with `best`; the log says why.
    """
    engine = FaultyEngine(pixtral(), ["cut"])
    assert upsampler(engine)._prompt_upsample("a red balloon", clip) == ANSWER
    engine = FaultyEngine(pixtral(), ["loop"] * 9)
    with pytest.raises(ItemEngineError, match=r"no answer of 3 was fit to use: \w+"):
        upsampler(engine)._prompt_upsample("a red balloon", clip)
    made = upsampler(engine, on_reject="original")
    assert made._prompt_upsample("a red balloon", clip) == "a red balloon"
    assert "the short prompt is used" in caplog.text
    text = upsampler(engine, on_reject="best")._prompt_upsample("a red balloon", clip)
    assert text not in ("", ANSWER)
    assert "best of them is used" in caplog.text


def test_a_mistake_in_the_call_is_named(tmp_path: Path) -> None:
    """An option that does not exist, a value that makes no sense, or no model: an error that says
    where it was looked for, and not a name on the hub.
    """
    for option in ({"offload_by": "delete"}, {"on_reject": "shrug"}, {"sede": 1}):
        with pytest.raises(OptionError):
            upsampler(pixtral(), **option)
    with pytest.raises(ConfigEngineError, match="there is no checkpoint"):
        PixtralPromptUpsampler(str(tmp_path))


def test_an_engine_by_name_is_loaded_when_needed_and_stopped(clip: Path, tmp_path: Path) -> None:
    """With offloading nothing is loaded before the first prompt nor after the last, not even where
    that ends in an error. Whoever made an engine closes it; offloading it does not.
    """
    made = PixtralPromptUpsampler("checkpoints", True, engine="embedded", offload_by="stop")
    assert not loaded(made)
    text = made._prompt_upsample_with_offload("a red balloon drifts over the hills", clip)
    assert "red balloon" in text
    assert not loaded(made)
    with pytest.raises(VideoNotFound):
        made._prompt_upsample_with_offload("a red balloon", str(tmp_path / "absent.mp4"))
    assert not loaded(made)
    kept = PixtralPromptUpsampler("checkpoints", engine="embedded")
    kept._prompt_upsample_with_offload("a red balloon drifts over the hills", clip)
    assert loaded(kept)
    for _ in range(2):
        kept._offload_upsampler_model()
    assert not loaded(kept)
    kept._load_upsampler_model()
    assert loaded(kept)
    kept.close()
    engine = pixtral()
    made = upsampler(engine, offload=True)
    for _ in range(2):
        assert made._prompt_upsample_with_offload("a red balloon", clip) == ANSWER
    made.close()
    assert not engine.closed


def test_other_ranks_load_nothing_and_need_a_way_to_hear(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 1 makes no engine; without torch.distributed it cannot know rank 0's answer."""
    monkeypatch.setenv("RANK", "1")
    made = PixtralPromptUpsampler("checkpoints")
    assert not loaded(made)
    with pytest.raises(ConfigEngineError, match="rank 1 asks"):
        made._prompt_upsample("a red balloon", clip)


RANK = """
import json, pathlib, sys, types
folder, rank, calls = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

class Store:
    def set(self, key, value): (folder / key.replace("/", "_")).write_text(value)
    def get(self, key): return (folder / key.replace("/", "_")).read_bytes()
    def wait(self, keys, timeout):
        if not all((folder / key.replace("/", "_")).exists() for key in keys):
            raise RuntimeError("wait timeout")

torch = types.ModuleType("torch.distributed")
torch.is_available = torch.is_initialized = lambda: True
torch.get_rank, torch.get_world_size = (lambda: rank), (lambda: 2)
torch.distributed_c10d = types.SimpleNamespace(_get_default_store=Store)
sys.modules["torch.distributed"] = torch

from promptlift.cosmos import PixtralPromptUpsampler
made = PixtralPromptUpsampler("checkpoints", True, engine="embedded", patience=1)
for prompt, video in calls:
    try:
        print(json.dumps(made._prompt_upsample(prompt, video)))
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
made.close()
"""


def test_all_ranks_have_the_answer_of_rank_0(clip: Path, tmp_path: Path) -> None:
    """Through torch's store, call by call: the same text or the same error, so that no rank goes
    on alone into a collective. What rank 0 never asked is an error and not a wait for ever.
    """
    folder = tmp_path / "store"
    folder.mkdir()
    absent = str(tmp_path / "absent.mp4")
    asked = [["a red balloon over the hills", str(clip)]] * 2 + [["a red balloon", absent]]

    def rank(number: int, calls: list[list[str]]) -> list[Any]:
        command = [sys.executable, "-c", RANK, str(folder), str(number), json.dumps(calls)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    first = rank(0, asked)
    assert "red balloon" in str(first[0])
    assert first[2][0] == "VideoNotFound"
    *heard, never, again = rank(1, [*asked, ["another", str(clip)], asked[0]])
    assert heard == first
    for error in (never, again):
        assert error[0] == "TransientEngineError"
        assert "left no answer for rank 1" in error[1]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A stand-in for vLLM, with the checkpoint where Cosmos keeps it, and no engine up."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = make_stub(tmp_path / "stub")
    place = tmp_path / "checkpoints" / "nvidia" / "Cosmos-UpsamplePrompt1-12B-Transfer"
    place.parent.mkdir(parents=True)
    place.symlink_to(made.model)
    return made


def on_stub(stub: Stub) -> PixtralPromptUpsampler:
    """The class as Cosmos's pipeline makes it, on the stand-in."""
    return PixtralPromptUpsampler(
        checkpoint_dir=str(stub.model.parents[1] / "checkpoints"),
        offload_prompt_upsampler=True,
        engine_settings={"python": str(stub.python)},
        on_reject="best",
        attempts=1,
    )


def steps(stub: Stub) -> list[str]:
    """What the engine went through, without the counting of tokens."""
    return [call.partition("?")[0] for call in stub.calls() if call != "/tokenize"]


def test_offloading_is_sleep_and_not_a_reload(stub: Stub, clip: Path, tmp_path: Path) -> None:
    """Prompts cost one start: between them the engine sleeps, after an error too, and is woken for
    the next.
    """
    made = on_stub(stub)
    assert steps(stub) == []
    made._prompt_upsample_with_offload("a red balloon", clip)
    asked = ["/v1/chat/completions", "/sleep"]
    woken = ["/wake_up", "/reset_prefix_cache"]
    assert steps(stub) == ["start", *asked]
    with pytest.raises(VideoNotFound):
        made._prompt_upsample_with_offload("a red balloon", tmp_path / "absent.mp4")
    made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()
    assert steps(stub) == ["start", *asked, *woken, "/sleep", *woken, *asked]


def test_an_engine_that_died_asleep_is_started_again(stub: Stub, clip: Path) -> None:
    """Nobody wakes the dead: the next prompt starts a new engine and is answered."""
    made = on_stub(stub)
    made._prompt_upsample_with_offload("a red balloon", clip)
    assert isinstance(made.upsampler_model, VllmEngine)
    assert made.upsampler_model.own is not None
    state = made.upsampler_model.own.current()
    assert state is not None
    os.kill(state.engine_pid, signal.SIGKILL)
    assert made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()
    assert steps(stub).count("start") == 2
    assert "/wake_up" not in steps(stub)
