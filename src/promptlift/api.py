"""The library: one call, and an object for many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from promptlift import review
from promptlift.engines.base import Engine
from promptlift.engines.registry import close_engines, make_engine, make_judge
from promptlift.facts import Facts
from promptlift.options import Options
from promptlift.pipeline import Outcome, Progress, VideoCache, upsample_item
from promptlift.record import Record
from promptlift.review import Review
from promptlift.targets import DEFAULT_TARGET, Target
from promptlift.targets import target as find_target
from promptlift.targets.documents import VideoParameters, document_form
from promptlift.types import FinishReason, Kind, VideoInfo
from promptlift.video.reader import analyse
from promptlift.video.source import ImageSource, Pictures, Source

__all__ = ["BackgroundLoop", "Upsampler", "check", "upsample"]

T = TypeVar("T")


def upsample(
    video: Source | None = None,
    prompt: str = "",
    *,
    image: ImageSource | None = None,
    last_image: ImageSource | None = None,
    references: Sequence[ImageSource] = (),
    engine: str | Engine = "auto",
    engine_settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Record:
    """Turn a video and a short prompt into the long prompt that a video model wants.

    Args:
        video: A path, the bytes of a file, or a list of images (paths or bytes) in order; None
            for words alone, as in ``upsample(prompt="a cat on a sofa")``.
        prompt: What is wanted, in the user's words; empty for "describe what is there".
        image: The first frame of the video that is to be made, instead of a video.
        last_image: Its last frame.
        references: Pictures of what the prompt names.
        engine: ``auto``, ``embedded``, ``openai``, ``vllm``, ``llamacpp``, or an engine.
        engine_settings: What the engine of that name takes, such as ``base_url``.
        **options: See `promptlift.Options`.

    Returns:
        The record; `Record.prompt` is the result. It is None where `Record.status` is
        ``rejected``: the engine answered, and no answer was fit to use. It is the short prompt
        itself where the status is ``unchanged``: there is no model, and nothing to add.

    Raises:
        InputError: The video, the prompt or an option is at fault.
        EngineError: The engine did not answer.
    """
    with Upsampler(engine=engine, engine_settings=engine_settings, **options) as upsampler:
        return upsampler.upsample(Pictures.of(video, image, last_image, references), prompt)


def check(
    text: str,
    *,
    short_prompt: str = "",
    target: str | Target = DEFAULT_TARGET,
    video: Source | None = None,
    facts: Facts | None = None,
    control: Kind | None = None,
    finish_reason: FinishReason = "stop",
    info: VideoInfo | None = None,
) -> Review:
    """Review a prompt that anybody wrote, without any model.

    Args:
        text: The prompt.
        short_prompt: What it was made from; empty where there is nothing to compare it with.
        target: Name of the generator that it is for.
        video: The clip that it describes, to be measured; None for none.
        facts: What was measured before; None to measure `video`.
        control: The kind of control video that it was written from; None to go by the facts.
        finish_reason: Why its writer ended.
        info: Length and rate of the clip, with which a JSON prompt has to agree; None to take
            them from `video`.

    Raises:
        OptionError: There is no such target.
        VideoError: The clip cannot be used.
    """
    if facts is None and video is not None:
        analysis = analyse(video)
        facts, info = analysis.facts, analysis.info
    goal = find_target(target)
    form = document_form(goal)
    return review.review(
        text,
        finish_reason=finish_reason,
        short_prompt=short_prompt,
        target=goal,
        facts=facts,
        control=control,
        document=form.check(text, _clip_parameters(info)) if form and info else None,
    )


def _clip_parameters(info: VideoInfo) -> VideoParameters:
    """What a generator keeps of a clip; it has sizes of its own."""
    fps = float(info.frame_rate) if info.frame_rate and not info.is_still else None
    seconds = float(info.duration) if info.duration and not info.is_still else None
    return VideoParameters(fps=fps, seconds=seconds)


class Upsampler:
    """Keeps an engine, so that many items share it. A context manager, sync or async.

    One upsampler belongs to one event loop, or to threads that call its sync methods; do not
    mix the two, and do not share one engine between two upsamplers.

    Args:
        engine: ``auto``, the name of an engine, or an engine (which is then the caller's to close).
        engine_settings: What the engine of that name takes.
        starting: Told of the stages of an engine that is started, and the seconds since.
        judge: Who verifies each result: an engine, or one in a line as for ``--judge``, such as
            ``openai:base_url=http://localhost:8000/v1``; turns `Options.verify` on.
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
        judge: str | Engine | None = None,
        **options: Any,
    ) -> None:
        if judge is not None:
            options = {**options, "verify": True}
        self.options = Options(**options)
        self._owns_judge = isinstance(judge, str)
        self.judge = make_judge(judge) if judge is None or isinstance(judge, str) else judge
        self._owned = isinstance(engine, str)
        self.engine: Engine = (
            make_engine(engine, progress=starting, **(engine_settings or {}))
            if isinstance(engine, str)
            else engine
        )
        self._loop = BackgroundLoop()
        self._videos = VideoCache()

    def upsample(
        self,
        video: Source | Pictures | None = None,
        prompt: str = "",
        *,
        progress: Progress | None = None,
    ) -> Record:
        """Do one item and wait for it; see `promptlift.upsample`, and `promptlift.Pictures`."""
        return self._loop.run(self.upsample_async(video, prompt, progress=progress))

    def attempt(
        self,
        video: Source | Pictures | None = None,
        prompt: str = "",
        *,
        progress: Progress | None = None,
        plan_only: bool = False,
        with_frames: bool = False,
        original: str | None = None,
        variation: int | None = None,
        others: Mapping[int, str] | None = None,
    ) -> Outcome:
        """Do one item and wait for it, without raising: a failure has a record as well.

        `variation` takes the place of the option, and `others` are the prompts of others.
        """
        work = upsample_item(
            video,
            prompt,
            self.engine,
            self.options if variation is None else self.options.merged({"variation": variation}),
            progress=progress,
            plan_only=plan_only,
            with_frames=with_frames,
            videos=self._videos,
            judge=self.judge,
            original=original,
            others=others,
        )
        return self._loop.run(work)

    def variations(
        self, video: Source | Pictures | None, prompt: str = "", count: int = 3, **how: Any
    ) -> Iterator[Outcome]:
        """Write several prompts for the same request, one after the other, without raising.

        They differ in what the request leaves open. `how` is as of `attempt`.
        """
        texts: dict[int, str] = {}
        for number in range(1, count + 1):
            outcome = self.attempt(
                video, prompt, variation=number if number > 1 else None, others=texts, **how
            )
            if outcome.record.prompt is not None:
                texts[number] = outcome.record.prompt
            yield outcome

    async def upsample_async(
        self,
        video: Source | Pictures | None = None,
        prompt: str = "",
        *,
        progress: Progress | None = None,
    ) -> Record:
        """Do one item; many may be under way at once."""
        outcome = await upsample_item(
            video,
            prompt,
            self.engine,
            self.options,
            progress=progress,
            videos=self._videos,
            judge=self.judge,
        )
        if outcome.error is not None:
            raise outcome.error
        return outcome.record

    def close(self) -> None:
        """Give back what the engine holds; safe to call twice."""
        self._loop.run(self.aclose())
        self._loop.stop()

    async def aclose(self) -> None:
        """The same, from async code."""
        owned = self.engine if self._owned else None
        await close_engines(owned, self.judge if self._owns_judge else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
        self._loop.stop()


class BackgroundLoop:
    """An event loop in a thread of its own, which runs coroutines for sync callers everywhere.

    `asyncio.run` would do in a script, but not in a notebook, where a loop already runs, and not
    for an engine whose connections belong to one loop across several calls. The thread starts when
    it is first needed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runner: asyncio.Runner | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`; an interrupt of the caller (Ctrl-C) cancels it."""
        with self._lock:
            if self._runner is None:
                self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
                self._thread = threading.Thread(
                    target=_serve, args=(self._runner,), name="promptlift", daemon=True
                )
                self._runner.get_loop()
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(work, self._runner.get_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; safe to call twice, and `run` starts a new one."""
        with self._lock:
            runner, thread, self._runner, self._thread = self._runner, self._thread, None, None
        if runner is not None and thread is not None:
            loop = runner.get_loop()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def _serve(runner: asyncio.Runner) -> None:
    with runner:
        runner.get_loop().run_forever()
