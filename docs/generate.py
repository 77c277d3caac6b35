"""Writes the pages of the reference that follow from the code; a test holds them up to date.

``python docs/generate.py`` after a change of a command, an error, a target or the record.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from promptlift import errors
from promptlift.cli.main import COMMANDS, cli
from promptlift.record import Record
from promptlift.review.request import understand
from promptlift.targets import Target, all_targets, describe
from promptlift.targets.templates import TEMPLATES, TemplateInput

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
    """The generators that prompts are written for, with their limits."""
    rows = [
        f"| [`{t.name}`](targets/{t.name}.md) | {t.limit:,} {t.unit} "
        f"| {t.min_words} to {t.max_words} | {', '.join(t.languages)} |"
        for t in all_targets()
    ]
    head = "| target | limit | words of a good prompt | languages |\n|---|---|---|---|"
    end = (
        "\nEach page has the whole contract and an example. `promptlift targets NAME` prints the "
        "same, and [Targets](../how-to/targets.md) says how to write one of your own.\n"
    )
    return "\n".join([NOTE, "# Targets\n", head, *rows, end])


def target_page(goal: Target) -> str:
    """A target's contract, what a model is told for it, and an example."""
    parts = [NOTE, f"# {goal.name}\n", "| | |\n|---|---|"]
    parts += [f"| {label} | {text} |" for label, text in describe(goal)]
    for example in goal.examples:
        turn = TEMPLATES["instruct/2"].render(TemplateInput(understand(example.short), goal))
        parts += [
            "\n## Example\n",
            f"```text\n{example.short}\n```\n",
            "A general model that is given no picture is told:\n",
            f"```text\n{turn.system}\n\n{turn.text}\n```\n",
            "A prompt that meets the contract and passes `promptlift check`:\n",
            f"```{'json' if goal.form == 'json' else 'text'}\n{example.prompt}\n```",
        ]
    return "\n".join([*parts, ""])


def record_schema() -> str:
    """The JSON schema of a record."""
    return json.dumps(Record.model_json_schema(mode="serialization"), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "errors.md": error_codes,
    "targets.md": targets,
    **{f"targets/{goal.name}.md": partial(target_page, goal) for goal in all_targets()},
    "record.schema.json": record_schema,
}


def main() -> None:
    """Write all pages."""
    (REFERENCE / "targets").mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
