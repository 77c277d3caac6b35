"""The drop-in class, called as Cosmos-Transfer1's pipeline calls its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptlift.core.video import Size
from promptlift.cosmos import PixtralPromptUpsampler, ranks
from promptlift.engines.base import Engine
from promptlift.engines.vllm import VllmEngine
from promptlift.errors import (
    ConfigEngineError,
    ItemEngineError,
    OptionError,
    PromptliftError,
    TransientEngineError,
    VideoError,
    VideoNotFound,
    VideoUnreadable,
)
from promptlift.frames.encode import write_pngs
from promptlift.frames.look import hint_frames
from promptlift.frames.opening import open_video
from promptlift.testing import FakeEngine, FaultyEngine, synthetic_video
from vllm_stub.make import Stub, make_stub

ANSWER = (
    "A red hot-air balloon with cream stripes drifts slowly to the right over dark wooded hills "
    "at sunset, while the camera pans to the right and warm orange light fills the cloudy sky."
)
TORCHRUN = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_WORLD_SIZE": "1",
    "GROUP_RANK": "0",
    "ROLE_RANK": "0",
    "ROLE_NAME": "default",
    "OMP_NUM_THREADS": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_RUN_ID": "none",
}


def pixtral(**settings: object) -> FakeEngine:
    """An engine that answers well and counts images as Pixtral does."""
    from promptlift.core.tokens import PIXTRAL

    return FakeEngine(
        [ANSWER],
        model="nvidia/Cosmos-UpsamplePrompt1-12B-Transfer",
        count_image=PIXTRAL.image,
        max_images=2,
        **settings,  # type: ignore[arg-type]
    )


def upsampler(engine: Engine, *, offload: bool = False, **more: object) -> PixtralPromptUpsampler:
    """The class as Cosmos's pipeline makes it, with an engine for tests."""
    return PixtralPromptUpsampler(
        checkpoint_dir="checkpoints",
        offload_prompt_upsampler=offload,
        engine=engine,
        **more,  # type: ignore[arg-type]
    )


def loaded(made: PixtralPromptUpsampler) -> bool:
    """Whether it holds an engine."""
    return made.upsampler_model is not None


@contextmanager
def as_cosmos_calls() -> Iterator[None]:
    """Take torchrun's variables away and, like Cosmos, put them back only after success."""
    taken = {name: os.environ.pop(name) for name in TORCHRUN if name in os.environ}
    yield
    os.environ.update(taken)


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of torchrun, rank 0, from the time that the module was imported."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks, "_TORCHRUN", dict(TORCHRUN))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of 1280x720."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return synthetic_video(path, seconds=0.5, size=(1280, 720))


@pytest.fixture(scope="module")
def pictures(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Its first two frames as files."""
    folder = tmp_path_factory.mktemp("pictures")
    with open_video(clip) as reader:
        frames = hint_frames(reader, strategy="first", count=2, box=Size(640, 360))
    write_pngs(frames, folder)
    return [str(path) for path in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("size", [(640, 480), (1280, 704), (1280, 720), (1920, 1080)])
def test_every_size_works_as_cosmos_calls_it(
    torchrun: None, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Two frames of any size fit a context of 4096, and the answer comes back as a string.

    The environment is afterwards as it was, torchrun's variables included.
    """
    video = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=size)
    before = dict(os.environ)
    engine = pixtral()
    with as_cosmos_calls():
        made = upsampler(engine)
    with as_cosmos_calls():
        text = made._prompt_upsample_with_offload(prompt="a red balloon", video_path=str(video))
    assert text == ANSWER
    assert dict(os.environ) == before
    sent = engine.requests[-1]
    assert sent.text == "a red balloon"
    assert len(sent.frames) == 2
    assert made.last_record is not None
    assert made.last_record.tokens.predicted is not None
    assert made.last_record.tokens.predicted <= 4096 - 300
    made.close()


def test_640x480_is_shown_as_it_is(tmp_path: Path) -> None:
    """Cosmos's documented example costs 2,479 tokens here as there: nothing is shrunk."""
    video = synthetic_video(tmp_path / "clip.mp4", seconds=0.2, size=(640, 480))
    made = upsampler(pixtral())
    words = "Robotic arms hand over a coffee cup to a woman in a modern office."
    with pytest.raises(ItemEngineError):  # the balloon answer is unfaithful to these words
        made._prompt_upsample(words, str(video))
    assert made.last_record is not None
    assert made.last_record.tokens.predicted == 2479
    assert made.last_record.plan is not None
    assert (made.last_record.plan.plan.width, made.last_record.plan.plan.height) == (640, 480)


