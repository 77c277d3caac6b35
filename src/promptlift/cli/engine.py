"""``promptlift engine``: start a vLLM that stays, look at it, let it sleep, end it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from rich.status import Status

    from promptlift.engines.vllm.state import State

__all__ = ["engine"]

NOT_UP_EXIT = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def engine() -> None:
    """Start, watch and end the vLLM that promptlift owns."""


@engine.command()
@click.argument("model", required=False)
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    help="Folder that holds Cosmos's checkpoints, or the upsampler itself.",
)
@click.option("--vllm-python", metavar="PATH", help="The Python that has vLLM.")
@click.option("--gpu", type=int, help="Index of the GPU; by default the one with most free memory.")
@click.option("--context", type=int, help="Tokens of prompt and answer; by default 9216 or less.")
@click.option("--images", type=int, default=2, show_default=True, help="Most images in a request.")
@click.option("--sequences", type=int, default=16, show_default=True, help="Requests at a time.")
@click.option("--quantization", metavar="NAME", help="fp8 halves the weights on GPUs that can.")
@click.option("--fast-start", is_flag=True, help="Start sooner and answer slower.")
@click.option("--no-sleep", is_flag=True, help="Start without the ability to sleep.")
@click.option("--idle-sleep", type=float, metavar="SECONDS", help="Sleep when idle for so long.")
@click.option("--start-timeout", type=float, default=1800, show_default=True, metavar="SECONDS")
@click.option("--vllm-argument", multiple=True, metavar="ARG", help="Passed to `vllm serve`.")
def up(
    model: str | None,
    vllm_python: str | None,
    no_sleep: bool,
    vllm_argument: tuple[str, ...],
    **options: Any,
) -> None:
    """Start an engine that stays up, and wait until it answers.

    MODEL is a name on the hub or a folder; with --checkpoint-dir it may be left out, and the
    Cosmos upsampler is meant.
    """
    from promptlift.engines.vllm.settings import VllmSettings
    from promptlift.engines.vllm.up import bring_up

    settings = VllmSettings(
        model=model, python=vllm_python, sleep=not no_sleep, arguments=vllm_argument, **options
    )
    with _Stages() as stages:
        state = bring_up(settings, stages.hear)
    click.echo(_one_line(state))


@engine.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, without the key.")
def status(as_json: bool) -> int:
    """Say which engine is up, and what it is doing; exit code 3 when none is."""
    from promptlift.engines.vllm.control import activity, healthy
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    if as_json:
        click.echo(json.dumps(_public(state), indent=2))
    elif state is None:
        click.echo("no engine is up")
    else:
        click.echo(_one_line(state))
        if state.status == "ready":
            doing = activity(state.endpoint) if healthy(state.endpoint) else None
            click.echo(
                "it does not answer" if doing is None else f"{doing.busy} requests under way"
            )
        click.echo(state.note)
        click.echo(f"log: {state.log}")
    return 0 if state is not None else NOT_UP_EXIT


@engine.command()
@click.option(
    "--level",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="1 keeps the weights in main memory, 2 drops them.",
)
def sleep(level: int) -> None:
    """Give the GPU's memory back, and keep the engine; the next request wakes it."""
    from promptlift.engines.vllm.sleeping import put_to_sleep

    click.echo(_one_line(put_to_sleep(level)))


@engine.command()
def wake() -> None:
    """Wake the engine."""
    from promptlift.engines.vllm.sleeping import wake_up

    click.echo(_one_line(wake_up()))


@engine.command()
def down() -> None:
    """End the engine with all its processes."""
    from promptlift.engines.vllm.up import take_down

    click.echo("the engine is down" if take_down() else "no engine is up")


@engine.command()
@click.option("-n", "--lines", type=click.IntRange(1), default=40, show_default=True)
@click.option("--path", "only_path", is_flag=True, help="Say only where the log is.")
def logs(lines: int, only_path: bool) -> None:
    """Show the end of the latest engine's log."""
    from promptlift.engines.vllm.log import tail
    from promptlift.engines.vllm.state import log_folder
    from promptlift.errors import ConfigEngineError

    there = sorted(log_folder().glob("engine-*.log"))
    if not there:
        raise ConfigEngineError(
            "no engine has written a log", remedy="start one with `promptlift engine up`"
        )
    click.echo(str(there[-1]) if only_path else "\n".join(tail(there[-1], lines)))


class _Stages:
    """Shows how far a start is: a line that changes on a terminal, a line each elsewhere."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._said = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("looking at the model and the machine")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def hear(self, said: dict[str, Any]) -> None:
        """Show what the supervisor says."""
        from promptlift.engines.vllm.log import STAGES

        if "note" in said:
            self._print(f"vLLM {said['version']}: {said['note']}")
        elif said.get("stage") in STAGES:
            text = STAGES[said["stage"]]
            if self._status is not None:
                self._status.update(f"{text} ({said['seconds']:.0f} s)")
            elif text != self._said:
                self._print(f"{said['seconds']:.0f} s: {text}")
            self._said = text

    def _print(self, line: str) -> None:
        if self._status is not None:
            self._status.console.print(line, highlight=False, markup=False)
        else:
            click.echo(line, err=True)


def _one_line(state: State) -> str:
    context = "" if state.context is None else f", context {state.context:,}"
    doing = f"{state.status} (level {state.level})" if state.level else state.status
    up_for = time.strftime("%H:%M:%S", time.gmtime(time.time() - state.since))
    return f"{state.model}: {doing}, vLLM {state.version}{context}, up for {up_for}"


def _public(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {name: value for name, value in dataclasses.asdict(state).items() if name != "key"}
