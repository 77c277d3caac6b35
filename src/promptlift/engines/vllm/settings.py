"""What a person may say about the engine that promptlift owns."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from promptlift.errors import OptionError

__all__ = ["DEFAULT_CONTEXT", "VllmSettings"]

DEFAULT_CONTEXT = 9216
"""Holds two frames at the 1024 pixels a side where Pixtral stops, the text and the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """How the engine is started.

    Attributes:
        model: A name on the hub or a folder; None for the Cosmos upsampler.
        checkpoint_dir: The folder that holds the Cosmos checkpoints, or the checkpoint itself.
        python: The interpreter that has vLLM; None to look for one.
        gpu: Index of the GPU; None for the one with the most free memory.
        context: Tokens of prompt and answer together; None for the most that memory allows, up
            to 9216.
        images: The most images in one request.
        sequences: The most requests that are worked on at a time.
        quantization: ``fp8`` halves the weights on the GPUs that can; None for as they are.
        fast_start: Trade throughput for a quick start: nothing is compiled or captured.
        sleep: Start so that the engine can sleep, which CUDA GPUs allow.
        idle_sleep: Seconds without a request after which the engine sleeps; None for never.
        start_timeout: Seconds that a start may take.
        arguments: Further arguments of ``vllm serve``, as they are.
    """

    model: str | None = None
    checkpoint_dir: Path | None = None
    python: str | None = None
    gpu: int | None = None
    context: int | None = None
    images: int = 2
    sequences: int = 16
    quantization: str | None = None
    fast_start: bool = False
    sleep: bool = True
    idle_sleep: float | None = None
    start_timeout: float = 1800
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("context", "images", "sequences", "idle_sleep", "start_timeout"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionError(f"{name} is {value}", remedy="give a value above 0")
        if self.idle_sleep is not None and not self.sleep:
            raise OptionError(
                "an engine that cannot sleep is to sleep when idle", remedy="choose one of the two"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the supervisor and its state file."""
        values = dataclasses.asdict(self)
        values["checkpoint_dir"] = None if self.checkpoint_dir is None else str(self.checkpoint_dir)
        values["arguments"] = list(self.arguments)
        return values

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The same settings again."""
        values = json.loads(text)
        folder = values["checkpoint_dir"]
        values["checkpoint_dir"] = None if folder is None else Path(folder)
        values["arguments"] = tuple(values["arguments"])
        return cls(**values)
