"""The files that the page is made of; each address changes with its content."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import Response

from promptlift.server.errors import Refusal

__all__ = ["PATHS", "address", "router"]

_PREFIX = "/page/static/"
_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    packed: bytes | None
    kind: str
    version: str


@cache
def _assets() -> dict[str, _Asset]:
    root = files(__package__).joinpath("static")
    return {name: _read(entry) for name, entry in _walk(root, "") if _suffix(name) in _KINDS}


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        found += _walk(entry, f"{name}/") if entry.is_dir() else [(name, entry)]
    return found


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _read(entry: Traversable) -> _Asset:
    content = entry.read_bytes()
    suffix = _suffix(entry.name)
    packed = None if suffix == "woff2" else gzip.compress(content, 9, mtime=0)
    return _Asset(content, packed, _KINDS[suffix], hashlib.sha256(content).hexdigest()[:12])


PATHS = frozenset(_PREFIX + name for name in _assets())


def address(name: str) -> str:
    """Where a file is, with the version that makes it safe to keep for ever."""
    return f"{_PREFIX}{name}?v={_assets()[name].version}"


@router.get(_PREFIX + "{name:path}")
async def asset(request: Request, name: str) -> Response:
    """One file; nothing else can be reached, since names are only looked up."""
    found = _assets().get(name)
    if found is None:
        raise Refusal(404, "not_found", "the page has no such file", remedy="load the page again")
    headers = {"Cache-Control": _FOR_A_YEAR, "Vary": "Accept-Encoding"}
    content = found.content
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = found.packed, "gzip"
    return Response(content, headers=headers, media_type=found.kind)
