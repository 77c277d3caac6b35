"""``promptlift engine``: start a vLLM that stays up, check it, put it to sleep, end it."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from promptlift.engines.vllm.state import EngineState

__all__ = ["engine"]

NOT_UP_EXIT = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def engine() -> None:
    """Start, watch and end the vLLM that promptlift owns."""


@engine.command("up")
@click.argument("model", required=False)
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    help="Folder of Cosmos's checkpoints, or of the upsampler itself.",
)
@click.option("--vllm-python", metavar="PATH", help="The Python of the environment that has vLLM.")
@click.option("--gpu", type=int, help="Index of the GPU; by default the one with most free memory.")
@click.option("--context", type=int, help="Tokens of prompt and answer; by default 9216 or less.")
@click.option("--images", type=int, default=2, show_default=True, help="Most images in a request.")
@click.option("--sequences", type=int, default=16, show_default=True, help="Requests at a time.")
@click.option("--quantization", metavar="NAME", help="fp8 halves the weights on GPUs that can.")
@click.option("--fast-start", is_flag=True, help="Start sooner and answer slower.")
@click.option("--no-sleep", is_flag=True, help="Start without sleep mode.")
@click.option(
    "--idle-sleep",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Sleep when idle for so long.",
)
@click.option("--start-timeout", type=float, default=1800, show_default=True, metavar="SECONDS")
@click.option("--vllm-argument", multiple=True, metavar="ARG", help="Passed to `vllm serve`.")
def _up(
    model: str | None,
    vllm_python: str | None,
    no_sleep: bool,
    idle_sleep: float | None,
    vllm_argument: tuple[str, ...],
    **options: Any,
) -> None:
    """Start an engine that stays up, and wait until it answers.

    MODEL is a name on the hub or a folder; with --checkpoint-dir it may be left out, and the
    Cosmos upsampler is meant.
    """
    from rich.console import Console

    from promptlift.engines.settings import VllmSettings
    from promptlift.engines.vllm.owner import bring_up

    if no_sleep and idle_sleep is not None:
        raise click.UsageError("leave one of --idle-sleep and --no-sleep out")
    settings = VllmSettings(
        model=model, python=vllm_python, sleep=not no_sleep, arguments=vllm_argument, **options
    )
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
@click.option("--json", "as_json", is_flag=True, help="As JSON, without the key.")
def _status(as_json: bool) -> int:
    """Show which engine is up, and what it is doing; exit code 3 when none is."""
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    if as_json:
        shown = None if state is None else dataclasses.asdict(state)
        if shown is not None:
            del shown["key"]
        click.echo(json.dumps(shown, indent=2))
    elif state is None:
        click.echo("no engine is up")
    else:
        click.echo(_one_line(state))
        if state.status == "ready":
            activity = state.activity() if state.is_healthy() else None
            click.echo(
                "it does not answer" if activity is None else f"{activity[0]} requests in progress"
            )
        click.echo(state.note)
        click.echo(f"log: {state.log}")
    return 0 if state is not None else NOT_UP_EXIT


@engine.command("sleep")
def _sleep() -> None:
    """Release the GPU's memory and keep the engine; the next request wakes it."""
    from promptlift.engines.vllm.owner import set_asleep

    click.echo(_one_line(set_asleep(True)))


@engine.command("wake")
def _wake() -> None:
    """Wake the engine."""
    from promptlift.engines.vllm.owner import set_asleep

    click.echo(_one_line(set_asleep(False)))


@engine.command("down")
def _down() -> None:
    """End the engine with all its processes."""
    from promptlift.engines.vllm.owner import take_down

    click.echo("the engine is down" if take_down() else "no engine is up")


@engine.command("logs")
@click.option("-n", "--lines", type=click.IntRange(1), default=40, show_default=True)
@click.option("--path", "only_path", is_flag=True, help="Print only the path of the log.")
def _logs(lines: int, only_path: bool) -> None:
    """Show the end of the latest engine's log."""
    from promptlift.engines.vllm.process import read_log
    from promptlift.engines.vllm.state import log_folder
    from promptlift.errors import ConfigEngineError

    there = sorted(log_folder().glob("engine-*.log"))
    if not there:
        raise ConfigEngineError(
            "no engine has written a log", remedy="start one with `promptlift engine up`"
        )
    click.echo(str(there[-1]) if only_path else "\n".join(read_log(there[-1])[-lines:]))


def _one_line(state: EngineState) -> str:
    context = "" if state.context is None else f", context {state.context:,}"
    up_for = time.strftime("%H:%M:%S", time.gmtime(time.time() - state.since))
    return f"{state.model}: {state.status}, vLLM {state.version}{context}, up for {up_for}"
