"""The suite that every engine passes, on the real vLLM that is up."""

from __future__ import annotations

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
