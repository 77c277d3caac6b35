"""The drop-in class on the real engine, and on real ranks, as Cosmos-Transfer1 calls it."""

from __future__ import annotations

import json
import os
import site
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from promptlift.cosmos import PixtralPromptUpsampler
from promptlift.engines.base import Request
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.errors import ItemEngineError, VideoNotFound
from promptlift.record import Record
from promptlift.testing import synthetic_video
from promptlift.types import Frame
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import TORCHRUN, Machine
from real_vllm.processes import group_members, wait_until_gone

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

# NVIDIA's documented prompt and the name under which it keeps the checkpoint.
PROMPT = "Robotic arms hand over a coffee cup to a woman in a modern office."
CHECKPOINT = "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer"
CONTEXT = 4096


@contextmanager
def as_cosmos_calls() -> Iterator[None]:
    """Rank 0 of torchrun, whose variables are taken away around the call and put back."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"}).items():
            patch.setenv(name, value)
        taken = {name: os.environ.pop(name) for name in TORCHRUN}
        yield
        assert not set(TORCHRUN) & set(os.environ), "the class changes no variable"
        os.environ.update(taken)


@pytest.fixture(scope="module")
def upsampler(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PixtralPromptUpsampler]:
    """The class as Cosmos makes it with --offload_prompt_upsampler, in Cosmos's own context."""
    checkpoints = tmp_path_factory.mktemp("cosmos")
    (checkpoints / CHECKPOINT).parent.mkdir()
    (checkpoints / CHECKPOINT).symlink_to(machine.model)
    with as_cosmos_calls():
        made = PixtralPromptUpsampler(
            checkpoint_dir=str(checkpoints),
            offload_prompt_upsampler=True,
            engine_settings={
                "python": str(machine.python),
                "fast_start": True,
                "context": CONTEXT,
            },
            attempts=1,
            on_reject="best",
        )
    yield made
    pid = _engine_pid(made)
    made.close()
    assert wait_until_gone(pid) == []


def _engine_pid(made: PixtralPromptUpsampler) -> int:
    engine = made.upsampler_model
    assert isinstance(engine, VllmEngine)
    assert engine.own is not None
    state = engine.own.current()
    assert state is not None
    return state.engine_pid


def _record(made: PixtralPromptUpsampler) -> Record:
    assert made.last_record is not None
    return made.last_record


def _clip(folder: Path, size: tuple[int, int]) -> str:
    return str(synthetic_video(folder / "clip.mp4", seconds=0.5, size=size))


def test_nvidias_example_costs_the_same(upsampler: PixtralPromptUpsampler, tmp_path: Path) -> None:
    """640x480, where NVIDIA's class works: full size, and 2,479 tokens by formula and engine."""
    with as_cosmos_calls():
        text = upsampler._prompt_upsample_with_offload(
            prompt=PROMPT, video_path=_clip(tmp_path, (640, 480))
        )
    record = _record(upsampler)
    assert text == REPLY
    assert (record.tokens.predicted, record.tokens.actual) == (2479, 2479)
    assert record.plan is not None
    assert (record.plan.size.width, record.plan.size.height) == (640, 480)
    assert record.template == "verbatim/1"


@pytest.mark.parametrize("size", [(1280, 704), (1280, 720), (1920, 1080)])
def test_where_nvidias_raises_it_answers(
    upsampler: PixtralPromptUpsampler, tmp_path: Path, size: tuple[int, int]
) -> None:
    """720p and 1080p: two bare frames are refused by this very engine, and the class answers."""
    with as_cosmos_calls():
        text = upsampler._prompt_upsample_with_offload(
            prompt=PROMPT, video_path=_clip(tmp_path, size)
        )
    record = _record(upsampler)
    assert text == REPLY
    assert record.tokens.actual == record.tokens.predicted
    assert record.tokens.actual is not None
    assert record.tokens.actual + 300 <= CONTEXT
    assert record.plan is not None
    assert record.plan.source.prompt_tokens == 4699
    with pytest.raises(ItemEngineError, match="4699"):
        _ask_bare(upsampler, size)


