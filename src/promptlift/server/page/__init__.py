"""The page at ``/``: what the API does, to look at. See ``docs/design/0004-page.md``."""

from __future__ import annotations

from fastapi import APIRouter

from promptlift.server.page import (
    actions,
    assets,
    batches,
    clips,
    compare,
    downloads,
    entrance,
    live,
    views,
)

__all__ = ["OPEN_PATHS", "router"]

router = APIRouter()
for part in (views, clips, actions, live, downloads, compare, batches, entrance, assets):
    router.include_router(part.router)

OPEN_PATHS = frozenset({*views.PATHS, *entrance.PATHS, *assets.PATHS})
"""What a browser may ask for before it has shown a key: the frame of the page, and no content."""
