"""Mistral's Tekken vocabulary: ranks cached in a binary file, and a counter for ASCII text."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.errors import ConfigEngineError, OutputError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    import tiktoken

__all__ = ["FILE", "Table", "ascii_counter", "load_counter"]

_LONGEST = 64  # bytes of a word that are merged pair by pair, which takes their square
_MOST_KNOWN = 20_000  # words

# The pattern of tekken_240911, and what it comes to for ASCII. Other texts need the tables of
# Unicode's classes, which Python's own `re` has not.
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_IN_ASCII = (
    r"[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+"
    r"|[^\r\nA-Za-z0-9]?[A-Z]+[a-z]*"
    r"|[0-9]| ?[^\sA-Za-z0-9]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Table:
    """The tokens of a vocabulary in the order of their bytes.

    Attributes:
        pattern: Cuts a text into words, within which tokens are merged.
        ranks: The rank of each token; the lowest is merged first.
        ends: Where each token ends in `joined`, after a 0 where the first begins.
        joined: All tokens, one after the other.
    """

    pattern: str
    ranks: array[int]
    ends: array[int]
    joined: bytes

    @classmethod
    def of(cls, pattern: str, tokens: list[bytes]) -> Table:
        """Sort tokens that are given in the order of their ranks."""
        ranks = array("I", sorted(range(len(tokens)), key=tokens.__getitem__))
        ends = accumulate((len(tokens[rank]) for rank in ranks), initial=0)
        return cls(pattern, ranks, array("I", ends), b"".join(tokens[rank] for rank in ranks))

    def tokens(self) -> dict[bytes, int]:
        """Every token with its rank."""
        spans = zip(self.ranks, pairwise(self.ends), strict=True)
        return {self.joined[start:end]: rank for rank, (start, end) in spans}

    def rank(self, token: bytes) -> int | None:
        """The rank of a token; None where there is none of these bytes."""
        joined, ends = self.joined, self.ends
        low, high = 0, len(self.ranks)
        while low < high:
            middle = (low + high) // 2
            if joined[ends[middle] : ends[middle + 1]] < token:
                low = middle + 1
            else:
                high = middle
        is_found = low < len(self.ranks) and joined[ends[low] : ends[low + 1]] == token
        return self.ranks[low] if is_found else None


def ascii_counter(table: Table) -> Callable[[str], int | None] | None:
    """A function that counts the tokens of ASCII texts.

    Returns:
        The function, which gives None for a text that it cannot count; or None where it could
        count no text of this vocabulary.
    """
    if table.pattern != _PATTERN:
        return None
    words = re.compile(_IN_ASCII, re.ASCII)
    count_word = lru_cache(_MOST_KNOWN)(partial(_merged, table))

    def count(text: str) -> int | None:
        if not text.isascii():
            return None
        found = words.findall(text)
        if max(map(len, found), default=0) > _LONGEST:
            return None
        return sum(map(count_word, found))

    return count


def _merged(table: Table, word: str) -> int:
    """How many tokens of the vocabulary a word is."""
    coded = word.encode()
    if table.rank(coded) is not None:
        return 1
    parts = [coded[place : place + 1] for place in range(len(coded))]
    while len(parts) > 1:
        ranked = [(table.rank(a + b), place) for place, (a, b) in enumerate(pairwise(parts))]
        best = min(((rank, place) for rank, place in ranked if rank is not None), default=None)
        if best is None:
            break
        _, place = best
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return len(parts)


FILE = "tekken_240911.json"
"""The vocabulary of Pixtral-12B, as mistral-common names it."""

_MAGIC = b"promptlift tekken 2"


@functools.lru_cache(maxsize=1)
def load_counter() -> Callable[[str], int]:
    """A function that gives the number of tokens of a text, without any marker.

    Raises:
        ConfigEngineError: mistral-common's vocabulary is missing or damaged.
    """
    table = _vocabulary()
    count_ascii = ascii_counter(table)
    encoder = functools.cache(functools.partial(_encoder, table))

    def count(text: str) -> int:
        counted = count_ascii(text) if count_ascii is not None else None
        return len(encoder().encode_ordinary(text)) if counted is None else counted

    return count


def _encoder(table: Table) -> tiktoken.Encoding:
    """What counts every text; it takes a while to build."""
    import tiktoken

    return tiktoken.Encoding(
        name="tekken",
        pat_str=table.pattern,
        mergeable_ranks=table.tokens(),
        special_tokens={},
    )


def _vocabulary() -> Table:
    source = _source()
    stamp = f"{importlib.metadata.version('mistral-common')} {source.stat().st_size}".encode()
    copy = _cache_folder() / "tekken.bin"
    with contextlib.suppress(OSError):
        compact = _unpack(copy.read_bytes(), stamp)
        if compact is not None:
            return compact
    table = Table.of(*_read(source))
    with contextlib.suppress(OSError, OutputError):
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(copy, _pack(table, stamp))
    return table


def _source() -> Path:
    """Find the file without importing mistral-common, which takes longer than reading it."""
    spec = importlib.util.find_spec("mistral_common")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        path = Path(folder) / "data" / FILE
        if path.is_file():
            return path
    raise ConfigEngineError(
        f"mistral-common's vocabulary {FILE} is not installed, so text cannot be counted",
        remedy="run `pip install --force-reinstall mistral-common`",
    )


def _read(source: Path) -> tuple[str, list[bytes]]:
    import base64

    try:
        data = json.loads(source.read_bytes())
        config = data["config"]
        size = config["default_vocab_size"] - config["default_num_special_tokens"]
        tokens = [base64.b64decode(entry["token_bytes"]) for entry in data["vocab"][:size]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigEngineError(
            f"mistral-common's vocabulary {FILE} is damaged ({error})",
            remedy="run `pip install --force-reinstall mistral-common`",
        ) from None
    return str(config["pattern"]), tokens


def _pack(table: Table, stamp: bytes) -> bytes:
    """Lay out magic, stamp and checksum a line each, then pattern, ranks, ends and tokens."""
    pattern = table.pattern.encode()
    sizes = (len(pattern), len(table.ranks))
    body = b"".join(size.to_bytes(4, "little") for size in sizes) + pattern
    body += _little(table.ranks).tobytes() + _little(table.ends).tobytes() + table.joined
    checksum = hashlib.sha256(body).hexdigest().encode()
    return b"\n".join((_MAGIC, stamp, checksum, body))


def _unpack(data: bytes, stamp: bytes) -> Table | None:
    """Read a compact copy back; None where it is another version's or damaged."""
    parts = data.split(b"\n", 3)
    if len(parts) != 4 or parts[:2] != [_MAGIC, stamp]:
        return None
    body = parts[3]
    if hashlib.sha256(body).hexdigest().encode() != parts[2]:
        return None
    length, count = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    numbers = 8 + length
    middle, end = numbers + 4 * count, numbers + 4 * (2 * count + 1)
    ranks, ends = _numbers(body[numbers:middle]), _numbers(body[middle:end])
    return Table(body[8:numbers].decode(), ranks, ends, body[end:])


def _numbers(data: bytes) -> array[int]:
    return _little(array("I", data))


def _little(numbers: array[int]) -> array[int]:
    """The same on a machine whose numbers begin with the high byte."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


def _cache_folder() -> Path:
    import platformdirs

    return Path(os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift"))
