"""A desk with Cosmos specs, for the tests that need one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from loaders.desk import Desk, lay, make_clips


class ThreadPool:
    """Decodes in threads of this process, where the tests are not about processes.

    Starting a worker process takes longer than the few frames of a small clip.
    """

    seconds_busy = 0.0

    def __init__(self, *_: object, **__: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return await asyncio.to_thread(function, *args, **kwargs)


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
