"""The library: one call, and an object for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from promptlift.background import BackgroundLoop
from promptlift.engines.base import Engine
from promptlift.engines.registry import make_engine
from promptlift.options import Options
from promptlift.pipeline import Outcome, Progress, VideoCache, upsample_item
from promptlift.record import Record
from promptlift.video.source import Source

__all__ = ["Upsampler", "upsample"]


def upsample(
    video: Source,
    prompt: str = "",
    *,
    engine: str | Engine = "auto",
    engine_settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Record:
    """Turn a video and a short prompt into the long prompt that a video model wants.

    Args:
        video: A path, the bytes of a file, or a list of images (paths or bytes) in order.
        prompt: What is wanted, in the user's words; empty for "describe what is there".
        engine: ``auto``, ``embedded``, ``openai``, ``vllm``, ``llamacpp``, or an engine.
        engine_settings: What the engine of that name takes, such as ``base_url``.
        **options: See `promptlift.Options`.

    Returns:
        The record; `Record.prompt` is the result. It is None where `Record.status` is
        ``rejected``: the engine answered, and no answer was fit to use.

    Raises:
        InputError: The video, the prompt or an option is at fault.
        EngineError: The engine did not answer.
    """
    with Upsampler(engine=engine, engine_settings=engine_settings, **options) as upsampler:
        return upsampler.upsample(video, prompt)


class Upsampler:
    """Keeps an engine, so that many items share it. A context manager, sync or async.

    One upsampler belongs to one event loop, or to threads that call its sync methods; do not
    mix the two, and do not share one engine between two upsamplers.

    Args:
        engine: ``auto``, the name of an engine, or an engine (which is then the caller's to close).
        engine_settings: What the engine of that name takes.
        starting: Told of the stages of an engine that is started, and the seconds since.
        **options: The options of every item; see `promptlift.Options`.

    Raises:
        OptionError: An option is unknown or makes no sense.
    """

    def __init__(
        self,
        *,
        engine: str | Engine = "auto",
        engine_settings: Mapping[str, Any] | None = None,
        starting: Callable[[str, float], None] | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(**options)
        self._owned = isinstance(engine, str)
        self.engine: Engine = (
            make_engine(engine, progress=starting, **(engine_settings or {}))
            if isinstance(engine, str)
            else engine
        )
        self._loop = BackgroundLoop()
        self._videos = VideoCache()

    def upsample(
        self, video: Source, prompt: str = "", *, progress: Progress | None = None
    ) -> Record:
        """Do one item and wait for it; see `promptlift.upsample`."""
        return self._loop.run(self.upsample_async(video, prompt, progress=progress))

    def attempt_sync(
        self,
        video: Source,
        prompt: str = "",
        *,
        progress: Progress | None = None,
        plan_only: bool = False,
        with_frames: bool = False,
    ) -> Outcome:
        """Do one item and wait for it, without raising; see `attempt`."""
        work = self.attempt(
            video, prompt, progress=progress, plan_only=plan_only, with_frames=with_frames
        )
        return self._loop.run(work)

    async def upsample_async(
        self, video: Source, prompt: str = "", *, progress: Progress | None = None
    ) -> Record:
        """Do one item; many may be under way at once."""
        outcome = await self.attempt(video, prompt, progress=progress)
        if outcome.error is not None:
            raise outcome.error
        return outcome.record

    async def attempt(
        self,
        video: Source,
        prompt: str = "",
        *,
        progress: Progress | None = None,
        plan_only: bool = False,
        with_frames: bool = False,
    ) -> Outcome:
        """Do one item without raising: a failure has a record as well."""
        return await upsample_item(
            video,
            prompt,
            self.engine,
            self.options,
            progress=progress,
            plan_only=plan_only,
            with_frames=with_frames,
            videos=self._videos,
        )

    def close(self) -> None:
        """Give back what the engine holds; safe to call twice."""
        self._loop.run(self.aclose())
        self._loop.stop()

    async def aclose(self) -> None:
        """The same, from async code."""
        if self._owned:
            await self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
        self._loop.stop()
