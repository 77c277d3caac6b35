"""The client of an OpenAI-compatible server: connections, retries, errors by status, and its JSON.

====================================  ===========  ==============================
status                                error        why
====================================  ===========  ==============================
400, 413, 422, other 4xx              item         this request is refused
3xx, 401, 402, 403, 404, 405, 407     config       every request would be
408, 409, 425, 5xx                    transient    the same request may pass later
429, 503 with ``Retry-After``         busy         the same, with less at a time
====================================  ===========  ==============================

RFC 9110 gives 503 for overload and for maintenance alike. A server that says when to come back is
taken to be overloaded: sending less for a while does no harm where it was maintenance, and not to
send less keeps an overload up. Without that, 503 is what a proxy says of a server that is not
there, or a server that is still loading its model, and how much is sent does not matter.

What a server says of itself:

=============  ==========================  ===============================
software       context                     version
=============  ==========================  ===============================
vLLM           ``max_model_len``           ``/version``
SGLang         ``max_model_len``           ``/server_info``
llama-server   ``n_ctx`` of ``/props``     ``build_info`` of ``/props``
hosted APIs    not available               not available
=============  ==========================  ===============================
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx2

from promptlift import __version__
from promptlift.engines.base import Completion
from promptlift.engines.settings import OpenAISettings
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.types import finish_reason

__all__ = [
    "NO_SUCH_PAGE",
    "HttpClient",
    "RefusedRequest",
    "ServedModel",
    "find_model",
    "read_completion",
    "read_count",
    "read_events",
    "sum_metrics",
]

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
# vLLM and others close connections that were idle for five seconds; a request that is sent in that
# moment is lost. So they are closed here earlier.
_KEEPALIVE_SECONDS = 4.0
_PATIENCE_SECONDS = 900.0  # for one call with all its attempts and pauses
_FIRST_PAUSE, _LONGEST_PAUSE, _JITTER = 0.5, 29.0, 1.0
_MAX_QUOTE = 300
NO_SUCH_PAGE = (404, 405, 501)


def _read_base_url(url: str) -> SplitResult:
    """Check a base URL. Without a path, ``/v1`` is assumed."""
    url = url.strip()
    secret = bool(set("@?#") & set(url))  # it may hold a password or a key, and is not repeated
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if secret or not valid or not url.isprintable() or " " in url:
        raise ConfigEngineError(
            "the base URL has a user name, a password, a query or a fragment (@, ? or #) in it"
            if secret
            else f"the base URL {url!r} is no http or https URL",
            remedy="give an address such as http://localhost:8000/v1, and name the environment "
            "variable that holds the key with --api-key-env",
        )
    return parts._replace(path=parts.path.rstrip("/") or "/v1")


def _read_key(variable: str | None, key: str | None = None) -> str | None:
    """The API key: the value of the environment variable of that name, else the given key.

    Raises:
        ConfigEngineError: The variable is missing or empty, or the key cannot be sent in a header.
    """
    if variable is not None:
        key = os.environ.get(variable, "").strip()
        if not key:
            # Somebody may have given the key itself, which must not get into a log.
            shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "given"
            raise ConfigEngineError(
                f"the environment variable {shown} for the API key is not set or is empty",
                remedy="set it; pass the name of the variable, never the key itself",
            )
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise ConfigEngineError(
            "the API key is empty or has characters that no key has",
            remedy="check it for spaces, line ends and quotes",
        )
    return key


class HttpClient:
    """Sends JSON to one server and gives JSON back, or raises an `EngineError`.

    Redirects are not followed and cookies are not stored, so that frames go nowhere but to the
    server that the user named. The caller bounds the number of requests at a time; each has a
    connection of its own, which is reused.

    Args:
        settings: Where the server is, and how long to wait.
        api_key: The key itself, unless the settings name the variable that holds it.

    Attributes:
        base: URL that the API's paths are put after, without a slash at the end.
        root: URL of the server itself: the base without ``/v1``.
        host: Host and port, for messages.

    Raises:
        ConfigEngineError: The address is no http or https URL, or has a user name, a password, a
            query or a fragment; or the key or the environment's proxies or certificates cannot be
            used.
    """

    def __init__(self, settings: OpenAISettings, api_key: str | None) -> None:
        parts = _read_base_url(settings.base_url)
        self.base = parts.geturl()
        self.root = self.base.removesuffix("/v1")
        self.host = parts.netloc
        self._key = _read_key(settings.api_key_env, api_key)
        self._timeout = timeout = settings.timeout
        self._attempts = settings.retries + 1
        self._closed = False
        headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "user-agent": f"promptlift/{__version__}",
        }
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        http = None
        with suppress(ValueError, ImportError, OSError, httpx2.InvalidURL):
            httpx2.URL(self.base)  # raises where the host's name is not valid
            http = httpx2.AsyncClient(
                headers=headers,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                # A proxy that the environment names cannot reach this machine's own addresses.
                trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),
                # Loading the authorities takes longer than all the rest; plain HTTP needs none.
                verify=httpx2.create_ssl_context() if parts.scheme == "https" else False,
                limits=httpx2.Limits(
                    max_connections=None,
                    max_keepalive_connections=None,
                    keepalive_expiry=_KEEPALIVE_SECONDS,
                ),
                timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None),
            )
        if http is None:
            # Raised here, as the error that was suppressed may hold a proxy's password.
            raise ConfigEngineError(
                f"no connection to {self.host} can be set up",
                remedy="check the host's name, and in the environment HTTP_PROXY, HTTPS_PROXY, "
                "ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
            )
        self._http = http

    async def call(
        self,
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        read: Callable[[object], T],
        absent: Container[int] = (),
        read_events: Callable[[AsyncIterator[object]], Awaitable[T]] | None = None,
    ) -> T | None:
        """GET a URL, or POST a body to it.

        Args:
            url: A path of the API, or a whole URL of the same server.
            body: JSON object to send; None to GET.
            read: Converts the answer's JSON value (its text where it is no JSON); raises
                `ValueError` where it is not the API's answer, and the call is tried again.
            absent: Status codes that mean that the server has no such page; not tried again.
            read_events: Converts the JSON values of server-sent events as they come, where the
                server answers with such; asked once, as what has come is passed on already.

        Returns:
            What `read` returned; None for a status in `absent`.

        Raises:
            EngineError: The server refused, or did not answer in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        attempts = self._attempts if read_events is None else 1
        outcome: T | EngineError | None = None
        for attempt in range(attempts):
            outcome = await self._attempt(url, body, read, absent, read_events)
            if not isinstance(outcome, TransientEngineError):
                break
            pause = outcome.wait
            if pause is None:
                pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
            # A random part keeps requests that failed together from coming back together.
            pause += random.uniform(0, _JITTER)  # noqa: S311 - no secret
            if attempt + 1 == attempts or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._closed = True
        await self._http.aclose()

    async def _attempt(
        self,
        url: str,
        body: Mapping[str, object] | None,
        read: Callable[[object], T],
        absent: Container[int],
        read_events: Callable[[AsyncIterator[object]], Awaitable[T]] | None,
    ) -> T | EngineError | None:
        """One request.

        Errors are returned: raised in a handler they would have the HTTP library's exception as
        their context, with the request in it, and with that the key.
        """
        if self._closed:
            return ConfigEngineError("the engine is closed", remedy="make a new one")
        url = self.base + url if url.startswith("/") else url
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        sending = self._http.stream("GET" if body is None else "POST", url, content=content)
        try:
            # The library's timeout is for each read: a byte now and then would never reach it.
            async with asyncio.timeout(self._timeout), sending as answer:
                media = answer.headers.get("content-type", "")
                if read_events and answer.is_success and media.startswith("text/event-stream"):
                    return await read_events(_json_events(answer))
                await answer.aread()
            if answer.is_success:
                return read(_json_or_text(answer))
            return None if answer.status_code in absent else self._refusal(answer)
        except (TimeoutError, httpx2.TimeoutException):
            return self._unreachable(f"did not answer within {self._timeout:.3g} s")
        except httpx2.TransportError as error:
            return self._broken_connection(error)
        except (ValueError, RecursionError, httpx2.HTTPError):
            return TransientEngineError(
                f"{self.host} answered with something that is not an answer of this API",
                remedy="check that --base-url is the API's address, which for most servers ends "
                "in /v1",
            )

    def _refusal(self, answer: httpx2.Response) -> EngineError:
        """The error for an answer with a status that is not 2xx."""
        status, wait = answer.status_code, _retry_after(answer.headers.get("retry-after", ""))
        value = _json_or_text(answer)
        kind: type[EngineError] = ItemEngineError
        if status == 429 or (status == 503 and wait is not None):
            kind = EngineBusy
        elif status >= 500 and _refused_fields(value) == {"response_format"}:
            kind = ItemEngineError  # llama.cpp, of a schema that it cannot make a grammar of
        elif status in _TRANSIENT or status >= 500:
            kind = TransientEngineError
        elif status in _CONFIG or status < 400:
            kind = ConfigEngineError
        what, remedy = _BY_CLASS[kind]
        message = f"{self.host} {what} (status {status})"
        words = "" if isinstance(value, str) else _message(value)
        # Servers repeat the key, whole or in part, when they refuse it.
        if words and status not in (401, 403):
            message += f": {self._quote(words)}"
        if issubclass(kind, TransientEngineError):
            return kind(message, remedy=remedy, wait=wait)
        if kind is ItemEngineError:
            return RefusedRequest(message, remedy=remedy, fields=_refused_fields(value))
        return kind(message, remedy=remedy)

    def _quote(self, words: str) -> str:
        """The server's own words for a message: short, printable, without the key."""
        shown = words.replace(self._key, "***") if self._key else words
        printable = "".join(letter if letter.isprintable() else " " for letter in shown)
        short = " ".join(printable.split()).rstrip(".")
        return short if len(short) <= _MAX_QUOTE else f"{short[:_MAX_QUOTE]}..."

    def _broken_connection(self, error: httpx2.TransportError) -> EngineError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return ConfigEngineError(
                    f"the TLS certificate of {self.host} cannot be verified",
                    remedy="check the address and this machine's clock; for a private authority "
                    "set SSL_CERT_FILE to its certificate",
                )
            cause = cause.__cause__ or cause.__context__
        return self._unreachable("cannot be reached, or closed the connection")

    def _unreachable(self, why: str) -> TransientEngineError:
        return TransientEngineError(
            f"{self.host} {why}",
            remedy="check that the server is running and that --base-url is its address",
        )


