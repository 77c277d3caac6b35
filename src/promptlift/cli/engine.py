"""``promptlift engine``: start a vLLM server, show its state, put it to sleep, stop it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import vllm_options

if TYPE_CHECKING:
    from promptlift.engines.vllm.state import EngineState

__all__ = ["engine"]

NOT_UP_EXIT = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def engine() -> None:
    """Start, monitor and stop a vLLM server."""


@engine.command("up")
@click.argument("model", required=False)
@vllm_options
def _up(model: str | None, **settings: Any) -> None:
    """Start vLLM in the background, and wait until it answers.

    MODEL is a model on the Hugging Face hub or a directory. With --checkpoint-dir and no MODEL
    the Cosmos upsampler is started.
    """
    from promptlift.engines.settings import VllmSettings
    from promptlift.engines.vllm.daemon import bring_up

    click.echo(_one_line(bring_up(VllmSettings(model=model, **settings), _start_report())))


@engine.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without the API key.")
def _status(as_json: bool) -> int:
    """Show the running engine and its requests; exit code 3 if none is running."""
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    if as_json:
        values = {} if state is None else dataclasses.asdict(state)
        values.pop("key", None)
        click.echo(json.dumps(values or None, indent=2))
    elif state is None:
        click.echo("no engine is up")
    else:
        click.echo(_one_line(state))
        if state.status == "ready":
            activity = state.endpoint.activity() if state.endpoint.is_healthy() else None
            click.echo(
                "the engine does not answer"
                if activity is None
                else f"{activity[0]} requests in progress"
            )
        click.echo(state.note)
        click.echo(f"log: {state.log}")
    return 0 if state is not None else NOT_UP_EXIT


@engine.command("sleep")
@click.option(
    "--level",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="1 keeps the weights in main memory, 2 discards them.",
)
def _sleep(level: int) -> None:
    """Release the GPU memory; the next request wakes the engine."""
    from promptlift.engines.vllm.daemon import put_to_sleep

    click.echo(_one_line(put_to_sleep(level)))


@engine.command("wake")
def _wake() -> None:
    """Wake the engine."""
    from promptlift.engines.vllm.daemon import wake_up

    click.echo(_one_line(wake_up()))


@engine.command("down")
def _down() -> None:
    """Stop the engine and all its processes."""
    from promptlift.engines.vllm.daemon import take_down

    click.echo("the engine is stopped" if take_down() else "no engine is running")


@engine.command("logs")
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=40, show_default=True, help="Number of lines."
)
@click.option("--path", "only_path", is_flag=True, help="Print the path of the log instead.")
def _logs(lines: int, only_path: bool) -> None:
    """Show the end of the latest log."""
    from promptlift.engines.vllm.process import log_tail
    from promptlift.engines.vllm.state import log_folder
    from promptlift.errors import ConfigEngineError

    there = sorted(log_folder().glob("engine-*.log"))
    if not there:
        raise ConfigEngineError(
            "there is no engine log", remedy="start an engine with `promptlift engine up`"
        )
    click.echo(str(there[-1]) if only_path else "\n".join(log_tail(there[-1], lines)))


def _start_report() -> Callable[[dict[str, Any]], None]:
    """What prints each stage of a start once, on stderr."""
    from promptlift.engines.vllm.process import START_STAGES

    shown = ""

    def report(message: dict[str, Any]) -> None:
        nonlocal shown
        if "note" in message:
            click.echo(f"vLLM {message['version']}: {message['note']}", err=True)
        elif (text := START_STAGES.get(message.get("stage", ""), shown)) != shown:
            click.echo(f"{message['seconds']:.0f} s: {text}", err=True)
            shown = text

    return report


def _one_line(state: EngineState) -> str:
    context = "" if state.context is None else f", context {state.context:,}"
    doing = f"{state.status} (level {state.level})" if state.level else state.status
    up_for = time.strftime("%H:%M:%S", time.gmtime(time.time() - state.since))
    return f"{state.model}: {doing}, vLLM {state.version}{context}, up for {up_for}"
