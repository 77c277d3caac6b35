"""What vLLM's log says: how far a start has come, and why one failed.

vLLM reports neither in any other way. A line that changes in a later version costs a stage on
the progress line or a remedy in an error, never the start itself: whether the engine is up is
asked of the engine.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptlift.errors import ConfigEngineError

__all__ = ["STAGES", "Stage", "failure", "stage_of", "tail"]

Stage = Literal["start", "download", "load", "compile", "capture", "ready"]
STAGES: dict[Stage, str] = {
    "start": "starting vLLM",
    "download": "downloading the model",
    "load": "loading the weights",
    "compile": "compiling and measuring memory",
    "capture": "capturing graphs",
    "ready": "ready",
}

_ORDER = list(STAGES)
_TAIL = 12
_SIGNS: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    ("capture", re.compile(r"Capturing (CUDA|cudagraph)|Graph capturing")),
    ("compile", re.compile(r"Loading weights took|Model loading took|torch\.compile|Warming up")),
    ("load", re.compile(r"Starting to load model|Loading safetensors|Loading model weights")),
    ("download", re.compile(r"Downloading|Fetching \d+ files")),
)


def stage_of(line: str, before: Stage) -> Stage:
    """The stage that a line announces; never one before `before`."""
    for stage, sign in _SIGNS:
        if sign.search(line) and _ORDER.index(stage) > _ORDER.index(before):
            return stage
    return before


@dataclass(frozen=True, slots=True)
class _Cause:
    sign: re.Pattern[str]
    what: str
    remedy: str


# The first that is found anywhere in the log is the cause, so the most exact come first.
_CAUSES = (
    _Cause(
        re.compile(r"address already in use", re.IGNORECASE),
        "another process took its port",
        "try again; the port is chosen anew",
    ),
    _Cause(
        re.compile(r"No module named '([\w.]+)'|requires the following packages|PackageNotFound"),
        "a package that vLLM needs is missing",
        "install it beside vLLM",
    ),
    _Cause(
        re.compile(r"undefined symbol|Could not load this library|cannot open shared object file"),
        "vLLM's native parts do not fit the torch beside them",
        "install vLLM afresh in an environment of its own, and name it with --vllm-python",
    ),
    _Cause(
        re.compile(
            r"Free memory on device|less than desired (GPU|CPU) memory utilization"
            r"|Available memory on node"
        ),
        "the memory that was free when it was measured is not free any more",
        "see what else holds the memory, and try again",
    ),
    _Cause(
        re.compile(
            r"No available memory for the cache blocks|KV cache is needed, which is larger"
            r"|larger than the maximum number of tokens that can be stored in KV cache"
        ),
        "the memory left beside the weights does not hold one context",
        "ask for a smaller --context, or choose a GPU with more memory",
    ),
    _Cause(
        re.compile(r"OutOfMemoryError|out of memory|Cannot allocate memory|MemoryError"),
        "out of memory",
        "free the memory, choose another GPU with --gpu, or use --quantization fp8",
    ),
    _Cause(
        re.compile(r"architectures? \[?.*\]? (are|is) not supported|not supported for now"),
        "this vLLM does not know the model's architecture",
        "use a later vLLM, or another model",
    ),
    _Cause(
        re.compile(
            r"RepositoryNotFound|is not a local folder and is not a valid model identifier"
            r"|Invalid repository ID|Repo id must|404 Client Error"
        ),
        "there is no such model",
        "check the name, and that you may read it: `hf auth login`",
    ),
    _Cause(
        re.compile(r"GatedRepo|401 Client Error|403 Client Error"),
        "the model may not be read without permission",
        "accept its terms on the hub, and log in: `hf auth login`",
    ),
    _Cause(
        re.compile(r"Max retries exceeded|Temporary failure in name|LocalEntryNotFound|offline"),
        "the model is not on this machine, and the hub cannot be reached",
        "download the model first, and give its folder",
    ),
    _Cause(
        re.compile(r"unrecognized arguments: (.*)|invalid choice|error: argument"),
        "vLLM refused an argument",
        "check the arguments that you passed through to vLLM",
    ),
    _Cause(
        re.compile(r"No CUDA GPUs are available|Failed to infer device type|CUDA driver version"),
        "vLLM finds no GPU that it can use",
        "check the driver with `nvidia-smi`, and that vLLM's build suits it",
    ),
)


def failure(log: Path, ended: str) -> ConfigEngineError:
    """The error for a start that failed.

    Args:
        log: Where the engine wrote.
        ended: How it ended, such as ``ended with status 1``.
    """
    text = _read(log)
    for cause in _CAUSES:
        if found := cause.sign.search(text):
            line = _line_around(text, found.start())
            what = f"vLLM did not start: {cause.what} ({line})"
            return ConfigEngineError(what, remedy=f"{cause.remedy}; the whole log is {log}")
    last = " | ".join(tail(log, 3)) or "it wrote nothing"
    return ConfigEngineError(
        f"vLLM {ended} before it was ready; its last lines: {last}",
        remedy=f"read the whole log in {log}",
    )


def tail(log: Path, lines: int = _TAIL) -> list[str]:
    """The last lines that say something, without their prefixes."""
    kept = deque((_plain(line) for line in _read(log).splitlines() if line.strip()), maxlen=lines)
    return list(kept)


def _read(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line_around(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return _plain(text[start : end if end >= 0 else None])[:300]


_PREFIX = re.compile(r"^(\(\w+ pid=\d+\) )?((INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^\]]*\] )?")


def _plain(line: str) -> str:
    return _PREFIX.sub("", line.strip()).strip()
