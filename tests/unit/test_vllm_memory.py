"""The arithmetic of memory: which context fits, and what vLLM is told to take."""

from __future__ import annotations

import pytest

from promptlift.engines.vllm.checkpoint import Checkpoint, Shape
from promptlift.engines.vllm.gpus import GIB, Gpu, choose_gpu, parse_smi, read_gpus
from promptlift.engines.vllm.memory import MARGIN, WORKING_SPACE, free_ram, plan_memory
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.errors import ConfigEngineError, OptionError

PIXTRAL = Checkpoint(
    source="/models/cosmos",
    name="cosmos",
    mistral=True,
    weight_bytes=24 * GIB,
    shape=Shape(layers=40, kv_heads=8, head_size=128, longest=128_000),
)


def _gpu(
    free: float, total: float = 80, capability: tuple[int, int] = (9, 0), index: int = 0
) -> Gpu:
    return Gpu(index, f"GPU-{index}", "H100", int(total * GIB), int(free * GIB), capability)


def test_a_large_gpu_takes_the_whole_context_and_no_more_than_it_uses() -> None:
    """Sixteen requests of 9216 tokens need 22.5 GiB beside the weights; the rest is left alone."""
    plan = plan_memory(PIXTRAL, VllmSettings(), _gpu(free=79), ram=None)
    assert plan.context == 9216
    need = 24 * GIB + WORKING_SPACE + 16 * 9216 * 160 * 1024
    assert plan.share == pytest.approx(need / (80 * GIB), abs=0.001)
    assert "9,216 tokens" in plan.note


def test_the_share_is_of_what_is_free_now() -> None:
    """Where others hold memory, vLLM is told a share that is really there."""
    plan = plan_memory(PIXTRAL, VllmSettings(), _gpu(free=35), ram=None)
    assert plan.share is not None
    assert plan.share * 80 * GIB <= 35 * GIB - MARGIN
    assert plan.share == pytest.approx((35 * GIB - MARGIN) / (80 * GIB), abs=0.001)


@pytest.mark.parametrize(("spare", "context"), [(2 * 9216, 9216), (2 * 5000, 4864), (2048, 1024)])
def test_the_context_shrinks_with_the_memory(spare: int, context: int) -> None:
    """It is the largest, in steps of 256, of which two requests fit; the note says so."""
    free = 24 * GIB + WORKING_SPACE + MARGIN + spare * 160 * 1024
    plan = plan_memory(PIXTRAL, VllmSettings(), _gpu(free=free / GIB), ram=None)
    assert plan.context == context
    assert ("memory does not allow" in plan.note) is (context < 9216)


def test_what_cannot_fit_is_said_before_it_is_tried() -> None:
    """The error has the need and what is there, and offers fp8 where the GPU computes in it."""
    with pytest.raises(ConfigEngineError, match="does not fit on GPU 0") as raised:
        plan_memory(PIXTRAL, VllmSettings(), _gpu(free=23.5, total=24), ram=None)
    assert "23.5 GiB of 24.0 GiB free" in raised.value.message
    assert "--quantization fp8" in raised.value.remedy
    with pytest.raises(ConfigEngineError) as raised:
        plan_memory(PIXTRAL, VllmSettings(), _gpu(free=23.5, total=24, capability=(8, 6)), ram=None)
    assert "fp8" not in raised.value.remedy


def test_fp8_halves_the_weights() -> None:
    """The 12B model then fits on a card with 24 GiB, with its whole context."""
    settings = VllmSettings(quantization="fp8")
    assert plan_memory(PIXTRAL, settings, _gpu(free=23.5, total=24), ram=None).context == 9216


def test_a_context_that_was_asked_for_is_kept_or_refused() -> None:
    """NVIDIA's 4096 is taken as it is; one that does not fit is not shrunk in secret."""
    assert plan_memory(PIXTRAL, VllmSettings(context=4096), _gpu(79), ram=None).context == 4096
    with pytest.raises(ConfigEngineError, match="does not fit") as raised:
        plan_memory(PIXTRAL, VllmSettings(context=100_000), _gpu(48, total=48), ram=None)
    assert "--context" in raised.value.remedy


