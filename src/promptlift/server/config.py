"""How the server is set up, and what it refuses to start with."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.engines.registry import EngineSpec
from promptlift.errors import OptionError

__all__ = ["ServerConfig", "default_data_folder", "is_loopback"]

_SHORTEST_KEY = 16
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything that a server is told.

    Attributes:
        data: The folder of its database and its uploads.
        engine: The name of an engine.
        engine_settings: What that engine takes.
        also: Further engines, which answer those requests that name them.
        host: The address that is listened on.
        port: The port; 0 for a free one.
        keys: Any of them opens the server; none at all for no key.
        insecure_no_auth: No key although others can reach the server.
        allow_paths: Folders below which clients may name files.
        allow_hosts: Names that the server is called by, besides addresses and ``localhost``.
        queue: Most requests that wait for an engine.
        parallel: Most requests that are with an engine at once.
        decoders: Processes that decode videos.
        deadline: Seconds that a request may take where it names no other, and at most.
        idle_sleep: Seconds without work after which an engine sleeps; None for never.
        upload_bytes: Most bytes of one upload.
        upload_quota: Most bytes of all uploads together.
        upload_count: Most uploads that are kept.
        upload_age: Seconds that an upload is kept.
        keep: Seconds that results and ended jobs are kept; None for ever.
        video_seconds: Longest video that is taken in.
        rate: Requests a second of one client in the long run; ten times as many at once.
        connections: Most requests that are under way at once, waiting ones included.
        header_seconds: Seconds for the head of a request.
        body_seconds: Seconds to wait for more of a body.
        body_rate: Fewest bytes of a body a second, on average.
        grace: Seconds that running work has to end when the server is to end.
        log_prompts: Whether the log holds the prompts.
    """

    data: Path
    engine: str = "auto"
    engine_settings: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[EngineSpec, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    keys: tuple[str, ...] = field(default=(), repr=False)
    insecure_no_auth: bool = False
    allow_paths: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    queue: int = 1000
    parallel: int = 8
    decoders: int = field(default_factory=lambda: max(2, min(8, os.cpu_count() or 2)))
    deadline: float = 600.0
    idle_sleep: float | None = None
    upload_bytes: int = 2 * GIB
    upload_quota: int = 20 * GIB
    upload_count: int = 10_000
    upload_age: float = 86_400.0
    keep: float | None = None
    video_seconds: float = 4 * 3600.0
    rate: float = 200.0
    connections: int = 2000
    header_seconds: float = 15.0
    body_seconds: float = 20.0
    body_rate: float = 8 * 1024
    grace: float = 20.0
    log_prompts: bool = False

    def __post_init__(self) -> None:
        for key in self.keys:
            if len(key) < _SHORTEST_KEY:
                raise OptionError(
                    f"a key has {len(key)} characters",
                    remedy=f"use at least {_SHORTEST_KEY}; create one with `openssl rand -hex 24`",
                )
        if not (self.keys or self.insecure_no_auth or is_loopback(self.host)):
            raise OptionError(
                f"listening on {self.host} without an API key would let anyone use this server",
                remedy="pass --api-key-file FILE or --api-key-env NAME, use --host 127.0.0.1, "
                "or pass --insecure-no-auth",
            )
        for folder in self.allow_paths:
            if not folder.is_dir():
                raise OptionError(
                    f"--allow-path {str(folder)!r} is not a directory",
                    remedy="pass an existing directory",
                )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_data_folder() -> Path:
    """The folder of the server's data where none is named."""
    import platformdirs

    return platformdirs.user_data_path("promptlift") / "server"
