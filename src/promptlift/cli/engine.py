"""``promptlift engine``: start a vLLM server, show its state, put it to sleep, stop it."""

from __future__ import annotations

import dataclasses
import json
import time
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
@click.option(
    "--idle-sleep",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Go to sleep after so many idle seconds.",
)
def _up(model: str | None, idle_sleep: float | None, **options: Any) -> None:
    """Start vLLM in the background, and wait until it answers.

    MODEL is a model on the Hugging Face hub or a directory. With --checkpoint-dir and no MODEL
    the Cosmos upsampler is started.
    """
    from rich.console import Console

    from promptlift.engines.settings import VllmSettings
    from promptlift.engines.vllm.owner import bring_up

    settings = VllmSettings(model=model, **options)
    if idle_sleep is not None and not settings.sleep:
        raise click.UsageError("leave one of --idle-sleep and --no-sleep out")
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    with console.status("checking the model and the machine") as spinner:

        def report(message: dict[str, Any]) -> None:
            if "note" in message:
                console.print(f"vLLM {message['version']}: {message['note']}")
            elif "stage" in message:
                spinner.update(f"starting, {message['seconds']:.0f} s: {message['stage']}")

        state = bring_up(settings, report, idle_sleep=idle_sleep)
    click.echo(_one_line(state))


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
            activity = state.activity() if state.is_healthy() else None
            click.echo(
                "the engine does not answer"
                if activity is None
                else f"{activity[0]} requests in progress"
            )
        click.echo(state.note)
        click.echo(f"log: {state.log}")
    return 0 if state is not None else NOT_UP_EXIT


@engine.command("sleep")
def _sleep() -> None:
    """Release the GPU memory; the next request wakes the engine."""
    from promptlift.engines.vllm.owner import set_asleep

    click.echo(_one_line(set_asleep(True)))


@engine.command("wake")
def _wake() -> None:
    """Wake the engine."""
    from promptlift.engines.vllm.owner import set_asleep

    click.echo(_one_line(set_asleep(False)))


@engine.command("down")
def _down() -> None:
    """Stop the engine and all its processes."""
    from promptlift.engines.vllm.owner import take_down

    click.echo("the engine is stopped" if take_down() else "no engine is running")


@engine.command("logs")
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=40, show_default=True, help="Number of lines."
)
@click.option("--path", "only_path", is_flag=True, help="Print the path of the log instead.")
def _logs(lines: int, only_path: bool) -> None:
    """Show the end of the latest log."""
    from promptlift.engines.vllm.process import read_log
    from promptlift.engines.vllm.state import log_folder
    from promptlift.errors import ConfigEngineError

    there = sorted(log_folder().glob("engine-*.log"))
    if not there:
        raise ConfigEngineError(
            "there is no engine log", remedy="start an engine with `promptlift engine up`"
        )
    click.echo(str(there[-1]) if only_path else "\n".join(read_log(there[-1])[-lines:]))


def _one_line(state: EngineState) -> str:
    context = "" if state.context is None else f", context {state.context:,}"
    up_for = time.strftime("%H:%M:%S", time.gmtime(time.time() - state.since))
    return f"{state.model}: {state.status}, vLLM {state.version}{context}, up for {up_for}"
