"""The model and the device, checked before anything starts: is it whole, and does it fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.checkpoint import COSMOS, Checkpoint, KVCacheShape, open_checkpoint
from promptlift.engines.vllm.launch import (
    GIB,
    MARGIN,
    WORKING_SPACE,
    Gpu,
    MemoryPlan,
    choose_gpu,
    free_ram,
    plan_memory,
    read_gpus,
)
from promptlift.errors import ConfigEngineError, OptionError
from vllm_stub.make import mistral, tensors


def _cosmos(folder: Path) -> Checkpoint:
    return open_checkpoint(None, folder)


@pytest.mark.parametrize("below", [COSMOS, COSMOS.partition("/")[2], "."])
def test_cosmos_is_found_in_every_layout(tmp_path: Path, below: str) -> None:
    """The folder may have all of Cosmos's checkpoints, those of NVIDIA, or be the one itself."""
    weights = mistral(tmp_path / below) / "consolidated.safetensors"
    found = _cosmos(tmp_path)
    assert found == open_checkpoint(COSMOS, tmp_path)
    assert Path(found.source) == tmp_path / below
    assert (found.name, found.mistral, found.family) == (COSMOS, True, "pixtral")
    assert found.weight_bytes == weights.stat().st_size
    assert found.shape == KVCacheShape(160 * 1024, longest=128_000)


