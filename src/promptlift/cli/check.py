"""``promptlift check``: review prompts that anybody wrote, without a model."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from promptlift.errors import SpecError
from promptlift.text import compact_json, counted, plain_text
from promptlift.types import COSMOS_CONTROLS, Kind

if TYPE_CHECKING:
    from promptlift.prompt_files import PromptInFile
    from promptlift.review import Finding, Review

__all__ = ["check"]

ERRORS_FOUND = 1
UNREADABLE = 2


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR|-...")
@click.option("--prompt", metavar="SHORT", help="Short prompt that the prompts were made from.")
@click.option(
    "--target",
    metavar="NAME",
    help="Generator that the prompts are for.  [default: as the file says, or cosmos-transfer1]",
)
@click.option("--video", metavar="CLIP", help="Measure this clip and compare with it.")
@click.option(
    "--control",
    type=click.Choice(tuple(dict.fromkeys((*get_args(Kind), *COSMOS_CONTROLS)))),
    help="Kind of the control video that the prompts were written from.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per prompt.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github"]),
    default="text",
    show_default=True,
    help="Print lines for people, or workflow commands of GitHub Actions.",
)
def _check_files(
    files: tuple[str, ...],
    prompt: str | None,
    target: str | None,
    video: str | None,
    control: str | None,
    as_json: bool,
    form: str,
) -> int:
    """Review prompts in files, without a model.

    A file is a text with one prompt, JSON or JSON lines with prompts, a record or an export of
    promptlift, or a Cosmos spec. Of a DIR, all .txt, .json and .jsonl files are read; - is one
    prompt from stdin. Each finding is one line: FILE:LINE:COLUMN: SEVERITY NAME: MESSAGE.

    Exit codes: 0 no errors, 1 at least one error, 2 a file cannot be read.
    """
    from promptlift.api import check
    from promptlift.options import Options
    from promptlift.targets import DEFAULT_TARGET
    from promptlift.targets import target as find_target

    find_target(target or DEFAULT_TARGET)
    shown = Options(control=control).control
    facts = info = None
    if video is not None:
        from promptlift.video import analyse

        analysis = analyse(video)
        facts, info = analysis.facts, analysis.info
    counts: Counter[str] = Counter()
    read: set[Path] = set()
    for path, found in _prompts(files, counts):
        read.add(path)
        for one in found:
            counts["prompts"] += 1
            wanted = target or one.target or DEFAULT_TARGET
            review = check(
                one.text,
                short_prompt=one.short_prompt if prompt is None else prompt,
                target=wanted,
                facts=facts,
                control=shown or one.control,
                info=info,
            )
            counts.update(finding.severity for finding in review.findings)
            if as_json:
                click.echo(compact_json(_as_json(one, review, wanted)))
                continue
            for finding in review.findings:
                if finding.severity != "info":
                    line = _line(one, review, finding, github=form == "github")
                    click.echo(plain_text(line))
    summary = [counted(counts["prompts"], "prompt"), counted(len(read), "file")]
    faults = f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}"
    click.echo(f"promptlift: {' in '.join(summary)}: {faults}", err=True)
    if counts["unreadable"]:
        return UNREADABLE
    return ERRORS_FOUND if counts["error"] else 0


check = _check_files  # the library's function has this name too


def _prompts(
    names: tuple[str, ...], counts: Counter[str]
) -> Iterator[tuple[Path, list[PromptInFile]]]:
    """Every file with its prompts; what cannot be read is reported on stderr and counted."""
    from promptlift.prompt_files import read_folder, read_prompts, text_prompt

    def refuse(path: object, error: SpecError) -> None:
        counts["unreadable"] += 1
        click.echo(plain_text(f"promptlift: error: {path}: {error}"), err=True)

    for name in names:
        path = Path(name)
        files: Iterable[tuple[Path, list[PromptInFile] | SpecError]]
        try:
            if name == "-":
                files = [(path, [text_prompt(path, _stdin())])]
            elif path.is_dir():
                files = list(read_folder(path))
            else:
                files = [(path, found)] if (found := read_prompts(path)) else []
            if not files:
                raise SpecError("there is no prompt in it", remedy="check the name")
        except SpecError as error:
            refuse(name, error)
            continue
        for file, result in files:
            if isinstance(result, SpecError):
                refuse(file, result)
            else:
                yield file, result


def _stdin() -> str:
    from promptlift.cosmos.spec_file import MAX_BYTES

    return sys.stdin.buffer.read(MAX_BYTES).decode("utf-8", "replace")


def _position(prompt: PromptInFile, review: Review, finding: Finding) -> tuple[int, int]:
    start, end = finding.span or (0, 0)
    return prompt.position(review.text[start:end], review.text[:start])


def _line(prompt: PromptInFile, review: Review, finding: Finding, *, github: bool) -> str:
    line, column = _position(prompt, review, finding)
    message = " ".join(finding.message.split())
    if not github:
        return f"{prompt.path}:{line}:{column}: {finding.severity} {finding.name}: {message}"
    properties = {
        "file": str(prompt.path),
        "line": line,
        "col": column,
        "title": f"promptlift: {finding.name}",
    }
    # What GitHub's own toolkit escapes in a message, and in a property besides.
    text = ",".join(
        f"{key}={_escape(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
    )
    return f"::{finding.severity} {text}::{_escape(finding.message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _as_json(prompt: PromptInFile, review: Review, target: str) -> dict[str, Any]:
    line, column = prompt.position()
    findings = []
    for finding in review.findings:
        place = dict(zip(("line", "column"), _position(prompt, review, finding), strict=True))
        findings.append(finding.model_dump(mode="json") | place)
    return {
        "file": str(prompt.path),
        "line": line,
        "column": column,
        "target": target,
        "verdict": review.verdict,
        "text": review.text,
        "findings": findings,
        "claims": [claim.model_dump(mode="json") for claim in review.claims],
    }
