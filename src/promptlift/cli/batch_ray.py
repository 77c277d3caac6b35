"""Conduct a run on a Ray cluster for a person."""

from __future__ import annotations

import os
from pathlib import Path

from promptlift.batch.inputs import Input
from promptlift.batch.invocation import Invocation
from promptlift.batch.mirror import Place
from promptlift.batch.runner import RunSettings
from promptlift.cli.batch_run import attend
from promptlift.cli.batch_view import View
from promptlift.scale.run import ClusterRun, connect
from promptlift.scale.settings import ScaleSettings

__all__ = ["conduct_on_cluster"]


async def conduct_on_cluster(
    invocation: Invocation,
    rows: Input | None,
    run_dir: Path,
    settings: RunSettings,
    scale: ScaleSettings,
    *,
    quiet: bool,
    named: Place,
) -> int:
    """Run, and give the exit code.

    Args:
        invocation: The engine and the options.
        rows: The input; None for the rows that the folder has.
        run_dir: The run's folder; on a disk that all machines share where it is not at a URL.
        settings: How the run goes about it.
        scale: How it is spread.
        quiet: Show no progress.
        named: The folder or URL that the person named.

    Raises:
        PromptliftError: The cluster, the folder, the input or the engine cannot be used.
    """
    # Ray's C++ parts write on stderr, in the midst of the progress; its logs have it all.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Before the signals are caught: Ray sets handlers of its own when it connects.
    with connect(scale.address) as cluster:
        run = ClusterRun(cluster, invocation, rows, run_dir, settings, scale, named)
        return await attend(run, View(quiet=quiet), named)
