"""What the llama.cpp engine stands on: the processor, and what a refusal means."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.llamacpp import machine
from promptlift.engines.llamacpp.failures import error_in, raised
from promptlift.engines.llamacpp.model import inspect_model
from promptlift.engines.llamacpp.runtime import Runtime, Settings, _Collected, import_xllamacpp
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from stubs.gguf_models import SENTENCE, pair

_affinity = getattr(os, "sched_getaffinity", None)


def _cpus(folder: Path, share: int) -> Path:
    """A tree such as Linux has, where so many logical processors share a core."""
    assert _affinity is not None
    for place, number in enumerate(sorted(_affinity(0))):
        topology = folder / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{place // share}\n")
    return folder


@pytest.mark.skipif(_affinity is None, reason="only Linux says which processors may be used")
def test_physical_cores_are_counted_once(tmp_path: Path) -> None:
    """Logical processors that share a core are one; those that may not be used do not count."""
    assert _affinity is not None
    logical = len(_affinity(0))
    assert machine.physical_cores(_cpus(tmp_path / "plain", 1)) == logical
    assert machine.physical_cores(_cpus(tmp_path / "shared", 2)) == -(-logical // 2)


def test_where_the_system_tells_nothing_half_the_processors_are_taken(tmp_path: Path) -> None:
    """Without a tree of processors two threads a core are assumed, and never no core at all."""
    assert 1 <= machine.physical_cores(tmp_path / "absent") <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_one_core_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    """One thread less than there are cores, but at least one."""
    monkeypatch.setattr(machine, "physical_cores", lambda: cores)
    assert machine.default_threads() == threads


def _cpuinfo(path: Path, flags: str) -> Path:
    path.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    return path


def test_a_processor_with_everything_lacks_nothing(tmp_path: Path) -> None:
    """Neither does one that does not tell, or one of another kind."""
    assert machine.lacking(_cpuinfo(tmp_path / "all", "sse2 avx2 fma bmi2 f16c")) == ()
    assert machine.lacking(tmp_path / "absent") == ()
    assert machine.lacking(_cpuinfo(tmp_path / "arm", "fp asimd crc32")) == ()


def test_an_old_processor_lacks_what_the_installed_build_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what xllamacpp says that it was built with; all of it if it dies before it can."""
    old = _cpuinfo(tmp_path / "old", "sse2 avx f16c")
    monkeypatch.setattr(machine, "_ASK", "print('CPU : SSE3 = 1 | AVX2 = 1 | FMA = 0 | ')")
    assert machine.lacking(old) == ("AVX2",)
    monkeypatch.setattr(machine, "_ASK", "import os; os.abort()")
    assert machine.lacking(old) == ("AVX2", "FMA", "BMI2")
    monkeypatch.setattr(machine, "_ASK", "print('CPU : SSE3 = 1 | ')")
    assert machine.lacking(old) == ()


def test_a_package_for_other_processors_is_never_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error comes before the import, which would end the process."""
    monkeypatch.setattr("promptlift.engines.llamacpp.runtime.lacking", lambda: ("AVX2", "FMA"))
    with pytest.raises(ConfigEngineError, match=r"lacks AVX2, FMA.*--no-binary"):
        import_xllamacpp()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "type": "exceed_context_size_error"}, ItemEngineError),
        ({"code": 500, "type": "exceed_context_size_error"}, ItemEngineError),
        ({"code": 400, "type": "invalid_request_error"}, ItemEngineError),
        ({"code": 413, "type": "whatever"}, ItemEngineError),
        ({"code": 401, "type": "authentication_error"}, ConfigEngineError),
        ({"code": 403, "type": "permission_error"}, ConfigEngineError),
        ({"code": 404, "type": "not_found_error"}, ConfigEngineError),
        ({"code": 501, "type": "not_supported_error"}, ConfigEngineError),
        ({"code": 429, "type": "whatever"}, TransientEngineError),
        ({"code": 500, "type": "server_error"}, TransientEngineError),
        ({"code": 503, "type": "unavailable_error"}, TransientEngineError),
        ({"code": "none", "type": 7, "message": []}, TransientEngineError),
        ({}, TransientEngineError),
    ],
)
def test_codes_and_types_decide(error: dict[str, Any], kind: type[EngineError]) -> None:
    """The class goes by code and type, whatever the text says, inside an answer or bare."""
    for text in ("the context is exceeded", "no such model", ""):
        told = {"message": text, **error}
        for reply in ({"error": told}, told):
            found = error_in(reply)
            assert type(found) is kind
            assert found.remedy


@pytest.mark.parametrize("odd", [None, [], "text", 7, {}])
def test_what_is_no_reply_is_a_failure_that_may_pass(odd: object) -> None:
    """Whatever comes back instead of an answer is an error, never a crash."""
    assert type(error_in(odd)) is TransientEngineError


def test_an_answer_is_no_error() -> None:
    """Pieces of an answer, and the last one with the counts alone, hold no error."""
    assert error_in({"choices": [{"delta": {"content": "x"}}]}) is None
    assert error_in({"choices": [], "usage": {"prompt_tokens": 1}}) is None


def test_too_long_says_both_numbers() -> None:
    """The numbers are llama.cpp's own; without them the error is still whole."""
    error = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}
    assert "9 tokens, and the context has 8." in str(error_in({"error": error}))
    assert "does not fit the context. Show" in str(error_in({"error": {**error, "n_ctx": None}}))


