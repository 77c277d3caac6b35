"""The doctor finds what is wrong, and says what to do about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptlift.cli.doctor import doctor
from promptlift.doctor import machine
from promptlift.doctor.core import check_core, check_run
from promptlift.doctor.finding import Finding
from promptlift.doctor.machine import check_machine
from promptlift.doctor.models import check_models
from promptlift.engines.vllm.gpus import GIB, Gpu
from stubs.openai_server import StubServer


def found(findings: object, name: str) -> Finding:
    """The one finding of that name."""
    (one,) = [f for f in findings if f.name == name]  # type: ignore[attr-defined]
    assert isinstance(one, Finding)
    return one


def test_a_good_machine_is_found_good() -> None:
    """Where the tests run, everything that every run needs is there."""
    assert {f.status for f in [*check_core(), *check_run()]} == {"ok"}


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed fails, and the remedy is the command."""
    monkeypatch.setattr("promptlift.doctor.core._PACKAGES", ("av", "no-such-package"))
    packages = found(check_core(), "packages")
    assert packages.status == "fail"
    assert packages.remedy == "pip install no-such-package"


def test_a_cache_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs work without a cache, so it does not fail."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "file" / "cache"))
    cache = found(check_core(), "cache folder")
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
    busy = Gpu(0, "GPU-0", "Card", 80 * GIB, 20 * GIB, (9, 0))
    free = Gpu(1, "GPU-1", "Card", 80 * GIB, 79 * GIB, (9, 0))
    monkeypatch.setattr(machine, "read_gpus", lambda _: [busy, free])
    gpus = [f for f in check_machine({}) if f.name == "GPU"]
    assert [f.status for f in gpus] == ["note", "ok"]
    assert "20.0 GiB of 80.0 GiB free" in gpus[0].detail


def test_little_shared_memory_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker's 64 MB is a note with the flag that raises it."""
    monkeypatch.setattr(machine, "_SHM", tmp_path)
    monkeypatch.setattr(machine, "_LITTLE_SHM", 1 << 60)
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
    """A table, JSON or only the steps; the exit code is 1 when something asked for is missing."""
    runner = CliRunner()
    table = runner.invoke(doctor, [], standalone_mode=False)
    assert table.return_value == 0
    assert "a whole run" in table.output
    shown = runner.invoke(doctor, ["--json", "--checkpoint-dir", "nowhere"], standalone_mode=False)
    assert shown.return_value == 1
    statuses = {entry["name"]: entry["status"] for entry in json.loads(shown.output)}
    assert statuses["checkpoint"] == "fail"
    steps = runner.invoke(doctor, ["--fix", "--checkpoint-dir", "nowhere"], standalone_mode=False)
    assert "hf download" in steps.output
    assert "Python 3" not in steps.output


def test_who_holds_a_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nvidia-smi says of a card's processes stands beside its memory; not another's."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU-0, 4711, python3, 60000 MiB'\necho 'GPU-1, 1, x, 1 MiB'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    busy = Gpu(0, "GPU-0", "Card", 80 * GIB, 20 * GIB, (9, 0))
    monkeypatch.setattr(machine, "read_gpus", lambda _: [busy])
    detail = found(check_machine({}), "GPU").detail
    assert detail.endswith("; held by python3 (4711, 60000 MiB)")


def test_ports_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback that nothing can listen on is a note; here it can be listened on."""
    assert found(check_machine({}), "ports").status == "ok"
    monkeypatch.setattr(machine, "_LOOPBACK", "192.0.2.1")
    assert found(check_machine({}), "ports").status == "note"


def test_a_late_clock_is_the_likely_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a server cannot be reached over TLS and the clock lies in the past, that is said."""
    monkeypatch.setattr("promptlift.doctor.models.time.time", lambda: 1.0e9)
    clock = found(check_models(base_url="https://127.0.0.1:9"), "clock")
    assert clock.status == "fail"
    assert "days behind" in clock.detail


def test_clashing_versions_beside_vllm_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment whose vLLM asks for another transformers than it has is a note."""
    site = tmp_path / "site"
    for name, version, needs in [
        ("vllm", "0.32.0", "transformers<5.20"),
        ("transformers", "5.23", ""),
    ]:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / name).mkdir()
        (site / name / "__init__.py").touch()
        required = f"Requires-Dist: {needs}\n" if needs else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}"
        )
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh
shift; shift
exec {sys.executable} -c "import sys; sys.path.insert(0, '{site}'); exec(sys.argv[1])" "$1"
""")
    python.chmod(0o755)
    vllm = found(check_models(vllm_python=str(python)), "vLLM")
    assert vllm.status == "note"
    assert "transformers 5.23, where <5.20 is needed" in vllm.detail
