"""``promptlift targets``: what each generator wants."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from promptlift.targets import Target, all_targets, describe, read_target, target

__all__ = ["targets"]


@click.command
@click.argument("name", required=False, metavar="[NAME|FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON.")
def targets(name: str | None, as_json: bool) -> None:
    r"""List the generators that prompts are written for, or show what one wants.

    FILE is a target of your own, a .toml file.

    \b
    Examples:
      promptlift targets
      promptlift targets ltx-2.5
      promptlift targets my-model.toml --json
    """
    if name is None:
        if as_json:
            click.echo(json.dumps([_plain(goal) for goal in all_targets()], indent=2))
            return
        width = max(len(goal.name) for goal in all_targets())
        for goal in all_targets():
            click.echo(f"{goal.name:{width}}  {_summary(goal)}")
        return
    goal = read_target(Path(name)) if name.endswith(".toml") else target(name)
    if as_json:
        click.echo(json.dumps(_plain(goal), indent=2))
        return
    click.echo(goal.label)
    for label, text in describe(goal):
        click.echo(f"  {label}: {text}")
    for example in goal.examples:
        click.echo(f"\nExample: {example.short}\n{example.prompt}")


def _summary(goal: Target) -> str:
    form = {"prose": "", "json": "JSON, ", "sections": "sections, "}[goal.form]
    languages = goal.writes or " or ".join(goal.languages[:2])
    return f"{form}{goal.min_words} to {goal.max_words} words, {goal.limit:,} tokens, {languages}"


def _plain(goal: Target) -> dict[str, object]:
    made: dict[str, object] = msgspec.to_builtins(goal)
    return made
