"""The error tree: what each error promises."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from promptlift import errors
from promptlift.errors import EngineBusy, PromptliftError, TransientEngineError, VideoNotFound

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, PromptliftError)
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_class_keeps_the_promises(cls: type[PromptliftError]) -> None:
    """Exported, documented, drawn in the module's tree, and whole on the way between processes.

    Engine trouble ends the command with 3, everything else with 2.
    """
    assert cls.__name__ in errors.__all__
    assert cls.__doc__
    assert re.search(rf"\b{cls.__name__}\b", str(errors.__doc__))
    assert cls.exit_code == (3 if issubclass(cls, errors.EngineError) else 2)
    wait = {"wait": 2.5} if cls.retryable else {}
    error = pickle.loads(pickle.dumps(cls("this is wrong", remedy="do that", **wait)))
    assert type(error) is cls
    assert str(error) == "this is wrong. Do that."
    assert vars(error) == {"message": "this is wrong", "remedy": "do that", **wait}


def test_codes_are_unique_and_plain() -> None:
    """A code names one class, in small letters."""
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_text_is_one_line_with_the_remedy() -> None:
    """What is wrong and what to do stand on one line, whatever the parts look like."""
    error = VideoNotFound("there is no file\n'x.mp4'", remedy="check   the\tname")
    assert str(error) == "there is no file 'x.mp4'. Check the name."
    assert (error.message, error.remedy) == ("there is no file 'x.mp4'", "check the name")


def test_only_transient_errors_are_worth_a_retry() -> None:
    """Nothing but a transient engine error says that it may be tried again."""
    assert [cls for cls in CLASSES if cls.retryable] == [TransientEngineError, EngineBusy]
