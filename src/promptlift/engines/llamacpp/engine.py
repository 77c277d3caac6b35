"""The port for GGUF vision models.

Verified here with tiny models of random weights; no real checkpoint was run.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from promptlift.core.tokens import family as token_family
from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.llamacpp.hub import locate
from promptlift.engines.llamacpp.machine import default_threads
from promptlift.engines.llamacpp.model import Model, inspect_model
from promptlift.engines.llamacpp.runtime import Runtime, Settings, software
from promptlift.engines.wire.chat import messages, read_completion
from promptlift.errors import ItemEngineError, OptionError

__all__ = ["LlamaCppEngine"]

T = TypeVar("T")

_CONTEXT = 8192


class LlamaCppEngine:
    """A GGUF model and its projector, in this process.

    The files are checked when the engine is first asked who it is, and loaded when it is first
    asked anything else. It answers one request after the other; more of them wait. What is not
    set by a request's `Sampling` is llama.cpp's default or the model's own.

    Args:
        model: The model's file, or ``hub:OWNER/REPO:FILE``, which is then downloaded.
        mmproj: The projector's file, likewise.
        context: Tokens of prompt and answer together; at most what the model was trained for.
            None for 8192, or that, if it is less.
        threads: Threads that calculate; None for one less than there are physical cores.
        gpu_layers: Layers on the GPU, where xllamacpp was built for one: 0 for none, None for as
            many as fit.
        family: Image-token family; None to go by the projector's type and the model's name.
        max_images: The most images in one request.

    Raises:
        OptionError: A number is too small, or there is no such family.
    """

    def __init__(
        self,
        model: str | Path,
        mmproj: str | Path,
        *,
        context: int | None = None,
        threads: int | None = None,
        gpu_layers: int | None = None,
        family: str | None = None,
        max_images: int = 64,
    ) -> None:
        _at_least(1, context=context, threads=threads, max_images=max_images)
        _at_least(0, gpu_layers=gpu_layers)
        self._names = (model, mmproj)
        self._context = context
        self._threads = threads
        self._gpu_layers = gpu_layers
        self._family = token_family(family).name if family else None
        self._max_images = max_images
        self._worker = _worker()
        self._inspected: Future[tuple[Model, str]] | None = None
        self._loaded: Future[Runtime] | None = None
        self._stops: set[threading.Event] = set()

    def __repr__(self) -> str:
        return f"LlamaCppEngine({str(self._names[0])!r}, {str(self._names[1])!r})"

    async def describe(self) -> EngineInfo:
        """Say who answers, after checking the files the first time.

        Raises:
            ConfigEngineError: A file is missing, damaged or not what it is given for, or
                xllamacpp is not installed or not for this processor.
            TransientEngineError: A file is to be downloaded, and the hub does not answer.
        """
        model, version = await self._checked()
        return EngineInfo(
            name="llamacpp",
            model=model.name,
            revision=model.revision,
            version=version,
            context=self._context_for(model),
            family=self._family or model.family,
            max_images=self._max_images,
            origin=str(self._names[0]),
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request, when those before it are answered.

        Raises:
            TransientEngineError: llama.cpp failed, or the engine was closed meanwhile.
            ItemEngineError: The request does not fit the context, or is refused.
            ConfigEngineError: The model cannot be loaded, or takes no such requests.
        """
        if len(request.frames) > self._max_images:
            raise ItemEngineError(
                f"{len(request.frames)} images are more than the {self._max_images} of a request",
                remedy="show fewer frames",
            )
        runtime = await self._running()
        stop = threading.Event()
        self._stops.add(stop)
        try:
            return await asyncio.wrap_future(self._worker.submit(_ask, runtime, request, stop))
        finally:
            # Whoever was cancelled does not wait; the worker must not go on for nobody.
            stop.set()
            self._stops.discard(stop)

    async def close(self) -> None:
        """Stop what is under way and give back memory and threads; safe to call twice.

        A request that comes later loads the model again.
        """
        loaded, self._loaded = self._loaded, None
        worker, self._worker = self._worker, _worker()
        for stop in self._stops:
            stop.set()
        if loaded is not None:
            worker.submit(_give_back, loaded)
        await asyncio.to_thread(worker.shutdown)

    async def _checked(self) -> tuple[Model, str]:
        if self._inspected is None or _failed(self._inspected):
            self._inspected = self._worker.submit(_inspect, *self._names)
        return await _result(self._inspected)

    async def _running(self) -> Runtime:
        model, _ = await self._checked()
        if self._loaded is None or _failed(self._loaded):
            settings = Settings(
                context=self._context_for(model),
                threads=self._threads or default_threads(),
                gpu_layers=self._gpu_layers,
            )
            self._loaded = self._worker.submit(Runtime, model, settings)
        return await _result(self._loaded)

    def _context_for(self, model: Model) -> int:
        wanted = self._context or _CONTEXT
        return min(wanted, model.trained_context or wanted)


def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="promptlift-llamacpp")


async def _result(future: Future[T]) -> T:
    # Shielded, as one caller that is cancelled must not take it from the others.
    return await asyncio.shield(asyncio.wrap_future(future))


def _failed(future: Future[T]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)


def _inspect(model: str | Path, mmproj: str | Path) -> tuple[Model, str]:
    version = software()
    return inspect_model(locate(model), locate(mmproj)), version


def _ask(runtime: Runtime, request: Request, stop: threading.Event) -> Completion:
    sampling = request.sampling
    body = {
        "messages": messages(request),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        # What was kept of an earlier prompt changes the last bits, and so may change the answer.
        "cache_prompt": False,
    }
    return read_completion(runtime.ask(body, stop))


def _give_back(loaded: Future[Runtime]) -> None:
    if not _failed(loaded):
        loaded.result().close()


def _at_least(least: int, **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < least:
            raise OptionError(
                f"{name.replace('_', ' ')} is {number}", remedy=f"use at least {least}"
            )
