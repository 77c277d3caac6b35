"""The compact copy of the vocabulary: made once, checked always, never needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promptlift.errors import ConfigEngineError
from promptlift.tokens import tekken


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path))
    tekken.load_counter.cache_clear()
    yield tmp_path
    tekken.load_counter.cache_clear()


def count_afresh(text: str) -> int:
    """Count with a counter that is loaded anew."""
    tekken.load_counter.cache_clear()
    return tekken.load_counter()(text)


def test_first_use_leaves_a_compact_copy(own_cache: Path) -> None:
    """The copy is a tenth of the vocabulary's size, and counts the same."""
    first = count_afresh("a robot arm, eine Tasse, 咖啡")
    copy = own_cache / "tekken.bin"
    assert copy.stat().st_size < 2_100_000
    assert [p.name for p in own_cache.iterdir()] == ["tekken.bin"]
    assert count_afresh("a robot arm, eine Tasse, 咖啡") == first


def test_copy_is_really_read(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a good copy the 19 MB file is not opened again."""
    count_afresh("x")

    def fail(source: Path) -> None:
        raise AssertionError(f"{source} was read although there is a copy")

    monkeypatch.setattr(tekken, "_read", fail)
    assert count_afresh("Test prompt") == 2


@pytest.mark.parametrize("position", [0, -1])
def test_damaged_copy_is_made_again(own_cache: Path, position: int) -> None:
    """A flipped byte anywhere is noticed, and the copy is replaced by a good one."""
    count_afresh("x")
    copy = own_cache / "tekken.bin"
    good = copy.read_bytes()
    bad = bytearray(good)
    bad[position] ^= 0x40
    copy.write_bytes(bytes(bad))
    assert count_afresh("Test prompt") == 2
    assert copy.read_bytes() == good


def test_counts_without_a_writable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be kept, nothing is, and counting works."""
    file_in_the_way = tmp_path / "file"
    file_in_the_way.write_text("not a folder")
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(file_in_the_way / "cache"))
    assert count_afresh("Test prompt") == 2


def test_missing_vocabulary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mistral-common's file the error says so and how to get it."""
    monkeypatch.setattr(tekken, "FILE", "tekken_000000.json")
    with pytest.raises(ConfigEngineError, match=r"tekken_000000.json is not installed.*pip"):
        count_afresh("x")
