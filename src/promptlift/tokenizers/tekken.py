"""Counting text as Pixtral does, with the tekken vocabulary that mistral-common ships.

The vocabulary is a 19 MB JSON file. What counting needs of it (the byte strings, sorted, and
their ranks) takes 2 MB and is ready as soon as it is read, so a compact copy is kept in the
user's cache folder,
next to the version of mistral-common and the size of the file that it was made from, and with
its own checksum: a copy that is stale or damaged is made again. Without a writable cache
nothing is kept, and counting works all the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.errors import ConfigEngineError, OutputError
from promptlift.files import write_atomic
from promptlift.tokenizers.bpe import Table, ascii_counter

if TYPE_CHECKING:
    import tiktoken

__all__ = ["FILE", "load_counter"]

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
        remedy="install it again with pip install --force-reinstall mistral-common",
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
            remedy="install it again with pip install --force-reinstall mistral-common",
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