def _ask_bare(made: PixtralPromptUpsampler, size: tuple[int, int]) -> str:
    made._load_upsampler_model()
    engine = made.upsampler_model
    assert engine is not None
    frame = Frame(Fraction(0), np.zeros((size[1], size[0], 3), np.uint8), wanted=Fraction(0))
    return made._loop.run(engine.complete(Request(PROMPT, (frame, frame)))).text


def test_offloading_keeps_the_process(upsampler: PixtralPromptUpsampler, tmp_path: Path) -> None:
    """Between prompts the same engine sleeps and wakes, also after an error."""
    clip = _clip(tmp_path, (320, 180))
    upsampler._prompt_upsample_with_offload(PROMPT, clip)
    before = _engine_pid(upsampler)
    with pytest.raises(VideoNotFound):
        upsampler._prompt_upsample_with_offload(PROMPT, str(tmp_path / "absent.mp4"))
    assert upsampler._prompt_upsample_with_offload(PROMPT, clip) == REPLY
    assert _engine_pid(upsampler) == before
    assert group_members(before)


def test_the_real_clips_of_nvidia(upsampler: PixtralPromptUpsampler, cosmos_assets: Path) -> None:
    """NVIDIA's own samples: its 640x480 example as it is, and those on which its class raises."""
    clips = {
        "example1_input_video.mp4": 2479,
        "nurec2.mp4": None,
        "sample_av_mv_input_rgb.mp4": None,
        "regionalprompt_test/example2_regional_prompt_depth.mp4": None,
    }
    for name, tokens in clips.items():
        assert upsampler._prompt_upsample_with_offload(PROMPT, str(cosmos_assets / name)) == REPLY
        seen = _record(upsampler).tokens
        assert seen.actual == seen.predicted
        assert seen.actual is not None
        assert seen.actual + 300 <= CONTEXT
        assert tokens in (None, seen.actual)


RANK = """
import json, os, site, sys
for folder in sys.argv[3:]:
    site.addsitedir(folder)
import torch.distributed as dist
from promptlift.cosmos import PixtralPromptUpsampler
from promptlift.errors import VideoNotFound
from promptlift.testing import FakeEngine

dist.init_process_group("gloo")
rank = dist.get_rank()
scene = "drifts slowly over green hills at dusk, seen from a fixed camera in golden evening light."
engine = FakeEngine(lambda request: f"{request.short_prompt} {scene}")
made = PixtralPromptUpsampler("checkpoints", engine=engine, on_reject="best", attempts=1,
                              patience=60)
clip, absent = sys.argv[1:3]
texts = [made._prompt_upsample_with_offload(words, clip) for words in ("a kite", "a kite", "a dog")]
try:
    made._prompt_upsample_with_offload("a kite", absent)
except VideoNotFound as error:
    texts.append(str(error))
if rank == 0:  # as Cosmos does it: the others never ask, and nobody waits for them
    pushed = {name: os.environ.pop(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR")}
    texts.append(made._prompt_upsample_with_offload("a bird", clip))
    os.environ.update(pushed)
dist.barrier()
made.close()
dist.destroy_process_group()
print(json.dumps({"texts": texts, "asked": len(engine.requests)}))
"""


def test_rank_0_answers_for_all(machine: Machine, tmp_path: Path) -> None:
    """Two processes under torch.distributed: one engine is asked, and both have its answers.

    An error on rank 0 is an error on rank 1; what rank 0 asks alone keeps nobody waiting.
    """
    clip = _clip(tmp_path, (320, 180))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(machine.python), "-c", RANK, clip, str(tmp_path / "absent.mp4")]
    command += site.getsitepackages()
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | shared | {"RANK": str(rank)},
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=300) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], [errors[-2000:] for _, errors in said]
    first, second = (json.loads(text.splitlines()[-1]) for text, _ in said)
    assert (first["asked"], second["asked"]) == (4, 0)
    assert first["texts"][:4] == second["texts"]
    assert second["texts"][0].startswith("a kite drifts")
    assert second["texts"][2].startswith("a dog drifts")
    assert "absent.mp4" in second["texts"][3]
    assert first["texts"][4].startswith("a bird drifts")
