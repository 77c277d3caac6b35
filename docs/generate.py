"""Writes the pages of the reference that follow from the code; a test holds them up to date.

``python docs/generate.py`` after a change of a command, an error, a target or the record.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import click

from promptlift import errors
from promptlift.cli.main import COMMANDS, cli
from promptlift.record import Record
from promptlift.targets import Target, all_targets

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n"


def commands() -> str:
    """Every command's help, as the command prints it."""
    parts = [NOTE, "# Commands\n"]
    top = click.Context(cli, info_name="promptlift", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        parts += [f"## promptlift {name}\n", *_help(command, top, name)]
    return "\n".join(parts)


def _help(command: click.Command, parent: click.Context, name: str) -> list[str]:
    # click keeps a command's help option from its first use, which may have had no parent.
    vars(command)["_help_option"] = None
    context = click.Context(command, info_name=name, parent=parent, terminal_width=80)
    parts = [f"```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            assert inner is not None
            parts += [f"### promptlift {name} {sub}\n", *_help(inner, context, sub)]
    return parts


def error_codes() -> str:
    """Every error with its code, exit code and meaning."""
    rows = [
        f"| `{cls.code}` | {name} | {cls.exit_code} | {'yes' if cls.retryable else 'no'} "
        f"| {str(inspect.getdoc(cls)).splitlines()[0]} |"
        for name in errors.__all__
        for cls in [getattr(errors, name)]
    ]
    head = "| code | class | exit code | worth a retry | meaning |\n|---|---|---|---|---|"
    return "\n".join([NOTE, "# Errors\n", head, *rows, ""])


def targets() -> str:
    """What each generator reads and wants, with the source of its limit."""
    rows = [
        f"| `{t.name}` | {t.limit} {t.unit} | {t.min_words} to {t.max_words} "
        f"| {', '.join(t.languages)} | {_wants(t)} | {t.source} | {t.note} |"
        for t in all_targets()
    ]
    head = (
        "| target | limit | words of a good prompt | languages | besides | source | note |\n"
        "|---|---|---|---|---|---|---|"
    )
    end = "\n[What the model is told](../how-to/templates.md) says how this is used.\n"
    return "\n".join([NOTE, "# Targets\n", head, *rows, end])


def _wants(goal: Target) -> str:
    """What a target wants besides length and language, in words."""
    wants = {
        "the camera": goal.camera == "required",
        "no camera motion that was neither ordered nor measured": goal.camera == "only asked",
        "shot size and angle": goal.shot,
        "sound": goal.sound,
        "the style first": goal.style == "first",
        "tags of style last": goal.style == "last tags",
        "words to be drawn or spoken in quotation marks": goal.quotes,
        'may open with "The video shows"': goal.openings,
    }
    return "; ".join(words for words, is_wanted in wants.items() if is_wanted)


def record_schema() -> str:
    """The JSON schema of a record."""
    return json.dumps(Record.model_json_schema(mode="serialization"), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "errors.md": error_codes,
    "targets.md": targets,
    "record.schema.json": record_schema,
}


def main() -> None:
    """Write all pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
