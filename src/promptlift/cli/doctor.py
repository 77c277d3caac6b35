"""``promptlift doctor``: check the installation and suggest fixes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

__all__ = ["doctor"]

FAILED = 1
_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@click.command()
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    help="Also check the Cosmos upsampler's checkpoint in this directory.",
)
@click.option(
    "--vllm-python", metavar="PATH", help="Python interpreter of the environment with vLLM."
)
@click.option("--base-url", metavar="URL", help="Also check this OpenAI-compatible server.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable with that server's key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    checkpoint_dir: Path | None,
    vllm_python: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> int:
    """Check the installation and suggest fixes.

    Exit code 1 if something that every run needs, or that an option asks for, is missing.
    """
    from promptlift.doctor import check_core, check_machine, check_models, check_run

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
    else:
        wide = max(len(finding.name) for finding in findings)
        for finding in findings:
            click.echo(f"{_MARKS[finding.status]}  {finding.name:<{wide}}  {finding.detail}")
            if finding.remedy and finding.status != "ok":
                click.echo(f"{'':6}{'':<{wide}}  → {finding.remedy}")
    return FAILED if any(finding.status == "fail" for finding in findings) else 0
