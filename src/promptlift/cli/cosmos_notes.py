"""What a person is told while spec files are worked on: notes on stderr, results on stdout."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli.live import Live
from promptlift.core.text import counted
from promptlift.cosmos.items import Item
from promptlift.engines.embedded import NO_MODEL_NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.cosmos.results import Change, Finished, Result
    from promptlift.cosmos.spec import Spec
    from promptlift.errors import PromptliftError

__all__ = ["CosmosNotes"]


class CosmosNotes(Live):
    """Progress, what became of each item, and the count of what went wrong.

    Args:
        quiet: Say nothing but errors on stderr.
        dry_run: Show the changes on stdout in place of the files written.

    Attributes:
        unusable: Specs that could not be used.
        unfinished: Items without a fit prompt.
    """

    def __init__(self, *, quiet: bool, dry_run: bool) -> None:
        super().__init__("reading specs", quiet=quiet)
        self.quiet = quiet
        self.dry_run = dry_run
        self.unusable = 0
        self.unfinished = 0
        self._statuses: dict[str, int] = {}
        self._total = 0
        self._begun = 0
        self._noted: set[str] = set()

    def refuse(self, path: Path, error: PromptliftError) -> None:
        """Tell of a spec that cannot be used."""
        self.unusable += 1
        _say(f"promptlift: error: {path}: {error}")

    def about_spec(self, spec: Spec) -> None:
        """Tell what a spec was taken for, and what the generator will stumble over."""
        if spec.detected:
            self._note(f"{spec.path}: {spec.format.title} (--format {spec.format.name})")
        for line in spec.warnings:
            self._note(f"{spec.path}: warning: {line}")

    def count(self, items: int) -> None:
        """Take the number of items."""
        self._total = items

    def began(self, item: Item) -> None:
        """Show that another item's turn has come."""
        self._begun += 1
        where = f": {item.where}" if item.where else ""
        self.update(f"item {self._begun} of {self._total}{where}")

    def about(self, finished: Finished) -> None:
        """Tell what became of a spec's items, and what was written or would be."""
        name = str(finished.output.spec.path)
        for result in finished.results:
            self._item(name, result)
        self._kept(name, finished.results)
        for change in finished.changes:
            if self.dry_run:
                _show(change)
            else:
                self.wrote(change.path)

    def wrote(self, path: Path) -> None:
        """Name a file that was written."""
        click.echo(str(path))

    def summary(self) -> None:
        """Say how many items fared how."""
        self.close()
        counts = [f"{count} {name}" for name, count in sorted(self._statuses.items())]
        if self.unusable:
            counts.append(f"{counted(self.unusable, 'spec')} unusable")
        self._note(", ".join(counts) or "nothing to do")

    def _item(self, name: str, result: Result) -> None:
        where = f"{name}: {result.item.where}" if result.item.where else name
        first = not self._statuses.get("done")
        self._statuses[result.status] = self._statuses.get(result.status, 0) + 1
        for note in result.job.notes if result.job else ():
            self._once(f"{name}: {note}")
        if result.status in ("failed", "rejected"):
            self.unfinished += 1
            _say(f"promptlift: error: {where}: {result.status}: {result.reason}")
        elif result.status == "done":
            self._note(f"{where}: {_done(result)}")
            record = result.record
            if first and record and record.engine and record.engine.name == "embedded":
                self._note(NO_MODEL_NOTICE)

    def _kept(self, name: str, results: Sequence[Result]) -> None:
        """Say once for all items that were kept for the same reason."""
        kept: dict[str, list[str]] = {}
        for result in results:
            if result.status == "kept":
                kept.setdefault(result.reason, []).append(result.item.where)
        for reason, places in kept.items():
            some = f"{len(places)} items" if len(places) > 1 else places[0]
            self._note(f"{name}: {some + ': ' if some else ''}kept: {reason}")

    def _once(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._note(line)

    def _note(self, line: str) -> None:
        if not self.quiet:
            _say(f"promptlift: {line}")


def _done(result: Result) -> str:
    assert result.record is not None
    assert result.job is not None
    before, after = len(result.before.split()), len((result.after or "").split())
    tokens = result.record.tokens
    about = "about " if tokens.target_estimated else ""
    shown = "the video" if result.job.look_at == "rgb" else f"the {result.job.look_at} control"
    return (
        f"{before} -> {after} words, {about}{tokens.target} of {tokens.target_limit} tokens, "
        f"looking at {shown}"
    )


def _show(change: Change) -> None:
    """A change as a unified diff; of a sidecar only the name, since all of it is new."""
    if change.old is None:
        click.echo(f"# would write {change.path}")
        return
    old, new = change.old.split("\n"), change.new.split("\n")
    lines = difflib.unified_diff(old, new, str(change.source), str(change.path), n=2, lineterm="")
    for line in lines:
        click.echo(line.rstrip("\r"))


def _say(line: str) -> None:
    click.echo(line.encode("utf-8", "replace").decode(), err=True)
