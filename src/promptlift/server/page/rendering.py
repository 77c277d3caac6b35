"""Templates to answers: everything is escaped, and a policy says what a browser may load."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, Response

from promptlift import __version__
from promptlift.core.targets import TARGETS
from promptlift.server.page import words
from promptlift.server.page.assets import address

__all__ = ["fragment", "html", "page"]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # With no-referrer, browsers send forms with "Origin: null", which the guard takes for foreign.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(asset=address, version=__version__, targets=TARGETS)
    made.filters.update(
        ago=words.ago,
        clock=words.clock,
        count=words.count,
        engine_words=words.engine_words,
        megabytes=words.megabytes,
        size=words.size,
    )
    return made


def html(name: str, **values: Any) -> str:
    """A template, filled in."""
    return _templates().get_template(name).render(**values)


def fragment(name: str, *, status: int = 200, push: str | None = None, **values: Any) -> Response:
    """A part of the page.

    Args:
        name: Its template.
        status: HTTP status.
        push: The address that the browser shows from now on.
        **values: For the template.
    """
    headers = dict(_HEADERS)
    if push is not None:
        headers["HX-Push-Url"] = push
    return HTMLResponse(html(name, **values), status, headers=headers)


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
    """A whole page; it knows which tab it is and who answers."""
    service = request.app.state.service
    values |= {"tab": request.url.path, "engines": list(service.lanes)}
    values["locked"] = bool(service.settings.keys)
    return fragment(name, status=status, **values)
