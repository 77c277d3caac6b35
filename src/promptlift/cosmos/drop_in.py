"""A drop-in for Cosmos-Transfer1's own prompt upsampler: same name, same calls.

In ``cosmos_transfer1/diffusion/inference/world_generation_pipeline.py`` (and wherever else the
class is used) one line changes::

    from promptlift.cosmos import PixtralPromptUpsampler

The names of the methods and their arguments are those of
``cosmos_transfer1/auxiliary/upsampler/model/upsampler.py``.

Among torchrun's workers rank 0 alone asks the engine. Its answer goes to the other ranks through
the key-value store that `torch.distributed` made when it started. Unlike a broadcast, writing
there waits for nobody: Cosmos-Transfer1 asks on rank 0 alone, while the others never ask, and a
program whose ranks all ask gets the same text on each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from promptlift import errors
from promptlift.api import BackgroundLoop
from promptlift.engines.base import Engine, Sleeps, innermost
from promptlift.engines.registry import make_engine
from promptlift.engines.vllm.launch import is_torchrun_variable
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    OptionError,
    PromptliftError,
    TransientEngineError,
    VideoUnreadable,
)
from promptlift.options import OnReject, Options
from promptlift.pipeline import upsample_item
from promptlift.record import Record

__all__ = ["PixtralPromptUpsampler"]

Video = str | os.PathLike[str] | Sequence[str | os.PathLike[str] | bytes]

_LOG = logging.getLogger("promptlift.cosmos")
_ASKED: Counter[str] = Counter()
# What Cosmos's pipeline takes away around each call, as it was when this module was imported.
_TORCHRUN = {
    name: value
    for name, value in os.environ.items()
    if name == "OMP_NUM_THREADS" or is_torchrun_variable(name, value)
}


class PixtralPromptUpsampler:
    """Writes the long prompt for a video, as Cosmos-Transfer1's class of that name is asked to.

    The frames are planned to fit the engine's context, so that every size of video works; they
    are spread over the clip, and nothing is written to disk. The engine is a process of its own
    with a clean environment. Under torchrun rank 0 alone has one, and answers for every rank.

    Args:
        checkpoint_dir: The folder of Cosmos's checkpoints.
        offload_prompt_upsampler: Load the model when it is first needed, and give the GPU's
            memory back after each prompt.
        engine: The name of an engine, or an engine, which is then the caller's to close.
        engine_settings: What the engine of that name takes; `checkpoint_dir` is added for vLLM.
        offload_by: ``sleep`` keeps the weights in main memory, for a wake within about a second;
            ``stop`` ends the engine, so that the next prompt loads it again. What cannot sleep
            is stopped.
        on_reject: When no answer passes the review: ``fail`` raises, ``best`` gives the best
            attempt and ``original`` the short prompt, both with a warning in the log. A garbled
            prompt never passes silently.
        patience: Seconds that another rank waits for rank 0's answer.
        **options: As in `promptlift.Options`, such as ``context`` or ``seed``.

    Attributes:
        upsampler_model: The engine; None before it is loaded and after a stop.
        last_record: How the latest prompt came about; None before, and on ranks other than 0.

    Raises:
        ConfigEngineError: The engine does not start (unless it is offloaded; then at the first
            prompt).
        OptionError: An option is unknown or makes no sense.
    """

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        offload_prompt_upsampler: bool = False,
        *,
        engine: str | Engine = "vllm",
        engine_settings: Mapping[str, Any] | None = None,
        offload_by: Literal["sleep", "stop"] = "sleep",
        on_reject: OnReject = "fail",
        patience: float = 3600.0,
        **options: Any,
    ) -> None:
        if offload_by not in ("sleep", "stop"):
            raise OptionError(f"offload_by is {offload_by!r}", remedy="use one of: sleep, stop")
        self.checkpoint_dir = checkpoint_dir
        self.offload_prompt_upsampler = offload_prompt_upsampler
        self.options = Options(on_reject=on_reject, **options)
        self.upsampler_model: Engine | None = None
        self.last_record: Record | None = None
        self._engine = engine
        self._settings = dict(engine_settings or {})
        self._offload_by = offload_by
        self._patience = patience
        self._loop = BackgroundLoop()
        if not offload_prompt_upsampler:
            self._load_upsampler_model()

    def _prompt_upsample_with_offload(self, prompt: str | None, video_path: Video | None) -> str:
        """The long prompt; afterwards the GPU's memory is given back where that was asked for.

        Args:
            prompt: The short prompt; empty for "describe what is there".
            video_path: A video, or pictures in order, each of which is shown.

        Raises:
            InputError: The video or the prompt is at fault.
            EngineError: The engine does not answer; `ItemEngineError` also where no answer was
                fit to use and `on_reject` is ``fail``.
        """
        return self._on_all_ranks(prompt, video_path, offload=self.offload_prompt_upsampler)

    def _prompt_upsample(self, prompt: str | None, video_path: Video | None) -> str:
        """The long prompt, with the model left loaded; see `_prompt_upsample_with_offload`."""
        return self._on_all_ranks(prompt, video_path, offload=False)

    def _load_upsampler_model(self) -> None:
        """Start the engine, or wake it; on ranks other than 0 there is nothing to load.

        Raises:
            ConfigEngineError: It does not start.
        """
        if _rank() == 0:
            with _restoring_torchrun():
                self._loop.run(self._load())

    def _offload_upsampler_model(self) -> None:
        """Give the GPU's memory back; safe to call twice."""
        if self.upsampler_model is not None and not self._loop.run(self._sleep()):
            self._stop()

    def close(self) -> None:
        """End the engine unless it is the caller's; safe to call twice."""
        self._stop()
        self._loop.stop()

    def _on_all_ranks(self, prompt: str | None, video: Video | None, *, offload: bool) -> str:
        short_prompt = prompt or ""
        asked = hashlib.sha256(repr((short_prompt, video)).encode()).hexdigest()[:32]
        _ASKED[asked] += 1
        exchange = f"promptlift/{asked}/{_ASKED[asked]}"  # the same on all ranks
        if _rank() != 0:
            return _receive(exchange, self._patience)
        with _restoring_torchrun():
            try:
                try:
                    text = self._loop.run(self._ask(short_prompt, video))
                finally:
                    if offload:
                        self._offload_upsampler_model()
            except Exception as error:
                _send(exchange, error)
                raise
        _send(exchange, text)
        return text

    async def _ask(self, short_prompt: str, video: Any) -> str:
        if not video:
            raise VideoUnreadable(
                "no video is given, or no picture",
                remedy="check that the video can be read, and name an input_control in the spec: "
                "for seg and depth Cosmos-Transfer1 passes that file, and nothing where there is "
                "none",
            )
        options = self.options
        if not isinstance(video, str | os.PathLike):  # pictures, as many as the model takes
            options = options.merged({"frames": len(video)})
        outcome = await upsample_item(video, short_prompt, await self._load(), options)
        self.last_record = record = outcome.record
        if outcome.error is not None:
            raise outcome.error
        if record.status == "unchanged":
            _LOG.warning("the short prompt is used as it is: %s", record.note)
        if record.status == "rejected":
            checks = record.review.checks if record.review is not None else []
            failed = ", ".join(check.name for check in checks if not check.passed)
            what = f"no answer of {len(record.attempts)} was fit to use: {failed}"
            if record.prompt is None:
                raise ItemEngineError(
                    what, remedy='ask again, or choose on_reject="original" or "best"'
                )
            used = "best of them" if options.on_reject == "best" else "short prompt"
            _LOG.warning("%s; the %s is used", what, used)
        return record.prompt or ""

    async def _load(self) -> Engine:
        if self.upsampler_model is not None:
            inner = innermost(self.upsampler_model)
            if isinstance(inner, Sleeps) and inner.asleep():
                await inner.wake()
        elif isinstance(self._engine, str):
            settings = dict(self._settings)
            if self._engine == "vllm":
                settings.setdefault("checkpoint_dir", Path(self.checkpoint_dir))
            self.upsampler_model = make_engine(self._engine, **settings)
        else:
            self.upsampler_model = self._engine
        await self.upsampler_model.describe()
        return self.upsampler_model

    async def _sleep(self) -> bool:
        """Put the engine to sleep once it has answered; False where it cannot."""
        if self.upsampler_model is None or self._offload_by != "sleep":
            return False
        inner = innermost(self.upsampler_model)
        try:
            return isinstance(inner, Sleeps) and await inner.sleep()
        except EngineError:
            return False

    def _stop(self) -> None:
        engine, self.upsampler_model = self.upsampler_model, None
        if engine is not None and isinstance(self._engine, str):
            self._loop.run(engine.close())


