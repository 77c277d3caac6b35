"""The way in for browsers, where the server has a key: shown once, then a cookie stands for it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from promptlift.server.page.asked import form_of
from promptlift.server.page.rendering import fragment
from promptlift.server.sessions import COOKIE, SESSION_SECONDS

__all__ = ["PATHS", "ask_for_key", "closed", "router"]

_ENTER, _LEAVE = "/page/enter", "/page/leave"
PATHS = frozenset({_ENTER})

router = APIRouter()


def closed(request: Request) -> bool:
    """Whether there is a key and this browser has not shown it."""
    return bool(request.app.state.service.settings.keys) and not request.state.owner


def ask_for_key(request: Request, *, wrong: bool = False, then: str | None = None) -> Response:
    """The page that asks; afterwards it goes on to what was wanted."""
    wanted = then if then is not None else request.url.path
    if then is None and request.url.query:
        wanted += f"?{request.url.query}"
    return fragment("key.html", status=401, wrong=wrong, then=wanted)


@router.post(_ENTER)
async def enter(request: Request) -> Response:
    """Take the key, and give a session for it."""
    form = await form_of(request)
    then = _ours(form.get("then", "/"))
    owner = request.app.state.door.owner({"x-api-key": form.get("key", "").strip()})
    if not owner:
        return ask_for_key(request, wrong=True, then=then)
    answer = RedirectResponse(then, status_code=303)
    answer.set_cookie(
        COOKIE,
        request.app.state.door.sessions.issue(owner),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post(_LEAVE)
async def leave() -> Response:
    """Forget this browser."""
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


def _ours(address: str) -> str:
    """An address of this page; else the front of it."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isprintable() else "/"