def test_a_models_own_limit_bounds_the_context() -> None:
    """A model made for 4096 tokens is not given 9216."""
    short = Checkpoint("/m", "m", weight_bytes=GIB, shape=Shape(2, 2, 64, longest=4096))
    assert plan_memory(short, VllmSettings(), _gpu(79), ram=None).context == 4096


def test_an_unknown_model_is_left_to_vllm() -> None:
    """Of a name on the hub nothing is known: no context is set, and all that is free is taken."""
    plan = plan_memory(Checkpoint("o/m", "o/m"), VllmSettings(), _gpu(40), ram=None)
    assert plan.context is None
    assert plan.share == pytest.approx((40 * GIB - MARGIN) / (80 * GIB), abs=0.001)
    assert "not known in advance" in plan.note


def test_the_cpu_gets_whole_gibibytes() -> None:
    """Two requests of Pixtral are 2.8 GiB, so vLLM is told 3; it would take nine tenths else."""
    plan = plan_memory(PIXTRAL, VllmSettings(), None, ram=64 * GIB)
    assert plan.share is None
    assert plan.on_cpu
    assert plan.variables == {"VLLM_CPU_KVCACHE_SPACE": "3"}
    with pytest.raises(ConfigEngineError, match="does not fit on the CPU"):
        plan_memory(PIXTRAL, VllmSettings(), None, ram=16 * GIB)


def test_a_device_that_cannot_be_read_is_left_to_vllm() -> None:
    """On another maker's GPU nothing is said about memory, and the context is the usual one."""
    plan = plan_memory(PIXTRAL, VllmSettings(), None, ram=None)
    assert (plan.context, plan.share, plan.variables) == (9216, None, {})
    assert not plan.on_cpu


def test_one_gpu_is_shown_to_the_engine() -> None:
    """The chosen one, counted as nvidia-smi counts."""
    plan = plan_memory(PIXTRAL, VllmSettings(), _gpu(79, index=3), ram=None)
    assert plan.variables == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "3"}


def test_the_gpu_with_most_free_memory_is_chosen() -> None:
    """Unless one was named; one that is not there is an error that lists those that are."""
    gpus = [_gpu(10, index=0), _gpu(60, index=1), _gpu(40, index=2)]
    chosen = choose_gpu(gpus, None)
    assert chosen is not None
    assert chosen.index == 1
    assert choose_gpu(gpus, 2) == gpus[2]
    assert choose_gpu([], None) is None
    with pytest.raises(OptionError, match="there is no GPU 7") as raised:
        choose_gpu(gpus, 7)
    assert "0, 1, 2" in raised.value.remedy


SMI = """\
0, GPU-aaaa-1, NVIDIA H100 80GB HBM3, 81559, 80995, 9.0
1, GPU-bbbb-2, NVIDIA RTX A6000, 49140, [N/A], 8.6
2, GPU-cccc-3, NVIDIA L4, 23034, 22574, 8.9
"""


def test_the_table_of_nvidia_smi_is_read() -> None:
    """Sizes are in MiB; a line that does not tell everything is left out."""
    first, last = parse_smi(SMI)
    assert first == Gpu(0, "GPU-aaaa-1", "NVIDIA H100 80GB HBM3", 81559 << 20, 80995 << 20, (9, 0))
    assert last.index == 2
    assert last.can_fp8
    assert parse_smi("No devices were found") == []


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, [0, 2]), ("2", [2]), ("GPU-aaaa", [0]), ("2,0", [0, 2]), ("", []), ("-1", [])],
)
def test_hidden_gpus_stay_hidden(
    visible: str | None, seen: list[int], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA_VISIBLE_DEVICES is somebody's choice, and is kept to."""
    monkeypatch.setattr("promptlift.engines.vllm.gpus._from_nvml", lambda: parse_smi(SMI))
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.index for gpu in read_gpus(environ)] == seen


def test_no_driver_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nvidia-ml-py and without nvidia-smi there are simply no GPUs."""
    monkeypatch.setattr("promptlift.engines.vllm.gpus._from_nvml", lambda: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert read_gpus({}) == []


def test_free_memory_is_more_than_nothing() -> None:
    """The number is this machine's own."""
    assert 0 < free_ram() < 1 << 50
