"""The engine behind an OpenAI-compatible API.

Images are sent as ``data:`` URLs only; no server is ever given a URL or a path to fetch.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.openai.client import (
    NO_SUCH_PAGE,
    HttpClient,
    RefusedRequest,
    ServedModel,
    find_model,
    read_completion,
    read_count,
    read_events,
)
from promptlift.engines.settings import OpenAISettings
from promptlift.errors import ConfigEngineError, EngineError, ItemEngineError
from promptlift.tokens import family_for_model, is_reasoning_model
from promptlift.types import Frame, Sampling

__all__ = ["OpenAIEngine"]

_FEW_COLOURS = 256
_JPEG_QUALITY = 95
# Switches for a model that thinks; which of them counts depends on the server and on the model's
# chat template. ``include_reasoning`` is none: it hides the thought, and does not spare it.
_NO_THINKING = {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}}
# What a server may refuse without naming it.
_NOT_EVERYWHERE = frozenset({*_NO_THINKING, "thinking_token_budget", "response_format"})


class OpenAIEngine:
    """A model behind an OpenAI-compatible API.

    Args:
        settings: Where the server is, which model, and how long to wait.
        api_key: The key itself, for programs that made it, such as one that started the server;
            otherwise `OpenAISettings.api_key_env` names the variable that holds it.
        max_images: The most images in one request; a server may take fewer.

    Raises:
        ConfigEngineError: The address or the key cannot be used.
    """

    def __init__(
        self, settings: OpenAISettings, *, api_key: str | None = None, max_images: int = 64
    ) -> None:
        self.settings = settings
        self._client = HttpClient(settings, api_key)
        self._max_images = max_images
        self._model: ServedModel | None = None
        self._left_out: frozenset[str] = frozenset()
        self._thinks = False
        self._accepts: dict[int, bool] = {}
        self._describing = asyncio.Lock()
        self._probing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._client.base!r}, model={self.settings.model!r})"

    async def describe(self) -> EngineInfo:
        """Say who answers, asking the server the first time.

        Raises:
            ConfigEngineError: Refused; or several models are served and none is named; or the
                context in the settings is more than the server has.
            TransientEngineError: The server does not answer.
        """
        model = await self._served_model()
        return EngineInfo(
            name="openai",
            model=model.name,
            revision="",
            version=f"{model.software} {model.version}" if model.version else "unknown",
            context=self.settings.context or model.context,
            family=self.settings.family
            or family_for_model(model.name)
            or family_for_model(model.origin),
            max_images=self._max_images if model.takes_images else 0,
            origin=model.origin,
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            TransientEngineError: No answer in time, or only errors that may pass.
            ItemEngineError: The server refuses this request.
            ConfigEngineError: Every request would fail; also where the model takes no images.
        """
        model = await self._served_model()
        images = len(request.frames)
        self._check_images(images, model)
        try:
            return await self._chat(request, model)
        except ItemEngineError as error:
            refusal = error
        if images and not await self._accepts_images(images, model):
            raise ConfigEngineError(
                f"{model.name} refuses {images} images, however small",
                remedy="serve a vision model, and let it take that many images a prompt "
                "(vLLM: --limit-mm-per-prompt)",
            )
        raise refusal

    async def stream(self, request: Request, on_text: Callable[[str], None]) -> Completion:
        """Answer one request, and call `on_text` with each piece of the text as it comes.

        A server that refuses to stream is asked for the answer as a whole.

        Raises:
            TransientEngineError: The answer broke off, or did not come within one attempt.
            ItemEngineError: The server refuses this request.
            ConfigEngineError: Every request would fail; also where the model takes no images.
        """
        model = await self._served_model()
        self._check_images(len(request.frames), model)
        try:
            return await self._chat(request, model, partial(read_events, on_text=on_text))
        except ItemEngineError:
            return await self.complete(request)

    async def count(self, request: Request) -> int | None:
        """Tokens of a request's whole prompt as the server counts them, images included.

        Only vLLM counts images, and up to 0.16 not for models in Hugging Face's format.

        Returns:
            None where the server cannot count, or not this request.

        Raises:
            EngineError: The server does not answer, or not to us.
        """
        model = await self._served_model()
        if model.software != "vllm":
            return None
        body = await self._body(request, model)
        try:
            return await self._client.call(
                self._client.root + "/tokenize",
                {"model": body["model"], "messages": body["messages"]},
                read=read_count,
                absent=NO_SUCH_PAGE,
            )
        except ItemEngineError:
            return None

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.close()

    async def _served_model(self) -> ServedModel:
        async with self._describing:
            if self._model is None:
                model = await find_model(self._client, self.settings.model)
                wanted = self.settings.context
                if wanted and model.context and wanted > model.context:
                    raise ConfigEngineError(
                        f"a context of {wanted} is asked for, and {model.name} is served with "
                        f"{model.context}",
                        remedy=f"ask for at most {model.context}, or start the server with more",
                    )
                self._model = model
                self._thinks = is_reasoning_model(
                    model.name, model.origin, self.settings.family or ""
                )
            return self._model

    def _check_images(self, images: int, model: ServedModel) -> None:
        if images and not model.takes_images:
            raise ConfigEngineError(
                f"{model.name} takes no images, as it is served",
                remedy="serve a vision model (llama-server: with its --mmproj)",
            )
        if images > self._max_images:
            raise ItemEngineError(
                f"{images} images are more than the {self._max_images} of a request",
                remedy="show fewer frames",
            )

    async def _body(self, request: Request, model: ServedModel) -> dict[str, Any]:
        urls = await asyncio.to_thread(_data_urls, request) if request.frames else []
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": u}} for u in urls]
        user = {"role": "user", "content": [*parts, {"type": "text", "text": request.text}]}
        # An empty system turn is not sent: some chat templates refuse one.
        system = [{"role": "system", "content": request.system}] if request.system else []
        later = [
            {"role": role, "content": text}
            for turn in request.follow_ups
            for role, text in (("assistant", turn.answer), ("user", turn.text))
        ]
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": model.name,
            "messages": [*system, user, *later],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }
        if request.schema is not None:
            # The one spelling that vLLM, llama.cpp, SGLang and hosted APIs share.
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self._thinks:
            body |= _NO_THINKING
            if model.software == "vllm":  # ends the thought of a model that has no switch
                body["thinking_token_budget"] = 0
        return body

    async def _chat(
        self,
        request: Request,
        model: ServedModel,
        events: Callable[[AsyncIterator[object]], Awaitable[Completion]] | None = None,
    ) -> Completion:
        """Send; fields that a refusal names are left out, and from then on if that helps.

        A model that gives nothing but a thought is asked again not to think, from then on at once.
        """
        body = await self._body(request, model)
        if events is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        left_out = self._left_out
        while True:
            sent = {name: value for name, value in body.items() if name not in left_out}
            if "max_tokens" in left_out:
                sent["max_completion_tokens"] = body["max_tokens"]
            try:
                completion = await self._client.call(
                    "/chat/completions", sent, read=read_completion, read_events=events
                )
            except RefusedRequest as error:
                refusal = error
            else:
                assert completion is not None, "only a status in `absent` gives None"
                self._left_out |= left_out
                if "reasoning_effort" in body or not completion.is_thought:
                    return completion
                self._thinks = True
                return await self._chat(request, model, events)
            refused = refusal.fields & sent.keys() or _NOT_EVERYWHERE & sent.keys()
            if not refused:
                raise ItemEngineError(refusal.message, remedy=refusal.remedy)
            left_out |= refused

    async def _accepts_images(self, images: int, model: ServedModel) -> bool:
        """Whether the item, and not the model, is the reason for a refusal.

        The status is 400 in both cases, and only the text differs. So the server is asked again,
        once for each number of images, with tiny ones.
        """
        async with self._probing:
            if images not in self._accepts:
                pixels = np.full((64, 64, 3), 128, np.uint8)
                frame = Frame(Fraction(0), pixels, wanted=Fraction(0))
                request = Request("?", (frame,) * images, sampling=Sampling(max_tokens=1))
                try:
                    await self._chat(request, model)
                    self._accepts[images] = True
                except ItemEngineError:
                    self._accepts[images] = False
                except EngineError:
                    return True
            return self._accepts[images]


def _data_urls(request: Request) -> list[str]:
    """The frames of a request, encoded.

    Edges, masks and maps, where a colour has a meaning or a line is one pixel wide, become PNG;
    camera pictures become JPEG of quality 95 without chroma subsampling.
    """
    urls = []
    for frame in request.frames:
        picture = Image.fromarray(frame.image)
        buffer = io.BytesIO()
        if request.source_kind is not None or picture.getcolors(_FEW_COLOURS) is not None:
            media = "png"
            picture.save(buffer, media, compress_level=1)
        else:
            media = "jpeg"
            picture.save(buffer, media, quality=_JPEG_QUALITY, subsampling=0)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        urls.append(f"data:image/{media};base64,{data}")
    return urls
