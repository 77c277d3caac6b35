"""The model to serve, located and verified before anything starts.

vLLM takes a folder that does not exist for a name on the hub, and meets a half-downloaded file
only after minutes. Both are recognized here, from names, sizes and headers alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.errors import ConfigEngineError, OptionError
from promptlift.tokens import FAMILIES, UNKNOWN, family, family_from_config
from promptlift.types import Size

__all__ = ["COSMOS", "Checkpoint", "KVCacheShape", "open_checkpoint"]

COSMOS = "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer"
"""The upsampler of Cosmos-Transfer1: Pixtral-12B, tuned for video prompts."""

_PIXTRAL_CONTEXT = 128_000
_DOWNLOAD = f"download it whole: `hf download {COSMOS} --local-dir DIR/{COSMOS}`"
_MAX_HEADER = 100_000_000  # the safetensors format's own limit
_SAMPLE = 65_536
# As small as hint frames are, and beyond every limit, in both orientations.
_SIDES = ((64, 48), (320, 180), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
_SIZES = tuple(Size(*sides) for pair in _SIDES for sides in (pair, pair[::-1]))


@dataclass(frozen=True, slots=True)
class KVCacheShape:
    """What the memory of a model's context depends on.

    Attributes:
        bytes_per_token: Of keys and values in 16-bit numbers: 160 KiB for Pixtral-12B.
        longest: The longest context that the model was made for, in tokens.
    """

    bytes_per_token: int
    longest: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that vLLM can be started with.

    Attributes:
        source: The folder or the hub's name, as vLLM takes it.
        name: The name that the server answers to.
        mistral: Whether it is in Mistral's own format.
        family: Image-token family in `promptlift.tokens`; ``unknown`` where its own files make
            images cost more than in any known family; None to ask the server.
        revision: Hash of the configuration and the layout of the weights; empty where they are
            not on this machine.
        weight_bytes: Size of the weights; None where they are not on this machine.
        shape: What its context costs; None where it is not known.
    """

    source: str
    name: str
    mistral: bool = False
    family: str | None = None
    revision: str = ""
    weight_bytes: int | None = None
    shape: KVCacheShape | None = None


def open_checkpoint(model: str | None, checkpoint_dir: Path | None) -> Checkpoint:
    """The named model: a folder, a name on the hub, or the Cosmos upsampler.

    Args:
        model: A folder, which may be one below `checkpoint_dir`, or a name on the hub; None or
            `COSMOS` for the Cosmos upsampler in `checkpoint_dir`.
        checkpoint_dir: The folder of Cosmos's checkpoints, or the upsampler's own folder.

    Raises:
        ConfigEngineError: None is named, or it is missing or incomplete.
    """
    parent = None if checkpoint_dir is None else checkpoint_dir.expanduser()
    if parent is not None and (model is None or model == COSMOS):
        return _find_cosmos(parent)
    if model is None:
        raise ConfigEngineError(
            "no model is given", remedy="pass --model NAME or --checkpoint-dir DIR"
        )
    folder = Path(model).expanduser()
    if parent is not None and (parent / folder).is_dir():
        folder = parent / folder
    if folder.is_dir():
        is_cosmos = folder.name == COSMOS.partition("/")[2]  # also where it is a link
        return _open_folder(folder, COSMOS if is_cosmos else folder.resolve().name)
    looks_like_path = model.startswith(("/", ".", "~")) or model.count("/") != 1
    if folder.exists() or looks_like_path:
        raise ConfigEngineError(
            f"there is no model folder {model!r}",
            remedy="check the path; a name on the hub has the form OWNER/NAME",
        )
    return Checkpoint(source=model, name=model)


def _find_cosmos(folder: Path) -> Checkpoint:
    places = [folder / COSMOS, folder / COSMOS.partition("/")[2], folder]
    for place in places:
        if (place / "params.json").is_file() or (place / "config.json").is_file():
            return _open_folder(place, COSMOS)
    raise ConfigEngineError(
        f"there is no checkpoint {COSMOS} in {str(folder)!r}: looked for params.json in "
        + ", ".join(repr(str(place)) for place in places),
        remedy=_DOWNLOAD,
    )


