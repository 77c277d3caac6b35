"""``promptlift serve``: the HTTP server and its web page."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from promptlift.cli import types
from promptlift.cli.engines import engine_options, given_settings, key_from
from promptlift.engines.registry import parse_engine
from promptlift.errors import OptionError

__all__ = ["serve"]

F = TypeVar("F", bound=Callable[..., Any])

_MIB = 2**20


_LIMITS: dict[str, tuple[float | None, Any, str]] = {
    "--queue": (1000, click.IntRange(1, 1_000_000), "Maximum number of waiting requests."),
    "--parallel": (8, click.IntRange(1, 1024), "Maximum number of requests at an engine at once."),
    "--decoders": (None, click.IntRange(1, 256), "Number of video decoding processes."),
    "--deadline": (600.0, click.FloatRange(1), "Timeout of a request in seconds."),
    "--idle-sleep": (None, click.FloatRange(1), "Put an idle engine to sleep after these seconds."),
    "--upload-mib": (2048, click.IntRange(1), "Maximum size of one upload in MiB."),
    "--quota-mib": (20 * 1024, click.IntRange(1), "Maximum size of all uploads in MiB."),
    "--upload-hours": (24.0, click.FloatRange(0.01), "Delete uploads after these hours."),
    "--keep": (None, types.duration, "Delete finished jobs and results after this time: 30d, 12h."),
    "--rate": (200.0, click.FloatRange(0), "Requests per second and client; 0 for no limit."),
}


def _limits(command: F) -> F:
    for name, (default, kind, text) in reversed(_LIMITS.items()):
        shown = default is not None
        option = click.option(name, default=default, show_default=shown, type=kind, help=text)
        command = option(command)
    return command


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@engine_options(engine_key=True)
@click.option(
    "--also",
    multiple=True,
    metavar="[LABEL=]ENGINE[:K=V,..]",
    help="Another engine, for requests that select it by label; can be repeated.",
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, readable=False),
    help="File with the API keys that clients may use, one per line.",
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Environment variable with an API key that clients may use.",
)
@click.option("--insecure-no-auth", is_flag=True, help="Listen on a public address without a key.")
@click.option(
    "--allow-path",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Let clients use files below this directory; can be repeated.",
)
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="Accept this host name; can be repeated."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the database and the uploads.  [default: server/ in the user's data "
    "directory, such as ~/.local/share/promptlift]",
)
@_limits
@click.option("--log-prompts", is_flag=True, help="Log the prompts.")
@click.option("--quiet", "-q", is_flag=True, help="Log warnings and errors only.")
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
    """Serve the HTTP API and the web page, on this machine or for a team.

    The address is printed when the server is ready. It stops on Ctrl-C or SIGTERM; unfinished
    jobs continue at the next start.
    """
    keys = _keys(api_key_file, api_key_env)
    try:
        from promptlift.server.config import ServerConfig, default_data_folder
        from promptlift.server.run import log_to_stderr, run_server
    except ImportError as error:
        raise OptionError(
            f"the server needs {error.name}", remedy="run `pip install 'promptlift[serve]'`"
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
    """The keys of a file and of a variable; never of the command line, which others can read."""
    keys: list[str] = []
    if file is not None:
        try:
            keys += file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise OptionError(
                f"cannot read the key file {str(file)!r}: {why}",
                remedy="pass a readable file with --api-key-file",
            ) from None
        if not keys:
            raise OptionError(
                f"the key file {str(file)!r} is empty",
                remedy=f"run `openssl rand -hex 24 > {shlex.quote(str(file))}`",
            )
    if variable is not None:
        keys.append(key_from(variable))
    return tuple(keys)
