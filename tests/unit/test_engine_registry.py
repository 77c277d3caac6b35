"""Engines by name, and the settings that they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptlift.cli.engines import SETTINGS
from promptlift.engines.embedded import EmbeddedEngine
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.registry import ENGINES, make_engine
from promptlift.engines.vllm import VllmEngine
from promptlift.errors import OptionError

URL = "http://127.0.0.1:9/v1"


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
def test_what_is_given_says_which_engine_is_meant(
    settings: dict[str, Any], kind: type[object], retries: int | None
) -> None:
    """An address, a model or nothing; how often to try again does not change it."""
    asking: dict[str, Any] = {} if retries is None else {"retries": retries}
    assert type(make_engine("auto", **settings, **asking)) is kind


def test_retries_reach_the_engine_that_asks() -> None:
    """Whoever tries again by itself can say so for a server and for a vLLM of our own."""
    over_http = make_engine("openai", base_url=URL, retries=0)
    assert isinstance(over_http, OpenAIEngine)
    assert over_http._client._attempts == 1
    own = make_engine("vllm", model="owner/name", retries=0)
    assert isinstance(own, VllmEngine)
    assert own._retries == 0


def test_retries_are_for_programs() -> None:
    """No command offers them: there is one way to try again, and it is the right one."""
    assert "retries" not in SETTINGS.values()


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("gpt", {}, "there is no engine 'gpt'"),
        ("embedded", {"retries": 0}, "takes no 'retries'"),
        ("embedded", {"base_url": URL}, "takes no 'base_url'"),
        ("openai", {}, "needs an address"),
        ("openai", {"base_url": URL, "gpu": 0}, "takes no 'gpu'"),
        ("llamacpp", {"model": "a.gguf"}, "needs a mmproj"),
    ],
)
def test_what_an_engine_does_not_take_is_a_mistake(
    name: str, settings: dict[str, Any], said: str
) -> None:
    """A setting that would have no effect is refused, and what there is is named."""
    with pytest.raises(OptionError, match=said) as caught:
        make_engine(name, **settings)
    assert caught.value.remedy


def test_every_engine_is_listed() -> None:
    """The names that an error lists are those that work."""
    with pytest.raises(OptionError) as caught:
        make_engine("other")
    assert all(name in caught.value.remedy for name in ENGINES)
