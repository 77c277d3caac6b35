"""The plan of an item; and what it will probably be, so that its frames are kept when they pass.

The hint frames lie among those that the survey decodes. Their count and size are planned only when
the video is measured, since the text may depend on that, but it does so only where a control video
is seen whose kind the options do not tell. So the survey takes along the frames of the plan that
there would be for an ordinary picture; where another one is made, they are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from promptlift.config import Options
from promptlift.core.budget import Budget, Plan, make_plan
from promptlift.core.text import counted
from promptlift.core.video import Size, VideoInfo
from promptlift.engines.base import EngineInfo
from promptlift.errors import ConfigEngineError, PromptliftError

__all__ = [
    "Foresee",
    "Foreseen",
    "Foresight",
    "Late",
    "Shape",
    "context_of",
    "frame_count",
    "plan_for",
]

# Of a survey that could hear of the plan; to decode twice seldom costs more.
_PATIENCE_S = 0.3


class Shape(NamedTuple):
    """How many frames there are to be, and of what size."""

    frames: int
    size: Size


class Foresee(Protocol):
    """Tells what is probably looked at next, from what a video is."""

    @property
    def options(self) -> Options:
        """Say which frames."""
        ...

    def __call__(self, info: VideoInfo) -> Shape | None:
        """Their shape; None where nothing can be said."""
        ...


@dataclass(frozen=True, slots=True)
class Foresight:
    """Plans from a video's probe alone; can be sent to another process.

    Attributes:
        options: The item's.
        who: The engine.
        budget: What there is for as many frames as the options ask for.
    """

    options: Options
    who: EngineInfo
    budget: Budget

    def __call__(self, info: VideoInfo) -> Shape | None:
        """See `Foresee`."""
        with suppress(PromptliftError):  # it comes up again, in its turn
            plan = plan_for(self.who, info, self.options, self.budget)
            return Shape(plan.chosen.frames, plan.size)
        return None


_Give: TypeAlias = Callable[[], Foresight | None]


class Foreseen:
    """A foresight that comes once the engine has said who it is; belongs to one event loop.

    Args:
        options: The item's.

    Attributes:
        options: As given.
        coming: Gives it, in whatever thread; a video that was seen before needs none.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.coming: asyncio.Future[_Give] = asyncio.get_running_loop().create_future()

    def settle(self, give: _Give) -> None:
        """Tell how it is had, unless that was told."""
        if not self.coming.done():
            self.coming.set_result(give)

    async def soon(self) -> Foresight | None:
        """Wait a moment for it."""
        await asyncio.wait([self.coming], timeout=_PATIENCE_S)
        return self.coming.result()() if self.coming.done() else None


class Late:
    """A foresight for a thread, which may begin before there is one.

    Args:
        foreseen: Comes later.
    """

    def __init__(self, foreseen: Foreseen) -> None:
        self.options = foreseen.options
        self._ready: Future[_Give] = Future()
        foreseen.coming.add_done_callback(lambda coming: self._ready.set_result(coming.result()))

    def __call__(self, info: VideoInfo) -> Shape | None:
        """See `Foresee`; waits a moment."""
        try:
            foresight = self._ready.result(_PATIENCE_S)()
        except TimeoutError:
            return None
        return None if foresight is None else foresight(info)


def plan_for(who: EngineInfo, info: VideoInfo, options: Options, budget: Budget) -> Plan:
    """How the frames of a video are shown to an engine.

    Raises:
        ConfigEngineError: The engine takes fewer images.
        BudgetError: Nothing fits, or the size that the user insists on does not.
    """
    frames = frame_count(info, options)
    if frames > who.max_images:
        raise ConfigEngineError(
            f"{counted(frames, 'frame')} are to be shown, and {who.name} takes {who.max_images}",
            remedy=f"show at most {who.max_images}, or raise the engine's limit",
        )
    return make_plan(info.size, frames, budget, size=options.size, max_side=options.max_side)


def context_of(engine: EngineInfo, options: Options) -> int:
    """Tokens that prompt and answer may take together.

    Raises:
        ConfigEngineError: More are asked for than the engine has.
    """
    if engine.context is None:
        return options.fallback_context
    if options.context is None:
        return engine.context
    if options.context > engine.context:
        raise ConfigEngineError(
            f"a context of {options.context:,} tokens is asked for, and {engine.name} has "
            f"{engine.context:,}",
            remedy="ask for less, or start the engine with more",
        )
    return options.context


def frame_count(info: VideoInfo, options: Options) -> int:
    """How many frames are shown: what the options ask for, or all that there are."""
    if info.is_still:
        return 1
    return min(options.frames, info.frame_count or options.frames)
