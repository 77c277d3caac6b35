"""The sweep on the real engine: what it counts is what was predicted, in every row."""

from __future__ import annotations

import json

import pytest

from promptlift.sweep import LADDER
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_counted_equals_predicted_in_every_row(ready: Machine) -> None:
    """Two frames of each size of the ladder, and of an odd one: all pass, all counts agree."""
    sizes = ",".join(["333x777", *map(str, LADDER)])
    asked = ("sweep", "--engine", "vllm", "--sizes", sizes, "-n", "2", "--answers")
    done = ready.command(*asked, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == len(LADDER) + 1
    for row in rows:
        assert row["counted_tokens"] == row["predicted_tokens"]
        assert (row["context"], row["bare_request"], row["answered"]) == (9216, "passes", True)
        assert row["answer"] == REPLY
