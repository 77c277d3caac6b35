"""Whole processes: what a user waits for at the prompt.

``python benchmarks/commands.py [--rounds 15] [--against PYTHON]`` prints Markdown. The commands
take turns, with those of another version where its Python is given. Modules are compiled
beforehand, as they are where promptlift was installed. The engine over HTTP answers at once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from clips import clips
from stub_engine import OPENING, stub_engine

PROMPT = f"{OPENING}hills"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--against", help="the Python of another version")
    given = parser.parse_args()
    pythons = [sys.executable, *([given.against] if given.against else [])]
    small = str(clips()[0].path)
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
        took: dict[tuple[str, str], list[float]] = {}
        for _ in range(given.rounds + 1):
            for name, arguments in commands.items():
                for python in pythons:
                    command = [python, "-m", "promptlift", *arguments]
                    start = time.perf_counter()
                    subprocess.run(command, check=True, capture_output=True, env=environment)
                    took.setdefault((name, python), []).append(time.perf_counter() - start)
    more = " other ms | ratio |" if given.against else ""
    print(f"| command | median ms | fastest |{more}\n|---|--:|--:|{'--:|--:|' * bool(more)}")
    for name in commands:
        ours, *theirs = ([1000 * s for s in took[name, python][1:]] for python in pythons)
        middle = statistics.median(ours)
        line = f"| `promptlift {name}` | {middle:.0f} | {min(ours):.0f} |"
        for seconds in theirs:
            line += (
                f" {statistics.median(seconds):.0f} | {middle / statistics.median(seconds):.2f} |"
            )
        print(line)


if __name__ == "__main__":
    main()
