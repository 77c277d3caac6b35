"""Counting text as Pixtral does, with the tekken vocabulary that mistral-common ships.

The vocabulary is a 19 MB JSON file. What counting needs of it (the byte strings in rank order)
takes 1 MB and reads three times faster, so a compact copy is kept in the user's cache folder,
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
from collections.abc import Callable
from pathlib import Path

from promptlift.errors import ConfigEngineError, OutputError
from promptlift.files import write_atomic

__all__ = ["FILE", "load_counter"]

FILE = "tekken_240911.json"
"""The vocabulary of Pixtral-12B, as mistral-common names it."""

_MAGIC = b"promptlift tekken 1"


@functools.lru_cache(maxsize=1)
def load_counter() -> Callable[[str], int]:
    """A function that gives the number of tokens of a text, without any marker.

    Raises:
        ConfigEngineError: mistral-common's vocabulary is missing or damaged.
    """
    import tiktoken

    pattern, tokens = _vocabulary()
    encoding = tiktoken.Encoding(
        name="tekken",
        pat_str=pattern,
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={},
    )

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return count


def _vocabulary() -> tuple[str, list[bytes]]:
    source = _source()
    stamp = f"{importlib.metadata.version('mistral-common')} {source.stat().st_size}".encode()
    copy = _cache_folder() / "tekken.bin"
    with contextlib.suppress(OSError):
        compact = _unpack(copy.read_bytes(), stamp)
        if compact is not None:
            return compact
    pattern, tokens = _read(source)
    with contextlib.suppress(OSError, OutputError):
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(copy, _pack(pattern, tokens, stamp))
    return pattern, tokens


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


def _pack(pattern: str, tokens: list[bytes], stamp: bytes) -> bytes:
    """Lay out magic, stamp and checksum a line each, then the pattern, then the tokens."""
    body = b"".join(bytes((len(token),)) + token for token in tokens)
    body = len(pattern.encode()).to_bytes(4, "big") + pattern.encode() + body
    checksum = hashlib.sha256(body).hexdigest().encode()
    return b"\n".join((_MAGIC, stamp, checksum, body))


def _unpack(data: bytes, stamp: bytes) -> tuple[str, list[bytes]] | None:
    """Read a compact copy back; None where it is another version's or damaged."""
    parts = data.split(b"\n", 3)
    if len(parts) != 4 or parts[:2] != [_MAGIC, stamp]:
        return None
    body = parts[3]
    if hashlib.sha256(body).hexdigest().encode() != parts[2]:
        return None
    start = 4 + int.from_bytes(body[:4], "big")
    tokens = []
    while start < len(body):
        end = start + 1 + body[start]
        tokens.append(body[start + 1 : end])
        start = end
    return body[4 : 4 + int.from_bytes(body[:4], "big")].decode(), tokens


def _cache_folder() -> Path:
    import platformdirs

    return Path(os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift"))
