"""Reading vLLM's log: the stages of a start, and the causes of a failed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptlift.engines.vllm.log import Stage, failure, stage_of, tail

# Shortened lines in the form of vLLM 0.9.2 and 0.32.
START = [
    "(APIServer pid=7) INFO 11-21 21:22:18 [model.py:733] Resolved architecture: Pixtral",
    "(EngineCore pid=8) INFO 11-21 21:22:24 [core.py:133] Initializing a V1 LLM engine",
    "INFO 11-21 21:22:25 [weight_utils.py:292] Downloading shards: 1/5",
    "(Worker pid=9) INFO 11-21 21:22:30 [cpu_model_runner.py:68] Starting to load model /m...",
    "Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 282.41it/s]",
    "(Worker pid=9) INFO 11-21 21:22:30 [default_loader.py:501] Loading weights took 8.10 seconds",
    "(Worker pid=9) INFO 11-21 21:22:39 [backends.py:215] torch.compile takes 20.1 s in total",
    "Capturing CUDA graph shapes:  50%|#####     | 1/2 [00:00<00:00,  2.10it/s]",
    "(APIServer pid=7) INFO 11-21 21:23:19 [entry.py:140] Starting vLLM server on http://127.0.0.1",
]


def test_the_stages_follow_the_log() -> None:
    """Download, load, compile, capture: each is entered at its line and never left backwards."""
    seen: list[Stage] = []
    stage: Stage = "start"
    for line in START:
        stage = stage_of(line, stage)
        seen.append(stage)
    assert seen == [
        "start",
        "start",
        "download",
        "load",
        "load",
        "compile",
        "compile",
        "capture",
        "capture",
    ]
    assert stage_of(START[3], "capture") == "capture"


CAUSES = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.", "out of memory"),
    ("numpy._core._exceptions._ArrayMemoryError: MemoryError", "out of memory"),
    (
        "ValueError: Free memory on device (20/79 GiB) on startup is less than desired GPU memory",
        "the memory that was free when it was measured is not free any more",
    ),
    (
        "ValueError: To serve at least one request, 20 GiB KV cache is needed, which is larger",
        "does not hold one context",
    ),
    ("ValueError: No available memory for the cache blocks.", "does not hold one context"),
    (
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now.",
        "does not know the model's architecture",
    ),
    (
        "OSError: foo/bar is not a local folder and is not a valid model identifier listed",
        "there is no such model",
    ),
    ("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.", "no such model"),
    ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "without permission"),
    ("requests: Max retries exceeded with url: /api/models", "the hub cannot be reached"),
    ("ModuleNotFoundError: No module named 'mistral_common'", "a package that vLLM needs"),
    ("ImportError: vllm/_C.abi3.so: undefined symbol: _ZN3c10", "native parts do not fit"),
    ("OSError: [Errno 98] Address already in use", "another process took its port"),
    ("api_server.py: error: unrecognized arguments: --frobnicate", "refused an argument"),
    ("RuntimeError: Failed to infer device type", "no GPU that it can use"),
]


@pytest.mark.parametrize(("line", "cause"), CAUSES, ids=[cause for _, cause in CAUSES])
def test_a_failed_start_is_its_cause(tmp_path: Path, line: str, cause: str) -> None:
    """The error has the cause, the line that shows it without its prefix, and the log's path."""
    log = tmp_path / "engine.log"
    prefix = "(EngineCore pid=8) ERROR 11-21 21:22:39 [core.py:700] "
    noise = [prefix + "Traceback (most recent call last):", "RuntimeError: Engine core failed"]
    log.write_text("\n".join([*START[:3], prefix + line, *noise]))
    error = failure(log, "ended with status 1")
    assert cause in error.message
    assert line.rstrip(".")[:80] in error.message
    assert "pid=8" not in error.message
    assert str(log) in error.remedy


def test_an_unknown_cause_shows_the_last_lines(tmp_path: Path) -> None:
    """What is not recognised is shown as it is, with how the engine ended."""
    log = tmp_path / "engine.log"
    log.write_text("first\n\n(Worker pid=9) ERROR 11-21 21:22:39 [a.py:1] strange\nstranger\n")
    error = failure(log, "was ended by SIGKILL")
    assert "vLLM was ended by SIGKILL before it was ready" in error.message
    assert "strange | stranger" in error.message
    assert str(log) in error.remedy


def test_a_log_that_is_empty_or_gone(tmp_path: Path) -> None:
    """Neither hides the failure."""
    (tmp_path / "empty.log").touch()
    for name in ("empty.log", "gone.log"):
        assert "it wrote nothing" in failure(tmp_path / name, "ended with status 1").message


def test_the_tail_has_the_last_lines_that_say_something(tmp_path: Path) -> None:
    """Empty lines do not count, and bytes that are no text do no harm."""
    log = tmp_path / "engine.log"
    log.write_bytes(b"one\n\n\ntwo\n\xff\xfe three\n\n")
    assert tail(log, 2) == ["two", "\ufffd\ufffd three"]
