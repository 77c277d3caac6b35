"""Engines by name and in one line: the settings that they take, from programs, texts, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from promptlift.cli.engines import engine_options, given_settings
from promptlift.engines.no_model import EmbeddedEngine
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.registry import ENGINES, make_engine, parse_engine
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.errors import OptionError

URL = "http://127.0.0.1:8000/v1"


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, in which no engine has left a sign."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, EmbeddedEngine),
        ({"base_url": URL}, OpenAIEngine),
        ({"model": "owner/name"}, VllmEngine),
        ({"checkpoint_dir": Path("checkpoints")}, VllmEngine),
    ],
)
@pytest.mark.parametrize("retries", [None, 0])
def test_the_settings_say_which_engine_is_meant(
    settings: dict[str, Any], kind: type[object], retries: int | None
) -> None:
    """An address, a model or nothing; how often to try again does not change it."""
    asking: dict[str, Any] = {} if retries is None else {"retries": retries}
    engine = make_engine("auto", **settings, **asking)
    assert type(engine) is kind
    if isinstance(engine, OpenAIEngine) and retries is not None:
        assert engine.settings.retries == retries


@pytest.mark.parametrize(
    ("name", "settings", "said", "remedy"),
    [
        ("gpt", {}, "there is no engine 'gpt'", ", ".join(ENGINES)),
        ("embedded", {"retries": 0}, "does not accept 'retries'", "remove it"),
        ("openai", {}, "needs base_url", "--base-url"),
        (
            "openai",
            {"base_url": URL, "gpu": 0},
            "does not accept 'gpu'",
            "it accepts base_url, model",
        ),
        ("openai", {"base_url": URL, "context": -1}, "context is -1", "equal to 1"),
        ("llamacpp", {"model": "a", "mmproj": "b", "threads": 0}, "threads is 0", "equal to 1"),
    ],
)
def test_what_an_engine_does_not_take_is_a_mistake(
    name: str, settings: dict[str, Any], said: str, remedy: str
) -> None:
    """A setting that would have no effect is refused, and what there is is named."""
    with pytest.raises(OptionError, match=said) as caught:
        make_engine(name, **settings)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "label", "name", "settings"),
    [
        ("embedded", "embedded", "embedded", {}),
        ("auto", "embedded", "embedded", {}),
        (f"auto:base_url={URL}", "openai", "openai", {"base_url": URL}),
        (
            f"big-one.2=openai:base-url={URL}, model=a=b/c:d, api-key-env=MY_KEY,timeout=2.5",
            "big-one.2",
            "openai",
            {"base_url": URL, "model": "a=b/c:d", "api_key_env": "MY_KEY", "timeout": 2.5},
        ),
        (
            r"vllm:checkpoint_dir=/a\,b,gpu=1,fast_start=true,arguments=--a 'b c',retries=2",
            "vllm",
            "vllm",
            {
                "checkpoint_dir": Path("/a,b"),
                "gpu": 1,
                "fast_start": True,
                "arguments": ("--a", "b c"),
                "retries": 2,
            },
        ),
    ],
)
def test_an_engine_in_one_line_is_understood(
    text: str, label: str, name: str, settings: dict[str, Any]
) -> None:
    """Values have the types that the engine takes, and the engine can be made of them."""
    spec = parse_engine(text)
    assert (spec.label, spec.name, dict(spec.settings)) == (label, name, settings)
    make_engine(spec.name, **{k: v for k, v in settings.items() if k != "api_key_env"})


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("", "there is no engine ''", "such as embedded, or small=openai:base_url="),
        ("my label=embedded", "'my label' is no label", "letters, digits"),
        ("openai", "the engine 'openai' needs base_url", "--base-url"),
        (f"openai:base_url={URL},sk-secret", "setting 2 of an engine is no SETTING=", r"is \,"),
        (f"openai:base_url={URL},api_key=sk-secret", "does not accept 'api_key'", "api_key_env"),
        (f"openai:base_url={URL},base-url={URL}", "setting 2 of an engine is", "SETTING=VALUE"),
        ("vllm:gpu=first", "gpu is 'first'", "valid integer"),
        ("vllm:arguments='a", "arguments is", "No closing quotation"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_mistake(text: str, message: str, remedy: str) -> None:
    """The part that is wrong is named; what may be a secret is not repeated."""
    with pytest.raises(OptionError) as caught:
        parse_engine(text)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert "sk-secret" not in str(caught.value)


def given(*arguments: str, engine_key: bool = False) -> dict[str, Any]:
    """The settings that a command with these options reads from its arguments."""
    settings: dict[str, Any] = {}

    @click.command()
    @engine_options(engine_key=engine_key)
    def command(engine: str, **values: Any) -> None:
        settings.update(given_settings(values), engine=engine)
        assert values == {}

    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return settings


def test_options_are_made_of_the_settings() -> None:
    """Each setting with an option is one, with its type; those not given are left out."""
    assert given() == {"engine": "auto"}
    read = given(
        *("--engine", "vllm", "--model", "m", "--checkpoint-dir", "/c", "--gpu", "1"),
        *("--vllm-python", "py", "--fast-start", "--gpu-layers", "0"),
    )
    assert read == {
        "engine": "vllm",
        "model": "m",
        "checkpoint_dir": Path("/c"),
        "gpu": 1,
        "python": "py",
        "fast_start": True,
        "gpu_layers": 0,
    }
    served = given("--engine-key-env", "KEY", engine_key=True)
    assert served == {"engine": "auto", "api_key_env": "KEY"}


def test_help_says_whose_a_setting_is() -> None:
    """One option stands for the engines that take it."""

    @click.command()
    @engine_options()
    def command(**_: Any) -> None:
        """Nothing."""

    words = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--family NAME openai, llamacpp: token-counting family of the model" in words
    assert "Hugging Face hub, or a directory; llamacpp: GGUF file of the model." in words
    assert "--retries" not in words