def _json_or_text(answer: httpx2.Response) -> object:
    """The JSON value of an answer whatever media type it claims, else its text."""
    with suppress(ValueError):
        value: object = json.loads(answer.content)
        return value
    return answer.text


async def _json_events(answer: httpx2.Response) -> AsyncIterator[object]:
    """The JSON values of a stream of server-sent events, up to ``[DONE]`` or its end."""
    async for event in httpx2.EventSource(answer):
        if event.data.strip() == "[DONE]":
            return
        if event.data:
            yield json.loads(event.data)


# ---- errors


class RefusedRequest(ItemEngineError):
    """The server refuses this request.

    Args:
        message: What is wrong.
        remedy: What to do about it.
        fields: Names of the request's fields that it names as what it does not take.
    """

    def __init__(self, message: str, *, remedy: str, fields: frozenset[str] = frozenset()) -> None:
        super().__init__(message, remedy=remedy)
        self.fields = fields


# Fields that an API may not take, by the words of a refusal that is about them.
_REFUSED_FIELDS = {
    "seed": re.compile(r"\bseed\b"),
    "temperature": re.compile(r"\btemperature\b"),
    "response_format": re.compile(r"response.?format|schema|grammar|guided|structured.?output"),
    "chat_template_kwargs": re.compile(r"chat.?template|enable_thinking"),
    "reasoning_effort": re.compile(r"reasoning.?effort"),
    "thinking_token_budget": re.compile(r"thinking_token_budget"),
}
# A limit that is too large has a refusal that names it as well.
_UNKNOWN_LIMIT = re.compile(
    r"(?=.*\bmax_tokens\b)"
    r".*(?:not support|unsupport|unknown|unrecogni|unexpected|extra|permitted|deprecated)",
    re.DOTALL,
)


