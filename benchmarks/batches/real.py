"""Tokens a second of the real vLLM on the CPU: as a batch, and by vLLM's own benchmark client.

All send the same texts and picture files, with the same sampling, as many at a time. The client
streams its answers, as it always does, which costs a server that shares its cores with it; so the
same requests are sent by plain threads as well, without streaming. Both have their pictures ready
before their clocks start.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from batches import job
from batches.contenders import PROMPTLIFT
from batches.server import MODEL
from batches.tables import show
from batches.watch import run
from real_vllm import environment

_CLIPS, _SIDE, _CONTEXT, _MOST_TOKENS = 8, 320, 4096, 100
_START_SECONDS = 240
_REPLY = (
    "A red balloon drifts slowly over golden dunes while warm evening light fades behind distant "
    "mountains. Soft shadows stretch across pale sand and thin clouds glow orange above quiet "
    "hills where tiny birds circle near some old stone tower, its narrow windows catching last "
    "rays as cool wind lifts dust along every winding path below two green trees by still water"
)
"""No token of it may occur twice; see the checkpoint's maker."""
# With a seed, vLLM 0.32 on the CPU dies of a prompt that is worked off in two pieces.
_SAMPLING = {"temperature": 0}
_NAMES = {
    "client": "`vllm bench serve`",
    "plain": "plain threads, not streamed",
    "batch": "`promptlift batch`",
}


@dataclass(frozen=True)
class Speed:
    """Tokens that were answered, and seconds: of the requests, and of the whole command."""

    tokens: int
    seconds: float
    whole: float


def measure(*, rows: int, slots: int, rounds: int) -> None:
    """Print the table; says why where there is no vLLM."""
    try:
        python = environment.make()
    except environment.EnvironmentUnavailable as reason:
        print(f"The real vLLM is left out, as it cannot be installed: {reason}\n")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        maker = Path(environment.__file__).with_name("checkpoint.py")
        subprocess.run([python, maker, folder / "model", _REPLY], check=True, capture_output=True)
        asked = [job.Ask(number % _CLIPS, ask.prompt) for number, ask in enumerate(job.asks(rows))]
        job.write_rows(folder / "rows.jsonl", asked)
        _write_dataset(folder, asked)
        with _server(python, folder) as url:
            speeds = _taken(python, folder, url, slots, rounds)
    _show(speeds, rows, slots)


def _taken(python: Path, folder: Path, url: str, slots: int, rounds: int) -> dict[str, list[Speed]]:
    """Both in turn, after a round in which the engine sees all pictures for the first time."""
    speeds: dict[str, list[Speed]] = {name: [] for name in _NAMES}
    for number in range(rounds + 1):
        taken = {
            "batch": _batch(folder / str(number), folder / "rows.jsonl", url, slots),
            "client": _client(python, folder, url, slots),
            "plain": _plain(folder, url, slots),
        }
        for name, speed in taken.items() if number else ():
            speeds[name].append(speed)
    return speeds


def _show(speeds: dict[str, list[Speed]], rows: int, slots: int) -> None:
    rates = {
        name: [
            statistics.median(
                speed.tokens / seconds for speed, seconds in zip(some, of, strict=True)
            )
            for of in ([s.seconds for s in some], [s.whole for s in some])
        ]
        for name, some in speeds.items()
    }
    tokens = speeds["batch"][-1].tokens
    head = [f"{rows} requests, {slots} in flight, {tokens} tokens", "tokens a second of requests"]
    share, plain = (rates["batch"][0] / rates[name][0] for name in ("client", "plain"))
    lines = [[_NAMES[name], *(f"{rate:.0f}" for rate in rates[name])] for name in _NAMES]
    show([*head, "of the whole command"], lines)
    print(f"The batch gets {share:.0%} of what vLLM's own client gets, and {plain:.0%} of what")
    print("plain threads get.\n")


