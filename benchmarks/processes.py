"""Whole processes: what a user waits for at the prompt.

``python benchmarks/processes.py [--rounds 15]`` prints Markdown; the commands take turns. Their
modules are compiled beforehand, as they are where promptlift was installed. The server answers at
once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from clips import clips

PYTHON = sys.executable
PROMPT = "a red hot-air balloon drifts over the hills"


def commands(url: str) -> dict[str, list[str]]:
    """What is timed, by the name in the table."""
    command = [PYTHON, "-m", "promptlift"]
    small = str(clips(large=False)[0].path)
    return {
        "python -c pass": [PYTHON, "-c", "pass"],
        "import promptlift": [PYTHON, "-c", "import promptlift"],
        "promptlift --help": [*command, "--help"],
        "promptlift budget 1280x720 --prompt ...": [*command, "budget", "1280x720", "-p", PROMPT],
        "promptlift facts (640x480, 4 s)": [*command, "facts", small],
        "promptlift run (640x480, 4 s, embedded)": [*command, "run", small, PROMPT],
        "promptlift run (640x480, 4 s, over HTTP)": [
            *(*command, "run", small, PROMPT, "--engine", "openai", "--base-url", url)
        ],
    }


@contextmanager
def server() -> Iterator[str]:
    """A server that answers at once; gives its address."""
    command = [PYTHON, str(Path(__file__).with_name("slow_server.py")), "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with server() as url, tempfile.TemporaryDirectory() as compiled:
        took = timed(commands(url), rounds, compiled)
    print("| command | median ms | fastest | slowest |\n|---|--:|--:|--:|")
    for name, seconds in took.items():
        warm = [1000 * s for s in seconds[1:]]
        print(f"| `{name}` | {statistics.median(warm):.0f} | {min(warm):.0f} | {max(warm):.0f} |")


def timed(commands: dict[str, list[str]], rounds: int, compiled: str) -> dict[str, list[float]]:
    """Seconds of each command in each round, and in one before in which nothing is warm."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            took[name].append(time.perf_counter() - start)
    return took


if __name__ == "__main__":
    main()
