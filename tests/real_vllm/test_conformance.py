"""The suite that every engine passes, on the real vLLM that is up."""

from __future__ import annotations

import asyncio

import pytest

from contract import test_engines as suite
from promptlift.engines.vllm.engine import VllmEngine
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

# The same tests, collected once more in this module, where `subject` means something else.
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})


@pytest.fixture
def subject(up: Machine) -> suite.Subject:
    """The engine that is up, as `--engine vllm` makes it."""
    return suite.Subject(VllmEngine, deterministic=True)


def test_it_says_how_many_requests_wait(up: Machine) -> None:
    """Idle, none waits; with more under way than are worked on at a time, some are seen waiting."""

    async def use() -> tuple[int | None, list[int | None]]:
        engine = VllmEngine()
        try:
            await engine.describe()
            idle = await engine.waiting()
            words = ("robot", "cup", "table", "hand")
            asked = [suite.request_for(f"{word} {n}") for n in range(24) for word in words]
            answers = asyncio.gather(*(engine.complete(one) for one in asked))
            seen = []
            while not answers.done():
                seen.append(await engine.waiting())
            await answers
            return idle, seen
        finally:
            await engine.close()

    idle, seen = asyncio.run(use())
    assert idle == 0
    assert None not in seen
    assert max(filter(None, seen)) > 0
