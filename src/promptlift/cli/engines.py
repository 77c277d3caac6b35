"""The options that choose an engine, for every command that asks one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "SETTINGS",
    "connection_options",
    "engine_options",
    "served_engine_options",
    "settings_of",
    "shared_engine_options",
]

F = TypeVar("F", bound=Callable[..., Any])

_ENGINE = click.option(
    "--engine",
    default="auto",
    show_default=True,
    help="auto, embedded, openai, vllm or llamacpp.",
)
_MODEL = click.option(
    "--model", metavar="NAME", help="Model by name, folder or (llamacpp) GGUF file."
)
_FAMILY = click.option(
    "--family", metavar="NAME", help="The family that counts the model's tokens."
)
_ADDRESS = click.option("--base-url", metavar="URL", help="openai: address of the API.")
_ADDRESSES = click.option(
    "--base-url",
    "base_urls",
    metavar="URL",
    multiple=True,
    help="openai: address of the API; several for --ray.",
)
_KEY = click.option(
    "--api-key-env", metavar="NAME", help="openai: the variable that holds the key."
)
# The server has a key of its own, and so another name for the one of its engine.
_ENGINE_KEY = click.option(
    "--engine-key-env",
    "engine_api_key_env",
    metavar="NAME",
    help="openai: the variable that holds the engine's key.",
)
_START = (
    click.option(
        "--checkpoint-dir",
        type=click.Path(path_type=Path),
        help="vllm: folder of the Cosmos checkpoints.",
    ),
    click.option("--vllm-python", metavar="PATH", help="vllm: the Python that has vLLM."),
    click.option("--gpu", type=int, help="vllm: index of the GPU."),
    click.option("--quantization", metavar="NAME", help="vllm: fp8 on the GPUs that can."),
    click.option("--fast-start", is_flag=True, help="vllm: start sooner, answer slower."),
    click.option("--mmproj", metavar="FILE", help="llamacpp: the projector's GGUF file."),
    click.option("--threads", type=int, help="llamacpp: threads that calculate."),
    click.option("--gpu-layers", type=int, help="llamacpp: layers on the GPU."),
)

# The name of each option in a command, and that of the setting it is.
SETTINGS = {
    "base_url": "base_url",
    "model": "model",
    "api_key_env": "api_key_env",
    "engine_api_key_env": "api_key_env",
    "checkpoint_dir": "checkpoint_dir",
    "vllm_python": "python",
    "gpu": "gpu",
    "quantization": "quantization",
    "fast_start": "fast_start",
    "mmproj": "mmproj",
    "threads": "threads",
    "gpu_layers": "gpu_layers",
    "family": "family",
}


def engine_options(command: F) -> F:
    """Add the options that choose an engine to a command."""
    return _with(command, _ENGINE, _ADDRESS, _MODEL, _KEY, *_START, _FAMILY)


def served_engine_options(command: F) -> F:
    """The same for a server, where ``--api-key-env`` is what its own clients must send."""
    return _with(command, _ENGINE, _ADDRESS, _MODEL, _ENGINE_KEY, *_START, _FAMILY)


def shared_engine_options(command: F) -> F:
    """The same, where several addresses may be given."""
    return _with(command, _ENGINE, _ADDRESSES, _MODEL, _KEY, *_START, _FAMILY)


def connection_options(command: F) -> F:
    """Add those of them that say where an engine is and how it is started, and not which."""
    return _with(command, _ADDRESS, _KEY, *_START)


def _with(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Take the engine's settings out of a command's options; those not given are left out."""
    taken = [(setting, options.pop(name, None)) for name, setting in SETTINGS.items()]
    return {name: value for name, value in taken if value not in (None, False)}