def test_llama_cpps_words_are_quoted_on_one_short_line() -> None:
    """Control characters and length are taken off what is quoted; nothing is added to it."""
    said = {"code": 400, "message": "bad\x1b[31m\nimage. " + "x" * 1000}
    text = str(error_in({"error": said}))
    assert text.isprintable()
    assert ": bad [31m image. xxx" in text
    assert len(text) < 450


def test_exceptions_go_by_their_class() -> None:
    """What xllamacpp raises is the item's, the settings', or passes."""
    assert type(raised(ValueError("no messages"))) is ItemEngineError
    assert type(raised(RuntimeError("no system turn"))) is ConfigEngineError
    assert type(raised(MemoryError())) is TransientEngineError


def test_pieces_become_an_answer() -> None:
    """Texts are joined in order, with the last reason and the counts; empty ones do no harm."""
    collected = _Collected()
    for piece in (
        {"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "a cup"}, "finish_reason": None}]},
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"delta": {"content": " falls"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
    ):
        collected.add(piece)
    assert collected.reply() == {
        "choices": [{"message": {"content": "a cup falls"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def test_half_an_answer_is_none() -> None:
    """An answer that never says why it ended, or that an error follows, is not given."""
    collected = _Collected()
    collected.add({"choices": [{"delta": {"content": "a cup"}}]})
    with pytest.raises(TransientEngineError, match="without finishing"):
        collected.reply()
    collected.add({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    collected.add({"error": {"code": 400, "message": "no"}})
    collected.add({"error": {"code": 500, "message": "a second one"}})
    with pytest.raises(ItemEngineError, match="no"):
        collected.reply()


def test_a_runtime_refuses_after_it_was_closed() -> None:
    """Closed, or told to stop before it begins, it asks nothing; closing twice is safe."""
    pytest.importorskip("xllamacpp", exc_type=ImportError)
    made = pair()
    runtime = Runtime(inspect_model(made.model, made.mmproj), Settings(512, 1, None))
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}
    stopped = threading.Event()
    reply = runtime.ask(body, stopped)
    assert reply["choices"] == [{"message": {"content": SENTENCE}, "finish_reason": "stop"}]
    stopped.set()
    with pytest.raises(TransientEngineError):
        runtime.ask(body, stopped)
    runtime.close()
    runtime.close()
    with pytest.raises(TransientEngineError):
        runtime.ask(body, threading.Event())


@pytest.mark.parametrize("messages", [None, "text", [{"role": "user"}], [{"role": 7}]])
def test_a_request_that_is_wrong_in_itself_is_the_items(messages: object) -> None:
    """The real llama.cpp's refusals, raised or returned, are classed; the next one is answered."""
    pytest.importorskip("xllamacpp", exc_type=ImportError)
    made = pair()
    runtime = Runtime(inspect_model(made.model, made.mmproj), Settings(512, 1, None))
    body = {} if messages is None else {"messages": messages}
    with pytest.raises(ItemEngineError):
        runtime.ask({**body, "max_tokens": 40}, threading.Event())
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(ItemEngineError):
        runtime.ask({"messages": [{"role": "user", "content": [picture]}]}, threading.Event())
    runtime.close()
