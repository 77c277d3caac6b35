"""``promptlift doctor``: what is there, what is missing, and what to do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from promptlift.doctor.finding import Finding

__all__ = ["doctor"]

FAILED = 1
_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@click.command()
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    help="Look at the Cosmos upsampler's checkpoint in this folder as well.",
)
@click.option("--vllm-python", metavar="PATH", help="The Python that has vLLM.")
@click.option("--base-url", metavar="URL", help="Ask this server as well.")
@click.option("--api-key-env", metavar="NAME", help="The variable that holds the server's key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--fix", is_flag=True, help="Print the commands and steps that would mend things; run none."
)
def doctor(
    checkpoint_dir: Path | None,
    vllm_python: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
    fix: bool,
) -> int:
    """Look at everything a run needs, and say what is wrong and what to do.

    Exit code 1 when something that is needed, or was asked for, is not there.
    """
    from promptlift.doctor.core import check_core, check_run
    from promptlift.doctor.machine import check_machine
    from promptlift.doctor.models import check_models

    findings = [
        *check_core(),
        *check_machine(),
        *check_models(
            checkpoint_dir=checkpoint_dir,
            vllm_python=vllm_python,
            base_url=base_url,
            api_key_env=api_key_env,
        ),
        *check_run(),
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    elif fix:
        click.echo(_steps(findings))
    else:
        click.echo(_table(findings))
    return FAILED if any(finding.status == "fail" for finding in findings) else 0


def _table(findings: list[Finding]) -> str:
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.status]}  {finding.name:<{wide}}  {finding.detail}")
        if finding.remedy and finding.status != "ok":
            lines.append(f"{'':6}{'':<{wide}}  → {finding.remedy}")
    return "\n".join(lines)


def _steps(findings: list[Finding]) -> str:
    steps = [f for f in findings if f.remedy and f.status != "ok"]
    return "\n".join(f"# {f.name}: {f.detail}\n{f.remedy}" for f in steps) or "# nothing to mend"
