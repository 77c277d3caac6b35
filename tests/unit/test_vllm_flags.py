"""What each version of vLLM is told."""

from __future__ import annotations

import dataclasses
import json

import pytest

from promptlift.engines.vllm.checkpoint import Checkpoint
from promptlift.engines.vllm.flags import dialect, serve_arguments
from promptlift.engines.vllm.gpus import GIB, Gpu
from promptlift.engines.vllm.memory import MemoryPlan
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.errors import ConfigEngineError

COSMOS = Checkpoint(source="/models/cosmos", name="nvidia/cosmos", mistral=True)
HUB = Checkpoint(source="Qwen/Qwen2.5-VL-7B-Instruct", name="Qwen/Qwen2.5-VL-7B-Instruct")
GPU = MemoryPlan(9216, 0.71, {}, "", Gpu(0, "GPU-0", "H100", 80 * GIB, 79 * GIB, (9, 0)))
UNKNOWN = dataclasses.replace(GPU, context=None)
CPU = MemoryPlan(9216, None, {}, "", on_cpu=True)


def _said(
    version: str = "0.32.0",
    checkpoint: Checkpoint = COSMOS,
    memory: MemoryPlan = GPU,
    fast_loader: bool = False,
    **settings: object,
) -> list[str]:
    return serve_arguments(
        version,
        checkpoint,
        memory,
        VllmSettings(**settings),  # type: ignore[arg-type]
        port=8123,
        fast_loader=fast_loader,
    )


def _value(arguments: list[str], flag: str) -> str | None:
    return arguments[arguments.index(flag) + 1] if flag in arguments else None


@pytest.mark.parametrize("version", ["0.9.2", "0.29.0", "0.30.1", "0.31.0", "0.32.0+cpu", "0.33.0"])
def test_every_version_gets_the_cosmos_model(version: str) -> None:
    """Mistral's format is named, because 0.9.2 prefers the other where both are there."""
    said = _said(version)
    assert said[0] == "/models/cosmos"
    assert _value(said, "--served-model-name") == "nvidia/cosmos"
    assert _value(said, "--tokenizer-mode") == "mistral"
    assert _value(said, "--config-format") == "mistral"
    assert _value(said, "--load-format") == "mistral"
    assert _value(said, "--max-model-len") == "9216"
    assert _value(said, "--gpu-memory-utilization") == "0.710"
    assert json.loads(_value(said, "--limit-mm-per-prompt") or "") == {"image": 2}
    assert "--enable-prefix-caching" in said
    assert "--enable-sleep-mode" in said


@pytest.mark.parametrize("version", ["0.9.2", "0.32.0"])
def test_it_listens_on_loopback_behind_the_gate(version: str) -> None:
    """Nobody else can reach it, and the key is on no command line."""
    said = _said(version)
    assert _value(said, "--host") == "127.0.0.1"
    assert _value(said, "--port") == "8123"
    assert _value(said, "--middleware") == "promptlift_gate.Gate"
    assert "--api-key" not in said


def test_prompts_stay_out_of_the_log() -> None:
    """0.9.2 logs every request unless told not to; later ones refuse that flag."""
    assert "--disable-log-requests" in _said("0.9.2")
    assert "--disable-log-requests" not in _said("0.29.0")


def test_the_context_of_an_unknown_model() -> None:
    """Later versions find the largest that fits; earlier ones have only the model's own."""
    assert _value(_said("0.32.0", HUB, UNKNOWN), "--max-model-len") == "auto"
    assert _value(_said("0.9.2", HUB, UNKNOWN), "--max-model-len") is None


def test_other_models_keep_their_own_format() -> None:
    """Nothing of Mistral's is said about a model in Hugging Face's format."""
    said = _said(checkpoint=HUB)
    assert "--tokenizer-mode" not in said
    assert _value(said, "--load-format") == "auto"


def test_a_fast_start() -> None:
    """Nothing is compiled; the fast loader is taken where it is installed and safe."""
    assert "--enforce-eager" not in _said()
    assert "--enforce-eager" in _said(fast_start=True)
    assert _value(_said(fast_start=True), "--load-format") == "mistral"
    assert _value(_said(fast_start=True, fast_loader=True), "--load-format") == "fastsafetensors"
    both = dataclasses.replace(COSMOS, several_formats=True)
    said = _said(checkpoint=both, fast_start=True, fast_loader=True)
    assert _value(said, "--load-format") == "mistral"


def test_the_cpu_is_given_whole_prompts() -> None:
    """A prompt in parts with a seed ends vLLM 0.32 on the CPU; no GPU's share is named there."""
    said = _said(memory=CPU)
    assert "--no-enable-chunked-prefill" in said
    assert _value(said, "--max-num-batched-tokens") == "9216"
    assert "--gpu-memory-utilization" not in said
    assert "--enable-sleep-mode" not in said
    assert "--no-enable-chunked-prefill" not in _said()


def test_what_a_person_adds_comes_last() -> None:
    """The last of two equal flags counts, and so the person's."""
    said = _said(arguments=("--max-num-seqs", "4"), quantization="fp8", sleep=False, images=8)
    assert said[-2:] == ["--max-num-seqs", "4"]
    assert _value(said, "--quantization") == "fp8"
    assert "--enable-sleep-mode" not in said
    assert json.loads(_value(said, "--limit-mm-per-prompt") or "") == {"image": 8}


@pytest.mark.parametrize(
    ("version", "reload"), [("0.9.2", False), ("0.10.2", False), ("0.29.0", True), ("1.0", True)]
)
def test_which_versions_can_load_their_weights_again(version: str, reload: bool) -> None:
    """0.9.2 has no endpoint for it; a version that is not known yet is taken for the latest."""
    assert dialect(version).reload is reload


def test_a_version_from_long_ago_is_refused() -> None:
    """Before 0.9 nothing of this holds."""
    with pytest.raises(ConfigEngineError, match=r"vLLM 0\.6\.3\.post1 is too old"):
        dialect("0.6.3.post1")
