"""The options that choose an engine, generated from the engines' settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from promptlift.engines.registry import ENGINES, SETTINGS
from promptlift.engines.settings import VllmSettings
from promptlift.errors import OptionError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["engine_options", "given_settings", "judge_option", "key_from", "vllm_options"]

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(
    *, engine_key: bool = False, several_addresses: bool = False, without: Container[str] = ()
) -> Callable[[F], F]:
    """What adds the options that choose an engine to a command.

    Args:
        engine_key: Call the option for its key ``--engine-key-env``, for a server, where
            ``--api-key-env`` is what its own clients must send.
        several_addresses: Several addresses may be given.
        without: Options to leave out, by the names of their settings.
    """
    options = {setting: option for setting, (_, option) in _options().items()}
    options["engine"] = click.option(
        "--engine",
        default="auto",
        show_default=True,
        help=f"Engine that writes the prompt: {', '.join(ENGINES)}. auto chooses by the other "
        "options: --base-url means openai, --mmproj llamacpp, --model or --checkpoint-dir vllm; "
        "without any, a running `promptlift engine up`, else embedded.",
    )
    if engine_key:
        options["api_key_env"] = click.option(
            "--engine-key-env",
            "engine_api_key_env",
            metavar="NAME",
            help="openai: environment variable with the engine's API key.",
        )
    if several_addresses:
        options["base_url"] = click.option(
            "--base-url",
            "base_urls",
            metavar="URL",
            multiple=True,
            help="openai: base URL of the API; repeat it with --ray.",
        )

    def add(command: F) -> F:
        for name in reversed(["engine", *_options()]):
            if name not in without:
                command = options[name](command)
        return command

    return add


judge_option = click.option(
    "--judge",
    metavar="ENGINE",
    help="Engine that verifies the prompts, in one line such as openai:base_url=URL,model=NAME; "
    "implies --verify.",
)


def given_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Take the engine's settings out of a command's options; those not given are left out."""
    settings = {}
    parameters = {name.removeprefix("--"): setting for setting, (name, _) in _options().items()}
    for parameter, setting in {**parameters, "engine-api-key-env": "api_key_env"}.items():
        value = options.pop(parameter.replace("-", "_"), None)
        # Zero is a value, as for --gpu 0, though it equals False.
        if value is not None and value is not False:
            settings[setting] = value
    return settings


def key_from(variable: str) -> str:
    """The API key in an environment variable.

    Raises:
        OptionError: It is unset or empty.
    """
    key = os.environ.get(variable, "")
    if not key:
        raise OptionError(
            f"the environment variable {variable} is not set",
            remedy=f"run `export {variable}=YOUR_KEY` first",
        )
    return key


def _options() -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """An option for each setting that commands offer: its name, and what adds it to a command."""
    fields = [
        (engine, name, field)
        for engine, settings in SETTINGS.items()
        for name, field in settings.model_fields.items()
    ]
    options = {}
    for _, name, field in fields:
        extra = field.json_schema_extra
        if name in options or not isinstance(extra, dict) or not extra["option"]:
            continue
        words: dict[str | None, list[str]] = {}
        for engine, other, described in fields:
            if other == name:
                words.setdefault(described.description, []).append(engine)
        text = "; ".join(f"{', '.join(who)}: {what}" for what, who in words.items())
        flag = str(extra["option"])
        options[name] = (flag, _option(field, flag, help=f"{text}."))
    return options


def vllm_options(command: F) -> F:
    """Add every setting of a vLLM but its model to the command that starts one."""
    for name, field in reversed(VllmSettings.model_fields.items()):
        extra, text = field.json_schema_extra, field.description or ""
        assert isinstance(extra, dict)
        how: dict[str, Any] = {"help": f"{text[0].upper()}{text[1:]}."}
        if name in ("model", "retries"):
            continue
        if name == "arguments":
            option = click.option("--vllm-argument", name, multiple=True, metavar="ARG", **how)
        elif name == "sleep":
            option = click.option("--sleep/--no-sleep", default=True, show_default=True, **how)
        else:
            flag = str(extra["option"] or f"--{name.replace('_', '-')}")
            shown = bool(field.default)
            how |= {"default": field.default, "show_default": shown}
            option = _option(field, flag, name, **how)
        command = option(command)
    return command


def _option(field: FieldInfo, *names: str, **how: Any) -> Callable[[Any], Any]:
    kind = next(iter(get_args(field.annotation)), field.annotation)
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return click.option(
        *names,
        type=click.Path(path_type=Path) if kind is Path else None if kind is bool else kind,
        is_flag=kind is bool,
        metavar=extra["metavar"],
        **how,
    )
