"""Counting a prompt with the tokenizer of the generator's own text encoder.

The user gives the tokenizer's file, as it lies next to the encoder's weights: ``tokenizer.json``
(read by the library ``tokenizers``) or a SentencePiece model such as T5's ``spiece.model``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from promptlift.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["load_target_counter"]

_EXTRA = "pip install 'promptlift[targets]'"
_GIVE_FILE = "give the encoder's tokenizer.json or SentencePiece .model file"


def load_target_counter(path: Path) -> Callable[[str], int]:
    """Load a tokenizer and return a function that counts a prompt's tokens.

    The count holds the special tokens that the encoder reads with the prompt: what the
    ``tokenizer.json`` adds by its own rules, or the end token of a SentencePiece model.

    Args:
        path: A ``tokenizer.json`` or a SentencePiece ``.model`` file.

    Returns:
        Text to tokens; no text is refused.

    Raises:
        OptionError: The file is missing or not a tokenizer, or the library is not installed.
    """
    content = _read(path)
    if path.suffix == ".json":
        return _json_counter(path, content)
    if path.suffix == ".model":
        return _sentencepiece_counter(path, content)
    raise OptionError(f"{path} is neither a .json nor a .model file", remedy=_GIVE_FILE)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise OptionError(f"there is no tokenizer file {path}", remedy=_GIVE_FILE) from None
    except OSError as error:
        message = f"the tokenizer file {path} cannot be read ({error.strerror})"
        raise OptionError(message, remedy=_GIVE_FILE) from None
    if not content:
        raise OptionError(f"the tokenizer file {path} is empty", remedy="download it again")
    return content


def _json_counter(path: Path, content: bytes) -> Callable[[str], int]:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _missing("tokenizers", path) from None
    try:
        text = content.decode()
        json.loads(text)
    except (ValueError, RecursionError):
        raise OptionError(f"{path} is not JSON", remedy=_GIVE_FILE) from None
    try:
        tokenizer: Any = Tokenizer.from_str(text)
    except Exception:  # noqa: BLE001, the library raises nothing more exact
        message = f"{path} is JSON but not a tokenizer"
        raise OptionError(message, remedy=_GIVE_FILE) from None
    # A file may ask for cutting or filling to a length; the count must be of the text alone.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda prompt: len(tokenizer.encode(_encodable(prompt)).ids)


def _sentencepiece_counter(path: Path, content: bytes) -> Callable[[str], int]:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise _missing("sentencepiece", path) from None
    processor: Any = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except RuntimeError:
        message = f"{path} is not a SentencePiece model"
        raise OptionError(message, remedy=_GIVE_FILE) from None
    ends = int(processor.eos_id() >= 0)
    return lambda prompt: len(processor.EncodeAsIds(_encodable(prompt))) + ends


def _missing(library: str, path: Path) -> OptionError:
    return OptionError(f"{path.name} needs the library {library}", remedy=_EXTRA)


def _encodable(prompt: str) -> str:
    """Replace lone surrogates, which neither library takes."""
    return prompt.encode("utf-8", "replace").decode()