def _refused_fields(error: object) -> frozenset[str]:
    words = " ".join(_words(error)).lower()
    named = {name for name, pattern in _REFUSED_FIELDS.items() if pattern.search(words)}
    return frozenset(named | ({"max_tokens"} if _UNKNOWN_LIMIT.match(words) else set()))


def _words(error: object) -> Iterator[str]:
    """Every text in a refusal, but for what it repeats of the request."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, list):
        for part in error:
            yield from _words(part)
    elif isinstance(error, dict):
        for name, part in error.items():
            if name != "input":
                yield name
                yield from _words(part)


def _message(error: object) -> str:
    """What a refusal says to people, in any of the shapes that servers give it."""
    if isinstance(error, list):
        return "; ".join(filter(None, map(_message, error)))
    if isinstance(error, dict):
        names = ("message", "msg", "detail", "error", "errors")
        return next(filter(None, (_message(error.get(name)) for name in names)), "")
    return _string(error)


_TRANSIENT = frozenset({408, 409, 425})
_CONFIG = frozenset({401, 402, 403, 404, 405, 407})
_BY_CLASS: dict[type[EngineError], tuple[str, str]] = {
    ConfigEngineError: (
        "has no such model or address, wants another key, or sends requests elsewhere",
        "check --model, --base-url, which for most servers ends in /v1, and --api-key-env",
    ),
    ItemEngineError: ("refuses the request", "show fewer or smaller frames, or shorten the prompt"),
    TransientEngineError: ("failed", "look at the server's log, or try again later"),
    EngineBusy: ("asks to slow down", "send fewer requests at a time, or try again later"),
}


def _retry_after(value: str) -> float | None:
    """Seconds of a ``Retry-After`` header; None where it has none, as where it has a date."""
    with suppress(ValueError):
        seconds = float(value)
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    return None


# ---- questions and answers


def read_completion(answer: object) -> Completion:
    """The completion in the answer to a chat request: its first choice, without the reasoning.

    An answer that is nothing but reasoning is given as a thought that was never closed, and one
    that is nothing but a refusal as that.

    Raises:
        ValueError: It is no such answer.
    """
    choices = _field(answer, "choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices")
    message = _field(choices[0], "message")
    if not isinstance(message, dict):
        raise ValueError("no message")
    return _completion(
        _text(message.get("content")),
        _field(choices[0], "finish_reason"),
        _field(answer, "usage"),
        thought=_thought(message),
        refusal=_string(message.get("refusal")),
    )


async def read_events(events: AsyncIterator[object], on_text: Callable[[str], None]) -> Completion:
    """The completion in a streamed answer; the same as if it had not been streamed.

    Args:
        events: The API's chunks.
        on_text: Called with each piece of text as it comes.

    Raises:
        ValueError: These are no such chunks, or the last one is missing.
    """
    pieces, thoughts, refusals = list[str](), list[str](), list[str]()
    reason, usage = None, None
    async for chunk in events:
        choices = _field(chunk, "choices")
        if not isinstance(choices, list):
            raise ValueError("no chunk of an answer, or an error within it")
        usage = _field(chunk, "usage") or usage
        for choice in choices:
            if _field(choice, "index") not in (0, None):
                continue
            reason = _field(choice, "finish_reason") or reason
            delta = _field(choice, "delta")
            thoughts.append(_thought(delta))
            refusals.append(_string(_field(delta, "refusal")))
            content = _field(delta, "content")
            if not isinstance(content, str):
                content = _text(content)
            if content:
                pieces.append(content)
                on_text(_text(content))
    if reason is None:
        raise ValueError("the stream ends before the answer does")
    return _completion(
        _text("".join(pieces)),
        reason,
        usage,
        thought="".join(thoughts),
        refusal="".join(refusals),
    )


def _completion(
    text: str, reason: object, usage: object, *, thought: str, refusal: str
) -> Completion:
    finish = finish_reason(reason)
    if not text.strip() and refusal:
        text, finish = _text(refusal), "refusal"
    elif not text.strip() and thought:
        text = f"<think>{_text(thought)}"
    tokens = (_positive(_field(usage, name)) for name in ("prompt_tokens", "completion_tokens"))
    return Completion(text, finish, *tokens)


def _thought(message: object) -> str:
    """What the model thought, under any of the names that servers have for it."""
    named = (
        _text(_field(message, name)) for name in ("reasoning_content", "reasoning", "thinking")
    )
    return next(filter(None, named), "") or _text(_field(message, "content"), thoughts=True)


def read_count(answer: object) -> int | None:
    """The number of tokens in an answer of ``/tokenize``."""
    return _positive(_field(answer, "count"))


def sum_metrics(metrics: str, *names: str) -> float | None:
    """Sum of vLLM's metrics over all their labels, such as the engines of a data-parallel server.

    Args:
        metrics: The text of ``/metrics``.
        names: The metrics, without ``vllm:``.

    Returns:
        None where it has none of them.
    """
    wanted = "|".join(map(re.escape, names))
    # A label's value may hold a brace, as a model's name can; the last one closes the labels.
    values = re.findall(rf"^vllm:(?:{wanted})(?:{{.*}})? (\d[\d.e+-]*)$", metrics, re.MULTILINE)
    return sum(map(float, values)) if values else None


# ---- what a server says of itself


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model behind an API.

    Attributes:
        name: Its name in requests.
        origin: The name or path it was loaded from; its name where that is not known.
        parent: The model that an adapter is put on; empty for a whole model.
        software: ``vllm``, ``sglang``, ``llamacpp``, another name, or empty if unknown.
        version: Of the software; empty if unknown.
        context: Tokens of prompt and answer together; None if unknown.
        takes_images: False where the server says that the model takes none.
    """

    name: str
    origin: str
    parent: str = ""
    software: str = ""
    version: str = ""
    context: int | None = None
    takes_images: bool = True


