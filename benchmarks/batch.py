"""Thousands of rows: how busy the engine is kept, what a kill costs, and how soon a rerun is done.

``python benchmarks/batch.py [--peers] [--vllm] [--only PART ...]`` prints Markdown. The engine is
a stub of fixed latency in a process of its own, except for the last part, where it is the real vLLM
on the CPU. With ``--peers`` datatrove and curator do the same job; with ``--vllm`` the last part is
run. Each makes an environment in the user's cache folder the first time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from batches import decoding, finished, flight, job, kills, real
from batches.contenders import Contender, Promptlift
from batches.peers import peers

PARTS = ("flight", "kill", "finished", "decode", "vllm")


def main() -> None:
    """Print the tables."""
    asked = arguments()
    job.clips()
    print(f"Load average before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.\n")
    contenders: list[Contender] = [Promptlift(), *(peers() if asked.peers else [])]
    if "flight" in asked.only:
        flight.measure(
            contenders,
            rows=asked.rows,
            slots=asked.slots,
            latency=asked.latency,
            rounds=asked.rounds,
        )
    if "kill" in asked.only:
        kills.measure(contenders, rows=asked.rows // 5, slots=asked.slots, latency=asked.latency)
    if "finished" in asked.only:
        finished.measure(records=asked.records, rounds=asked.rounds)
    if "decode" in asked.only:
        decoding.measure(rounds=asked.rounds)
    if "vllm" in asked.only and asked.vllm:
        real.measure(rows=asked.requests, slots=asked.vllm_slots, rounds=asked.rounds)
    print(f"Load average after: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--records", type=int, default=200_000, help="rows of the finished run")
    parser.add_argument("--slots", type=int, default=64, help="requests in flight")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of an answer")
    parser.add_argument("--requests", type=int, default=192, help="requests to the real vLLM")
    parser.add_argument("--vllm-slots", type=int, default=16, help="its requests in flight")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--vllm", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
