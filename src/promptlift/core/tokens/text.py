"""A text's tokens from above, for the models whose tokenizer is not shipped."""

from __future__ import annotations

import math
import re
import unicodedata

__all__ = ["estimate_text_tokens"]

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
    return 1 + max(_cost(text), _cost(composed))


def _cost(text: str) -> int:
    words = [match[1] for match in _WORD.finditer(text)]
    rest = _WORD.sub("", text)
    return sum(map(_word_cost, words)) + len(rest.encode("utf-8", "surrogatepass"))


def _word_cost(word: str) -> int:
    if word[1:].islower() or len(word) == 1:
        return math.ceil(len(word) * _TOKENS_A_LETTER)
    return len(word)
