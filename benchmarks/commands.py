"""Whole processes: what a user waits for at the prompt.

``python benchmarks/commands.py [--rounds 15]`` prints Markdown. The commands take turns. Modules
are compiled beforehand, as they are where promptlift was installed. The engine over HTTP answers
at once. To compare versions, run it with the Python of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from clips import clips
from stub_engine import OPENING, stub_engine

PROMPT = f"{OPENING}hills"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    small = str(clips()["640x360 4 s"])
    with stub_engine(0) as url, tempfile.TemporaryDirectory() as compiled:
        commands = {
            "--help": ["--help"],
            "budget 1280x720 --prompt ...": ["budget", "1280x720", "-p", PROMPT],
            "facts": ["facts", small],
            "run, no model": ["run", small, PROMPT],
            "run, over HTTP": ["run", small, PROMPT, "--engine", "openai", "--base-url", url],
        }
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        took: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, arguments in commands.items():
                command = [sys.executable, "-m", "promptlift", *arguments]
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                took[name].append(1000 * (time.perf_counter() - start))
    print("| command | median ms | fastest |\n|---|--:|--:|")
    for name, (_, *warm) in took.items():
        print(f"| `promptlift {name}` | {statistics.median(warm):.0f} | {min(warm):.0f} |")


if __name__ == "__main__":
    main()
