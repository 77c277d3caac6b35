"""Finding the model, and knowing before anything starts whether it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.core.tokens import FAMILIES
from promptlift.engines.vllm.checkpoint import COSMOS, Shape, find_cosmos, open_checkpoint
from promptlift.errors import ConfigEngineError
from vllm_stub.make import PIXTRAL, mistral, tensors


@pytest.mark.parametrize("below", [COSMOS, COSMOS.partition("/")[2], "."])
def test_cosmos_is_found_in_every_layout(tmp_path: Path, below: str) -> None:
    """The folder may hold all of Cosmos's checkpoints, those of NVIDIA, or be the one itself."""
    mistral(tmp_path / below)
    found = find_cosmos(tmp_path)
    assert Path(found.source) == tmp_path / below
    assert found.name == COSMOS
    assert found.mistral
    assert found.family == "pixtral"


def test_the_context_of_pixtral_costs_160_kib_a_token(tmp_path: Path) -> None:
    """Forty layers, eight heads of 128, keys and values, two bytes each."""
    shape = find_cosmos(mistral(tmp_path)).shape
    assert shape == Shape(layers=40, kv_heads=8, head_size=128, longest=128_000)
    assert shape.bytes_per_token == 160 * 1024


def test_the_size_and_the_revision_are_the_weights_own(tmp_path: Path) -> None:
    """The size is that of the files; other weights or another configuration, another revision."""
    one = find_cosmos(mistral(tmp_path / "one"))
    again = find_cosmos(mistral(tmp_path / "again"))
    assert one.weight_bytes == (tmp_path / "one/consolidated.safetensors").stat().st_size
    assert one.revision == again.revision
    tensors(tmp_path / "again/consolidated.safetensors", size=128)
    assert find_cosmos(tmp_path / "again").revision != one.revision
    other = find_cosmos(mistral(tmp_path / "other", PIXTRAL | {"n_layers": 41}))
    assert other.revision != one.revision


def test_no_checkpoint_says_where_it_looked(tmp_path: Path) -> None:
    """The error names the places, and how to get the model."""
    with pytest.raises(ConfigEngineError, match="there is no checkpoint") as raised:
        find_cosmos(tmp_path)
    assert str(tmp_path / COSMOS) in raised.value.message
    assert "hf download" in raised.value.remedy


def test_an_empty_folder_of_that_name_is_not_whole(tmp_path: Path) -> None:
    """A download that had only begun is no absence."""
    (tmp_path / COSMOS).mkdir(parents=True)
    with pytest.raises(ConfigEngineError, match=r"not whole: it has no params\.json"):
        find_cosmos(tmp_path)


@pytest.mark.parametrize(
    ("missing", "said"),
    [("tekken.json", "no tokenizer"), ("consolidated.safetensors", "no consolidated.safetensors")],
)
def test_a_missing_part_is_named(tmp_path: Path, missing: str, said: str) -> None:
    """Each part that vLLM would miss only after minutes is missed at once."""
    mistral(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigEngineError, match=said):
        find_cosmos(tmp_path)