async def find_model(client: HttpClient, name: str | None) -> ServedModel:
    """Ask a server about the model of that name, or about its only one.

    Raises:
        ConfigEngineError: It does not have that model, or has none or several and no name is
            given.
        EngineError: It does not answer.
    """
    models = await client.call("/models", read=_read_models, absent=NO_SUCH_PAGE) or ()
    names = ", ".join(model.name for model in models)
    whole = [model for model in models if not model.parent]
    if name is None:
        if len({model.origin for model in whole}) != 1:
            raise ConfigEngineError(
                f"{client.host} serves {len(whole) or 'no'} models, and none is named",
                remedy=f"name one with --model: {names or 'it lists none'}",
            )
        model = whole[0]
    elif named := [model for model in models if model.name == name]:
        model = named[0]
        if model.parent and model.context is None:  # an adapter, with the context of its model
            model = replace(model, context=next((one.context for one in whole), None))
    elif any(model.software in ("vllm", "sglang") for model in models):
        raise ConfigEngineError(
            f"{client.host} does not serve {name!r}", remedy=f"name one that it does: {names}"
        )
    else:
        # Others do not list every name they answer to: aliases, dated versions, any name.
        model = ServedModel(name, name, software=models[0].software if len(models) == 1 else "")

    # What only the server's own pages have; hosted APIs have none, and are not asked.
    pages = {"llamacpp": "/props", "sglang": "/server_info", "vllm": "/version"}
    if model.software not in pages:
        return model
    url = client.root + pages[model.software]
    page = await client.call(url, read=lambda value: value, absent=range(300, 600))
    if model.software != "llamacpp":
        return replace(model, version=_string(_field(page, "version")))
    return replace(
        model,
        origin=_string(_field(page, "model_path")) or model.origin,
        version=_string(_field(page, "build_info")),
        context=_positive(_field(_field(page, "default_generation_settings"), "n_ctx"))
        or model.context,
        takes_images=_field(_field(page, "modalities"), "vision") is not False,
    )