# Ranks


def _rank() -> int:
    """This process's rank: that of `torch.distributed`, else torchrun's, else 0."""
    distributed = _distributed()
    if distributed is not None:
        return int(distributed.get_rank())
    return int(os.environ.get("RANK") or 0)


def _distributed() -> Any:
    """`torch.distributed` where the program uses it; torch is never imported for it."""
    module = sys.modules.get("torch.distributed")
    if module is None or not module.is_available() or not module.is_initialized():
        return None
    return module


def _store() -> Any:
    distributed = _distributed()
    if distributed is None or distributed.get_world_size() == 1:
        return None
    return distributed.distributed_c10d._get_default_store()  # noqa: SLF001 - no public name


@contextlib.contextmanager
def _restoring_torchrun() -> Iterator[None]:
    """On an error, restore the variables of torchrun that the caller has taken away.

    Cosmos-Transfer1 removes them around the call and puts them back only after a call that
    returns (world_generation_pipeline.py:714-725), so that whatever runs after an error would
    find no RANK. A variable that is there is left as it is.
    """
    try:
        yield
    except BaseException:
        for name, value in _TORCHRUN.items():
            os.environ.setdefault(name, value)
        raise


def _send(exchange: str, answer: str | Exception) -> None:
    """Store the answer, or the error, for the same call on the other ranks."""
    store = _store()
    if store is None:
        return
    packed = {"text": answer}
    if isinstance(answer, Exception):
        if not isinstance(answer, PromptliftError):
            what = f"rank 0 failed: {type(answer).__name__}: {answer}"
            answer = EngineError(what, remedy="look at the output of rank 0")
        kind = type(answer).__name__
        packed = {"error": kind, "message": answer.message, "remedy": answer.remedy}
    store.set(exchange, json.dumps(packed))


def _receive(exchange: str, patience: float) -> str:
    """Wait for the answer of rank 0.

    Raises:
        PromptliftError: What rank 0 met with; or it stored nothing for `patience` seconds, or
            the ranks have no way to reach each other.
    """
    store = _store()
    if store is None:
        raise ConfigEngineError(
            f"rank {_rank()} asks for a prompt and has no way to hear it from rank 0",
            remedy="initialise torch.distributed before, or ask on rank 0 alone",
        )
    try:
        store.wait([exchange], timedelta(seconds=patience))
        packed: dict[str, str] = json.loads(store.get(exchange))
    except RuntimeError as error:
        raise TransientEngineError(
            f"rank 0 has left no answer for rank {_rank()} in {patience:g} s",
            remedy="ask the same questions in the same order on every rank",
        ) from error
    if "error" in packed:
        kind: type[PromptliftError] = getattr(errors, packed["error"], EngineError)
        raise kind(packed["message"], remedy=packed["remedy"])
    return packed["text"]
