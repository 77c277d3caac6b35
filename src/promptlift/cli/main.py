"""The command itself: finds its subcommands without loading them, and turns errors to one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import click

from promptlift import __version__
from promptlift.errors import PromptliftError

__all__ = ["cli", "main"]


# Name, module and one line of help each: loading the modules for the list would cost more than
# printing it. A test holds the lines equal to the commands' own.
COMMANDS = {
    "run": ("run", "Turn VIDEO and a short PROMPT into a long prompt."),
    "batch": ("batch", "Upsample many videos; run it again to resume."),
    "budget": ("budget", "Show what frames of VIDEO or WxH cost, and the size that fits."),
    "render": ("render", "Say the prompt of RECORD again in the form of another target."),
    "hint": ("media", "Write the frames of VIDEO that a model would be shown."),
    "sweep": ("sweep", "Show which frame sizes fit into a model's context, and why."),
    "facts": ("media", "Measure VIDEO without a model: camera motion, light, colours, cuts."),
    "check": ("check", "Review prompts in files, without a model."),
    "bench": ("bench", "Score the review on labelled answers, or upsamplers by their answers."),
    "targets": (
        "targets",
        "List the generators that prompts are written for, or show what one wants.",
    ),
    "cosmos": ("cosmos", "Upsample and check the spec files of NVIDIA's Cosmos generators."),
    "engine": ("engine", "Start, monitor and stop a vLLM server."),
    "serve": ("serve", "Serve the HTTP API and the web page, on this machine or for a team."),
    "doctor": ("doctor", "Check the installation and suggest fixes."),
}

DEFECT = 70
"""EX_SOFTWARE of sysexits.h."""

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


class _Lazy(click.Group):
    """A group whose commands are loaded when they are called."""

    # ruff: noqa: ARG002 - click sets these signatures

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"promptlift.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="promptlift %(version)s")
def cli() -> None:
    """Turn a video and a short prompt into the long prompt that a video generator wants.

    Exit codes: 0 success, 1 no prompt passed the review or some rows failed, 2 invalid options or
    input, 3 engine failure, 70 internal error, 75 batch stopped before its end, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and end the process with its exit code; see `cli`."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="promptlift", standalone_mode=False)
    except PromptliftError as error:
        _say(f"promptlift: error: {error}")
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("promptlift: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone; keep Python from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - its exit code must not be that of a rejected answer
        traceback.print_exc()
        _say("promptlift: this is a defect of promptlift; please report it with the lines above")
        return DEFECT
    return result if isinstance(result, int) else 0


def _say(line: str) -> None:
    click.echo(line.encode("utf-8", "replace").decode(), err=True)
