"""Counting text: with the model's tokenizer, with the target's, or estimated from above."""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from promptlift.errors import OptionError
from promptlift.language import ENGLISH_FUNCTION_WORDS, guess_language, script_of
from promptlift.tokens.families import CountText, Family

__all__ = [
    "counter_for",
    "estimate",
    "estimate_text_tokens",
    "load_target_counter",
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
    """Tokens of a run of letters or of a mark."""
    if not run[0].isalpha():
        # A byte-level vocabulary may spell an emoji byte by byte.
        if encoder == "t5" or run < "\u2000":
            return 1
        return len(run.encode("utf-8", "replace")) if run > "\uffff" else 2
    script = script_of(run[0])
    if script != "latin":
        if encoder == "t5":
            return len(run) + 1
        byte_level, large = _SCRIPTS.get(script, _OTHER_SCRIPT)
        return max(1.0, len(run) * (large if encoder in ("gemma3", "umt5") else byte_level))
    home = _HOME[encoder].get(language or "")
    is_acronym = len(run) > 1 and run.isupper()
    if home is not None and not is_acronym:
        return 1 if run.lower() in ENGLISH_FUNCTION_WORDS else max(1.0, len(run) * home)
    letter, accented = _LATIN[encoder]
    return max(1.0, len(run) * letter + sum(char > "\x7f" for char in run) * accented)


# A word with the space before it, which every vocabulary joins to it.
_WORD = re.compile(r" ?([A-Za-z]+)")


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

    def cost(text: str) -> int:
        total = len(_WORD.sub("", text).encode("utf-8", "surrogatepass"))
        for match in _WORD.finditer(text):
            word = match[1]
            plain = word[1:].islower() or len(word) == 1
            total += math.ceil(len(word) * 0.6) if plain else len(word)
        return total

    # Some tokenizers normalise, and a few characters have more bytes when they are composed.
    return 1 + max(cost(text), cost(unicodedata.normalize("NFC", text)))


def counter_for(family: Family) -> CountText:
    """The counter of a family: its own vocabulary, or an estimate from above.

    Raises:
        ConfigEngineError: The vocabulary is missing or damaged.
    """
    if family.tokenizer == "tekken":
        from promptlift.tokens.tekken import load_counter

        return load_counter()
    return estimate_text_tokens


_GIVE_FILE = "pass the tokenizer.json or the SentencePiece .model file of the text encoder"


def load_target_counter(path: Path) -> CountText:
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
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise OptionError(f"there is no tokenizer file {path}", remedy=_GIVE_FILE) from None
    except OSError as error:
        message = f"the tokenizer file {path} cannot be read ({error.strerror})"
        raise OptionError(message, remedy=_GIVE_FILE) from None
    if not content:
        raise OptionError(f"the tokenizer file {path} is empty", remedy="download it again")
    loaders = {".json": _json_counter, ".model": _sentencepiece_counter}
    if path.suffix not in loaders:
        raise OptionError(f"{path} is neither a .json nor a .model file", remedy=_GIVE_FILE)
    try:
        count = loaders[path.suffix](path, content)
    except ImportError as error:
        raise OptionError(
            f"{path.name} needs the library {error.name}",
            remedy="run `pip install 'promptlift[targets]'`",
        ) from None
    # Lone surrogates are replaced, which neither library takes.
    return lambda prompt: count(prompt.encode("utf-8", "replace").decode())


def _json_counter(path: Path, content: bytes) -> CountText:
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_str(content.decode())
    except Exception:  # noqa: BLE001, the library raises nothing more exact
        raise OptionError(f"{path} is not a tokenizer", remedy=_GIVE_FILE) from None
    # A file may ask for cutting or filling to a length; the count must be of the text alone.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda prompt: len(tokenizer.encode(prompt).ids)


def _sentencepiece_counter(path: Path, content: bytes) -> CountText:
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except RuntimeError:
        raise OptionError(f"{path} is not a SentencePiece model", remedy=_GIVE_FILE) from None
    ends = int(processor.eos_id() >= 0)
    return lambda prompt: len(processor.EncodeAsIds(prompt)) + ends
