"""The settings of engines, each described once: for programs, texts and the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from promptlift.errors import OptionError

__all__ = [
    "VLLM_CONTEXT",
    "EngineSettings",
    "LlamaCppSettings",
    "OpenAISettings",
    "VllmSettings",
]

VLLM_CONTEXT: Final = 9216
"""Holds two frames at Pixtral's limit of 1024 pixels a side, the text and the answer."""


def _field(
    default: Any,
    description: str,
    option: str | None = None,
    metavar: str | None = None,
    *,
    ge: float | None = None,
    gt: float | None = None,
) -> Any:
    """A setting.

    Args:
        default: Its default; ``...`` for none.
        description: What it is, for a list of options: no capital, no full stop.
        option: The command-line option for it; None where commands do not offer it.
        metavar: What stands for its value in help.
        ge: The least value of a number.
        gt: What a number must be above.
    """
    extra: dict[str, Any] = {"option": option, "metavar": metavar}
    return Field(default, description=description, json_schema_extra=extra, ge=ge, gt=gt)


def _split_words(value: object) -> object:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class EngineSettings(BaseModel):
    """The settings of an engine that has none, and the base of the others.

    Raises:
        OptionError: A setting is unknown, missing, or has a value that makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    engine: ClassVar[str] = "embedded"

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as failure:
            error = failure.errors(include_url=False)[0]
            name, fields = str(error["loc"][0]), type(self).model_fields
            message = f"{name} is {error['input']!r}"
            remedy = error["msg"].replace("Input should be", "it should be")
            if error["type"] == "extra_forbidden":
                message = f"the engine {self.engine!r} does not accept {name!r}"
                accepted = f"it accepts {', '.join(fields)}" if fields else "remove it"
                remedy = f"{accepted}, or choose another one with --engine"
            elif error["type"] == "missing":
                message = f"the engine {self.engine!r} needs {name}"
                remedy = f"pass --{name.replace('_', '-')}, the {fields[name].description}"
            raise OptionError(message, remedy=remedy) from None


class OpenAISettings(EngineSettings):
    """How an OpenAI-compatible server is asked.

    Attributes:
        base_url: The API's address, such as ``http://localhost:8000/v1``; http or https, without
            a user name or a password.
        model: The model's name; None for the only one that the server has.
        api_key_env: Name of the environment variable that holds the key; None for no key.
        context: Tokens of prompt and answer together; None for what the server says. A hosted
            API says nothing, and `EngineInfo.context` is then None.
        family: Image-token family; None to go by the model's name.
        timeout: Seconds for one attempt, from connecting to the last byte.
        retries: Attempts after the first, for errors that may pass; 0 for a caller who tries
            again by itself, as `TransientEngineError.wait` says.
    """

    engine = "openai"

    base_url: str = _field(..., "base URL of the API", "--base-url", "URL")
    model: str | None = _field(None, "model name", "--model", "NAME")
    api_key_env: str | None = _field(
        None, "environment variable with the API key", "--api-key-env", "NAME"
    )
    context: int | None = _field(None, "tokens of prompt and answer", ge=1)
    family: str | None = _field(
        None, "token-counting family of the model, if it is not detected", "--family", "NAME"
    )
    timeout: float = _field(300.0, "seconds for one attempt", gt=0)
    retries: int = _field(4, "attempts after the first", ge=0)


class VllmSettings(EngineSettings):
    """How a vLLM of our own is started.

    Attributes:
        model: A name on the hub or a folder; None for the Cosmos upsampler.
        checkpoint_dir: The folder that holds the Cosmos checkpoints, or the checkpoint itself.
        python: The interpreter of the environment that has vLLM; None to search for one.
        gpu: Index of the GPU; None for the one with the most free memory.
        context: Tokens of prompt and answer together; None for the most that memory allows, up
            to 9216.
        images: The most images in one request.
        sequences: The most requests that are processed at a time.
        quantization: ``fp8`` halves the weights on GPUs that support it; None to leave them.
        fast_start: Trade throughput for a quick start: nothing is compiled or captured.
        sleep: Start with sleep mode, so that the engine can release its GPU memory.
        start_timeout: Seconds that a start may take.
        arguments: Further arguments, passed to ``vllm serve`` unchanged.
        retries: Attempts after the first where the engine runs and fails; 0 for a caller who
            tries again by itself. A request that it died under is asked again in any case.
    """

    engine = "vllm"

    model: str | None = _field(
        None, "model on the Hugging Face hub, or a directory", "--model", "NAME"
    )
    checkpoint_dir: Path | None = _field(
        None, "directory of the Cosmos checkpoints", "--checkpoint-dir", "PATH"
    )
    python: str | None = _field(
        None, "Python interpreter of the environment with vLLM", "--vllm-python", "PATH"
    )
    gpu: int | None = _field(
        None, "index of the GPU; by default the one with the most free memory", "--gpu"
    )
    context: int | None = _field(
        None, "context length in tokens; by default 9216, or what memory allows", ge=1
    )
    images: int = _field(2, "maximum number of images per request", ge=1)
    sequences: int = _field(16, "maximum number of concurrent requests", ge=1)
    quantization: str | None = _field(
        None,
        "quantize the weights; fp8 halves them, on GPUs with FP8 support",
        "--quantization",
        "NAME",
    )
    fast_start: bool = _field(
        False, "skip compilation: starts sooner, answers slower", "--fast-start"
    )
    sleep: bool = _field(True, "whether the engine can release its GPU memory")
    start_timeout: float = _field(1800, "timeout of the start in seconds", gt=0)
    arguments: Annotated[tuple[str, ...], BeforeValidator(_split_words)] = _field(
        (), "argument for vllm serve; can be repeated"
    )
    retries: int = _field(1, "attempts after the first", ge=0)


class LlamaCppSettings(EngineSettings):
    """Which GGUF model is loaded, and how.

    Attributes:
        model: The model's file, or ``hub:OWNER/REPO:FILE``, which is then downloaded.
        mmproj: The projector's file, likewise.
        context: Tokens of prompt and answer together; at most what the model was trained for.
            None for 8192, or that, if it is less.
        threads: Threads that calculate; None for one less than there are physical cores.
        gpu_layers: Layers on the GPU, where xllamacpp was built for one: 0 for none, None for as
            many as fit.
        family: Image-token family; None to go by the projector's type and the model's name.
        max_images: The most images in one request.
    """

    engine = "llamacpp"

    model: str | Path = _field(..., "GGUF file of the model", "--model", "NAME")
    mmproj: str | Path = _field(..., "GGUF file of the projector", "--mmproj", "FILE")
    context: int | None = _field(None, "tokens of prompt and answer", ge=1)
    threads: int | None = _field(None, "number of CPU threads", "--threads", ge=1)
    gpu_layers: int | None = _field(None, "number of layers on the GPU", "--gpu-layers", ge=0)
    family: str | None = _field(
        None, "token-counting family of the model, if it is not detected", "--family", "NAME"
    )
    max_images: int = _field(64, "most images in a request", ge=1)
