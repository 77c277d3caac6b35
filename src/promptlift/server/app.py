"""The application: composed here, and nothing else."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from promptlift import __version__
from promptlift.server.handlers import add_handlers
from promptlift.server.limits import BodyLimits, Rates
from promptlift.server.openapi import document
from promptlift.server.routes import engine, health, jobs, looks, records, uploads, upsample
from promptlift.server.security import OPEN_PATHS, Door, Guard
from promptlift.server.service import Service
from promptlift.server.settings import Settings

__all__ = ["make_app"]

_ROUTES = (upsample, uploads, jobs, looks, records, engine, health)
_LOG = logging.getLogger("promptlift.server")
_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"}
_PAGE = "promptlift.server.page"
_DESCRIPTION = """Turn a video and a short prompt into the long prompt that a video model wants.

Where the server has a key, send it as `Authorization: Bearer KEY`."""


def make_app(settings: Settings) -> FastAPI:
    """Compose the application; what it owns is opened now, and started and ended with it.

    Args:
        settings: How it is set up.

    Raises:
        PromptliftError: A part of it cannot be had, such as its folder or its engine.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

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
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    for routes in _ROUTES:
        app.include_router(routes.router)
    open_paths = OPEN_PATHS | _add_page(app)
    add_handlers(app)
    _add_layers(app, service, open_paths)
    return app


def _add_page(app: FastAPI) -> frozenset[str]:
    """Add the page where it is installed: its ``router``, and its ``OPEN_PATHS``."""
    if importlib.util.find_spec(_PAGE) is None:
        return frozenset()
    page: Any = import_module(_PAGE)
    app.include_router(page.router, include_in_schema=False)
    return frozenset(page.OPEN_PATHS)


def _add_layers(app: FastAPI, service: Service, open_paths: frozenset[str]) -> None:
    settings = service.settings
    door = app.state.door = Door(settings.keys)
    app.add_middleware(
        BodyLimits,
        upload_bytes=settings.upload_bytes,
        seconds=settings.body_seconds,
        rate=settings.body_rate,
    )

    def seen(scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", "other")
        spent = time.monotonic() - scope["began"]
        method = scope["method"] if scope["method"] in _METHODS else "other"
        service.metrics.requests.labels(method, route, str(status)).inc()
        service.metrics.seconds.labels(route).observe(spent)
        _LOG.info("%s %s %d %.0f ms", method, route, status, spent * 1000)

    app.add_middleware(
        Guard,
        door=door,
        hosts=_names(settings) if settings.checks_hosts else None,
        rates=Rates(settings.rate),
        most=settings.connections,
        open_paths=open_paths,
        seen=seen,
    )


def _names(settings: Settings) -> frozenset[str]:
    return frozenset(name.lower() for name in (settings.host, *settings.allow_hosts))