def test_a_smaller_context_may_be_asked_for(clip: Path) -> None:
    """`context` plans within what Cosmos allowed, also where the engine has more."""
    engine = pixtral(context=9216)
    upsampler(engine)._prompt_upsample("a red balloon", clip)
    assert engine.requests[-1].frames[0].size == Size(1024, 576)
    upsampler(engine, context=4096)._prompt_upsample("a red balloon", clip)
    assert engine.requests[-1].frames[0].size == Size(912, 512)


def test_a_list_of_pictures_is_shown_whole(pictures: list[str]) -> None:
    """As in Cosmos's standalone program: each picture is shown, in order, none left out."""
    engine = pixtral()
    for shown in (pictures, pictures[:1]):
        assert upsampler(engine)._prompt_upsample("a red balloon", shown) == ANSWER
    assert [len(request.frames) for request in engine.requests] == [2, 1]
    with pytest.raises(ConfigEngineError, match="3 frame"):
        upsampler(engine)._prompt_upsample("a red balloon", [*pictures, pictures[0]])


@pytest.mark.parametrize("prompt", ["", None])
def test_without_a_prompt_what_is_there_is_described(clip: Path, prompt: str | None) -> None:
    """No prompt, or an empty one, asks for what Cosmos asks for."""
    engine = pixtral()
    assert upsampler(engine)._prompt_upsample(prompt, clip) == ANSWER
    assert engine.requests[-1].text == "describe the following images"


