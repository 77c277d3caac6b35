"""Which vLLM is used: the one that is named, else ours, else the one on PATH."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from promptlift.engines.vllm.installation import PYTHON_VARIABLE, find_installation
from promptlift.errors import ConfigEngineError


def _python(folder: Path, vllm: str | None) -> Path:
    """An interpreter that says it has that vLLM."""
    folder.mkdir(parents=True)
    about = {"vllm": vllm, "torch": "2.13.0", "transformers": None, "fast_loader": True}
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho noise\necho '{json.dumps(about)}'\n")
    python.chmod(0o755)
    return python


def _command(folder: Path, shebang: str) -> Path:
    """An installed command ``vllm``."""
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "vllm"
    command.write_text(f"{shebang}\nimport sys\n")
    command.chmod(0o755)
    return command


def test_the_named_one_is_asked_what_it_has(tmp_path: Path) -> None:
    """Versions come from that interpreter's own metadata; the line they are on may be the last."""
    python = _python(tmp_path / "env", "0.32.0+cpu")
    found = find_installation(str(python), {})
    assert found.python == str(python)
    assert (found.version, found.torch, found.transformers) == ("0.32.0+cpu", "2.13.0", "")
    assert found.fast_loader
    assert found.for_cpu
    assert not found.is_ours


def test_a_build_for_gpus_is_not_for_the_cpu(tmp_path: Path) -> None:
    """The part after the plus sign tells."""
    assert not find_installation(str(_python(tmp_path / "a", "0.9.2")), {}).for_cpu
    assert not find_installation(str(_python(tmp_path / "b", "0.33.0+cu130")), {}).for_cpu


def test_the_variable_names_one_as_well(tmp_path: Path) -> None:
    """The option goes before the variable."""
    by_variable = _python(tmp_path / "variable", "0.9.2")
    by_option = _python(tmp_path / "option", "0.33.0")
    environ = {PYTHON_VARIABLE: str(by_variable)}
    assert find_installation(None, environ).version == "0.9.2"
    assert find_installation(str(by_option), environ).version == "0.33.0"


@pytest.mark.parametrize("name", ["missing", "without", "broken"])
def test_a_named_one_without_vllm_is_an_error(tmp_path: Path, name: str) -> None:
    """Who names an interpreter does not get another one's vLLM."""
    _python(tmp_path / "without", None)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "python").write_text("no program")
    with pytest.raises(ConfigEngineError, match="is no Python that has vLLM"):
        find_installation(str(tmp_path / name / "python"), {})


def test_the_command_on_path_leads_to_its_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its first line, or where that is a shell's, by the interpreter beside it."""
    monkeypatch.setattr(sys, "executable", str(_python(tmp_path / "ours", None)))
    python = _python(tmp_path / "env", "0.31.0")
    for shebang in (f"#!{python}", "#!/bin/sh", "#!/usr/bin/env python"):
        folder = _command(tmp_path / "env", shebang).parent
        assert find_installation(None, {"PATH": str(folder)}).version == "0.31.0"


def test_ours_goes_before_the_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has both promptlift and vLLM uses its own."""
    monkeypatch.setattr(sys, "executable", str(_python(tmp_path / "ours", "0.33.0")))
    python = _python(tmp_path / "env", "0.9.2")
    folder = _command(tmp_path / "env", f"#!{python}").parent
    found = find_installation(None, {"PATH": str(folder)})
    assert found.version == "0.33.0"
    assert found.is_ours


def test_none_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy names the option and the variable."""
    monkeypatch.setattr(sys, "executable", str(_python(tmp_path / "ours", None)))
    with pytest.raises(ConfigEngineError, match="vLLM is not installed") as raised:
        find_installation(None, {"PATH": str(tmp_path)})
    assert "--vllm-python" in raised.value.remedy
    assert PYTHON_VARIABLE in raised.value.remedy


def test_this_interpreter_is_really_asked() -> None:
    """The question itself runs: here, where there is no vLLM, it finds none."""
    with pytest.raises(ConfigEngineError, match="is no Python that has vLLM"):
        find_installation(sys.executable, {})
