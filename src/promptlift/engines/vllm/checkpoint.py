"""The model that is to be served: found, and known to be whole, before anything starts.

vLLM takes a folder that is not there for a name on the hub, and finds a half-downloaded file
only after minutes. Both are told apart here, from names, sizes and headers alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.engines.vllm.counting import family_name
from promptlift.engines.vllm.tensors import DamagedTensors, Tensors, read_header
from promptlift.errors import ConfigEngineError

__all__ = ["COSMOS", "Checkpoint", "Shape", "find_cosmos", "open_checkpoint"]

COSMOS = "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer"
"""The upsampler of Cosmos-Transfer1: Pixtral-12B, tuned for video prompts."""

_PIXTRAL_CONTEXT = 128_000
_DOWNLOAD = f"download it whole: `hf download {COSMOS} --local-dir DIR/{COSMOS}`"
_MISTRAL_TOKENIZERS = ("tekken.json", "tokenizer.model.v3", "tokenizer.model.v2")
_HF_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")


@dataclass(frozen=True, slots=True)
class Shape:
    """What the memory of a model's context depends on.

    Attributes:
        layers: Layers that keep keys and values.
        kv_heads: Heads of keys and values in each.
        head_size: Numbers of each head.
        longest: The longest context that the model was made for, in tokens.
    """

    layers: int
    kv_heads: int
    head_size: int
    longest: int

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token in 16-bit numbers: 160 KiB for Pixtral-12B."""
        return 2 * self.layers * self.kv_heads * self.head_size * 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that vLLM can be given.

    Attributes:
        source: The folder or the hub's name, as vLLM takes it.
        name: The name that the server answers to.
        mistral: Whether it is in Mistral's own format.
        family: Image-token family in `promptlift.core.tokens`, ``unknown`` where its own files
            make pictures dearer than any that is known; None to ask the server.
        revision: Hash of the configuration and the layout of the weights; empty if not at hand.
        weight_bytes: Size of the weights; None if they are not at hand.
        shape: What its context costs; None if not known.
        several_formats: Whether the weights lie there more than once.
    """

    source: str
    name: str
    mistral: bool = False
    family: str | None = None
    revision: str = ""
    weight_bytes: int | None = None
    shape: Shape | None = None
    several_formats: bool = False


def find_cosmos(folder: Path) -> Checkpoint:
    """The Cosmos upsampler under `folder`, as Cosmos lays its checkpoints out, or in it.

    Raises:
        ConfigEngineError: It is not there, or not whole.
    """
    places = [folder / COSMOS, folder / COSMOS.partition("/")[2], folder]
    for place in places:
        if (place / "params.json").is_file() or (place / "config.json").is_file():
            return _open_folder(place, COSMOS)
    for place in places[:2]:
        if place.is_dir():
            raise _not_whole(place, "it has no params.json")
    raise ConfigEngineError(
        f"there is no checkpoint {COSMOS} in {str(folder)!r}: looked for params.json in "
        + ", ".join(repr(str(place)) for place in places),
        remedy=_DOWNLOAD,
    )


def open_checkpoint(model: str | None, checkpoint_dir: Path | None) -> Checkpoint:
    """The model that a person named: a folder, a name on the hub, or the Cosmos upsampler.

    A folder may be one of those in `checkpoint_dir`.

    Raises:
        ConfigEngineError: None was named, or it is not there, or not whole.
    """
    if checkpoint_dir is not None and (model is None or model == COSMOS):
        return find_cosmos(checkpoint_dir.expanduser())
    if model is None:
        raise ConfigEngineError(
            "no model is named", remedy="give --checkpoint-dir DIR, or a model's name or folder"
        )
    folder = Path(model).expanduser()
    if checkpoint_dir is not None and (checkpoint_dir.expanduser() / folder).is_dir():
        folder = checkpoint_dir.expanduser() / folder
    if folder.is_dir():
        is_cosmos = folder.name == COSMOS.partition("/")[2]  # also where it is a link
        return _open_folder(folder, COSMOS if is_cosmos else folder.resolve().name)
    if folder.exists() or _reads_like_a_path(model):
        raise ConfigEngineError(
            f"there is no model folder {model!r}",
            remedy="check the path; a name on the hub has the form OWNER/NAME",
        )
    return Checkpoint(source=model, name=model)


def _reads_like_a_path(model: str) -> bool:
    return model.startswith(("/", ".", "~")) or model.count("/") != 1


def _open_folder(folder: Path, name: str) -> Checkpoint:
    folder = folder.resolve()  # one place has one name, whoever compares or reads it from where
    mistral = (folder / "params.json").is_file()
    config = _read_json(folder, "params.json" if mistral else "config.json")
    tokenizers = _MISTRAL_TOKENIZERS if mistral else _HF_TOKENIZERS
    if not any((folder / tokenizer).is_file() for tokenizer in tokenizers):
        raise _not_whole(folder, f"it has no tokenizer ({', '.join(tokenizers)})")
    stem = "consolidated" if mistral else "model"
    weights = [_read_weights(path) for path in _weight_files(folder, stem)]
    return Checkpoint(
        source=str(folder),
        name=name,
        mistral=mistral,
        family=family_name(
            config,
            _read_if_there(folder, "preprocessor_config.json"),
            _read_if_there(folder, "processor_config.json"),
        ),
        revision=_revision(config, weights),
        weight_bytes=sum(each.file_bytes for each in weights),
        shape=_mistral_shape(config) if mistral else _hf_shape(config),
        several_formats=any(folder.glob("model*.safetensors"))
        and any(folder.glob("consolidated*.safetensors")),
    )


def _read_if_there(folder: Path, name: str) -> dict[str, Any] | None:
    return _read_json(folder, name) if (folder / name).is_file() else None


def _weight_files(folder: Path, stem: str) -> list[Path]:
    """One file, or the shards that the index names; every one of them must be there."""
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        names = sorted(set(_read_json(folder, index.name).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise _not_whole(folder, f"of its weights are missing: {', '.join(missing) or 'all'}")
        return [folder / name for name in names]
    raise _not_whole(folder, f"it has no {single.name}")


def _read_weights(path: Path) -> Tensors:
    try:
        return read_header(path)
    except DamagedTensors as damage:
        raise _not_whole(path.parent, f"{path.name} {damage}") from damage


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _not_whole(folder, f"it has no {name}") from None
    except (OSError, ValueError) as error:
        raise _not_whole(folder, f"{name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise _not_whole(folder, f"{name} is not a JSON object")
    return content


def _not_whole(folder: Path, what: str) -> ConfigEngineError:
    return ConfigEngineError(
        f"the checkpoint in {str(folder)!r} is not whole: {what}",
        remedy=f"download it again; for the Cosmos upsampler {_DOWNLOAD}",
    )


def _mistral_shape(params: dict[str, Any]) -> Shape | None:
    if not {"n_layers", "n_heads", "dim"} <= params.keys():
        return None
    return Shape(
        layers=params["n_layers"],
        kv_heads=params.get("n_kv_heads", params["n_heads"]),
        head_size=params.get("head_dim", params["dim"] // params["n_heads"]),
        longest=params.get("max_position_embeddings", _PIXTRAL_CONTEXT),
    )


def _hf_shape(config: dict[str, Any]) -> Shape | None:
    text = config.get("text_config", config)
    needed = {"num_hidden_layers", "num_attention_heads", "hidden_size", "max_position_embeddings"}
    if not needed <= text.keys():
        return None
    heads = text["num_attention_heads"]
    return Shape(
        layers=text["num_hidden_layers"],
        kv_heads=text.get("num_key_value_heads") or heads,
        head_size=text.get("head_dim") or text["hidden_size"] // heads,
        longest=text["max_position_embeddings"],
    )


def _revision(config: dict[str, Any], weights: list[Tensors]) -> str:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for each in weights:
        digest.update(each.digest.encode())
    return digest.hexdigest()[:16]
