"""The calls of a client, each one or two requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, TypeAlias

from promptlift.client.wire import Refused, Wire, broke_off, events, refused
from promptlift.core.facts import Facts
from promptlift.core.record import Record
from promptlift.core.video import Size
from promptlift.errors import OptionError, PromptliftError, VideoNotFound

__all__ = ["Answer", "Client", "Job", "Upload"]

Video: TypeAlias = "str | os.PathLike[str] | bytes | Upload"
Progress: TypeAlias = Callable[[str, Mapping[str, Any]], None]

_PATIENCE_SECONDS = 300.0
_LOCAL = {"isolated", "target_tokenizer"}


@dataclass(frozen=True, slots=True)
class Upload:
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
class Job:
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


class Answer(NamedTuple):
    """What became of a request: a record, an error, or both."""

    record: Record | None
    error: PromptliftError | None


class Client:
    """Speaks to one server. A context manager; may be used from several threads.

    Args:
        url: Where the server is, such as ``http://127.0.0.1:8765``.
        api_key: Its key; None for none.
        patience: Seconds to go on asking a server that is full.

    Raises:
        OptionError: The address is none.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._wire = Wire(url, api_key, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._wire.close()

    def upsample(
        self,
        video: Video,
        prompt: str = "",
        *,
        engine: str | None = None,
        fresh: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Record:
        """Turn a video and a short prompt into the long prompt; see `promptlift.upsample`.

        Args:
            video: A path, the bytes of a file, or what `upload` gave.
            prompt: The user's words.
            engine: One of the server's engines, as `engines` calls it; None for its first.
            fresh: Ask the engine although the server's journal has an answer.
            progress: Told the name and the fields of each event.
            **options: See `promptlift.Options`.

        Raises:
            InputError: The video, the prompt or an option is at fault.
            EngineError: The engine or the server did not answer.
        """
        answer = self.attempt(
            video, prompt, engine=engine, fresh=fresh, progress=progress, **options
        )
        if answer.error is not None:
            raise answer.error
        assert answer.record is not None
        return answer.record

    def attempt(
        self,
        video: Video,
        prompt: str = "",
        *,
        engine: str | None = None,
        fresh: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Answer:
        """The same without raising: a failure has a record as well, where it came so far."""
        try:
            with self._sent(video) as upload:
                asked = {"upload_id": upload.id, "prompt": prompt, "fresh": fresh}
                asked |= _as_json({"engine": engine, **options})
                return self._wire.patiently(lambda: self._streamed(asked, progress))
        except Refused as refused:
            return Answer(refused.record, refused.error)
        except PromptliftError as error:
            return Answer(None, error)

    def upload(self, video: str | os.PathLike[str] | bytes) -> Upload:
        """Send a video once, to ask many things about it.

        Raises:
            VideoError: It is not there, or no video that the server takes.
            TransientEngineError: The server does not answer.
        """
        name = "" if isinstance(video, bytes) else Path(video).name

        def send() -> Any:
            with _opened(video) as content:
                return self._wire.json(
                    "POST",
                    "/v1/uploads",
                    params={"name": name},
                    content=content,
                    headers={"content-type": "application/octet-stream"},
                )

        said = self._wire.asked(send)
        return Upload(said["id"], said["content"], said["expires"])

    def delete(self, upload: Upload) -> None:
        """Delete an upload now."""
        self._wire.asked(lambda: self._wire.response("DELETE", f"/v1/uploads/{upload.id}"))

    def submit(
        self,
        video: Video,
        prompt: str = "",
        *,
        engine: str | None = None,
        fresh: bool = False,
        **options: Any,
    ) -> Job:
        """Leave a job with the server, which does it even if it is started again meanwhile.

        Raises:
            InputError: The video, the prompt or an option is at fault.
            TransientEngineError: The server does not take it.
        """
        upload = video if isinstance(video, Upload) else self.upload(video)
        asked = {"upload_id": upload.id, "prompt": prompt, "fresh": fresh}
        asked |= _as_json({"engine": engine, **options})
        return _job(self._wire.asked(lambda: self._wire.json("POST", "/v1/jobs", json=asked)))

    def job(self, job_id: str) -> Job:
        """How far a job is, and its record once it has one."""
        return _job(self._wire.asked(lambda: self._wire.json("GET", f"/v1/jobs/{job_id}")))

    def cancel(self, job_id: str) -> Job:
        """Take a job out, or end it; one that has ended stays as it is."""
        return _job(self._wire.asked(lambda: self._wire.json("DELETE", f"/v1/jobs/{job_id}")))

    def record(self, key: str) -> Record:
        """The record that stands in the server's journal for an item."""
        return Record.model_validate(
            self._wire.asked(lambda: self._wire.json("GET", f"/v1/records/{key}"))
        )

    def facts(self, video: Video) -> Facts:
        """What can be measured about a video without a model."""
        with self._sent(video) as upload:
            asked = {"upload_id": upload.id}
            said = self._wire.asked(lambda: self._wire.json("POST", "/v1/facts", json=asked))
        return Facts.model_validate(said)

    def hints(self, video: Video, prompt: str = "", **options: Any) -> bytes:
        """The frames as the engine would see them, on one sheet: a PNG."""
        with self._sent(video) as upload:
            asked = {"upload_id": upload.id, "prompt": prompt, **_as_json(options)}
            response = self._wire.asked(
                lambda: self._wire.response("POST", "/v1/hints", json=asked)
            )
        content: bytes = response.content
        return content

    def engine(self) -> dict[str, Any]:
        """Who answers, and whether it is awake."""
        said: dict[str, Any] = self._wire.asked(lambda: self._wire.json("GET", "/v1/engine"))
        return said

    def engines(self) -> dict[str, dict[str, Any]]:
        """All engines of the server by what requests call them, its first one first."""
        said = self._wire.asked(lambda: self._wire.json("GET", "/v1/engines"))
        return {one["label"]: one for one in said["engines"]}

    @contextmanager
    def _sent(self, video: Video) -> Iterator[Upload]:
        """A video on the server, for as long as it is needed."""
        if isinstance(video, Upload):
            yield video
            return
        upload = self.upload(video)
        try:
            yield upload
        finally:
            with suppress(Refused, PromptliftError):  # it goes by itself in time
                self._wire.response("DELETE", f"/v1/uploads/{upload.id}")

    def _streamed(self, asked: Mapping[str, Any], progress: Progress | None) -> Answer:
        with self._wire.talk(
            "POST", "/v1/upsample", params={"stream": "1"}, json=asked
        ) as response:
            for name, said in events(response):
                if name == "record":
                    return Answer(Record.model_validate(said), None)
                if name == "error":
                    raise refused(said, None)
                if progress is not None:
                    progress(name, said)
        raise Refused(broke_off(), None, 1)


@contextmanager
def _opened(video: str | os.PathLike[str] | bytes) -> Iterator[bytes | BinaryIO]:
    if isinstance(video, bytes):
        yield video
        return
    try:
        file = Path(video).open("rb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise VideoNotFound(f"{os.fspath(video)}: {why}", remedy="check the path") from None
    with file:
        yield file


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of one item as they go over the wire.

    Raises:
        OptionError: One makes sense on this machine only.
    """
    if options.get("target_tokenizer") is not None:
        raise OptionError(
            "target_tokenizer names a file of this machine", remedy="leave it out with a server"
        )
    return {
        name: _plain(value)
        for name, value in options.items()
        if value is not None and name not in _LOCAL
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Size):
        return f"{value.width}x{value.height}"
    return float(value) if isinstance(value, Fraction) else value


def _job(said: Mapping[str, Any]) -> Job:
    failure = said.get("error")
    error = refused(failure, None).error if failure else None
    record = Record.model_validate(said["record"]) if said.get("record") else None
    return Job(said["id"], said["state"], said.get("key"), record, error)
