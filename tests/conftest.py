"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Whatever a script starts in the background ignores Ctrl-C, and hands that on to all that it starts
# itself; the tests press it in processes of theirs, and must not depend on how they were started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no mistake in what is tested.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# Modules of few tests that take minutes. Begun last, they would keep one process busy alone.
LONG_MODULES = ("test_ray", "test_kills", "test_batch_faults", "test_page", "test_objects")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest modules first, so that all processes end together."""

    def rank(item: pytest.Item) -> int:
        name = item.path.stem
        return LONG_MODULES.index(name) if name in LONG_MODULES else len(LONG_MODULES)

    items.sort(key=rank)


_scheduling = getattr(os, "sched_getscheduler", lambda _: None)
_AT_FIRST = _scheduling(0)


@pytest.fixture(autouse=True)
def _of_ordinary_priority() -> Iterator[None]:
    """No test raises its process above others, and with it all that are started from there."""
    yield
    assert _scheduling(0) == _AT_FIRST, "something has raised the priority of this process"


@pytest.fixture(scope="session")
def cosmos_assets() -> Path:
    """NVIDIA's sample clips for Cosmos-Transfer1, where somebody has put them.

    They are not part of this repository. Set PROMPTLIFT_COSMOS_ASSETS to the ``assets`` folder
    of a Cosmos-Transfer1 checkout to run the tests that look at them.
    """
    folder = os.environ.get("PROMPTLIFT_COSMOS_ASSETS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PROMPTLIFT_COSMOS_ASSETS does not name a folder with the Cosmos sample clips")
    return Path(folder)
