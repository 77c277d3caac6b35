"""A desk with Cosmos specs, for the tests that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loaders.desk import Desk, ThreadPool, lay, make_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two clips, drawn once."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def desk(
    clips: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """A folder of its own for each test, the current one, with a cache of its own for its runs."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("promptlift.batch.runner.ProcessPool", ThreadPool)
    return lay(clips, tmp_path)
