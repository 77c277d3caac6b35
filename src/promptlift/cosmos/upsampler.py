"""Stands in for Cosmos-Transfer1's own prompt upsampler: same name, same calls, other inside.

In ``cosmos_transfer1/diffusion/inference/world_generation_pipeline.py`` (and wherever else the
class is used) one line changes::

    from promptlift.cosmos import PixtralPromptUpsampler

The names of the methods and their arguments are those of
``cosmos_transfer1/auxiliary/upsampler/model/upsampler.py``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from promptlift.background import BackgroundLoop
from promptlift.config import OnReject, Options
from promptlift.core.record import Record
from promptlift.cosmos.ranks import giving_back_torchrun, question, rank
from promptlift.cosmos.rest import Rest
from promptlift.engines.base import Engine
from promptlift.engines.registry import make_engine
from promptlift.errors import ItemEngineError, OptionError, VideoUnreadable
from promptlift.pipeline.item import upsample_item

__all__ = ["PixtralPromptUpsampler"]

Video = str | os.PathLike[str] | Sequence[str | os.PathLike[str] | bytes]

_LOG = logging.getLogger("promptlift.cosmos")
_PATIENCE = 3600.0


class PixtralPromptUpsampler:
    """Writes the long prompt for a video, as Cosmos-Transfer1's class of that name is asked to.

    The frames are planned to fit the engine's context, so that every size of video works; they
    are spread over the clip, and nothing is written to disk. The engine is a process of its own
    with a clean environment. Under torchrun rank 0 alone has one, and answers for every rank.

    Args:
        checkpoint_dir: The folder of Cosmos's checkpoints.
        offload_prompt_upsampler: Load the model when it is first needed, and give the GPU's
            memory back after each prompt.
        engine: Who answers: the name of an engine, or an engine, which is then the caller's to
            close.
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
        patience: float = _PATIENCE,
        **options: Any,
    ) -> None:
        if offload_by not in ("sleep", "stop"):
            raise OptionError(f"offload_by is {offload_by!r}", remedy="use one of: sleep, stop")
        if on_reject not in get_args(OnReject):
            known = ", ".join(get_args(OnReject))
            raise OptionError(f"on_reject is {on_reject!r}", remedy=f"use one of: {known}")
        self.checkpoint_dir = checkpoint_dir
        self.offload_prompt_upsampler = offload_prompt_upsampler
        self.options = Options.of(on_reject=on_reject, **options)
        self.upsampler_model: Engine | None = None
        self.last_record: Record | None = None
        self._engine = engine
        self._settings = dict(engine_settings or {})
        self._offload_by = offload_by
        self._patience = patience
        self._rest: Rest | None = None
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
        return self._for_all_ranks(prompt, video_path, offload=self.offload_prompt_upsampler)

    def _prompt_upsample(self, prompt: str | None, video_path: Video | None) -> str:
        """The long prompt, with the model left loaded; see `_prompt_upsample_with_offload`."""
        return self._for_all_ranks(prompt, video_path, offload=False)

    def _load_upsampler_model(self) -> None:
        """Start the engine, or wake it; on ranks other than 0 there is nothing to load.

        Raises:
            ConfigEngineError: It does not start.
        """
        if rank() == 0:
            with giving_back_torchrun():
                self._loop.run(self._load())

    def _offload_upsampler_model(self) -> None:
        """Give the GPU's memory back; safe to call twice."""
        if self.upsampler_model is None:
            return
        asleep = self._offload_by == "sleep" and self._rest is not None and self._rest.sleep()
        if not asleep:
            self._stop()

    def close(self) -> None:
        """End the engine unless it is the caller's; safe to call twice."""
        self._stop()
        self._loop.stop()

    def _for_all_ranks(self, prompt: str | None, video: Video | None, *, offload: bool) -> str:
        short = prompt or ""
        asked = question(short, video)
        if rank() != 0:
            return asked.hear(self._patience)
        with giving_back_torchrun():
            try:
                text = self._answer(short, video, offload=offload)
            except Exception as error:
                asked.tell(error)
                raise
        asked.tell(text)
        return text

    def _answer(self, short: str, video: Video | None, *, offload: bool) -> str:
        options = _options_for(self.options, video)
        assert video is not None
        try:
            return self._loop.run(self._ask(short, video, options))
        finally:
            if offload:
                self._offload_upsampler_model()

    async def _ask(self, short: str, video: Any, options: Options) -> str:
        engine = await self._load()
        outcome = await upsample_item(video, short, engine, options)
        self.last_record = record = outcome.record
        if outcome.error is not None:
            raise outcome.error
        if record.status == "rejected":
            what = f"no answer of {len(record.attempts)} was fit to use: {_reasons(record)}"
            if record.prompt is None:
                raise ItemEngineError(
                    what, remedy='ask again, or choose on_reject="original" or "best"'
                )
            _LOG.warning("%s; the %s is used", what, _USED[options.on_reject])
        return record.prompt or ""

    async def _load(self) -> Engine:
        if self.upsampler_model is None:
            self.upsampler_model = self._made()
            self._rest = Rest(self.upsampler_model)
        elif self._rest is not None:
            await asyncio.to_thread(self._rest.wake)
        await self.upsampler_model.describe()
        return self.upsampler_model

    def _made(self) -> Engine:
        if not isinstance(self._engine, str):
            return self._engine
        settings = dict(self._settings)
        if self._engine == "vllm":
            settings.setdefault("checkpoint_dir", Path(self.checkpoint_dir))
        return make_engine(self._engine, **settings)

    def _stop(self) -> None:
        engine, self.upsampler_model, self._rest = self.upsampler_model, None, None
        if engine is not None and isinstance(self._engine, str):
            self._loop.run(engine.close())


_USED = {"best": "best of them", "original": "short prompt"}


def _options_for(options: Options, video: Video | None) -> Options:
    """Pictures that the caller chose are all shown, and a video's frames as the options say."""
    if video is None:
        raise VideoUnreadable(
            "no video is given",
            remedy="name an input_control in the spec: for seg and depth Cosmos-Transfer1 passes "
            "that file, and nothing where there is none",
        )
    if isinstance(video, str | os.PathLike):
        return options
    if not video:
        raise VideoUnreadable(
            "there is no picture in the list", remedy="check that the video could be read"
        )
    return dataclasses.replace(options, frames=len(video))


def _reasons(record: Record) -> str:
    checks = record.review.checks if record.review is not None else []
    return ", ".join(check.name for check in checks if not check.passed)
