"""One rank answers, and all have the answer: torchrun's workers, without a collective.

The answer goes through the key-value store that `torch.distributed` made when it started. Unlike
a broadcast, writing there waits for nobody: Cosmos-Transfer1 asks on rank 0 alone, while the
others never ask, and a program whose ranks all ask gets the same text on each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from promptlift import errors
from promptlift.engines.vllm.environment import is_torchrun_variable
from promptlift.errors import ConfigEngineError, PromptliftError, TransientEngineError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Question", "giving_back_torchrun", "question", "rank"]

_ERRORS: dict[str, type[PromptliftError]] = {name: getattr(errors, name) for name in errors.__all__}
_ASKED: Counter[str] = Counter()
# What Cosmos's pipeline takes away around each call, as it was when this module was imported.
_TORCHRUN = {
    name: value
    for name, value in os.environ.items()
    if name == "OMP_NUM_THREADS" or is_torchrun_variable(name, value)
}


def rank() -> int:
    """This process's rank: that of `torch.distributed`, else torchrun's, else 0."""
    distributed = _distributed()
    if distributed is not None:
        return int(distributed.get_rank())
    given = os.environ.get("RANK", "0")
    return int(given) if given.isdecimal() else 0


class Question:
    """A question that every rank may ask, in the same order as the others.

    Args:
        name: The same on all ranks, and for no other question.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def tell(self, answer: str | Exception) -> None:
        """Leave the answer, or the error, for whichever rank asks the same."""
        store = _store()
        if store is not None:
            store.set(self._name, _packed(answer))

    def hear(self, patience: float) -> str:
        """Wait for what rank 0 left.

        Raises:
            PromptliftError: What rank 0 met with; or it left nothing for `patience` seconds, or
                the ranks have no way to speak to each other.
        """
        store = _store()
        if store is None:
            raise ConfigEngineError(
                f"rank {rank()} asks for a prompt and has no way to hear it from rank 0",
                remedy="initialise torch.distributed before, or ask on rank 0 alone",
            )
        try:
            store.wait([self._name], timedelta(seconds=patience))
            packed = store.get(self._name)
        except RuntimeError as error:
            raise TransientEngineError(
                f"rank 0 has left no answer for rank {rank()} in {patience:g} s",
                remedy="ask the same questions in the same order on every rank",
            ) from error
        return _unpacked(packed)


def question(prompt: str, video: object) -> Question:
    """Name a question: by what is asked, and how often it was asked before."""
    asked = hashlib.sha256(repr((prompt, video)).encode()).hexdigest()[:32]
    _ASKED[asked] += 1
    return Question(f"promptlift/{asked}/{_ASKED[asked]}")


@contextlib.contextmanager
def giving_back_torchrun() -> Iterator[None]:
    """On an error, give torchrun's variables back that the caller has taken away.

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


def _distributed() -> ModuleType | None:
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


def _packed(answer: str | Exception) -> str:
    if isinstance(answer, str):
        return json.dumps({"text": answer})
    if isinstance(answer, PromptliftError):
        kind, message, remedy = type(answer).__name__, answer.message, answer.remedy
    else:
        kind, message = "EngineError", f"rank 0 failed: {type(answer).__name__}: {answer}"
        remedy = "look at the output of rank 0"
    return json.dumps({"error": kind, "message": message, "remedy": remedy})


def _unpacked(packed: bytes) -> str:
    said: dict[str, str] = json.loads(packed)
    if "error" in said:
        kind = _ERRORS.get(said["error"], errors.EngineError)
        raise kind(said["message"], remedy=said["remedy"])
    return said["text"]