def _write_dataset(folder: Path, asked: list[job.Ask]) -> None:
    videos = job.clips()
    options: dict[str, Any] = {"max_side": _SIDE, "reserve": _MOST_TOKENS, "temperature": 0.0}
    shown = [
        job.show_files(videos[clip], folder / f"{clip}.mp4", _CONTEXT, **options)
        for clip in range(_CLIPS)
    ]
    lines = (
        {
            "prompt": shown[ask.clip][0].replace(job.STAND_IN, ask.prompt),
            "image_files": shown[ask.clip][1],
        }
        for ask in asked
    )
    (folder / "client.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@contextmanager
def _server(python: Path, folder: Path) -> Iterator[str]:
    """The engine with the tiny model, in one process; what it saw before is not kept."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--port", str(port)]
    command += ["--model", str(folder / "model"), "--served-model-name", MODEL]
    command += ["--tokenizer-mode", "mistral", "--config-format", "mistral"]
    command += ["--load-format", "mistral", "--max-model-len", str(_CONTEXT), "--host", "127.0.0.1"]
    command += ["--limit-mm-per-prompt", '{"image": 2}', "--no-enable-prefix-caching"]
    command += ["--enforce-eager"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **_LEAN})
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url, folder / "server.log")
        yield url
    finally:
        process.terminate()
        process.wait()


_LEAN = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health"):
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text(errors="replace")[-3000:]) from None
            time.sleep(0.5)


def _batch(run_dir: Path, rows: Path, url: str, slots: int) -> Speed:
    command = [*PROMPTLIFT, "batch", str(rows), "-o", str(run_dir), "--quiet"]
    command += ["--engine", "openai", "--base-url", f"{url}/v1", "--concurrency", str(slots)]
    command += ["--max-side", str(_SIDE), "--reserve", str(_MOST_TOKENS)]
    command += ["--attempts", "1", "--on-reject", "best", "--temperature", "0"]
    command += ["--patience", "20s"]
    took = run(command, run_dir.with_suffix(".log"))
    begins, ends, tokens = list[float](), list[float](), 0
    for segment in (run_dir / "segments").iterdir():
        for line in map(json.loads, segment.read_text().splitlines()):
            if line["kind"] == "result":
                attempts, timings = line["record"]["attempts"], line["record"]["timings"]
                tokens += sum(attempt["completion_tokens"] for attempt in attempts)
                ends.append(line["at"])
                begins.append(line["at"] - timings["ask"])
    assert tokens, took.said
    return Speed(tokens, max(ends) - min(begins), took.seconds)


def _client(python: Path, folder: Path, url: str, slots: int) -> Speed:
    rows = folder / "client.jsonl"
    command = [str(python.with_name("vllm")), "bench", "serve", "--backend", "openai-chat"]
    command += ["--base-url", url, "--endpoint", "/v1/chat/completions", "--model", MODEL]
    command += ["--skip-tokenizer-init", "--dataset-name", "custom_image"]
    command += ["--dataset-path", str(rows), "--custom-ensure-client-side-data"]
    command += ["--num-prompts", str(len(rows.read_text().splitlines())), "--disable-shuffle"]
    command += ["--custom-output-len", str(_MOST_TOKENS), "--max-concurrency", str(slots)]
    command += ["--extra-body", json.dumps(_SAMPLING), "--disable-tqdm", "--save-result"]
    command += ["--result-dir", str(folder), "--result-filename", "client.json"]
    took = run(command, folder / "client.log", _LEAN)
    assert took.code == 0, took.said
    said = json.loads((folder / "client.json").read_text())
    return Speed(said["total_output_tokens"], said["duration"], took.seconds)


def _plain(folder: Path, url: str, slots: int) -> Speed:
    lines = map(json.loads, (folder / "client.jsonl").read_text().splitlines())
    bodies = [_body(line["prompt"], line["image_files"]) for line in lines]
    with ThreadPoolExecutor(slots) as threads:
        start = time.perf_counter()
        tokens = sum(threads.map(partial(_tokens, f"{url}/v1/chat/completions"), bodies))
        seconds = time.perf_counter() - start
    return Speed(tokens, seconds, seconds)


def _body(text: str, images: list[str]) -> bytes:
    encoded = (base64.b64encode(Path(image).read_bytes()).decode() for image in images)
    urls = [{"url": f"data:image/jpeg;base64,{data}"} for data in encoded]
    parts = [*({"type": "image_url", "image_url": one} for one in urls)]
    content = [*parts, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    body = {"model": MODEL, "messages": messages, "max_tokens": _MOST_TOKENS, **_SAMPLING}
    return json.dumps(body).encode()


def _tokens(url: str, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["usage"]["completion_tokens"])
