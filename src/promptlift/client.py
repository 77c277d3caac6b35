"""A client of ``promptlift serve``: the same call and the same record, from another process.

::

    with promptlift.Client("http://gpu-box:8765", api_key=key) as client:
        record = client.upsample("clip.mp4", "a robot arm hands over a cup")
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import httpx2

from promptlift import __version__, errors
from promptlift.errors import (
    ConfigEngineError,
    InputError,
    OptionError,
    PromptliftError,
    TransientEngineError,
    VideoNotFound,
)
from promptlift.facts import Facts
from promptlift.record import Record
from promptlift.text import parse_times
from promptlift.types import Size
from promptlift.video.source import Pictures, Source

__all__ = ["Client", "RemoteJob", "RemoteOutcome", "RemoteUpload"]

T = TypeVar("T")
_Video: TypeAlias = "str | os.PathLike[str] | bytes | RemoteUpload"
_Item: TypeAlias = "_Video | Source | Pictures"
_Progress: TypeAlias = Callable[[str, Mapping[str, Any]], None]

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
_PATIENCE_SECONDS = 300.0
_LONGEST_PAUSE = 30
_LOCAL_OPTIONS = {"isolated", "target_tokenizer"}
_CLASSES = {cls.code: cls for cls in (getattr(errors, name) for name in errors.__all__)}


@dataclass(frozen=True, slots=True)
class RemoteUpload:
    """A video that the server keeps for a while.

    Attributes:
        id: Its name there.
        content: Hash of its content.
        expires: When the server deletes it, in seconds since 1970.
    """

    id: str
    content: str
    expires: float


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """Work that was left with the server.

    Attributes:
        id: Its name there.
        state: ``queued``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        key: The item's key, once it is known.
        record: The record; None while there is none.
        error: Why there is no answer; None where there is one, or none yet.
    """

    id: str
    state: str
    key: str | None
    record: Record | None
    error: PromptliftError | None


class RemoteOutcome(NamedTuple):
    """What became of a request: a record, an error, or both."""

    record: Record | None
    error: PromptliftError | None


class _Problem(Exception):
    """The server answered with a problem; `wait` is seconds after which to ask again."""

    def __init__(self, error: PromptliftError, record: Record | None = None, wait: int = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.record = record
        self.wait = wait


class Client:
    """Asks one server. A context manager; may be used from several threads.

    Args:
        url: Where the server is, such as ``http://127.0.0.1:8765``.
        api_key: Its key; None for none.
        patience: Seconds to go on asking a server that is full.

    Raises:
        OptionError: The URL is not valid.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, patience: float = _PATIENCE_SECONDS
    ) -> None:
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
                f"{url!r} is not the URL of a server",
                remedy="use a URL such as http://127.0.0.1:8765",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._http.close()

    def upsample(
        self,
        video: _Item | None = None,
        prompt: str = "",
        *,
        progress: _Progress | None = None,
        **options: Any,
    ) -> Record:
        """Turn a video and a short prompt into the long prompt; see `promptlift.upsample`.

        Args:
            video: A path, the bytes of a file, what `upload` returned, or `promptlift.Pictures`;
                None for words alone.
            prompt: The user's words.
            progress: Called with the name and the fields of each event.
            **options: See `promptlift.Options`; besides, ``engine`` is the label of one of the
                server's engines, its first by default, and with ``fresh=True`` it is asked
                although the server has an answer already.

        Raises:
            InputError: The video, the prompt or an option is at fault.
            EngineError: The engine or the server did not answer.
        """
        record, error = self.attempt(video, prompt, progress=progress, **options)
        if error is not None:
            raise error
        assert record is not None
        return record

    def attempt(
        self,
        video: _Item | None = None,
        prompt: str = "",
        *,
        progress: _Progress | None = None,
        **options: Any,
    ) -> RemoteOutcome:
        """The same without raising: a failure has a record as well, where it came so far."""
        try:
            with ExitStack() as stack:
                names = _names(video, lambda one: stack.enter_context(self._uploaded(one)).id)
                body = _item(names, prompt, options)
                return self._retry(lambda: self._stream(body, progress))
        except _Problem as problem:
            return RemoteOutcome(problem.record, problem.error)
        except PromptliftError as error:
            return RemoteOutcome(None, error)

    def upload(self, video: str | os.PathLike[str] | bytes) -> RemoteUpload:
        """Send a video once, to ask many things about it.

        Raises:
            VideoError: It does not exist, or is no video that the server takes.
            TransientEngineError: The server does not answer.
        """
        sent: dict[str, Any] = {"headers": {"content-type": "application/octet-stream"}}
        if isinstance(video, bytes):
            upload = self._json("POST", "/v1/uploads", content=video, **sent)
        else:
            try:
                with Path(video).open("rb") as file:
                    sent["params"] = {"name": Path(video).name}
                    upload = self._json("POST", "/v1/uploads", content=file, **sent)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise VideoNotFound(f"{os.fspath(video)}: {why}", remedy="check the path") from None
        return RemoteUpload(upload["id"], upload["content"], upload["expires"])

    def _upload_of(self, video: _Video) -> RemoteUpload:
        return video if isinstance(video, RemoteUpload) else self.upload(video)

    def delete(self, upload: RemoteUpload) -> None:
        """Delete an upload now."""
        self._request("DELETE", f"/v1/uploads/{upload.id}")

    def submit(self, video: _Item | None = None, prompt: str = "", **options: Any) -> RemoteJob:
        """Leave a job with the server, which does it even if it is restarted meanwhile.

        Args:
            video: As of `upsample`.
            prompt: The user's words.
            **options: As of `upsample`.

        Raises:
            InputError: The video, the prompt or an option is at fault.
            TransientEngineError: The server does not take it.
        """
        names = _names(video, lambda one: self._upload_of(one).id)
        return self._job("POST", "/v1/jobs", json=_item(names, prompt, options))

    def job(self, job_id: str) -> RemoteJob:
        """The state of a job, and its record once it has one."""
        return self._job("GET", f"/v1/jobs/{job_id}")

    def cancel(self, job_id: str) -> RemoteJob:
        """Cancel a job; one that has ended stays as it is."""
        return self._job("DELETE", f"/v1/jobs/{job_id}")

    def record(self, key: str) -> Record:
        """The record that the server has for an item."""
        return Record.model_validate(self._json("GET", f"/v1/records/{key}"))

    def facts(self, video: _Video) -> Facts:
        """What can be measured about a video without a model."""
        with self._uploaded(video) as upload:
            facts = self._json("POST", "/v1/facts", json={"upload_id": upload.id})
        return Facts.model_validate(facts)

    def hints(self, video: _Video, prompt: str = "", **options: Any) -> bytes:
        """The frames as the engine would see them, on one sheet: a PNG."""
        with self._uploaded(video) as upload:
            body = _item({"upload_id": upload.id}, prompt, options)
            return self._request("POST", "/v1/hints", json=body).content

    def engines(self) -> dict[str, dict[str, Any]]:
        """All engines of the server by their labels, its first one first."""
        return {one["label"]: one for one in self._json("GET", "/v1/engines")["engines"]}

    @contextmanager
    def _uploaded(self, video: _Video) -> Iterator[RemoteUpload]:
        """A video on the server, for as long as it is needed."""
        if isinstance(video, RemoteUpload):
            yield video
            return
        upload = self.upload(video)
        try:
            yield upload
        finally:
            with suppress(PromptliftError):  # the server deletes it in time
                self.delete(upload)

    def _stream(self, body: Mapping[str, Any], progress: _Progress | None) -> RemoteOutcome:
        with self._open("POST", "/v1/upsample", params={"stream": "1"}, json=body) as response:
            for event in httpx2.EventSource(response):
                fields = json.loads(event.data)
                if event.event == "record":
                    return RemoteOutcome(Record.model_validate(fields), None)
                if event.event == "error":
                    raise _read_problem(fields)
                if progress is not None:
                    progress(event.event, fields)
        raise _Problem(
            TransientEngineError(
                "the server ended in the middle of its answer", remedy="ask again once it is back"
            ),
            wait=1,
        )

    def _job(self, method: str, path: str, **content: Any) -> RemoteJob:
        job = self._json(method, path, **content)
        error = _read_problem(job["error"]).error if job.get("error") else None
        record = Record.model_validate(job["record"]) if job.get("record") else None
        return RemoteJob(job["id"], job["state"], job.get("key"), record, error)

    def _json(self, method: str, path: str, **content: Any) -> Any:
        try:
            return self._request(method, path, **content).json()
        except ValueError:
            raise self._foreign() from None

    def _request(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """One request and its whole answer; the server's problems are raised as errors."""

        def send() -> httpx2.Response:
            if hasattr(content.get("content"), "seek"):
                content["content"].seek(0)
            with self._open(method, path, **content) as response:
                response.read()
            return response

        try:
            return self._retry(send)
        except _Problem as problem:
            raise problem.error from None

    def _retry(self, call: Callable[[], T]) -> T:
        """Call again while the server says when to, and there is time left."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return call()
            except _Problem as problem:
                pause = min(problem.wait, _LONGEST_PAUSE)
                if not pause or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)

    @contextmanager
    def _open(self, method: str, path: str, **content: Any) -> Iterator[httpx2.Response]:
        """One request; its answer is still to be read.

        Raises:
            _Problem: The server answered with one.
            TransientEngineError: It did not answer.
        """
        try:
            with self._http.stream(method, path, **content) as response:
                if response.status_code >= 300:
                    response.read()
                    try:
                        wait = int(response.headers.get("retry-after", "0"))
                        problem = _read_problem(response.json(), wait, response.status_code)
                    except (ValueError, KeyError, TypeError):
                        raise self._foreign() from None
                    raise problem
                yield response
        except httpx2.TransportError as error:
            why = str(error) or type(error).__name__
            raise TransientEngineError(
                f"the server {self._http.base_url} does not answer: {why}",
                remedy="check that it runs and can be reached",
            ) from None

    def _foreign(self) -> ConfigEngineError:
        return ConfigEngineError(
            f"{self._http.base_url} is not a promptlift server",
            remedy="check the address",
        )


def _read_problem(body: Mapping[str, Any], wait: int = 0, status: int = 0) -> _Problem:
    """The error of a problem's code, else one that its status means."""
    kind: type[PromptliftError] | None = _CLASSES.get(body["code"])
    if kind is None and (body["retryable"] or status >= 500):
        kind = TransientEngineError
    elif kind is None:
        kind = ConfigEngineError if status in (401, 403, 421) else InputError
    record = Record.model_validate(body["record"]) if body.get("record") else None
    return _Problem(kind(body["message"], remedy=body["remedy"]), record, wait)


def _names(video: Any, send: Callable[[Any], str]) -> dict[str, Any]:
    """The fields that name a video and pictures, once they are sent."""
    given = video if isinstance(video, Pictures) else Pictures(video, ())
    fields: dict[str, Any] = {} if given.video is None else {"upload_id": send(given.video)}
    for role, picture in given.others:
        if role == "reference":
            fields.setdefault("references", []).append(send(picture))
        else:
            fields["image" if role == "first" else "last_image"] = send(picture)
    return fields


def _item(names: Mapping[str, Any], prompt: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The request for one item as it is sent.

    Raises:
        OptionError: An option makes sense on this machine only.
    """
    for name in ("mask", "target_tokenizer"):
        if options.get(name) is not None:
            raise OptionError(
                f"{name} names a file of this machine", remedy="leave it out with a server"
            )
    if not isinstance(options.get("template"), str | None):
        raise OptionError(
            "a template from a file cannot be used with a server",
            remedy="name a built-in one, or add an --instruction",
        )
    body: dict[str, Any] = {**names, "prompt": prompt}
    for name, value in options.items():
        if value is not None and name not in _LOCAL_OPTIONS:
            body[name] = str(value) if isinstance(value, Size | Fraction) else value
    if options.get("at"):
        body["at"] = ",".join(map(str, parse_times(options["at"])))
    return body
