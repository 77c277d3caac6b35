"""Counting text: with the model's tokenizer, with the target's, or estimated from above."""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from promptlift.errors import OptionError
from promptlift.language import ENGLISH_FUNCTION_WORDS, guess_language, script_of
from promptlift.tokens.chat import CountText, Family

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "counter_for",
    "estimate",
    "estimate_text_tokens",
    "load_target_counter",
    "loaded_counter",
]

# Start or end token that the encoder's tokenizer adds.
_SPECIAL = {"t5": 1, "umt5": 1, "qwen2.5": 0, "llama3": 1, "gemma3": 1}

# Tokens a Latin letter: prose in the languages that the vocabulary was made for, other prose, and
# what a letter beyond ASCII adds in other prose.
_HOME = {
    "t5": {"English": 0.38, "German": 0.4, "French": 0.5},
    "umt5": {"English": 0.38},
    "qwen2.5": {"English": 0.28},
    "llama3": {"English": 0.28},
    "gemma3": {"English": 0.28},
}
_LATIN = {
    "t5": (0.75, 1.35),
    "umt5": (0.75, 0.75),
    "qwen2.5": (0.48, 0.45),
    "llama3": (0.48, 0.45),
    "gemma3": (0.45, 0.35),
}

# Tokens a letter or mark in other scripts, for byte-level BPE (Qwen, Llama) and for the large
# multilingual vocabularies (Gemma, umT5). T5 has at most one token a letter and one a word.
_SCRIPTS = {
    "han": (1.25, 1.0),
    "kana": (1.1, 0.9),
    "hangul": (1.35, 1.1),
    "cyrillic": (0.75, 0.5),
    "greek": (1.3, 0.65),
    "arabic": (0.65, 0.55),
    "hebrew": (1.45, 0.75),
    "devanagari": (1.5, 0.6),
    "thai": (1.1, 0.7),
}
_OTHER_SCRIPT = (2.0, 1.0)

_RUN = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff]+[^\W\d_]*)*|\S")


@lru_cache(maxsize=64)  # the review asks, and then whoever notes what it cost
def estimate(text: str, encoder: str) -> int:
    """Estimate a text's tokens from above.

    Args:
        text: Any text.
        encoder: A family named in `promptlift.targets.Encoder`.

    Returns:
        Tokens, the encoder's start or end token included.
    """
    runs = _RUN.findall(unicodedata.normalize("NFC", text))
    language = guess_language(run.lower() for run in runs if run[0].isalpha())
    total = sum(_cost(run, encoder, language) for run in runs)
    return _SPECIAL[encoder] + math.ceil(total) + text.count("\n")


@lru_cache(maxsize=4096)
def _cost(run: str, encoder: str, language: str | None) -> float:
    if not run[0].isalpha():
        return _mark_cost(run, encoder)
    script = script_of(run[0])
    if script != "latin":
        return _foreign_cost(run, script, encoder)
    return max(1.0, _latin_cost(run, encoder, language))


def _latin_cost(run: str, encoder: str, language: str | None) -> float:
    home = _HOME[encoder].get(language or "")
    if home is not None and not _is_acronym(run):
        return 1 if run.lower() in ENGLISH_FUNCTION_WORDS else len(run) * home
    letter, accented = _LATIN[encoder]
    return len(run) * letter + sum(char > "\x7f" for char in run) * accented


def _is_acronym(run: str) -> bool:
    return len(run) > 1 and run.isupper()


def _mark_cost(mark: str, encoder: str) -> float:
    # A byte-level vocabulary may spell an emoji byte by byte.
    if encoder == "t5" or mark < "\u2000":
        return 1
    return len(mark.encode("utf-8", "replace")) if mark > "\uffff" else 2


def _foreign_cost(run: str, script: str, encoder: str) -> float:
    if encoder == "t5":
        return len(run) + 1
    byte_level, large = _SCRIPTS.get(script, _OTHER_SCRIPT)
    return max(1.0, len(run) * (large if encoder in ("gemma3", "umt5") else byte_level))


# A word with the space before it, which every vocabulary joins to it.
_WORD = re.compile(r" ?([A-Za-z]+)")
_TOKENS_A_LETTER = 0.6


def estimate_text_tokens(text: str) -> int:
    """Estimate from above what any of the known models' tokenizers makes of a text.

    A word in Latin letters costs six tokens for ten letters, rounded up, and the space before it
    nothing; a word with capitals inside costs a token a letter. Everything else costs a token a
    byte in UTF-8, which no byte-level vocabulary (and none with byte fallback) exceeds. One token
    is added for the mark that SentencePiece puts before a text.

    This is about twice the truth for English and up to four times for other scripts. A real
    vocabulary comes near to it only on single letters and on strings that are no words (random
    small letters cost 0.55 to 0.65 a letter).

    Args:
        text: Any text.

    Returns:
        Tokens, at least 1; markers of a chat template are not included.
    """
    # Some tokenizers normalise, and a few characters have more bytes when they are composed.
    composed = unicodedata.normalize("NFC", text)
    return 1 + max(_cost_text(text), _cost_text(composed))


def _cost_text(text: str) -> int:
    words = [match[1] for match in _WORD.finditer(text)]
    rest = _WORD.sub("", text)
    return sum(map(_word_cost, words)) + len(rest.encode("utf-8", "surrogatepass"))


def _word_cost(word: str) -> int:
    if word[1:].islower() or len(word) == 1:
        return math.ceil(len(word) * _TOKENS_A_LETTER)
    return len(word)


def counter_for(family: Family) -> CountText:
    """The counter of a family: its own vocabulary, or an estimate from above.

    Raises:
        ConfigEngineError: The vocabulary is missing or damaged.
    """
    if family.tokenizer == "tekken":
        from promptlift.tokens.tekken import load_counter

        return load_counter()
    return estimate_text_tokens


def loaded_counter(family: Family) -> CountText | None:
    """The same where it costs nothing; None where a vocabulary must be loaded first."""
    if family.tokenizer != "tekken":
        return counter_for(family)
    # The module may be in the midst of being imported by another thread.
    load = getattr(sys.modules.get("promptlift.tokens.tekken"), "load_counter", None)
    if load is None or not load.cache_info().currsize:
        return None
    return counter_for(family)


_EXTRA = "run `pip install 'promptlift[targets]'`"
_GIVE_FILE = "pass the tokenizer.json or the SentencePiece .model file of the text encoder"


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
