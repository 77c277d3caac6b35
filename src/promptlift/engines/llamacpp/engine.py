"""The engine for GGUF vision models: llama.cpp's server in this process, asked over HTTP.

xllamacpp runs llama.cpp in this process, and its server listens on loopback in any case, with a
key that only this engine has. The OpenAI engine talks to it as to any other server.

Verified with tiny models of random weights; no real checkpoint was run.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil

from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.llamacpp.gguf import GgufModel, inspect_model, locate
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.settings import LlamaCppSettings, OpenAISettings
from promptlift.errors import ConfigEngineError, EngineError, TransientEngineError
from promptlift.tokens import family

__all__ = ["LlamaCppEngine"]

_DEFAULT_CONTEXT = 8192
# Large models on a processor are slow, and nothing but their work can make an answer late.
_ANSWER_SECONDS = 24 * 3600.0


class LlamaCppEngine:
    """A GGUF model and its projector, in this process.

    The files are checked at the first call of any method, and loaded at the first request. It
    answers one request at a time; more of them wait. What a request's `Sampling` does not set is
    llama.cpp's default or the model's own.

    Args:
        settings: Which files, and how they are loaded.

    Raises:
        OptionError: There is no such image-token family.
    """

    def __init__(self, settings: LlamaCppSettings) -> None:
        self.settings = settings
        self._family = family(settings.family).name if settings.family else None
        self._inspecting = asyncio.Lock()
        self._files: tuple[GgufModel, str] | None = None
        self._starting: asyncio.Task[_Server] | None = None

    async def describe(self) -> EngineInfo:
        """Say who answers, after checking the files the first time; nothing is loaded.

        Raises:
            ConfigEngineError: A file is missing, damaged or not what it is given for, or
                xllamacpp is not installed.
            TransientEngineError: A file is to be downloaded, and the hub does not answer.
        """
        model, version = await self._inspected()
        return EngineInfo(
            name="llamacpp",
            model=model.name,
            revision=model.revision,
            version=version,
            context=self._context(model),
            family=self._family or model.family,
            max_images=self.settings.max_images,
            origin=str(self.settings.model),
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request, when those before it are answered.

        Raises:
            TransientEngineError: llama.cpp failed, or the engine was closed meanwhile.
            ItemEngineError: The request does not fit the context, or is refused.
            ConfigEngineError: The model cannot be loaded, or takes no such requests.
        """
        async with self._turn() as client:
            return await client.complete(request)

    async def stream(self, request: Request, on_text: Callable[[str], None]) -> Completion:
        """Answer one request likewise, and call `on_text` with each piece of text as it comes.

        Raises:
            EngineError: As `complete`.
        """
        async with self._turn() as client:
            return await client.stream(request, on_text)

    async def close(self) -> None:
        """Stop what is under way and free memory, threads and the port; safe to call twice.

        A request that comes later loads the model again.
        """
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(EngineError):
                await (await asyncio.shield(starting)).close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[OpenAIEngine]:
        """The running model, for one request at a time."""
        model, _ = await self._inspected()
        task = self._starting
        if task is None or task.cancelled() or (task.done() and task.exception() is not None):
            start = asyncio.to_thread(_Server, model, self.settings, self._context(model))
            task = self._starting = asyncio.create_task(start)
        # Shielded: the cancellation of one caller must not cancel the work of the others.
        server = await asyncio.shield(task)
        async with server.turn:
            if server.closed:
                raise TransientEngineError(
                    "the engine was closed before it answered", remedy="ask again"
                )
            yield server.client

    async def _inspected(self) -> tuple[GgufModel, str]:
        """The model, and the version of what runs it."""
        async with self._inspecting:
            if self._files is None:
                version = str(_import_xllamacpp().__version__)
                path = await asyncio.to_thread(locate, self.settings.model)
                mmproj = await asyncio.to_thread(locate, self.settings.mmproj)
                model = await asyncio.to_thread(inspect_model, path, mmproj)
                # The version of xllamacpp ends in the build number of the llama.cpp inside.
                build = version.rpartition(".")[2]
                self._files = model, f"xllamacpp {version} (llama.cpp b{build})"
            return self._files

    def _context(self, model: GgufModel) -> int:
        wanted = self.settings.context or _DEFAULT_CONTEXT
        return min(wanted, model.trained_context or wanted)


class _Server:
    """llama.cpp's server with a model in memory, and the client that may ask it.

    Raises:
        ConfigEngineError: llama.cpp cannot load the model.
    """

    def __init__(self, model: GgufModel, settings: LlamaCppSettings, context: int) -> None:
        xllamacpp = _import_xllamacpp()
        key = secrets.token_urlsafe(32)
        parameters = _parameters(xllamacpp.CommonParams(), model, settings, context, key)
        # Freed memory goes back to the system, so that llama.cpp gets pages of zeros: in a process
        # that had decoded and computed a great deal, models loaded into reused memory were seen to
        # answer with garbage now and then; with fresh memory they were not.
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
        try:
            self._server: Any = xllamacpp.Server(parameters)
        except (RuntimeError, MemoryError) as error:
            raise ConfigEngineError(
                f"llama.cpp cannot load {model.path.name!r} (architecture {model.architecture}) "
                f"with {model.mmproj.name!r} and a context of {context}",
                remedy="check that both files are whole and belong together, that there is memory "
                "for them, and that xllamacpp is new enough for the model",
            ) from error
        self.address = str(self._server.listening_address)
        self.closed = False
        # llama.cpp has one slot. Requests that waited there would each hold a connection, and
        # the time for their answer would run.
        self.turn = asyncio.Lock()
        self.client = OpenAIEngine(
            OpenAISettings(base_url=self.address, timeout=_ANSWER_SECONDS, retries=0),
            api_key=key,
            max_images=settings.max_images,
        )

    async def close(self) -> None:
        """Break off the request under way, and end llama.cpp's threads."""
        self.closed = True
        await self.client.close()
        server = [self.__dict__.pop("_server")]
        await asyncio.to_thread(server.clear)  # its end waits for the request under way


def _parameters(
    params: Any, model: GgufModel, settings: LlamaCppSettings, context: int, key: str
) -> Any:
    params.model.path = str(model.path)
    params.mmproj.path = str(model.mmproj)
    params.offline = True
    params.n_ctx = context
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = -1
    # The cache of an earlier prompt changes the last bits, and so may change the answer.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    # One thread less than there are physical cores: llama.cpp's threads wait for each other in a
    # loop, and where one of them has to share its core with another program, all of them wait.
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    params.cpuparams.n_threads = settings.threads or max(1, min(cores, allowed) - 1)
    params.cpuparams_batch.n_threads = params.cpuparams.n_threads
    if settings.gpu_layers is not None:
        params.n_gpu_layers = settings.gpu_layers
        params.mmproj_use_gpu = settings.gpu_layers > 0
    if model.image_tokens is not None:
        # llama.cpp would shrink every picture to its own, lower limit, and say nothing.
        params.image_max_tokens = model.image_tokens
        params.image_min_tokens = 1
    # By default the server lets in every program on the machine and, through a browser, every
    # web page.
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_threads_http = 2
    params.api_keys = [key]
    params.cors_origins = "http://localhost"
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    return params


def _import_xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigEngineError(
            f"xllamacpp cannot be imported ({error})",
            remedy="run `pip install 'promptlift[llamacpp]'`",
        ) from error
    return xllamacpp