def test_no_checkpoint_says_where_it_looked(tmp_path: Path) -> None:
    """The error names the places, and how to get the model; a begun download is no absence."""
    with pytest.raises(ConfigEngineError, match="there is no checkpoint") as raised:
        _cosmos(tmp_path)
    assert str(tmp_path / COSMOS) in raised.value.message
    assert "hf download" in raised.value.remedy
    (tmp_path / COSMOS).mkdir(parents=True)
    (tmp_path / COSMOS / "params.json").write_text("{")
    with pytest.raises(ConfigEngineError, match=r"incomplete: params\.json cannot be read"):
        _cosmos(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has 161 of 162 bytes"),
        (b"", "of 0 bytes, is cut off"),
        (b"\x02\0\0\0\0\0\0\0[]", "of 10 bytes, is cut off"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    ],
)
def test_damaged_weights_are_recognized(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """Half a download, an empty file, nonsense, or a pointer in place of the weights."""
    weights = mistral(tmp_path) / "consolidated.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] if content is None else content)
    expected = message.replace("161", str(len(whole) - 1)).replace("162", str(len(whole)))
    with pytest.raises(ConfigEngineError, match=expected):
        _cosmos(tmp_path)


def test_every_shard_must_be_there(tmp_path: Path) -> None:
    """In several files the index says which, and a missing one is named."""
    mistral(tmp_path)
    (tmp_path / "consolidated.safetensors").unlink()
    with pytest.raises(ConfigEngineError, match=r"no consolidated\.safetensors"):
        _cosmos(tmp_path)
    names = [f"consolidated-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    first = tensors(tmp_path / names[0])
    with pytest.raises(ConfigEngineError, match=f"missing: {names[1]}"):
        _cosmos(tmp_path)
    tensors(tmp_path / names[1])
    assert _cosmos(tmp_path).weight_bytes == 2 * first.stat().st_size


def _hugging_face(folder: Path, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    """Write a whole checkpoint in Hugging Face's format."""
    for name, content in {"config": config, "tokenizer": {}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    tensors(folder / "model.safetensors")
    return folder


def test_a_folder_in_hugging_faces_format(tmp_path: Path) -> None:
    """Shape and family come from config.json, the shape from the language model's part of it."""
    text = {
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_size": 3584,
        "max_position_embeddings": 32768,
    }
    folder = _hugging_face(tmp_path, {"model_type": "qwen2_5_vl", "text_config": text})
    found = open_checkpoint(str(folder), None)
    assert found.shape == KVCacheShape(2 * 2 * 28 * 4 * 128, longest=32768)
    assert (found.name, found.mistral, found.family) == (tmp_path.name, False, "qwen2.5-vl")
    (folder / "preprocessor_config.json").write_text('{"max_pixels": 12')
    with pytest.raises(ConfigEngineError, match=r"preprocessor_config\.json cannot be read"):
        open_checkpoint(str(folder), None)


@pytest.mark.parametrize(
    ("kind", "preprocessor", "family"),
    [
        ("kimi_vl", {"in_token_limit": 16_384}, "kimi-vl-2506"),
        ("qwen2_5_vl", {"max_pixels": 1_003_520}, "qwen2.5-vl"),
        ("qwen2_vl", {"min_pixels": 200_704, "max_pixels": 1_003_520}, "unknown"),
        ("gpt2", {"max_pixels": 1}, None),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_preprocessor_decides_what_images_cost(
    tmp_path: Path, kind: str, preprocessor: dict[str, Any], family: str | None, nested: bool
) -> None:
    """Where images cost more than the family's name says, the model has to be measured.

    The preprocessor's limits are in a file of their own, or in the processor's.
    """
    files = {"processor_config": {"image_processor": preprocessor}}
    if not nested:
        files = {"preprocessor_config": preprocessor}
    folder = _hugging_face(tmp_path, {"model_type": kind}, **files)
    assert open_checkpoint(str(folder), None).family == family


def test_one_place_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path, through a link or below the folder of checkpoints: it is the same."""
    mistral(tmp_path / "models" / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    opened = [
        open_checkpoint("models/mine", None),
        open_checkpoint("./link/mine", None),
        open_checkpoint("mine", Path("models")),
    ]
    assert {found.source for found in opened} == {str(tmp_path / "models" / "mine")}
    link = tmp_path / COSMOS.partition("/")[2]
    link.symlink_to("models/mine")
    assert open_checkpoint(str(link), None).name == COSMOS, "it is what the link is called"


def test_a_name_on_the_hub_is_passed_on() -> None:
    """OWNER/NAME that is no folder is a name; anything else would be asked of the hub in vain."""
    name = "Qwen/Qwen2.5-VL-7B-Instruct"
    assert open_checkpoint(name, None) == Checkpoint(source=name, name=name)
    for path in ("/nowhere/model", "./model", "~/no-such-model", "model", "a/b/c"):
        with pytest.raises(ConfigEngineError, match="there is no model folder"):
            open_checkpoint(path, None)
    with pytest.raises(ConfigEngineError, match="no model is given"):
        open_checkpoint(None, None)


MODEL = Checkpoint(
    source="/models/cosmos",
    name="cosmos",
    mistral=True,
    weight_bytes=24 * GIB,
    shape=KVCacheShape(160 * 1024, longest=128_000),
)


def _gpu(free: float, total: float = 80, index: int = 0) -> Gpu:
    return Gpu(index, f"GPU-{index}", "H100", int(total * GIB), int(free * GIB))


def _plan(gpu: Gpu | None, model: Checkpoint = MODEL, **settings: Any) -> MemoryPlan:
    return plan_memory(model, VllmSettings(**settings), gpu, ram=None)


def test_the_share_is_what_the_engine_uses_of_what_is_free() -> None:
    """Sixteen requests of 9216 tokens need 22.5 GiB beside the weights; the rest is left alone."""
    plan = _plan(_gpu(free=79, index=3))
    need = 24 * GIB + WORKING_SPACE + 16 * 9216 * 160 * 1024
    assert plan.context == 9216
    assert plan.share == pytest.approx(need / (80 * GIB), abs=0.001)
    assert "9,216 tokens" in plan.note
    assert plan.variables == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "3"}
    plan = _plan(_gpu(free=35))
    assert plan.share == pytest.approx((35 * GIB - MARGIN) / (80 * GIB), abs=0.001)


@pytest.mark.parametrize(("spare", "context"), [(2 * 9216, 9216), (2 * 5000, 4864), (2048, 1024)])
def test_the_context_shrinks_with_the_memory(spare: int, context: int) -> None:
    """It is the largest, in steps of 256, of which two requests fit; the note says so."""
    free = 24 * GIB + WORKING_SPACE + MARGIN + spare * 160 * 1024
    plan = _plan(_gpu(free=free / GIB))
    assert plan.context == context
    assert ("memory does not allow" in plan.note) is (context < 9216)


def test_what_cannot_fit_is_an_error_before_the_start() -> None:
    """With the need and what there is; fp8 is offered, and fits."""
    with pytest.raises(ConfigEngineError, match="does not fit on GPU 0") as raised:
        _plan(_gpu(free=23.5, total=24))
    assert "23.5 GiB of 24.0 GiB free" in raised.value.message
    assert "--quantization fp8" in raised.value.remedy
    assert _plan(_gpu(free=23.5, total=24), quantization="fp8").context == 9216


def test_a_requested_context_is_taken_or_refused() -> None:
    """NVIDIA's 4096 is taken as it is; one that does not fit is not shrunk in secret."""
    assert _plan(_gpu(79), context=4096).context == 4096
    with pytest.raises(ConfigEngineError, match="does not fit") as raised:
        _plan(_gpu(48, total=48), context=100_000)
    assert "--context" in raised.value.remedy
    short = Checkpoint("/m", "m", weight_bytes=GIB, shape=KVCacheShape(1024, longest=4096))
    assert _plan(_gpu(79), short).context == 4096, "the model's own limit"


def test_what_is_not_known_is_left_to_vllm() -> None:
    """A name on the hub, or another maker's GPU."""
    plan = _plan(_gpu(40), Checkpoint("o/m", "o/m"))
    assert plan.context is None
    assert plan.share == pytest.approx((40 * GIB - MARGIN) / (80 * GIB), abs=0.001)
    assert "not known in advance" in plan.note
    plan = _plan(None)
    assert (plan.context, plan.share, plan.variables, plan.on_cpu) == (9216, None, {}, False)


def test_the_cpu_gets_whole_gibibytes() -> None:
    """Two requests of Pixtral are 2.8 GiB, so vLLM gets 3; by itself it takes nine tenths."""
    plan = plan_memory(MODEL, VllmSettings(), None, ram=64 * GIB)
    assert (plan.share, plan.on_cpu) == (None, True)
    assert plan.variables == {"VLLM_CPU_KVCACHE_SPACE": "3"}
    with pytest.raises(ConfigEngineError, match="does not fit on the CPU"):
        plan_memory(MODEL, VllmSettings(), None, ram=16 * GIB)
    assert 0 < free_ram() < 1 << 50


def test_the_gpu_with_most_free_memory_is_chosen() -> None:
    """Unless one was named; one that does not exist is an error that lists those that do."""
    gpus = [_gpu(10, index=0), _gpu(60, index=1), _gpu(40, index=2)]
    assert choose_gpu(gpus, None) == gpus[1]
    assert choose_gpu(gpus, 2) == gpus[2]
    assert choose_gpu([], None) is None
    with pytest.raises(OptionError, match="there is no GPU 7") as raised:
        choose_gpu(gpus, 7)
    assert "0, 1, 2" in raised.value.remedy


TABLE = """\
0, GPU-aaaa-1, NVIDIA H100 80GB HBM3, 81559, 80995
1, GPU-bbbb-2, NVIDIA RTX A6000, 49140, [N/A]
2, GPU-cccc-3, NVIDIA L4, 23034, 22574
"""


@pytest.mark.parametrize(
    ("visible", "indices"),
    [(None, [0, 2]), ("GPU-aaaa", [0]), ("2,0", [0, 2]), ("", [])],
)
def test_gpus_are_read_from_nvidia_smi(
    visible: str | None, indices: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In MiB; one without all values is left out, and so is what CUDA_VISIBLE_DEVICES hides."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<END\n{TABLE}END\n")
    program.chmod(0o755)
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    gpus = read_gpus(environ)
    assert [gpu.index for gpu in gpus] == indices
    if visible is None:
        assert gpus[0] == Gpu(0, "GPU-aaaa-1", "NVIDIA H100 80GB HBM3", 81559 << 20, 80995 << 20)
