"""Any server with an OpenAI-compatible API: vLLM, SGLang, llama-server, hosted ones.

Pictures are sent as ``data:`` URLs only; no server is ever handed a URL or a path to fetch. What
a refusal means is in `promptlift.engines.wire.failures`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from typing import Any

from promptlift.core.sampling import Sampling
from promptlift.core.tokens import family_for_model
from promptlift.core.video import Frame
from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.wire.address import parse_address, read_key
from promptlift.engines.wire.chat import messages, read_completion
from promptlift.engines.wire.client import Client
from promptlift.engines.wire.failures import UnsupportedParameter
from promptlift.engines.wire.fields import field, positive, string
from promptlift.engines.wire.metrics import total
from promptlift.engines.wire.pictures import Pictures
from promptlift.engines.wire.serving import Served, inspect
from promptlift.engines.wire.streaming import read_pieces
from promptlift.errors import ConfigEngineError, EngineError, ItemEngineError

__all__ = ["OpenAIEngine"]

_NO_COUNTING = (404, 405, 501)
_GLANCE = 5.0
_PROBE_SIDE = 64


class OpenAIEngine:
    """A model behind an OpenAI-compatible API.

    Args:
        base_url: The API's address, such as ``http://localhost:8000/v1``; http or https, without
            a user name or a password.
        model: The model's name; None for the only one that the server has.
        api_key_env: Name of the environment variable that holds the key; None for no key.
        api_key: The key itself, for programs that made it, such as one that started the server.
        context: Tokens of prompt and answer together; None for what the server says. A hosted
            API says nothing, and `EngineInfo.context` is then None.
        family: Image-token family; None to go by the model's name.
        max_images: The most images in one request; a server may take fewer.
        timeout: Seconds for one attempt, from connecting to the last byte.
        patience: Seconds for one request with all its attempts and waits.
        retries: Attempts after the first, for failures that may pass; 0 for a caller who tries
            again by itself, as `TransientEngineError.wait` says.

    Raises:
        ConfigEngineError: The address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key_env: str | None = None,
        api_key: str | None = None,
        context: int | None = None,
        family: str | None = None,
        max_images: int = 64,
        timeout: float = 300.0,
        patience: float = 900.0,
        retries: int = 4,
    ) -> None:
        key = read_key(api_key_env, api_key)
        self._client = Client(
            parse_address(base_url), key, timeout=timeout, patience=patience, retries=retries
        )
        self._model = model
        self._context = context
        self._family = family
        self._max_images = max_images
        self._served: Served | None = None
        self._limit_name = "max_tokens"
        self._counts = True
        self._streams = True
        self._pictures = Pictures()
        self._images_proven = 0
        self._inspecting = asyncio.Lock()
        self._probing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._client.address.base!r}, model={self._model!r})"

    async def describe(self) -> EngineInfo:
        """Say who answers, asking the server the first time.

        Raises:
            ConfigEngineError: Refused; or several models are served and none is named; or the
                context that was asked for is more than there is.
            TransientEngineError: The server does not answer.
        """
        served = await self._inspected()
        return EngineInfo(
            name="openai",
            model=served.model,
            revision="",
            version=f"{served.software} {served.version}" if served.version else "unknown",
            context=self._context or served.context,
            family=self._family
            or family_for_model(served.model)
            or family_for_model(served.origin),
            max_images=self._max_images if served.sees else 0,
            origin=served.origin,
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            TransientEngineError: No answer within the bounds, or only failures that may pass.
            ItemEngineError: The server refuses this request.
            ConfigEngineError: Every request would fail; also where the model takes no images.
        """
        served = await self._inspected()
        self._check_images(len(request.frames), served)
        body = self._body(request, served, await self._urls(request))
        try:
            completion = await self._asked(body)
        except ItemEngineError as error:
            refused = error
        else:
            self._images_proven = max(self._images_proven, len(request.frames))
            return completion
        raise await self._explained(refused, len(request.frames), served)

    async def stream(self, request: Request, told: Callable[[str], None]) -> Completion:
        """Answer one request, telling each piece of the text as it comes.

        A server that refuses to stream, or does not know one of the request's fields, is asked
        for the answer as a whole, and from then on always.

        Raises:
            TransientEngineError: The answer broke off, or did not come within one attempt.
            ItemEngineError: The server refuses this request.
            ConfigEngineError: Every request would fail; also where the model takes no images.
        """
        served = await self._inspected()
        self._check_images(len(request.frames), served)
        if not self._streams:
            return await self.complete(request)
        limit_name = self._limit_name
        body = self._body(request, served, await self._urls(request))
        try:
            completion = await self._streamed(body, limit_name, told)
        except ItemEngineError:
            completion = await self.complete(request)
            # It is no refusal to stream where only the limit's name was wrong.
            self._streams = self._limit_name != limit_name
        self._images_proven = max(self._images_proven, len(request.frames))
        return completion

    async def count(self, request: Request) -> int | None:
        """Tokens of a request's whole prompt as the server counts them, pictures included.

        Only vLLM counts pictures, and up to 0.16 not for models in Hugging Face's format.

        Returns:
            None where the server cannot count, or not this request.

        Raises:
            EngineError: The server does not answer, or not to us.
        """
        served = await self._inspected()
        if not self._counts or served.software != "vllm":
            return None
        turns = messages(request, await self._urls(request))
        try:
            counted = await self._client.call(
                f"{self._client.address.root}/tokenize",
                {"model": served.model, "messages": turns},
                read=lambda answer: positive(field(answer, "count")),
                absent=_NO_COUNTING,
            )
        except ItemEngineError:
            return None
        self._counts = counted is not None
        return counted

    async def waiting(self) -> int | None:
        """How many requests the server has taken in and not begun, from anybody.

        Returns:
            None where the server is no vLLM, or does not say within a few seconds.
        """
        try:
            served = await self._inspected()
            if served.software != "vllm":
                return None
            return await self._client.call(
                f"{self._client.address.root}/metrics", read=_waiting, within=_GLANCE
            )
        except EngineError:
            return None

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.close()

    async def _inspected(self) -> Served:
        async with self._inspecting:
            if self._served is None:
                served = await inspect(self._client, self._model)
                self._check_context(served)
                self._served = served
            return self._served

    def _check_context(self, served: Served) -> None:
        if self._context and served.context and self._context > served.context:
            raise ConfigEngineError(
                f"a context of {self._context} is asked for, and {served.model} is served with "
                f"{served.context}",
                remedy=f"ask for at most {served.context}, or start the server with more",
            )

    def _check_images(self, images: int, served: Served) -> None:
        if images and not served.sees:
            raise ConfigEngineError(
                f"{served.model} takes no images, as it is served",
                remedy="serve a vision model (llama-server: with its --mmproj)",
            )
        if images > self._max_images:
            raise ItemEngineError(
                f"{images} images are more than the {self._max_images} of a request",
                remedy="show fewer frames",
            )

    async def _urls(self, request: Request) -> tuple[str, ...]:
        known = self._pictures.known(request)
        return await asyncio.to_thread(self._pictures.urls, request) if known is None else known

    def _body(self, request: Request, served: Served, urls: tuple[str, ...]) -> dict[str, Any]:
        sampling = request.sampling
        return {
            "model": served.model,
            "messages": messages(request, urls),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }

    async def _asked(self, body: dict[str, Any]) -> Completion:
        """Send; where an API knows the answer's limit by its newer name only, send it so."""
        name = self._limit_name
        try:
            return await self._sent(body, name)
        except UnsupportedParameter as error:
            if error.parameter != "max_tokens" or name != "max_tokens":
                raise
        self._limit_name = "max_completion_tokens"
        return await self._sent(body, self._limit_name)

    async def _sent(self, body: dict[str, Any], limit_name: str) -> Completion:
        named = _named(body, limit_name)
        completion = await self._client.call(self._chats, named, read=read_completion)
        assert completion is not None, "no status is taken for an absence"
        return completion

    async def _streamed(
        self, body: dict[str, Any], limit_name: str, told: Callable[[str], None]
    ) -> Completion:
        def pieces(given: AsyncIterator[object]) -> Awaitable[Completion]:
            return read_pieces(given, told)

        usage = {"stream": True, "stream_options": {"include_usage": True}}
        named = {**_named(body, limit_name), **usage}
        return await self._client.stream(self._chats, named, pieces=pieces, whole=read_completion)

    @property
    def _chats(self) -> str:
        return f"{self._client.address.base}/chat/completions"

    async def _explained(
        self, refused: ItemEngineError, images: int, served: Served
    ) -> EngineError:
        """Tell a model that takes no images, or not so many, from an item that is at fault.

        The status is the same, 400, and only the text differs. So the server is asked again,
        once, with tiny images, and without any.
        """
        async with self._probing:
            if images <= self._images_proven:
                return refused
            try:
                takes_images = await self._passes(_probe(images), served)
                takes_text = takes_images or await self._passes(_probe(0), served)
            except EngineError:
                return refused
            if takes_images:
                self._images_proven = images
            if takes_images or not takes_text:
                return refused
        return ConfigEngineError(
            f"{served.model} refuses {images} images, however small, and takes text",
            remedy="serve a vision model, and let it take that many images a prompt "
            "(vLLM: --limit-mm-per-prompt)",
        )

    async def _passes(self, request: Request, served: Served) -> bool:
        try:
            await self._asked(self._body(request, served, await self._urls(request)))
        except ItemEngineError:
            return False
        return True


def _named(body: dict[str, Any], limit_name: str) -> dict[str, Any]:
    """The body with the answer's limit called as this server calls it."""
    return {limit_name if name == "max_tokens" else name: body[name] for name in body}


def _waiting(metrics: object) -> int | None:
    waiting = total(string(metrics), "num_requests_waiting")
    return None if waiting is None else int(waiting)


def _probe(images: int) -> Request:
    import numpy as np

    grey = np.full((_PROBE_SIDE, _PROBE_SIDE, 3), 128, np.uint8)
    frame = Frame(Fraction(0), grey, wanted=Fraction(0))
    return Request(text="?", frames=(frame,) * images, sampling=Sampling(max_tokens=1))
