"""The command itself: finds its subcommands without loading them, and turns errors to one line."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from promptlift import __version__
from promptlift.errors import PromptliftError

__all__ = ["cli", "loading", "main"]


@contextmanager
def loading() -> Iterator[None]:
    """Hold off the garbage collector while modules are imported.

    They make objects by the hundred thousand, all of which stay, and the collector would go
    through them again and again, for an eighth of the time that importing takes. What is there
    at the end it never looks at any more.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


# Name, module and one line of help each: loading the modules for the list would cost more than
# printing it. A test holds the lines equal to the commands' own.
COMMANDS = {
    "run": ("run", "Turn VIDEO and a short PROMPT into the long prompt."),
    "batch": ("batch", "Upsample thousands of videos; run it again and it does what is left."),
    "budget": ("budget", "Show what frames of VIDEO or WxH cost, and the size that fits."),
    "hint": ("media", "Write the few frames of VIDEO that a model would be shown."),
    "sweep": ("sweep", "Show which sizes of frames a model takes, and why."),
    "facts": ("media", "Say what can be measured about VIDEO without a model."),
    "cosmos": ("cosmos", "Upsample and check the spec files of NVIDIA's Cosmos generators."),
    "engine": ("engine", "Start, watch and end the vLLM that promptlift owns."),
    "serve": ("serve", "Serve prompts over HTTP, on this machine or for a team."),
    "doctor": ("doctor", "Look at everything a run needs, and say what is wrong and what to do."),
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
        with loading():
            module = importlib.import_module(f"promptlift.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="promptlift %(version)s")
def cli() -> None:
    """Turn a video and a short prompt into the long prompt that a video model wants."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and end the process with its exit code.

    0 is success, 1 an answer that no review let pass, 2 a mistake in the call or its input,
    3 trouble with the engine, 70 a defect of promptlift's own.
    """
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
