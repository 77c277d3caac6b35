"""``promptlift serve``: the HTTP service, until it is told to end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from promptlift.cli import types
from promptlift.cli.engines import engine_options, given_settings
from promptlift.engines.registry import parse_engine
from promptlift.errors import OptionError

__all__ = ["serve"]

F = TypeVar("F", bound=Callable[..., Any])

_MIB = 2**20


class _Limit(NamedTuple):
    """An option that is a number: its default, what it may be, and what it limits."""

    default: float | None
    type: Any
    help: str


_LIMITS = {
    "--queue": _Limit(1000, click.IntRange(1, 1_000_000), "Most requests that wait for an engine."),
    "--parallel": _Limit(8, click.IntRange(1, 1024), "Most requests with an engine at once."),
    "--decoders": _Limit(None, click.IntRange(1, 256), "Processes that decode videos."),
    "--deadline": _Limit(600.0, click.FloatRange(1), "Most seconds that a request may take."),
    "--idle-sleep": _Limit(
        None, click.FloatRange(1), "Seconds without work after which an engine sleeps."
    ),
    "--upload-mib": _Limit(2048, click.IntRange(1), "Most MiB of one upload."),
    "--quota-mib": _Limit(20 * 1024, click.IntRange(1), "Most MiB of all uploads."),
    "--upload-hours": _Limit(24.0, click.FloatRange(0.01), "How long an upload is kept."),
    "--keep": _Limit(
        None, types.duration, "Delete results and jobs that ended longer ago, such as 30d."
    ),
    "--rate": _Limit(200.0, click.FloatRange(0), "Requests a second from one client; 0 for any."),
}


def _limits(command: F) -> F:
    for name, limit in reversed(_LIMITS.items()):
        shown = limit.default is not None
        command = click.option(
            name, default=limit.default, show_default=shown, type=limit.type, help=limit.help
        )(command)
    return command


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 for a free one.",
)
@engine_options(engine_key=True)
@click.option(
    "--also",
    multiple=True,
    metavar="[LABEL=]ENGINE[:K=V,..]",
    help="A further engine with its settings, for requests that name it.",
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, readable=False),
    help="File with the key that clients must send; several are one a line.",
)
@click.option("--api-key-env", metavar="NAME", help="Variable that holds that key.")
@click.option(
    "--insecure-no-auth", is_flag=True, help="No key, although others can reach the server."
)
@click.option(
    "--allow-path",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Let clients name files below this folder.",
)
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A name that the server is called by."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the database and the uploads; yours by default.",
)
@_limits
@click.option("--log-prompts", is_flag=True, help="Write the prompts into the log.")
@click.option("--quiet", "-q", is_flag=True, help="Log only what is wrong.")
def serve(
    host: str,
    port: int,
    engine: str,
    also: tuple[str, ...],
    api_key_file: Path | None,
    api_key_env: str | None,
    insecure_no_auth: bool,
    allow_path: tuple[Path, ...],
    allow_host: tuple[str, ...],
    data: Path | None,
    upload_mib: int,
    quota_mib: int,
    upload_hours: float,
    quiet: bool,
    **options: Any,
) -> None:
    """Serve prompts over HTTP, on this machine or for a team.

    The address is printed once requests are taken. Ends with Ctrl-C or SIGTERM; jobs that were
    accepted and are not done go on with the next start.
    """
    keys = _keys(api_key_file, api_key_env)
    try:
        from promptlift.server.config import ServerConfig, default_data_folder
        from promptlift.server.run import log_to_stderr, run_server
    except ImportError as error:
        raise OptionError(
            f"the server needs {error.name}", remedy="pip install 'promptlift[serve]'"
        ) from None
    engine_settings = given_settings(options)
    config = ServerConfig(
        data=data or default_data_folder(),
        engine=engine,
        engine_settings=engine_settings,
        also=tuple(parse_engine(one) for one in also),
        host=host,
        port=port,
        keys=keys,
        insecure_no_auth=insecure_no_auth,
        allow_paths=allow_path,
        allow_hosts=allow_host,
        upload_bytes=upload_mib * _MIB,
        upload_quota=quota_mib * _MIB,
        upload_age=upload_hours * 3600,
        **{name: value for name, value in options.items() if value is not None},
    )
    log_to_stderr(quiet=quiet)
    run_server(config, click.echo)


def _keys(file: Path | None, variable: str | None) -> tuple[str, ...]:
    """The keys of a file and of a variable; never of the command line, which others can read.

    Raises:
        OptionError: There is none where one should be.
    """
    keys: list[str] = []
    if file is not None:
        try:
            keys += file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise OptionError(
                f"the key file {str(file)!r} cannot be read: {why}", remedy="name another"
            ) from None
        if not keys:
            raise OptionError(f"the key file {str(file)!r} is empty", remedy="write a key into it")
    if variable is not None:
        key = os.environ.get(variable, "")
        if not key:
            raise OptionError(
                f"the variable {variable} holds no key", remedy=f"set {variable}, or name another"
            )
        keys.append(key)
    return tuple(keys)
