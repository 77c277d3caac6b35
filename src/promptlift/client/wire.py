"""One server of ours over HTTP: its problems become errors, and a full one is asked again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import httpx2

from promptlift import __version__, errors
from promptlift.core.record import Record
from promptlift.errors import (
    ConfigEngineError,
    InputError,
    OptionError,
    PromptliftError,
    TransientEngineError,
)

__all__ = ["Refused", "Wire", "broke_off", "events", "refused"]

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
_LONGEST_PAUSE = 30
_CODES = {cls.code: cls for cls in (getattr(errors, name) for name in errors.__all__)}


class Refused(Exception):
    """The server has answered with a problem."""

    def __init__(self, error: PromptliftError, record: Record | None, wait: int | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.record = record
        self.wait = wait


class Wire:
    """The connections to one server.

    Args:
        url: Where it is.
        api_key: Its key; None for none.
        patience: Seconds to go on asking while it is full.

    Raises:
        OptionError: The address is none.
    """

    def __init__(self, url: str, api_key: str | None, patience: float) -> None:
        self._patience = patience
        headers = {"user-agent": f"promptlift/{__version__}"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        try:
            base = httpx2.URL(url)
            if base.scheme not in ("http", "https") or not base.host:
                raise ValueError
            self._http = httpx2.Client(
                base_url=base,
                headers=headers,
                follow_redirects=False,
                timeout=httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS, pool=None),
                trust_env=base.host not in ("127.0.0.1", "localhost", "::1"),
            )
        except (ValueError, httpx2.InvalidURL):
            raise OptionError(
                f"{url!r} is no address of a server", remedy="give one like http://127.0.0.1:8765"
            ) from None

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._http.close()

    def asked(self, call: Callable[[], T]) -> T:
        """What a call gives; the server's problems are raised as errors."""
        try:
            return self.patiently(call)
        except Refused as refused:
            raise refused.error from None

    def patiently(self, call: Callable[[], T]) -> T:
        """Call again while the server says when to, and there is patience left."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return call()
            except Refused as refused:
                pause = min(refused.wait or 0, _LONGEST_PAUSE)
                if not pause or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)

    def json(self, method: str, path: str, **content: Any) -> Any:
        """One request and its answer, which is JSON."""
        try:
            return self.response(method, path, **content).json()
        except ValueError:
            _not_ours(self._http.base_url)

    def response(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """One request and its whole answer."""
        with self.talk(method, path, **content) as response:
            response.read()
        return response

    @contextmanager
    def talk(self, method: str, path: str, **content: Any) -> Iterator[httpx2.Response]:
        """One request; its answer is still to be read.

        Raises:
            Refused: The server answered with a problem.
            TransientEngineError: It did not answer.
        """
        try:
            with self._http.stream(method, path, **content) as response:
                if response.status_code >= 300:
                    response.read()
                    raise _problem(response, self._http.base_url)
                yield response
        except httpx2.TransportError as error:
            why = str(error) or type(error).__name__
            raise TransientEngineError(
                f"the server {self._http.base_url} does not answer: {why}",
                remedy="see that it runs and can be reached",
            ) from None


def events(response: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """The server-sent events of an answer: names and JSON."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def _problem(response: httpx2.Response, server: object) -> Refused:
    try:
        said = response.json()
        wait = response.headers.get("retry-after", "")
        return refused(said, int(wait) if wait.isdecimal() else None, response.status_code)
    except (ValueError, KeyError, TypeError):
        _not_ours(server)


def refused(said: Mapping[str, Any], wait: int | None, status: int = 0) -> Refused:
    """A problem of the server as an error of ours: by its code, else by what it means to us."""
    record = Record.model_validate(said["record"]) if said.get("record") else None
    cls = _CODES.get(said["code"]) or _class_of(status, retryable=bool(said["retryable"]))
    return Refused(cls(said["message"], remedy=said["remedy"]), record, wait)


def _class_of(status: int, *, retryable: bool) -> type[PromptliftError]:
    if retryable or status >= 500:
        return TransientEngineError
    return ConfigEngineError if status in (401, 403, 421) else InputError


def _not_ours(server: object) -> NoReturn:
    raise ConfigEngineError(
        f"what answers at {server} is no promptlift server", remedy="check the address"
    )


def broke_off() -> TransientEngineError:
    """The error of an answer that ends in the middle."""
    return TransientEngineError(
        "the server ended in the middle of its answer", remedy="ask again once it is back"
    )
