"""Sleep and wake of the engine that is up, and its own sleep when nobody asks it anything."""

from __future__ import annotations

import dataclasses
import time

from promptlift.engines.vllm.control import Activity, activity, sleep, wake
from promptlift.engines.vllm.state import State, exclusive, read_state, write_state
from promptlift.errors import ConfigEngineError

__all__ = ["IdleWatch", "put_to_sleep", "wake_up"]

_PURPOSE = "sleep"
NOT_UP = ConfigEngineError("no engine is up", remedy="start one with `promptlift engine up`")


def put_to_sleep(level: int) -> State:
    """Put the engine that is up to sleep.

    The file says so first, so that whoever sends next wakes it.

    Raises:
        ConfigEngineError: None is up, or it cannot sleep that deep.
        TransientEngineError: It does not answer.
    """
    with exclusive(_PURPOSE, wait=True):
        state = _ready_state()
        if state.level == level:
            return state
        asleep = dataclasses.replace(state, status="sleeping", level=level)
        if state.level:
            wake(state.endpoint, state.level)
        write_state(asleep)
        try:
            sleep(state.endpoint, level, state.version)
        except BaseException:
            write_state(dataclasses.replace(state, status="ready", level=0))
            raise
        return asleep


def wake_up() -> State:
    """Wake the engine that is up; one that is awake stays as it is.

    Raises:
        ConfigEngineError: None is up.
        TransientEngineError: It does not answer.
    """
    with exclusive(_PURPOSE, wait=True):
        state = _ready_state()
        if not state.level:
            return state
        wake(state.endpoint, state.level)
        awake = dataclasses.replace(state, status="ready", level=0)
        write_state(awake)
        return awake


def _ready_state() -> State:
    state = read_state()
    if state is None:
        raise NOT_UP
    if state.status == "starting":
        raise ConfigEngineError(
            "the engine is still starting", remedy="wait for `promptlift engine status` to be ready"
        )
    return state


class IdleWatch:
    """Puts an engine to sleep after so many seconds without work, and wakes it for new work.

    Args:
        seconds: How long without a request; None for never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._last: Activity | None = None
        self._since = time.monotonic()

    def look(self, state: State) -> None:
        """Look at the engine once; called every second or so.

        Raises:
            EngineError: It does not answer.
        """
        if self._seconds is None or state.status == "starting":
            return
        now = activity(state.endpoint)
        if now is None:
            return
        if now.busy or now != self._last:
            self._last, self._since = now, time.monotonic()
        if state.level and now.busy:
            # Sent between the look that found it idle and its falling asleep.
            wake_up()
        elif not state.level and time.monotonic() - self._since >= self._seconds:
            put_to_sleep(1)
