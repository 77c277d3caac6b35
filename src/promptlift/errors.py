"""Everything that promptlift raises on purpose.

The tree, with the exit code that the command gives for each branch::

    PromptliftError
    ├── InputError                2   the video, the prompt or an option is at fault
    │   ├── VideoError                the video cannot be used
    │   │   ├── VideoNotFound         no such file, or no permission to read it
    │   │   ├── VideoRefused          not opened, for safety (a pipe, a playlist, too many pixels)
    │   │   ├── VideoUnreadable       opened, but there is no picture to be had from it
    │   │   └── VideoTimeout          decoding passed its time, memory or processor limit
    │   ├── PromptError               the short prompt cannot be used
    │   ├── BudgetError               the frames and the text do not fit the model's context
    │   ├── OptionError               an option is unknown or has an invalid value
    │   ├── SpecError                 a generator's spec file, or an item of it, cannot be used
    │   └── OutputError               the result cannot be written where it was asked for
    └── EngineError               3   the engine did not answer
        ├── TransientEngineError      try again: nothing is wrong with the item (retryable)
        │   └── EngineBusy            try again, and send less at a time (retryable)
        ├── ItemEngineError           the engine refuses this item
        └── ConfigEngineError         the engine is set up wrongly; every item would fail

A message says what is wrong, with the value; ``remedy`` says what to do. The text of an error
is both, on one line. ``code`` is stable and documented; programs should look at it and at the
class, never at the text.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

__all__ = [
    "BudgetError",
    "ConfigEngineError",
    "EngineBusy",
    "EngineError",
    "InputError",
    "ItemEngineError",
    "OptionError",
    "OutputError",
    "PromptError",
    "PromptliftError",
    "SpecError",
    "TransientEngineError",
    "VideoError",
    "VideoNotFound",
    "VideoRefused",
    "VideoTimeout",
    "VideoUnreadable",
]


class PromptliftError(Exception):
    """Base of every error that promptlift raises on purpose.

    Args:
        message: What is wrong, with the value, in one sentence without a full stop.
        remedy: What to do about it, likewise; its first letter may be small.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, remedy: str) -> None:
        self.message = " ".join(message.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.message}. {self.remedy[:1].upper()}{self.remedy[1:]}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a child process with everything that the error holds."""
        return partial(type(self), remedy=self.remedy), (self.message,), vars(self)


class InputError(PromptliftError):
    """The video, the prompt or an option is at fault; the same call fails again."""

    code = "input"


class VideoError(InputError):
    """The video cannot be used."""

    code = "video"


class VideoNotFound(VideoError):
    """There is no such file, or it may not be read."""

    code = "video_not_found"


class VideoRefused(VideoError):
    """The file is not opened, for safety: not a regular file, a playlist, too many pixels."""

    code = "video_refused"


class VideoUnreadable(VideoError):
    """The file was opened, but no picture can be had from it."""

    code = "video_unreadable"


class VideoTimeout(VideoError):
    """Decoding passed its time, memory or processor limit, or took its process down."""

    code = "video_timeout"


class PromptError(InputError):
    """The short prompt cannot be used."""

    code = "prompt"


class BudgetError(InputError):
    """The frames and the text do not fit the model's context."""

    code = "budget"


class OptionError(InputError):
    """An option is unknown or has an invalid value."""

    code = "option"


class SpecError(InputError):
    """A generator's spec file, or an item of it, cannot be used."""

    code = "spec"


class OutputError(InputError):
    """The result cannot be written where it was asked for."""

    code = "output"


class EngineError(PromptliftError):
    """The engine did not answer."""

    code = "engine"
    exit_code = 3


class TransientEngineError(EngineError):
    """A temporary failure; the same request may succeed later.

    Args:
        message: What is wrong.
        remedy: What to do about it.
        wait: Seconds that the engine asked to be left alone for; None if it did not say.
    """

    code = "engine_transient"
    retryable = True

    def __init__(self, message: str, *, remedy: str, wait: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wait = wait


class EngineBusy(TransientEngineError):
    """The engine is rate-limiting or overloaded; retry later."""

    code = "engine_busy"


class ItemEngineError(EngineError):
    """The engine refuses this item; other items may go through."""

    code = "engine_item"


class ConfigEngineError(EngineError):
    """The engine is set up wrongly; every item would fail the same way."""

    code = "engine_config"
