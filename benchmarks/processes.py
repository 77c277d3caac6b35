"""Whole processes: what a user waits for at the prompt.

``python benchmarks/processes.py [--rounds 15]`` prints Markdown; the commands take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from clips import clips

PYTHON = sys.executable
PROMPT = "a red hot-air balloon drifts over the hills"


def commands() -> dict[str, list[str]]:
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
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    took: dict[str, list[float]] = {name: [] for name in commands()}
    for _ in range(rounds + 1):
        for name, command in commands().items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            took[name].append(time.perf_counter() - start)
    print("| command | median ms | fastest | slowest |\n|---|--:|--:|--:|")
    for name, seconds in took.items():
        warm = [1000 * s for s in seconds[1:]]
        print(f"| `{name}` | {statistics.median(warm):.0f} | {min(warm):.0f} | {max(warm):.0f} |")


if __name__ == "__main__":
    main()
