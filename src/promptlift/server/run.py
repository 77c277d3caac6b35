"""Running the server: the application, its socket, its signals, its limits on connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable

import uvicorn
from fastapi import FastAPI
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from promptlift import __version__
from promptlift.errors import OptionError
from promptlift.server import routes
from promptlift.server.config import ServerConfig
from promptlift.server.errors import add_error_handlers
from promptlift.server.security import ApiKeyAuth, SecurityMiddleware
from promptlift.server.service import Service
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
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        app = create_app(config, lambda: started(address))
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
        server = uvicorn.Server(settings)
        with asyncio.Runner() as runner:
            loop, service = runner.get_loop(), app.state.service

            def handle_exit(*_: object) -> None:
                """Accept nothing more, and let what runs end; a second time, end at once."""
                server.force_exit = server.should_exit
                server.should_exit = True
                loop.call_soon_threadsafe(service.stop)

            server.handle_exit = handle_exit  # type: ignore[method-assign, assignment]
            runner.run(server.serve(sockets=[listener]))


def create_app(config: ServerConfig, started: Callable[[], None]) -> FastAPI:
    """Make the application; its service is started and ended with it.

    Args:
        config: How the server is set up.
        started: Called once the service is there.

    Raises:
        PromptliftError: A part of it cannot be had, such as its folder or its engine.
    """
    service = Service(config)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            started()
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
    app.add_middleware(SecurityMiddleware, config=config, auth=app.state.auth, on_end=on_end)
    return app


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
    try:
        listener = socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise OptionError(
            f"cannot listen on {config.host} port {config.port}: "
            f"{getattr(error, 'strerror', None) or error}",
            remedy="pass another --port, or stop the process that uses it",
        ) from error
    # Accepted connections inherit it; else every answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
