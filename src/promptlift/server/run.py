"""Running the server: the application, its socket, its signals, its limits on connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from promptlift import __version__
from promptlift.errors import OptionError
from promptlift.server import routes
from promptlift.server.config import ServerConfig
from promptlift.server.errors import add_error_handlers
from promptlift.server.security import ApiKeyAuth, RateLimiter, SecurityMiddleware
from promptlift.server.service import Service
from promptlift.server.uploads import BodyMiddleware
from promptlift.web import batches
from promptlift.web import routes as web_routes

__all__ = ["create_app", "log_to_stderr", "run_server"]

_LOG = logging.getLogger("promptlift.server")
_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"}
_DESCRIPTION = """Turn a video and a short prompt into the long prompt that a video model wants.

Where the server has a key, send it as `Authorization: Bearer KEY`."""
_HEAD_BYTES = 32 * 1024
_FILES_WANTED = 65_536
_BACKLOG = 2048


def run_server(config: ServerConfig, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        config: How.
        started: Called with the address, once requests are accepted.

    Raises:
        OptionError: The address cannot be listened on.
        PromptliftError: A part of the server does not start.
    """
    _allow_many_files()
    with _listening_socket(config) as listener:
        app = create_app(config)
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        protocol = type("HttpProtocol", (_HttpProtocol,), {"head_seconds": config.header_seconds})
        settings = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=config.connections,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_graceful_shutdown=round(config.grace) + 5,
        )
        server = _Server(settings, app.state.service, lambda: started(address))
        with asyncio.Runner() as runner:
            runner.run(server.serve(sockets=[listener]))


def create_app(config: ServerConfig) -> FastAPI:
    """Make the application; its service is started and ended with it.

    Args:
        config: How the server is set up.

    Raises:
        PromptliftError: A part of it cannot be had, such as its folder or its engine.
    """
    service = Service(config)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    def on_end(scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        service.metrics.requests.labels(method, route, str(status)).inc()
        service.metrics.seconds.labels(route).observe(seconds)
        _LOG.info("%s %s %d %.0f ms", method, route, status, seconds * 1000)

    app = FastAPI(
        title="promptlift",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.auth = ApiKeyAuth(config.keys)
    app.include_router(routes.router)
    app.include_router(web_routes.router, include_in_schema=False)
    app.include_router(batches.router, include_in_schema=False)
    add_error_handlers(app)
    app.add_middleware(
        BodyMiddleware,
        upload_bytes=config.upload_bytes,
        seconds=config.body_seconds,
        rate=config.body_rate,
    )
    # A key keeps a foreign name's page out as well.
    names = None if config.keys else frozenset(map(str.lower, (config.host, *config.allow_hosts)))
    app.add_middleware(
        SecurityMiddleware,
        auth=app.state.auth,
        hosts=names,
        rates=RateLimiter(config.rate),
        on_end=on_end,
    )
    return app


class _Server(uvicorn.Server):
    """uvicorn, with an end that stops the service first."""

    def __init__(
        self, config: uvicorn.Config, service: Service, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._on_start = started
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End: accept nothing more, let what runs end. A second time: at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.stop)


class _HttpProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a limit on the time of a request's head.

    uvicorn has none: a client that sends a byte of a header now and then would hold a connection
    for ever. The limit counts from the connection, or from the end of the request before.
    """

    head_seconds = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, self._close_late)

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        self._timer.cancel()
        self._timer = self.loop.call_later(self.head_seconds, self._close_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _close_late(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()


def _listening_socket(config: ServerConfig) -> socket.socket:
    """The socket that requests come in at.

    Raises:
        OptionError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # TCP is named: asyncio sends without delay only on a socket that says so, and otherwise every
    # answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OptionError(
            f"cannot listen on {config.host} port {config.port}: "
            f"{getattr(error, 'strerror', None) or error}",
            remedy="pass another --port, or stop the process that uses it",
        ) from error
    return listener


def _allow_many_files() -> None:
    """A connection is an open file, and many systems allow a process 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_to_stderr(*, quiet: bool) -> None:
    """Log one line a request on stderr; of uvicorn's own only what is wrong."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("promptlift.server").setLevel(logging.WARNING if quiet else logging.INFO)