@pytest.mark.parametrize("cut", [1, 32, 64])
def test_half_downloaded_weights_are_recognised(tmp_path: Path, cut: int) -> None:
    """The header says how long the file must be."""
    weights = mistral(tmp_path) / "consolidated.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-cut])
    said = f"has {len(whole) - cut} of {len(whole)} bytes"
    with pytest.raises(ConfigEngineError, match=said):
        find_cosmos(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off within its header"),
        (b"\xff" * 8 + b"{}", "cut off within its header"),
        (b"\x02\0\0\0\0\0\0\0[]", "a header that is not safetensors'"),
        (b"\x04\0\0\0\0\0\0\0{{{{", "a header that is not safetensors'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_safetensors_file_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    """An empty file, nonsense, or a pointer that git left in place of the weights."""
    (mistral(tmp_path) / "consolidated.safetensors").write_bytes(content)
    with pytest.raises(ConfigEngineError, match=said):
        find_cosmos(tmp_path)


def test_shards_must_all_be_there(tmp_path: Path) -> None:
    """In several files the index says which, and a missing one is named."""
    mistral(tmp_path)
    (tmp_path / "consolidated.safetensors").unlink()
    names = [f"consolidated-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    first = tensors(tmp_path / names[0])
    with pytest.raises(ConfigEngineError, match=f"missing: {names[1]}"):
        find_cosmos(tmp_path)
    tensors(tmp_path / names[1])
    assert find_cosmos(tmp_path).weight_bytes == 2 * first.stat().st_size


def test_a_folder_in_hugging_faces_format(tmp_path: Path) -> None:
    """Shape and family come from config.json, the shape from the language model's part of it."""
    text = {
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_size": 3584,
        "max_position_embeddings": 32768,
    }
    config = {"model_type": "qwen2_5_vl", "text_config": text}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    tensors(tmp_path / "model.safetensors")
    found = open_checkpoint(str(tmp_path), None)
    assert found.shape == Shape(layers=28, kv_heads=4, head_size=128, longest=32768)
    assert not found.mistral
    assert found.family == "qwen2.5-vl"
    assert found.name == tmp_path.name


def folder_of(folder: Path, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    """Write a whole checkpoint in Hugging Face's format."""
    for name, content in {"config": config, "tokenizer": {}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    tensors(folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("kind", "preprocessor", "family"),
    [
        ("kimi_vl", {}, "kimi-vl"),
        ("kimi_vl", {"in_token_limit": 4096}, "kimi-vl"),
        ("kimi_vl", {"in_token_limit": 16_384}, "kimi-vl-2506"),
        ("qwen2_5_vl", {"max_pixels": 12_845_056}, "qwen2.5-vl"),
        ("qwen2_5_vl", {"max_pixels": 1_003_520}, "qwen2.5-vl"),
        ("qwen2_vl", {"min_pixels": 200_704, "max_pixels": 1_003_520}, "unknown"),
        ("qwen3_vl", {"size": {"longest_edge": 16_777_216, "shortest_edge": 65_536}}, "qwen3-vl"),
        ("qwen3_vl", {"size": {"longest_edge": 16_777_216, "shortest_edge": 262_144}}, "unknown"),
        ("gpt2", {"max_pixels": 1}, None),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_preprocessor_has_a_say_in_what_pictures_cost(
    tmp_path: Path, kind: str, preprocessor: dict[str, Any], family: str | None, nested: bool
) -> None:
    """Where pictures cost more than the family's name says, the model is to be measured.

    The preprocessor's limits stand in a file of their own, or in the processor's.
    """
    files = {"processor_config": {"image_processor": preprocessor}}
    if not nested:
        files = {"preprocessor_config": preprocessor}
    folder = folder_of(tmp_path, {"model_type": kind}, **files)
    assert open_checkpoint(str(folder), None).family == family


def test_a_family_that_is_measured_is_one_that_the_planner_measures() -> None:
    """``unknown`` is a name that every part of promptlift knows."""
    assert "unknown" in FAMILIES


def test_a_broken_preprocessor_is_no_whole_checkpoint(tmp_path: Path) -> None:
    """A file that was cut in the download is found here, and not by vLLM after minutes."""
    folder = folder_of(tmp_path, {"model_type": "qwen2_5_vl"})
    (folder / "preprocessor_config.json").write_text('{"max_pixels": 12')
    with pytest.raises(ConfigEngineError, match=r"preprocessor_config\.json cannot be read"):
        open_checkpoint(str(folder), None)


def test_both_formats_in_one_folder_are_noticed(tmp_path: Path) -> None:
    """A loader that takes every file would load the weights twice."""
    assert not find_cosmos(mistral(tmp_path)).several_formats
    tensors(tmp_path / "model-00001-of-00001.safetensors")
    assert find_cosmos(tmp_path).several_formats


def test_one_place_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path, through a link or below the folder of checkpoints: it is the same."""
    mistral(tmp_path / "models" / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    named = [
        open_checkpoint("models/mine", None),
        open_checkpoint("./link/mine", None),
        open_checkpoint("mine", Path("models")),
    ]
    assert {found.source for found in named} == {str(tmp_path / "models" / "mine")}


def test_link_with_the_name_of_the_cosmos_upsampler_is_it(tmp_path: Path) -> None:
    """Whatever the folder that it leads to is called."""
    mistral(tmp_path / "0f3a")
    link = tmp_path / "Cosmos-UpsamplePrompt1-12B-Transfer"
    link.symlink_to("0f3a")
    assert open_checkpoint(str(link), None).name == COSMOS


def test_a_name_on_the_hub_is_passed_on() -> None:
    """What has the form OWNER/NAME and is no folder is a name; nothing is known of it."""
    found = open_checkpoint("Qwen/Qwen2.5-VL-7B-Instruct", None)
    assert found.source == found.name == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert found.shape is None


@pytest.mark.parametrize("path", ["/nowhere/model", "./model", "~/no-such-model", "model", "a/b/c"])
def test_a_path_that_is_not_there_is_no_name(path: str) -> None:
    """A name like that would be asked of the hub."""
    with pytest.raises(ConfigEngineError, match="there is no model folder"):
        open_checkpoint(path, None)


def test_a_model_must_be_named() -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigEngineError, match="no model is named"):
        open_checkpoint(None, None)