def test_nothing_is_written(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame_1.png or anything else appears in the folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    upsampler(pixtral())._prompt_upsample("a red balloon", clip)
    assert list(tmp_path.iterdir()) == []


def _unreadable(folder: Path) -> Iterator[tuple[object, type[VideoError]]]:
    (folder / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    yield folder / "absent.mp4", VideoNotFound
    yield folder / "noise.mp4", VideoUnreadable
    yield None, VideoUnreadable  # seg or depth without input_control
    yield [], VideoUnreadable  # what Cosmos makes of a video that it cannot read


def test_an_unreadable_video_is_an_error(tmp_path: Path) -> None:
    """Where Cosmos asks about no picture at all, this says so, and asks nobody."""
    engine = pixtral()
    made = upsampler(engine)
    for video, kind in _unreadable(tmp_path):
        with pytest.raises(kind):
            made._prompt_upsample_with_offload("a red balloon", video)  # type: ignore[arg-type]
    assert engine.requests == []


def test_an_error_gives_the_environment_back(torchrun: None, tmp_path: Path) -> None:
    """Cosmos's pipeline puts RANK back only after success; here an error does too."""
    before = dict(os.environ)
    made = upsampler(pixtral())
    with pytest.raises(VideoNotFound), as_cosmos_calls():
        made._prompt_upsample_with_offload("a red balloon", str(tmp_path / "absent.mp4"))
    assert dict(os.environ) == before


def test_the_variables_are_those_of_the_import(tmp_path: Path) -> None:
    """What torchrun had set when the line that changes was run is what comes back."""
    code = (
        "import os\n"
        "from promptlift.cosmos import PixtralPromptUpsampler\n"
        "from promptlift.testing import FakeEngine\n"
        "made = PixtralPromptUpsampler('checkpoints', engine=FakeEngine())\n"
        f"for name in {list(TORCHRUN)}: os.environ.pop(name)\n"
        f"try: made._prompt_upsample('x', {str(tmp_path / 'absent.mp4')!r})\n"
        f"except Exception: print(*(os.environ.get(name) for name in {list(TORCHRUN)}))\n"
        "made.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | TORCHRUN,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == list(TORCHRUN.values())


def test_an_error_changes_no_variable_that_is_there(
    torchrun: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is missing is given back; a value that somebody set since is theirs."""
    monkeypatch.setenv("MASTER_PORT", "31000")
    made = upsampler(pixtral())
    with pytest.raises(VideoNotFound):
        made._prompt_upsample("a red balloon", str(tmp_path / "absent.mp4"))
    assert os.environ["MASTER_PORT"] == "31000"


def test_a_garbled_answer_never_passes(clip: Path) -> None:
    """By default it is an error after three attempts, which names what was wrong."""
    engine = FaultyEngine(pixtral(), ["loop"] * 9)
    with pytest.raises(ItemEngineError, match=r"no answer of 3 was fit to use: \w+"):
        upsampler(engine)._prompt_upsample("a red balloon", clip)


def test_one_bad_answer_is_asked_for_again(clip: Path) -> None:
    """A cut answer is not returned; the next one is."""
    engine = FaultyEngine(pixtral(), ["cut"])
    assert upsampler(engine)._prompt_upsample("a red balloon", clip) == ANSWER


def test_the_short_prompt_may_stand_in(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With `original` the generation goes on with the user's words, and the log says why."""
    engine = FaultyEngine(pixtral(), ["loop"] * 9)
    made = upsampler(engine, on_reject="original")
    assert made._prompt_upsample("a red balloon", clip) == "a red balloon"
    assert "the short prompt is used" in caplog.text


def test_the_best_may_stand_in(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With `best` some answer comes back, and the log says that it was not good."""
    engine = FaultyEngine(pixtral(), ["loop", "cut", "loop"])
    text = upsampler(engine, on_reject="best")._prompt_upsample("a red balloon", clip)
    assert text
    assert text != ANSWER
    assert "best of them is used" in caplog.text


@pytest.mark.parametrize("option", [{"offload_by": "delete"}, {"on_reject": "shrug"}, {"sede": 1}])
def test_a_mistake_in_the_call_is_named(option: dict[str, object]) -> None:
    """An option that does not exist, or a value that makes no sense, fails at once."""
    with pytest.raises(OptionError):
        PixtralPromptUpsampler("checkpoints", engine=pixtral(), **option)  # type: ignore[arg-type]


def test_an_engine_of_the_callers_is_left_open(clip: Path) -> None:
    """Whoever made the engine closes it; offloading it does not."""
    engine = pixtral()
    made = upsampler(engine, offload=True)
    for _ in range(2):
        assert made._prompt_upsample_with_offload("a red balloon", clip) == ANSWER
    made.close()
    assert not engine.closed


def test_an_engine_by_name_is_loaded_when_needed_and_stopped(clip: Path) -> None:
    """With offloading nothing is loaded before the first prompt nor after the last."""
    made = PixtralPromptUpsampler("checkpoints", True, engine="embedded", offload_by="stop")
    assert not loaded(made)
    text = made._prompt_upsample_with_offload("a red balloon drifts over the hills", clip)
    assert "red balloon" in text
    assert not loaded(made)
    kept = PixtralPromptUpsampler("checkpoints", engine="embedded")
    kept._prompt_upsample_with_offload("a red balloon drifts over the hills", clip)
    assert loaded(kept)
    kept._offload_upsampler_model()
    kept._offload_upsampler_model()
    assert not loaded(kept)
    kept._load_upsampler_model()
    assert loaded(kept)
    kept.close()


def test_an_error_offloads_all_the_same(tmp_path: Path) -> None:
    """The model does not stay on the GPU because a video could not be read."""
    made = PixtralPromptUpsampler("checkpoints", True, engine="embedded")
    with pytest.raises(VideoNotFound):
        made._prompt_upsample_with_offload("a red balloon", str(tmp_path / "absent.mp4"))
    assert not loaded(made)


def test_a_missing_checkpoint_is_told_when_it_is_made(tmp_path: Path) -> None:
    """No model: an error that says where it was looked for, and not a name on the hub."""
    with pytest.raises(ConfigEngineError, match="there is no checkpoint"):
        PixtralPromptUpsampler(str(tmp_path))


def test_other_ranks_load_nothing_and_need_a_way_to_hear(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 1 makes no engine; without torch.distributed it cannot know rank 0's answer."""
    monkeypatch.setenv("RANK", "1")
    made = PixtralPromptUpsampler("checkpoints")
    assert not loaded(made)
    with pytest.raises(ConfigEngineError, match="rank 1 asks"):
        made._prompt_upsample("a red balloon", clip)


class Store:
    """A key-value store as torch's, for one process: nothing comes to who waits in vain."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def set(self, key: str, value: str) -> None:
        """Keep a value."""
        self.kept[key] = value.encode()

    def wait(self, keys: list[str], timeout: object) -> None:
        """Fail at once where torch would wait and then fail."""
        if not set(keys) <= self.kept.keys():
            raise RuntimeError("wait timeout")

    def get(self, key: str) -> bytes:
        """The value."""
        return self.kept[key]


@pytest.mark.parametrize(
    "left",
    [
        ItemEngineError("no answer was fit", remedy="ask again"),
        VideoNotFound("there is no file", remedy="check the path"),
        ValueError("something else"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_travels_to_the_other_ranks(
    left: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank raises what rank 0 raised, so that none goes on alone into a collective."""
    store = Store()
    monkeypatch.setattr(ranks, "_store", lambda: store)
    ranks.Question("one").tell(left)
    with pytest.raises(PromptliftError) as caught:
        ranks.Question("one").hear(1)
    if isinstance(left, PromptliftError):
        assert type(caught.value) is type(left)
        assert str(caught.value) == str(left)
    assert "something else" in str(caught.value) or isinstance(left, PromptliftError)


def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that asks what rank 0 never asks is told so, and does not wait for ever."""
    monkeypatch.setattr(ranks, "_store", lambda: Store())
    with pytest.raises(TransientEngineError, match="left no answer"):
        ranks.Question("two").hear(1)


def test_questions_are_told_apart() -> None:
    """The same question asked again is another one; other words or videos are others too."""
    names = [
        ranks.question(prompt, video)._name
        for prompt, video in [("a", "x"), ("a", "x"), ("b", "x"), ("a", "y"), ("a", ["x"])]
    ]
    assert len(set(names)) == 5


def test_importing_it_loads_neither_torch_nor_vllm() -> None:
    """The line that changes costs no model library; torch is used only where it is in use."""
    code = (
        "from promptlift.cosmos import PixtralPromptUpsampler\n"
        "PixtralPromptUpsampler('checkpoints', True)\n"
        "import sys; print(*{m.split('.')[0] for m in sys.modules} & {'torch', 'vllm', 'av'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) <= {"av"}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A stand-in for vLLM, with the checkpoint where Cosmos keeps it, and no engine up."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = make_stub(tmp_path / "stub")
    place = tmp_path / "checkpoints" / "nvidia" / "Cosmos-UpsamplePrompt1-12B-Transfer"
    place.parent.mkdir(parents=True)
    place.symlink_to(made.model)
    return made


def on_stub(stub: Stub, *, offload: bool, **more: object) -> PixtralPromptUpsampler:
    """The class as Cosmos's pipeline makes it, on the stand-in."""
    return PixtralPromptUpsampler(
        checkpoint_dir=str(stub.model.parents[1] / "checkpoints"),
        offload_prompt_upsampler=offload,
        engine_settings={"python": str(stub.python)},
        on_reject="best",
        attempts=1,
        **more,  # type: ignore[arg-type]
    )


def steps(stub: Stub) -> list[str]:
    """What the engine went through, without the counting of tokens."""
    return [call.partition("?")[0] for call in stub.calls() if call != "/tokenize"]


def test_offloading_is_sleep_and_not_a_reload(stub: Stub, clip: Path) -> None:
    """Three prompts cost one start: between them the engine sleeps, and is woken for the next."""
    made = on_stub(stub, offload=True)
    assert steps(stub) == []
    for _ in range(3):
        made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()
    asked = ["/v1/chat/completions", "/sleep"]
    woken = ["/wake_up", "/reset_prefix_cache", *asked]
    assert steps(stub) == ["start", *asked, *woken, *woken]


def test_offloading_may_be_a_real_stop(stub: Stub, clip: Path) -> None:
    """With `stop` nothing of the engine is left between two prompts."""
    made = on_stub(stub, offload=True, offload_by="stop")
    for _ in range(2):
        made._prompt_upsample_with_offload("a red balloon", clip)
        assert not loaded(made)
    assert steps(stub) == ["start", "/v1/chat/completions"] * 2


def test_without_offloading_it_is_loaded_at_once_and_stays(stub: Stub, clip: Path) -> None:
    """As Cosmos's class: the constructor loads, and each prompt is only asked."""
    made = on_stub(stub, offload=False)
    assert steps(stub) == ["start"]
    for _ in range(2):
        made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()
    assert steps(stub) == ["start", *["/v1/chat/completions"] * 2]


def test_the_engine_sleeps_after_an_error_too(stub: Stub, clip: Path, tmp_path: Path) -> None:
    """An unreadable second video leaves the GPU free, and the third prompt is answered."""
    made = on_stub(stub, offload=True)
    made._prompt_upsample_with_offload("a red balloon", clip)
    with pytest.raises(VideoNotFound):
        made._prompt_upsample_with_offload("a red balloon", tmp_path / "absent.mp4")
    assert steps(stub)[-1] == "/sleep"
    assert made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()


def test_an_engine_that_died_asleep_is_started_again(stub: Stub, clip: Path) -> None:
    """Nobody wakes the dead: the next prompt starts a new engine and is answered."""
    made = on_stub(stub, offload=True)
    made._prompt_upsample_with_offload("a red balloon", clip)
    assert isinstance(made.upsampler_model, VllmEngine)
    assert made.upsampler_model.own is not None
    assert made.upsampler_model.own.running is not None
    os.kill(made.upsampler_model.own.running.process.pid, signal.SIGKILL)
    assert made._prompt_upsample_with_offload("a red balloon", clip)
    made.close()
    assert steps(stub).count("start") == 2
    assert "/wake_up" not in steps(stub)
