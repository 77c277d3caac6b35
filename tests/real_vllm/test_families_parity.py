"""promptlift's arithmetic against transformers' processors and vLLM's own formulas.

The references run in the environment that has them, once for all sizes; nothing is downloaded.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from promptlift.errors import BudgetError
from promptlift.tokens import family
from promptlift.types import Size
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

COUNTER = Path(__file__).with_name("count_with_transformers.py")

# Tokens beside those that the reference counts: markers that stand around the placeholder.
MARKERS = {
    "qwen2.5-vl": 2,
    "qwen3-vl": 2,
    "glm-4v": 2,
    "gemma3": 4,
    "kimi-vl": 4,
    "kimi-vl-2506": 4,
    "internvl3 vllm": 2,
}
REFERENCES = 20


def drawn_sizes() -> list[Size]:
    """Common sizes, odd ones, and 3,000 of all shapes from a pixel to 9,000 on a side."""
    chance = random.Random(20_251_121)
    named = [(320, 180), (640, 360), (640, 480), (960, 704), (1280, 720), (1920, 1080)]
    odd = [(1, 1), (16, 2048), (2048, 16), (8192, 8192), (1024, 1024), (1540, 1540), (448, 448)]
    ends = [(28 * k + more, 28 * k) for k in (1, 7, 46) for more in (-1, 0, 1, 13, 14, 15)]
    sides = [40, 300, 1100, 2500, 9000]
    drawn = [
        (chance.randint(1, side), chance.randint(1, side)) for side in sides for _ in range(600)
    ]
    return [Size(*size) for size in (*named, *odd, *ends, *drawn)]


SIZES = drawn_sizes()


@pytest.fixture(scope="module")
def counted(machine: Machine) -> dict[str, list[int | None]]:
    """The counts of every reference for every size."""
    done = subprocess.run(
        [str(machine.python), str(COUNTER)],
        input=json.dumps([(size.width, size.height) for size in SIZES]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[int | None]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def predicted(name: str, size: Size) -> int | None:
    """What promptlift counts for an image; None where it refuses the shape."""
    try:
        return family(name).image(size)
    except BudgetError:
        return None


def misread(reference: str, size: Size) -> bool:
    """Whether the reference is at fault.

    Hugging Face's Pixtral shrinks a side to no pixel at all where it is thin enough, which no
    engine can show, and its counting in transformers takes 1 or 3 rows for color channels.
    """
    longest = {"pixtral-hf": 1024, "mistral-small-hf": 1540}.get(reference.split()[0])
    if longest is None:
        return False
    longer, shorter = max(size.width, size.height), min(size.width, size.height)
    vanishes = longer > longest and shorter * longest < longer
    return vanishes or (size.height in (1, 3) and not reference.endswith("vllm"))


def test_an_image_counts_as_in_the_references(counted: dict[str, list[int | None]]) -> None:
    """Of 3,000 sizes not one differs; where a reference refuses a shape, so does promptlift."""
    assert len(counted) == REFERENCES
    for reference, counts in counted.items():
        name = reference.split()[0]
        markers = MARKERS.get(reference, MARKERS.get(name, 0))
        expected = {
            size: None if count is None else count + markers
            for size, count in zip(SIZES, counts, strict=True)
            if not misread(reference, size)
        }
        assert len(expected) > 2500
        assert {size: predicted(name, size) for size in expected} == expected, reference
