"""Running the server: its socket, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from promptlift.errors import OptionError
from promptlift.server.app import make_app
from promptlift.server.protocol import patient_protocol
from promptlift.server.service import Service
from promptlift.server.settings import Settings

__all__ = ["listening", "log_to_stderr", "serve"]

_HEAD_BYTES = 32 * 1024
_FILES_WANTED = 65_536
_BACKLOG = 2048
_COLLECTED_AFTER = (20_000, 10, 10)


def serve(settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        settings: How.
        started: Told the address, once requests are taken.

    Raises:
        OptionError: The address cannot be listened on.
        PromptliftError: A part of the server does not start.
    """
    _allow_many_files()
    with listening(settings) as listener:
        app = make_app(settings)
        config = uvicorn.Config(
            app,
            http=patient_protocol(settings.header_seconds, 2 * settings.connections),
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_graceful_shutdown=round(settings.grace) + 5,
        )
        server = _Server(config, app.state.service, lambda: started(_address(listener)))
        with asyncio.Runner() as runner:
            runner.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """uvicorn, with an end that tells the service first."""

    def __init__(
        self, config: uvicorn.Config, service: Service, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._told = started
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            _spare_collector()
            self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End: take in nothing more, let what runs end. A second time: at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.stop)


def listening(settings: Settings) -> socket.socket:
    """The socket that requests come in at.

    Raises:
        OptionError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named outright: asyncio sends without delay only on what says that it is TCP, and otherwise
    # every answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OptionError(
            f"cannot listen on {settings.host} port {settings.port}: "
            f"{getattr(error, 'strerror', None) or error}",
            remedy="choose another --port, or end what uses it",
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _spare_collector() -> None:
    """Keep the garbage collector from what stays for good, and let it look less often.

    What was imported is more than all requests make together, and nothing is answered while the
    collector looks through it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


def _allow_many_files() -> None:
    """A connection is an open file, and many systems allow a process 1024."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_to_stderr(*, quiet: bool) -> None:
    """One line a request on stderr; of uvicorn's own only what is wrong."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("promptlift.server").setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("stamina").setLevel(logging.ERROR)
