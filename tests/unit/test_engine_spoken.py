"""Engines that are said in one line: what is understood, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.registry import make_engine
from promptlift.engines.spoken import parse_engine
from promptlift.errors import OptionError

URL = "http://127.0.0.1:8000/v1"


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, in which no engine has left a sign."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "label", "name", "settings"),
    [
        ("embedded", "embedded", "embedded", {}),
        ("plain=embedded", "plain", "embedded", {}),
        ("auto", "embedded", "embedded", {}),
        (f"auto:base_url={URL}", "openai", "openai", {"base_url": URL}),
        (
            f"openai:base_url={URL},model=a/b:c,timeout=2.5,retries=0",
            "openai",
            "openai",
            {"base_url": URL, "model": "a/b:c", "timeout": 2.5, "retries": 0},
        ),
        (
            f"big-one.2=openai:base-url={URL}, model=a=b, api-key-env=MY_KEY",
            "big-one.2",
            "openai",
            {"base_url": URL, "model": "a=b", "api_key_env": "MY_KEY"},
        ),
        (
            r"vllm:checkpoint_dir=/a\,b,gpu=1,fast_start=true,arguments=--a 'b c'",
            "vllm",
            "vllm",
            {
                "checkpoint_dir": Path("/a,b"),
                "gpu": 1,
                "fast_start": True,
                "arguments": ("--a", "b c"),
            },
        ),
    ],
)
def test_what_is_understood(text: str, label: str, name: str, settings: dict[str, Any]) -> None:
    """Values have the types that the engine takes, and the engine can be made of them."""
    found = parse_engine(text)
    assert (found.label, found.name, dict(found.settings)) == (label, name, settings)
    make_engine(found.name, **{k: v for k, v in settings.items() if k != "api_key_env"})


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("", "there is no engine ''", "such as embedded, or small=openai:base_url="),
        ("emdedded", "there is no engine 'emdedded'", "perhaps you mean embedded"),
        ("big=opena:base_url=x", "there is no engine 'opena'", "perhaps you mean openai"),
        ("=embedded", "'' is no label of an engine", "letters, digits"),
        ("my label=embedded", "'my label' is no label", "letters, digits"),
        (f"openai,base_url={URL}", "'openai,base_url' is no label", "[LABEL=]ENGINE[:SETTING"),
        ("openai", "the engine 'openai' needs base_url", "add base_url=VALUE"),
        ("llamacpp:model=a.gguf", "the engine 'llamacpp' needs mmproj", "add mmproj=VALUE"),
        (f"openai:base_url={URL},url=x", "takes no 'url'", "it takes base_url, model"),
        (f"openai:base_url={URL},sk-secret", "setting 2 of an engine is no SETTING=", r"is \,"),
        (f"openai:base_url={URL},api_key=sk-secret", "takes no 'api_key'", "api_key_env"),
        (f"openai:base_url={URL},model=", "setting 2 of an engine is no", "SETTING=VALUE"),
        (f"openai:base_url={URL},base-url={URL}", "'base_url' of an engine is said twice", "once"),
        ("vllm:gpu=first", "the 'gpu' of the engine 'vllm' is no whole number", "gpu=2"),
        ("vllm:fast_start=yes", "is no true or false", "fast_start=true"),
        ("vllm:arguments='a", "is no list of words", "arguments="),
        ("embedded:model=x", "the engine 'embedded' takes no 'model'", "leave it out"),
    ],
)
def test_what_is_not_is_said_with_what_to_write(text: str, message: str, remedy: str) -> None:
    """The part that is wrong is named; what may be a secret is not repeated."""
    with pytest.raises(OptionError) as caught:
        parse_engine(text)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert "sk-secret" not in str(caught.value)
