"""Make what a start needs: a checkpoint of a few bytes, and an interpreter that has a "vLLM"."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from promptlift.engines.settings import VllmSettings

__all__ = ["Stub", "make_stub", "mistral", "tensors"]

PIXTRAL = {
    "dim": 5120,
    "n_layers": 40,
    "head_dim": 128,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vision_encoder": {"patch_size": 16},
}
TINY = PIXTRAL | {"n_layers": 1, "n_kv_heads": 1}

_SERVER = Path(__file__).with_name("server.py")
_PYTHON = """#!/bin/sh
if [ "$1" = -I ]; then echo '{about}'; else exec '{python}' -I '{server}' "$@"; fi
"""


def tensors(path: Path, size: int = 64) -> Path:
    """Write a whole safetensors file with one tensor of `size` bytes."""
    entry = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "x": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    return path


def mistral(folder: Path, params: dict[str, Any] | None = None) -> Path:
    """Write a whole checkpoint in Mistral's format."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(PIXTRAL if params is None else params))
    (folder / "tekken.json").write_text("{}")
    tensors(folder / "consolidated.safetensors")
    return folder


@dataclass(frozen=True)
class Stub:
    """A model and an interpreter that serves it."""

    model: Path
    python: Path

    def settings(self, **more: Any) -> VllmSettings:
        """Settings that start it."""
        return VllmSettings(model=str(self.model), python=str(self.python), **more)

    def behave(self, **behaviour: Any) -> None:
        """Have the server behave in a certain way from now on; see `server`."""
        (self.model / "behaviour.json").write_text(json.dumps(behaviour))

    def calls(self) -> list[str]:
        """What the server was asked, with its starts, in order."""
        file = self.model / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def count(self, path: str) -> int:
        """How often it was asked for a path, or started for ``start``."""
        return sum(call.partition("?")[0] == path for call in self.calls())

    def processes(self) -> list[int]:
        """The processes that serve it now, or watch over them."""
        found = psutil.process_iter(["cmdline"])
        return [each.pid for each in found if str(self.model) in (each.info["cmdline"] or [])]


def make_stub(folder: Path, version: str = "0.32.0+cpu") -> Stub:
    """Make both in `folder`."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    about = json.dumps(version)
    python.write_text(_PYTHON.format(about=about, python=sys.executable, server=_SERVER))
    python.chmod(0o755)
    return Stub(mistral(folder / "tiny", TINY), python)
