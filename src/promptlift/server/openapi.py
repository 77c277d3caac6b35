"""The OpenAPI document: what FastAPI makes of the routes, with problems as they are sent."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from promptlift.server.errors import MEDIA_TYPE

__all__ = ["document"]

_JSON = "application/json"


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in made["paths"].values():
            for operation in path.values():
                _say_problems(operation["responses"])
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}, {}]
        app.openapi_schema = made
    return app.openapi_schema


def _say_problems(responses: dict[str, Any]) -> None:
    """FastAPI knows one media type a route; problems have their own."""
    for status, response in responses.items():
        content = response.get("content", {})
        if int(status) >= 400 and _JSON in content:
            response["content"] = {MEDIA_TYPE: content[_JSON]}
