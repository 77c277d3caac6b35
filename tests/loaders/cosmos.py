"""The rules of the generators' own loaders, written anew from what they do, as checkers.

Each function takes a file as the generator would and raises where the generator would. The
sources are named as file and line of the generator's repository: Cosmos-Transfer1 at 5005e82,
Cosmos-Transfer2.5 at 2ff49d0, Cosmos-Predict2.5 at 50369b8.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRANSFER1_HINTS = {"vis", "seg", "edge", "depth", "keypoint", "upscale", "hdmap", "lidar"}


def transfer1_spec(path: Path, *, sigma_max: float = 80) -> tuple[dict[str, Any], dict[str, Any]]:
    """A controlnet spec: the controls and the arguments.

    cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213 (hint keys, and that an
    unknown object is refused) and :1216-1262 (inputs and weights).
    """
    with path.open() as file:
        loaded = json.load(file)
    hints = {key: value for key, value in loaded.items() if key in TRANSFER1_HINTS}
    arguments = {key: value for key, value in loaded.items() if key not in TRANSFER1_HINTS}
    for key, value in arguments.items():
        if type(value) is dict:
            raise ValueError(f"Invalid hint_key: {key}")
    video = arguments.get("input_video_path")
    for key, hint in hints.items():
        if not video and arguments.get("sigma_max", sigma_max) < 80:
            raise ValueError("no input video, and sigma_max below 80")
        if not video and "input_control" not in hint:
            raise ValueError(f"{key}: neither input_control nor an input video")
        weight = hint.get("control_weight", "0.5")
        if not (isinstance(weight, str) and weight.endswith(".pt")) and float(weight) < 0:
            raise ValueError(f"{key}: negative weight")
    for regional in arguments.get("regional_prompts", []):
        _ = regional["prompt"]  # diffusion/inference/transfer.py:335-349
    return hints, arguments


def transfer1_batch(path: Path, hints: dict[str, Any]) -> list[dict[str, Any]]:
    """A batch: utils/io.py:24-38 (no blank line), transfer.py:301-319 (overrides)."""
    items = []
    with path.open() as file:
        for line in file:
            item = json.loads(line.strip())
            controls = {key: dict(value) for key, value in hints.items()}
            for key, override in item.get("control_overrides", {}).items():
                if key in controls:
                    controls[key].update(override)
            items.append({**item, "controls": controls})
    return items


_COMMON = "name prompt prompt_path negative_prompt resolution seed guidance num_steps"
_TRANSFER25 = f"{_COMMON} video_path image_context_path sigma_max max_frames edge depth vis seg"
_PREDICT25 = f"{_COMMON} inference_type input_path num_output_frames"


def _strict(path: Path, keys: str) -> list[dict[str, Any]]:
    """What both strict loaders share: suffix, unknown keys, prompt_path, unique names.

    Cosmos-Transfer2.5 cosmos_transfer2/config.py:311-381; Cosmos-Predict2.5
    cosmos_predict2/config.py:181-232.
    """
    text = path.read_text()
    if path.suffix == ".json":
        loaded = [json.loads(text)]
    elif path.suffix == ".jsonl":
        loaded = [json.loads(line) for line in text.splitlines()]
    else:
        raise ValueError(f"Unsupported file extension: {path.suffix}")
    for item in loaded:
        if unknown := item.keys() - keys.split():
            raise ValueError(f"Extra inputs are not permitted: {unknown}")
        if item.get("prompt") is None:
            item["prompt"] = (path.parent / item["prompt_path"]).read_text().strip()
        if not isinstance(item["prompt"], str):
            raise TypeError(f"prompt is {item['prompt']!r}")
    if len({item["name"] for item in loaded}) != len(loaded):
        raise ValueError("names are not unique")
    return loaded


def transfer25(path: Path) -> list[dict[str, Any]]:
    """A Transfer2.5 spec: strict, its files there, and one control at least (:431-520)."""
    items = _strict(path, _TRANSFER25)
    for item in items:
        if not (path.parent / item["video_path"]).is_file():
            raise ValueError(f"no file {item['video_path']}")
        hints = [item[key] for key in ("edge", "vis", "depth", "seg") if item.get(key) is not None]
        if not hints:
            raise ValueError("No controls provided")
        for hint in hints:
            control = hint.get("control_path")
            if control is not None and not (path.parent / control).is_file():
                raise ValueError(f"no file {control}")
    return items


def predict2_batch(path: Path) -> list[dict[str, Any]]:
    """A Predict2 batch (``--batch_input_json``): an array whose items name all three."""
    loaded: list[dict[str, Any]] = json.loads(path.read_text())
    for item in loaded:
        _ = item["input_video"], item["prompt"], item["output_video"]
    return loaded


def jsonl_batch(path: Path) -> list[dict[str, Any]]:
    """A Predict1 batch: one object on each line, none blank."""
    with path.open() as file:
        return [json.loads(line.strip()) for line in file]


LOADERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "transfer2.5": transfer25,
    "predict1": jsonl_batch,
    "predict2": predict2_batch,
    "predict2.5": lambda path: _strict(path, _PREDICT25),
}
"""The loaders that take a whole file, by format."""
