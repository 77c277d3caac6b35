"""``promptlift serve``: the HTTP service, until it is told to end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from promptlift.cli import types
from promptlift.cli.engines import served_engine_options, settings_of
from promptlift.engines.spoken import parse_engine
from promptlift.errors import OptionError

__all__ = ["serve"]

_MIB = 2**20


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 for a free one.",
)
@served_engine_options
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
    help="Folder of the journal and the uploads; yours by default.",
)
@click.option(
    "--queue",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Most requests that wait for an engine.",
)
@click.option(
    "--parallel",
    default=8,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Most requests with an engine at once.",
)
@click.option("--decoders", type=click.IntRange(1, 256), help="Processes that decode videos.")
@click.option(
    "--deadline",
    default=600.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Most seconds that a request may take.",
)
@click.option(
    "--idle-sleep",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Let an engine sleep after so long without work.",
)
@click.option(
    "--upload-mib",
    default=2048,
    show_default=True,
    type=click.IntRange(1),
    help="Most MiB of one upload.",
)
@click.option(
    "--quota-mib",
    default=20 * 1024,
    show_default=True,
    type=click.IntRange(1),
    help="Most MiB of all uploads.",
)
@click.option(
    "--upload-hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(0.01),
    help="How long an upload is kept.",
)
@click.option(
    "--keep",
    type=types.duration,
    metavar="TIME",
    help="Forget results and jobs that ended longer ago, such as 30d, at each start.",
)
@click.option(
    "--rate",
    default=200.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Requests a second from one client; 0 for any.",
)
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
        from promptlift.server.serving import log_to_stderr, serve
        from promptlift.server.settings import Settings, default_data
    except ImportError as error:
        raise OptionError(
            f"the server needs {error.name}", remedy="pip install 'promptlift[serve]'"
        ) from None
    engine_settings = settings_of(options)
    settings = Settings(
        data=data or default_data(),
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
    serve(settings, click.echo)


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