def _read_models(listing: object) -> tuple[ServedModel, ...]:
    entries = _field(listing, "data")
    if not isinstance(entries, list):
        raise ValueError("not a list of models")
    return tuple(
        ServedModel(
            name=_string(_field(entry, "id")),
            origin=_string(_field(entry, "root")) or _string(_field(entry, "id")),
            parent=_string(_field(entry, "parent")),
            software=_string(_field(entry, "owned_by")),
            context=_positive(_field(entry, "max_model_len"))
            or _positive(_field(_field(entry, "meta"), "n_ctx"))
            or _positive(_field(_field(entry, "meta"), "n_ctx_train")),
        )
        for entry in entries
        if _string(_field(entry, "id"))
    )


# ---- JSON fields that may be missing or of any type


def _field(value: object, name: str) -> Any:
    """A field of an object; None where it is missing or the value is no object."""
    return value.get(name) if isinstance(value, dict) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _positive(value: object) -> int | None:
    """The value if it is a whole number above 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return None


def _text(content: object, *, thoughts: bool = False) -> str:
    """The text of a message's content, which may be missing, a string or one or more parts.

    Args:
        content: As a server gives it.
        thoughts: Take the parts that are the model's thoughts, and no others.
    """
    if isinstance(content, str):
        # JSON can spell half of a surrogate pair, which no file and no terminal takes.
        text = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return "" if thoughts else text
    if isinstance(content, list):
        return "".join(_text(part, thoughts=thoughts) for part in content)
    if not isinstance(content, dict):
        return ""
    kind = _string(content.get("type")) or "text"
    names: tuple[str, ...] = ("text", "value") if kind in ("text", "output_text") else ()
    if thoughts:
        names = ("thinking", "reasoning", "text") if kind in ("thinking", "reasoning") else ()
    return next(filter(None, (_text(content.get(name)) for name in names)), "")
