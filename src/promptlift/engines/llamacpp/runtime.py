"""A loaded model: made in one thread, asked from one thread, and given back whole."""

from __future__ import annotations

import ctypes
import secrets
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from promptlift.engines.llamacpp.failures import error_in, raised
from promptlift.engines.llamacpp.machine import lacking
from promptlift.engines.llamacpp.model import Model
from promptlift.engines.wire.fields import field, string
from promptlift.errors import ConfigEngineError, EngineError, TransientEngineError

__all__ = ["Runtime", "Settings", "import_xllamacpp", "software"]

_OWN_HOST = "127.0.0.1"
_SILENT = -1
_LEAST_IMAGE_TOKENS = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is loaded.

    Attributes:
        context: Tokens of prompt and answer together.
        threads: Threads that calculate.
        gpu_layers: Layers on the GPU, where xllamacpp was built for one; None for as many as fit.
    """

    context: int
    threads: int
    gpu_layers: int | None


def import_xllamacpp() -> Any:
    """The xllamacpp package.

    Raises:
        ConfigEngineError: It is not installed, or not built for this processor.
    """
    missing = lacking()
    if missing:
        raise ConfigEngineError(
            f"the processor lacks {', '.join(missing)}, which the installed xllamacpp needs",
            remedy="build it here: pip install --no-binary xllamacpp xllamacpp",
        )
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigEngineError(
            f"xllamacpp cannot be imported ({error})",
            remedy="install it: pip install 'promptlift[llamacpp]'",
        ) from error
    return xllamacpp


def software() -> str:
    """Versions of xllamacpp and of the llama.cpp inside; the former ends in the latter's build."""
    version = str(import_xllamacpp().__version__)
    return f"xllamacpp {version} (llama.cpp b{version.rpartition('.')[2]})"


class Runtime:
    """A model in memory.

    Raises:
        ConfigEngineError: llama.cpp cannot load it.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        xllamacpp = import_xllamacpp()
        _clean_heap()
        try:
            self._server: Any = xllamacpp.Server(_parameters(xllamacpp, model, settings))
        except (RuntimeError, MemoryError) as error:
            raise ConfigEngineError(
                f"llama.cpp cannot load {model.path.name!r} (architecture {model.architecture}) "
                f"with {model.mmproj.name!r} and a context of {settings.context}",
                remedy="check that both files are whole and belong together, that there is memory "
                "for them, and that xllamacpp is new enough for the model",
            ) from error

    @property
    def address(self) -> str:
        """Where llama.cpp's own server listens; it cannot be told not to."""
        return str(self._server.listening_address)

    def ask(self, body: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
        """Ask, and collect the answer as it comes.

        Args:
            body: A chat request of the OpenAI API, without the fields of streaming.
            stop: When it is set, the answer is given up within a step.

        Returns:
            The reply in the form of the OpenAI API.

        Raises:
            EngineError: llama.cpp refuses or fails, or `stop` was set.
        """
        collected = _Collected()

        def take(chunk: object) -> bool:
            collected.add(chunk)
            return stop.is_set() or collected.error is not None

        # Progress is what lets a stop be seen while the pictures are still being read.
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        server = self._server
        try:
            if server is not None and not stop.is_set():
                server.handle_chat_completions({**body, **streamed, "return_progress": True}, take)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise raised(error) from error
        if server is None or stop.is_set():
            raise TransientEngineError(
                "the model was given back before it had answered", remedy="ask again"
            )
        return collected.reply()

    def close(self) -> None:
        """Give back the memory and end llama.cpp's threads; blocks until they have ended."""
        self._server = None


class _Collected:
    """The pieces of an answer."""

    def __init__(self) -> None:
        self.error: EngineError | None = None
        self._texts: list[str] = []
        self._reason: object = None
        self._usage: object = None

    def add(self, chunk: object) -> None:
        self.error = self.error or error_in(chunk)
        self._usage = field(chunk, "usage") or self._usage
        for choice in field(chunk, "choices") or ():
            self._texts.append(string(field(field(choice, "delta"), "content")))
            self._reason = field(choice, "finish_reason") or self._reason

    def reply(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        if self._reason is None:
            raise TransientEngineError(
                "llama.cpp ended without finishing its answer", remedy="ask again"
            )
        message = {"content": "".join(self._texts)}
        choice = {"message": message, "finish_reason": self._reason}
        return {"choices": [choice], "usage": self._usage}


def _clean_heap() -> None:
    """Hand freed memory back to the system, so that llama.cpp gets pages of zeros.

    In a process that had decoded and computed a great deal, models loaded into reused memory were
    seen to answer with garbage now and then; with fresh memory they were not.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _parameters(xllamacpp: Any, model: Model, settings: Settings) -> Any:
    made = xllamacpp.CommonParams()
    made.model.path = str(model.path)
    made.mmproj.path = str(model.mmproj)
    made.offline = True
    made.n_ctx = settings.context
    made.n_parallel = 1
    made.warmup = False
    made.verbosity = _SILENT
    made.cache_ram_mib = 0
    made.cpuparams.n_threads = settings.threads
    made.cpuparams_batch.n_threads = settings.threads
    if settings.gpu_layers is not None:
        made.n_gpu_layers = settings.gpu_layers
        made.mmproj_use_gpu = settings.gpu_layers > 0
    if model.image_tokens is not None:
        # llama.cpp would shrink every picture to its own, lower limit, and say nothing.
        made.image_max_tokens = model.image_tokens
        made.image_min_tokens = _LEAST_IMAGE_TOKENS
    _lock(made)
    return made


def _lock(made: Any) -> None:
    """Shut the port that llama.cpp's server opens in any case.

    By itself it lets in every program on the machine and, through a browser, every web page.
    """
    made.hostnames = [_OWN_HOST]
    made.port = 0
    made.n_threads_http = 1
    made.api_keys = [secrets.token_urlsafe(32)]
    made.cors_origins = "http://localhost"
    made.cors_credentials = False
    made.ui = False
    made.endpoint_slots = False
