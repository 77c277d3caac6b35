"""Giving the GPU's memory back between prompts, without loading the model anew for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.engines.base import Engine
from promptlift.errors import EngineError

if TYPE_CHECKING:
    from promptlift.engines.vllm import VllmEngine

__all__ = ["Rest"]

_LEVEL = 1


class Rest:
    """Puts an engine to sleep and wakes it.

    Args:
        engine: Any engine; only a vLLM that promptlift owns can sleep.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sleep(self) -> bool:
        """Put it to sleep once it has answered; False where it cannot."""
        vllm = _vllm(self._engine)
        if vllm is None:
            return False
        try:
            _sleep(vllm)
        except EngineError:
            return False
        return True

    def wake(self) -> None:
        """Wake it where it is our own; the one that is up is woken by whoever asks it next."""
        vllm = _vllm(self._engine)
        if vllm is not None and vllm.own is not None:
            vllm.own.wake_up()


def _vllm(engine: Engine) -> VllmEngine | None:
    from promptlift.engines.vllm import VllmEngine

    return engine if isinstance(engine, VllmEngine) else None


def _sleep(vllm: VllmEngine) -> None:
    if vllm.own is not None and vllm.own.running is not None:
        vllm.own.fall_asleep()
        return
    from promptlift.engines.vllm.sleeping import put_to_sleep

    put_to_sleep(_LEVEL)
