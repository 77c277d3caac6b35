"""The doctor finds what is wrong, and says what to do about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptlift import doctor as machine
from promptlift.cli.main import cli
from promptlift.doctor import Diagnosis, check_core, check_machine, check_models, check_run
from promptlift.engines.vllm.launch import GIB, Gpu
from stubs.openai_server import StubServer


def found(findings: object, name: str) -> Diagnosis:
    """The one finding of that name."""
    (one,) = [f for f in findings if f.name == name]  # type: ignore[attr-defined]
    assert isinstance(one, Diagnosis)
    return one


def test_a_good_machine_is_found_good() -> None:
    """Where the tests run, everything that every run needs is there."""
    assert {f.status for f in [*check_core(), *check_run()]} == {"ok"}


def test_a_cache_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs work without a cache, so it does not fail."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "file" / "cache"))
    cache = found(check_core(), "cache")
    assert cache.status == "note"
    assert "PROMPTLIFT_CACHE" in cache.remedy


def test_torchrun_is_noticed() -> None:
    """The variables of a launcher are listed by name, and not by value."""
    environ = {"RANK": "0", "TORCHELASTIC_RUN_ID": "secret", "HOME": "/root"}
    launcher = found(check_machine(environ), "torchrun")
    assert launcher.status == "note"
    assert launcher.detail == "set: RANK, TORCHELASTIC_RUN_ID"
    assert found(check_machine({}), "torchrun").status == "ok"


def test_a_gpu_that_others_hold_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card with most of its memory taken is a note; a free one is fine."""
    busy = Gpu(0, "GPU-0", "Card", 80 * GIB, 20 * GIB)
    free = Gpu(1, "GPU-1", "Card", 80 * GIB, 79 * GIB)
    monkeypatch.setattr(machine, "read_gpus", lambda _: [busy, free])
    gpus = [f for f in check_machine({}) if f.name == "GPU"]
    assert [f.status for f in gpus] == ["note", "ok"]
    assert "20.0 GiB of 80.0 GiB free" in gpus[0].detail


def test_little_shared_memory_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker's 64 MB is a note with the flag that raises it."""
    monkeypatch.setattr(machine, "_SHM", tmp_path)
    monkeypatch.setattr(machine, "GIB", 1 << 60)
    assert "--ipc=host" in found(check_machine({}), "shared memory").remedy


def test_vllm_is_needed_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vLLM nothing fails, unless an interpreter was named that has none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)
    assert found(check_models(), "vLLM").status == "note"
    assert found(check_models(vllm_python=sys.executable), "vLLM").status == "fail"


def test_a_missing_checkpoint_fails_when_named(tmp_path: Path) -> None:
    """A folder without the checkpoint fails, and says how to get it."""
    checkpoint = found(check_models(checkpoint_dir=tmp_path), "checkpoint")
    assert checkpoint.status == "fail"
    assert "hf download" in checkpoint.remedy


def test_a_server_is_asked() -> None:
    """A server that answers is described; one that does not is a failure with a remedy."""
    with StubServer("vllm-0.32") as server:
        good = found(check_models(base_url=server.base_url), "server")
        assert good.status == "ok"
        assert "4,096 tokens" in good.detail
    bad = found(check_models(base_url=server.base_url), "server")
    assert bad.status == "fail"
    assert bad.remedy


def test_the_command_prints_what_was_found() -> None:
    """A table or JSON; the exit code is 1 when something asked for is missing."""
    runner = CliRunner()
    table = runner.invoke(cli, ["doctor"], standalone_mode=False)
    assert table.return_value == 0
    assert "test run" in table.output
    nowhere = ["--checkpoint-dir", "nowhere"]
    shown = runner.invoke(cli, ["doctor", "--json", *nowhere], standalone_mode=False)
    assert shown.return_value == 1
    statuses = {entry["name"]: entry["status"] for entry in json.loads(shown.output)}
    assert statuses["checkpoint"] == "fail"
