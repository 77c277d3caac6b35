"""Importing without the garbage collector, which is always there again afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from promptlift.cli.loading import loading


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector as it was, whatever a test does to it."""
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    if not was_enabled:
        gc.disable()


def test_nothing_is_collected_meanwhile() -> None:
    """The collector rests inside, and works again afterwards."""
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    """A missing module is an error as ever, and nothing stays switched off for it."""
    with pytest.raises(ModuleNotFoundError), loading():
        import promptlift.no_such_module  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    """Whoever runs a command without a collector goes on without one."""
    gc.disable()
    with loading():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_what_was_made_is_not_gone_through_again() -> None:
    """Everything that is there at the end is set aside."""
    with loading():
        kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    assert gc.get_freeze_count() >= len(kept)