def _open_folder(folder: Path, name: str) -> Checkpoint:
    folder = folder.resolve()  # one place has one name, whatever path led there
    mistral = (folder / "params.json").is_file()
    config = _read_json(folder, "params.json" if mistral else "config.json")
    weights = _weight_files(folder, "consolidated" if mistral else "model")
    revision = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for path in weights:
        revision.update(_verify_weights(path).encode())
    preprocessor, processor = (
        _read_json(folder, file) if (folder / file).is_file() else None
        for file in ("preprocessor_config.json", "processor_config.json")
    )
    return Checkpoint(
        source=str(folder),
        name=name,
        mistral=mistral,
        family=_family_name(config, preprocessor, processor),
        revision=revision.hexdigest()[:16],
        weight_bytes=sum(path.stat().st_size for path in weights),
        shape=_cache_shape(config, mistral=mistral),
    )


def _weight_files(folder: Path, stem: str) -> list[Path]:
    """One file, or the shards that the index names, every one of which must be there."""
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        names = sorted(set(_read_json(folder, index.name).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise _incomplete(folder, f"weights are missing: {', '.join(missing) or 'all'}")
        return [folder / name for name in names]
    raise _incomplete(folder, f"it has no {single.name}")


def _verify_weights(path: Path) -> str:
    """Check a safetensors file's length against its header; gives a hash of its layout.

    The format: eight bytes with the length of the header, the header as JSON, then the tensors;
    each entry of the header has the dtype, the shape and the two offsets of its data.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, _MAX_HEADER))
            sample = file.read(_SAMPLE)
        ends = [
            entry["data_offsets"][1]
            for name, entry in json.loads(header).items()
            if name != "__metadata__"
        ]
        expected = 8 + length + max(ends, default=0)
    except OSError as error:
        raise _incomplete(path.parent, f"{path.name} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"{path.name}, of {size:,} bytes, is cut off, a Git LFS pointer, or no safetensors"
        raise _incomplete(path.parent, what) from error
    if size != expected:
        raise _incomplete(path.parent, f"{path.name} has {size:,} of {expected:,} bytes")
    return hashlib.sha256(header + sample + str(size).encode()).hexdigest()


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise _incomplete(folder, f"{name} cannot be read: {error}") from error
    return content


def _incomplete(folder: Path, what: str) -> ConfigEngineError:
    return ConfigEngineError(
        f"the checkpoint in {str(folder)!r} is incomplete: {what}",
        remedy=f"download it again; for the Cosmos upsampler {_DOWNLOAD}",
    )


def _family_name(
    config: dict[str, Any], preprocessor: dict[str, Any] | None, processor: dict[str, Any] | None
) -> str | None:
    """The family that counts a checkpoint's images; None where the kind of model is not known.

    The preprocessor limits what an image costs, and the limit may have been raised. Where images
    then cost more than in the family of that name, the model has to be measured: ``unknown``.
    Where they cost less, the name stands, and images may be planned smaller than they could be.
    """
    try:
        own = family_from_config(config, preprocessor, processor=processor)
    except OptionError:
        return None
    usual = family(own.name) if own.name in FAMILIES else None
    covered = usual and all(own.image(size) <= usual.image(size) for size in _SIZES)
    return own.name if covered else UNKNOWN.name


def _cache_shape(config: dict[str, Any], *, mistral: bool) -> KVCacheShape | None:
    try:
        if mistral:
            heads = config["n_heads"]
            layers, kv_heads = config["n_layers"], config.get("n_kv_heads", heads)
            head_size = config.get("head_dim") or config["dim"] // heads
            longest = config.get("max_position_embeddings", _PIXTRAL_CONTEXT)
        else:
            text = config.get("text_config", config)
            heads = text["num_attention_heads"]
            layers, kv_heads = text["num_hidden_layers"], text.get("num_key_value_heads") or heads
            head_size = text.get("head_dim") or text["hidden_size"] // heads
            longest = text["max_position_embeddings"]
    except KeyError:
        return None
    return KVCacheShape(2 * 2 * layers * kv_heads * head_size, longest)
