"""Mistral's Tekken vocabulary: ranks in a compact copy, and a counter for ASCII text.

The package's file is 19 MB of JSON, and tiktoken's tables take as long to build. A copy of 2 MB in
the user's cache that is searched as it lies takes a few milliseconds, which is what a command has.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.errors import ConfigEngineError, OutputError
from promptlift.files import cache_folder, write_atomic

if TYPE_CHECKING:
    import tiktoken

    from promptlift.tokens.families import CountText

__all__ = ["TEKKEN", "load_counter"]

TEKKEN = "tekken_240911.json"
"""The vocabulary of Pixtral-12B, as mistral-common names it."""

_REMEDY = "run `pip install --force-reinstall mistral-common`"
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


@lru_cache(maxsize=1)
def load_counter() -> CountText:
    """A function that gives the number of tekken tokens of a text, without any marker.

    Raises:
        ConfigEngineError: mistral-common's vocabulary is missing or damaged.
    """
    table = _vocabulary()
    words = re.compile(_IN_ASCII if table.pattern == _PATTERN else r"(?!)", re.ASCII)
    count_word = lru_cache(_MOST_KNOWN)(partial(_merged, table))
    encoder = cache(partial(_encoder, table))

    def count(text: str) -> int:
        found = words.findall(text) if text.isascii() else []
        if "".join(found) != text or max(map(len, found), default=0) > _LONGEST:
            return len(encoder().encode_ordinary(text))
        return sum(map(count_word, found))

    return count


@dataclass(frozen=True, slots=True)
class _Table:
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

    def token(self, place: int) -> bytes:
        return self.joined[self.ends[place] : self.ends[place + 1]]

    def rank(self, token: bytes) -> int | None:
        """The rank of a token; None where there is none of these bytes."""
        place = bisect_left(range(len(self.ranks)), token, key=self.token)
        found = place < len(self.ranks) and self.token(place) == token
        return self.ranks[place] if found else None


def _merged(table: _Table, word: str) -> int:
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


def _encoder(table: _Table) -> tiktoken.Encoding:
    """What counts every text; it takes a while to build."""
    import tiktoken

    ranks = {table.token(place): rank for place, rank in enumerate(table.ranks)}
    return tiktoken.Encoding(
        name="tekken", pat_str=table.pattern, mergeable_ranks=ranks, special_tokens={}
    )


def _vocabulary() -> _Table:
    from importlib.metadata import version

    # Without importing mistral-common, which takes longer than reading its file.
    spec = find_spec("mistral_common")
    folders = (spec.submodule_search_locations if spec else None) or []
    source = next((p for f in folders if (p := Path(f) / "data" / TEKKEN).is_file()), None)
    if source is None:
        raise ConfigEngineError(
            f"mistral-common's vocabulary {TEKKEN} is not installed, so text cannot be counted",
            remedy=_REMEDY,
        )
    size = source.stat().st_size
    stamp = f"{TEKKEN} 3 {sys.byteorder} {version('mistral-common')} {size}".encode()
    copy = cache_folder() / "tekken.bin"
    with contextlib.suppress(OSError):
        stored = _unpack(copy.read_bytes(), stamp)
        if stored is not None:
            return stored
    table = _read(source)
    with contextlib.suppress(OSError, OutputError):
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(copy, _pack(table, stamp))
    return table


def _read(source: Path) -> _Table:
    import base64

    try:
        data = json.loads(source.read_bytes())
        config = data["config"]
        size = config["default_vocab_size"] - config["default_num_special_tokens"]
        tokens = [base64.b64decode(entry["token_bytes"]) for entry in data["vocab"][:size]]
        pattern = str(config["pattern"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigEngineError(
            f"mistral-common's vocabulary {TEKKEN} is damaged ({error})", remedy=_REMEDY
        ) from None
    ranks = array("I", sorted(range(len(tokens)), key=tokens.__getitem__))
    ends = accumulate((len(tokens[rank]) for rank in ranks), initial=0)
    return _Table(pattern, ranks, array("I", ends), b"".join(tokens[rank] for rank in ranks))


def _pack(table: _Table, stamp: bytes) -> bytes:
    """Lay out stamp, checksum and number of tokens a line each, then pattern, ranks, ends, tokens.

    The pattern has no line break.
    """
    head = f"{len(table.ranks)}\n{table.pattern}\n".encode()
    body = head + table.ranks.tobytes() + table.ends.tobytes() + table.joined
    return b"\n".join((stamp, hashlib.sha256(body).hexdigest().encode(), body))


def _unpack(data: bytes, stamp: bytes) -> _Table | None:
    """Read a compact copy back; None where it is another version's or damaged."""
    found, _, rest = data.partition(b"\n")
    checksum, _, body = rest.partition(b"\n")
    if found != stamp or hashlib.sha256(body).hexdigest().encode() != checksum:
        return None
    count, pattern, numbers = body.split(b"\n", 2)
    ranks, ends, size = array("I"), array("I"), 4 * int(count)
    ranks.frombytes(numbers[:size])
    ends.frombytes(numbers[size : 2 * size + 4])
    return _Table(pattern.decode(), ranks, ends, numbers[2 * size + 4 :])
