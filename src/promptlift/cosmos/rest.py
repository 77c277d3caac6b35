"""Giving the GPU's memory back between prompts, without loading the model anew for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.engines.base import Engine
from promptlift.errors import EngineError

if TYPE_CHECKING:
    from promptlift.engines.vllm import VllmEngine

__all__ = ["Rest"]

_LEVEL = 1  # the weights stay in main memory, from which they are back within a second or so


class Rest:
    """Puts an engine to sleep and wakes it.

    Args:
        engine: Any engine; only a vLLM that promptlift owns can sleep.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asleep: int | None = None

    def sleep(self) -> bool:
        """Put it to sleep once it has answered; False where it cannot."""
        vllm = _vllm(self._engine)
        if vllm is None:
            return False
        try:
            self._asleep = _sleep(vllm)
        except EngineError:
            return False
        return True

    def wake(self) -> None:
        """Wake it where it was put to sleep here and is still the same.

        One that does not wake is ended: whoever asks next starts a new one.
        """
        asleep, self._asleep = self._asleep, None
        vllm = _vllm(self._engine)
        if asleep is None or vllm is None or vllm.own is None or vllm.own.running is None:
            return  # the engine that is up is woken by whoever asks it next
        running = vllm.own.running
        if running.process.pid == asleep and running.process.alive():
            from promptlift.engines.vllm.control import wake

            try:
                wake(running.endpoint, _LEVEL)
            except EngineError:
                running.process.stop()


def _vllm(engine: Engine) -> VllmEngine | None:
    from promptlift.engines.vllm import VllmEngine

    return engine if isinstance(engine, VllmEngine) else None


def _sleep(vllm: VllmEngine) -> int | None:
    """The process that sleeps now; None where it is the engine that is up."""
    if vllm.own is None or vllm.own.running is None:
        from promptlift.engines.vllm.sleeping import put_to_sleep

        put_to_sleep(_LEVEL)
        return None
    from promptlift.engines.vllm.control import sleep

    running = vllm.own.running
    sleep(running.endpoint, _LEVEL, running.plan.installation.version)
    return running.process.pid
