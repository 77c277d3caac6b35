"""A light reading of English: tags, noun phrases, what is denied, and what the camera does."""

from __future__ import annotations

import itertools
import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple
from unicodedata import combining, normalize

from promptlift.language import ENGLISH_FUNCTION_WORDS, word_set
from promptlift.review.lexicon import is_noun, is_person, is_thing, lemma, noun_kind, part_of_speech

__all__ = [
    "BASIC_COLORS",
    "EMPTY_WORDS",
    "Phrase",
    "Reading",
    "Token",
    "color_families",
    "english_tables",
    "english_words",
    "number_of",
    "read",
]


@cache
def english_tables() -> dict[str, Any]:
    """The tables of ``english.toml``."""
    return tomllib.loads(files("promptlift.review").joinpath("english.toml").read_text("utf-8"))


def english_words(table: str, name: str) -> frozenset[str]:
    """A set of words from ``english.toml``."""
    return word_set(english_tables()[table][name])


_TOKEN = re.compile(
    r"\d+(?:[.,:/×x]\d+)*(?:\s?°\s?[CFcf]?|%)?[a-z]*"
    r"|[^\W\d_]+(?:['’\-][^\W\d_]+)*['’]?|[^\w\s]",
    re.IGNORECASE,
)

_COUNTING = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_NUMBERS = {word: number for number, word in enumerate(_COUNTING.split())}
_NUMBERS |= {"single": 1, "both": 2, "twin": 2, "dozen": 12, "thirty": 30, "forty": 40, "fifty": 50}
_NUMBERS |= {"hundred": 100, "thousand": 1000}
# "a pair of dogs": nouns that count what follows "of".
_SETS = {"pair": 2, "couple": 2, "duo": 2, "trio": 3, "quartet": 4}
_UNITS = english_words("nouns", "units")

_FAMILIES: dict[str, frozenset[str]] = {
    word: word_set(families)
    for families, words in english_tables()["colors"]["families"].items()
    for word in words.split()
}
BASIC_COLORS = english_words("colors", "basic")
_ALSO_THINGS = word_set("orange violet rose gold silver olive lime lemon cherry plum coral amber")
_TINTS = word_set("colored coloured toned tinted hued painted tone shade shades hue light dark")

_DETERMINERS = english_words("classes", "determiners")
_PREPOSITIONS = english_words("classes", "prepositions")
_PRONOUNS = english_words("classes", "pronouns")
_CONJUNCTIONS = english_words("classes", "conjunctions")
_AUXILIARIES = english_words("classes", "auxiliaries")
_BE = english_words("classes", "copulas")
_NEGATORS = word_set("no not without never nor neither none cannot lacking minus zero")
_NOBODY = word_set("nobody no-one")
EMPTY_WORDS = word_set("empty deserted vacant unoccupied uninhabited depopulated")
"""Adjectives that deny people: "an empty street"."""
_DENIAL_NOUNS = word_set("free devoid empty absence lack clear bereft")
_ABSENT = word_set("absent missing gone vanished disappeared removed nowhere")
_SIGNS = word_set("sign trace hint single other more longer one")
# "not only a dog", "no fewer than two": these deny nothing.
_NO_DENIAL = word_set("only just fewer less far matter doubt wonder sooner merely but")
_INSTEAD = word_set("of than")
_SCOPE = 8

_PARTICLES = word_set("out up down off away back")
_INTO = word_set("in to into from all")  # "dressed in red", "turns from red to green"
_SUBJECTS = word_set("it he she they we who")
_RELATIVE = word_set("that which who")
_SIDES = word_set("left right front back top bottom middle center looks inside outside")
_CLOSED = (
    (_NEGATORS, "Q"),
    (_NOBODY, "R"),
    (_AUXILIARIES, "X"),
    (_DETERMINERS, "D"),
    (_PREPOSITIONS, "P"),
    (_PRONOUNS, "R"),
    (_CONJUNCTIONS, "C"),
)
_PLURALS = word_set("people men women children feet geese mice teeth")


class Token(NamedTuple):
    """A word or mark of a text.

    Attributes:
        text: In lower case.
        lemma: Its dictionary form.
        tag: ``N`` noun, ``V`` verb, ``G`` form in -ing, ``E`` in -ed, ``A`` adjective, ``B``
            adverb, ``K`` color, ``M`` number, ``D`` determiner, ``S`` possessive, ``P``
            preposition, ``R`` pronoun, ``C`` conjunction, ``X`` auxiliary, ``Q`` negator or ``.``.
        start: Where it begins in the text.
        end: Where it ends.
        name: Whether it begins with a capital and may be a name.
    """

    text: str
    lemma: str
    tag: str
    start: int
    end: int
    name: bool = False


@dataclass(slots=True)
class Phrase:
    """A noun phrase.

    Attributes:
        noun: Lemma of its head; two words where WordNet has them as one name.
        head: Index of the head's token.
        first: Index of its first token.
        number: How many; None where that is not said.
        colors: Indices of the tokens of its colors.
        plural: Whether the head is a plural.
        words: Lemmas of what stands before the head.
        denied: Whether the text says that it is not there.
        counted: Index of the first token of its number; the head where it has none.
    """

    noun: str
    head: int
    first: int
    number: int | None = None
    counted: int = -1
    colors: list[int] = field(default_factory=list)
    plural: bool = False
    words: tuple[str, ...] = ()
    denied: bool = False


class Reading(NamedTuple):
    """A text read once.

    Attributes:
        text: The text.
        tokens: Words and marks.
        phrases: Noun phrases in order.
        denied: A flag for each token.
        denials: First and last token of what each negator denies, the negator included.
        sentences: For each token the number of its sentence.
    """

    text: str
    tokens: list[Token]
    phrases: list[Phrase]
    denied: list[bool]
    denials: list[tuple[int, int]]
    sentences: list[int]


def color_families(word: str) -> frozenset[str]:
    """The families of color that a word names; empty for another word."""
    if "-" in word:
        parts = [part for part in word.split("-") if part not in _TINTS]
        if not all(part in _FAMILIES for part in parts):
            return frozenset()
        # A shade qualifies the color behind it: "emerald-brown" is brown.
        own = [p for p in parts if p in BASIC_COLORS or p.endswith("ish")] or parts[-1:]
        return frozenset().union(*map(_FAMILIES.__getitem__, own))
    return _FAMILIES.get(word, frozenset())


@lru_cache(maxsize=128)
def read(text: str) -> Reading:
    """Read an English text."""
    tokens = _tagged(text)
    denied, denials = _denied(tokens)
    phrases = _phrases(tokens)
    for phrase in phrases:
        phrase.denied = denied[phrase.head]
    sentences, number = [], 0
    for token in tokens:
        sentences.append(number)
        number += token.text in ".!?;"
    _bind_predicates(tokens, phrases, sentences)
    return Reading(text, tokens, phrases, denied, denials, sentences)


@lru_cache(maxsize=16384)
def _word(text: str) -> tuple[str, str]:
    """Lemma and usual tag of a word in lower case."""
    closed = next((tag for words, tag in _CLOSED if text in words), "")
    if closed:
        return ("be" if text in _BE else text), closed
    if text.endswith("n't"):
        return text, "Q"
    if text.endswith(("'s", "s'")):
        return _noun_lemma(text.removesuffix("'s").removesuffix("'")), "S"
    if "'" in text:
        return text, "R"
    parts = text.split("-")
    if all(part in _NUMBERS for part in parts):
        return text, "M"
    if color_families(text):
        return text, "K"
    if len(parts) > 1:
        root = _noun_lemma(text)
        return root, "N" if is_thing(root) or _word(parts[-1])[1] == "N" else "A"
    return _open_word(text)


def _open_word(text: str) -> tuple[str, str]:
    """Lemma and usual tag of a word that is no grammar, number or color."""
    root = _noun_lemma(text)
    changed = root != text
    part = part_of_speech(text) or part_of_speech(root)
    if text.endswith("s") and changed:
        part = part_of_speech(root) or part
    if text.endswith("ly") and part != "n":
        return root, "B"
    if base := _verb_of(text):
        return base, "G"
    if changed and part == "a" and text.endswith("s"):
        return root, "N"
    if changed and text.endswith("ed") and len(text) > 4:
        return root, "E"
    unknown = "B" if text in ENGLISH_FUNCTION_WORDS else "N"
    return root, {"n": "N", "v": "V", "a": "A", "r": "B"}.get(part, unknown)


def _verb_of(text: str) -> str:
    """The verb of a form in -ing: ``run`` for "running"; empty where the word is none."""
    if not text.endswith("ing") or len(text) < 5:
        return ""
    stem = text[:-3]
    single = stem[:-1] if stem[-1:] == stem[-2:-1] else stem
    bases = [base for base in (stem, f"{stem}e", single) if len(base) > 1]
    found = next((base for base in bases if part_of_speech(base) == "v"), "")
    if found or part_of_speech(text) == "n":
        return found
    root = lemma(text)
    bases = [*bases, root] if root != text else bases
    return next((base for base in bases if part_of_speech(base)), "")


def _noun_lemma(text: str) -> str:
    root = lemma(text).lower()
    return "person" if root == "people" else root


def _tagged(text: str) -> list[Token]:
    tokens: list[Token] = []
    for found in _TOKEN.finditer(text):
        raw = found[0].rstrip()
        low = _plain(raw.lower().replace("’", "'"))
        if len(low) > 1 and low.endswith("'") and not low.endswith("s'"):
            raw, low = raw[:-1], low[:-1]
        end = found.start() + len(raw)
        if not raw[0].isalnum():
            tokens.append(Token(low, low, ".", found.start(), end))
            continue
        if raw[0].isdecimal():
            tag = "M" if raw.isdecimal() and len(raw) < 7 else "A"
            tokens.append(Token(low, low, tag, found.start(), end))
            continue
        root, tag = _word(low)
        starts = not tokens or tokens[-1].text in '.!?:"“«「'
        name = raw[0].isupper() and not starts and low != "i"
        tokens.append(Token(low, root, tag, found.start(), end, name))
    for at in range(len(tokens)):
        fixed = _in_context(tokens, at)
        if fixed != tokens[at].tag:
            token = tokens[at]
            noun = fixed == "N" and token.tag == "G"
            root = token.text if noun and is_thing(token.text) else token.lemma
            tokens[at] = token._replace(tag=fixed, lemma=root)
    return tokens


def _plain(text: str) -> str:
    """A word without accents: "cafe" for "café"."""
    if text.isascii():
        return text
    return "".join(char for char in normalize("NFD", text) if not combining(char))


_NONE = Token("", "", ".", 0, 0)


def _in_context(tokens: list[Token], at: int) -> str:
    """The tag of a token among its neighbors; those before it are settled."""
    token = tokens[at]
    before = tokens[at - 1] if at else _NONE
    after = tokens[at + 1] if at + 1 < len(tokens) else _NONE
    inside = before.tag in "DAKMSE" or (before.tag == "B" and at > 1 and tokens[at - 2].tag in "DS")
    if token.text == "that" and before.tag == "N":
        return "C"
    if token.text in _SIDES and before.tag in "DS" and after.tag not in "NAKG":
        return "N"
    if token.tag == "A":
        return _adjective(tokens, at, before, after)
    if token.tag == "V":
        return "N" if _noun_after_all(tokens, at, before, after, inside=inside) else "V"
    if token.tag == "N" and _verb_after_all(tokens, at, before, after):
        return "V"
    if token.tag == "N" and token.text.endswith("ing"):
        verb = before.tag == "X" or after.tag in "DSR" or is_person(before.lemma)
        return "G" if verb else "N"
    if token.tag == "G":
        return _participle(token, after, inside=inside)
    if token.tag == "E" and (inside or not at) and after.tag in "NAKE":
        return "A"
    if token.tag == "K" and token.text in _ALSO_THINGS:
        second = tokens[at + 2].tag if at + 2 < len(tokens) else "."
        followed = after.tag in "NKAGE" or after.text in ("one", "ones")
        followed = followed or (after.tag == "V" and after.text == after.lemma)
        listed = after.text in ("and", "or", ",", "-") and second in "KA"
        return "K" if followed or listed or not (inside or before.tag in "P.C") else "N"
    return token.tag


def _adjective(tokens: list[Token], at: int, before: Token, after: Token) -> str:
    """The tag of a word that is mostly an adjective: a noun in "a net", a verb in "is struck"."""
    token = tokens[at]
    if before.tag == "N" and is_thing(f"{before.text} {token.text}"):
        return "N"
    noun = is_noun(token.text) and not is_person(token.text)
    if noun and before.tag in "DAKMSQ" and after.tag in "P.X" and before.text not in _BE:
        lead = _determiner(tokens, at - 1)
        return "N" if lead in _DETERMINERS or lead == "no" else "A"
    done = before.lemma == "be" and token.text != token.lemma
    return "E" if done and part_of_speech(token.lemma) == "v" else "A"


def _animate(token: Token) -> bool:
    return is_person(token.lemma) or noun_kind(token.lemma) == "animal"


def _noun_after_all(
    tokens: list[Token], at: int, before: Token, after: Token, *, inside: bool
) -> bool:
    """Whether a word that is mostly a verb is a noun here: "the drive", "without handle"."""
    token = tokens[at]
    plain = token.text == token.lemma
    if plain and (before.text in ("without", "no") or (after.tag == "X" and before.tag == ".")):
        return True
    second = tokens[at + 2] if at + 2 < len(tokens) else _NONE
    if before.tag == "." and after.text == "and" and second.tag == "N" and is_thing(token.text):
        return True  # "Bear and hare share soup"
    if plain and before.tag in "NK" and _follows_plural(tokens, at):
        return False
    # "Eleven paper cranes": what is counted is a plural.
    counts = tokens[at - 2] if before.tag == "N" and at > 1 and not _is_plural(before) else before
    if counts.tag == "M" and number_of([counts]) != 1 and _is_plural(token):
        return True
    if inside and before.text != "to" and after.tag not in "NRDS":
        return True
    if inside and plain and after.tag == "N":
        return True
    # "Design" in "a minimalist design": one thing would have "designs".
    single = before.tag == "N" and before.text == before.lemma and not _animate(before)
    return single and plain and token.text == lemma(token.text) and after.tag not in "DRSM"


def _verb_after_all(tokens: list[Token], at: int, before: Token, after: Token) -> bool:
    """Whether a word that is mostly a noun is a verb here: "a robot arm hands a cup"."""
    token = tokens[at]
    in_s = _is_plural(token)  # verbs end alike
    if before.text in _SUBJECTS or (before.tag == "C" and before.text in _RELATIVE and in_s):
        return True
    if before.text == "to" and after.tag in "DS" and not is_noun(token.lemma):
        return True
    if before.text == "and" and in_s and after.text in _PARTICLES:
        return True  # "opens an umbrella and steps out"
    if before.tag == "K" and in_s and at > 1 and tokens[at - 2].text == "in":
        return after.tag not in "VX"  # "a woman in black walks"
    if before.tag != "N":
        return False
    lead, single = _determiner(tokens, at - 1), before.text == before.lemma
    if in_s and single and part_of_speech(token.lemma) == "a":
        return True  # "a plow clears the street": no adjective has a plural
    if in_s:
        return (
            (after.tag in "PB." and single and _animate(before))
            or (after.tag in "NAK" and single and is_person(before.lemma))
            or after.tag in "DRSQ"
            or (after.tag == "M" and single)
            or (after.tag in "PB." and lead in ("a", "an", "one", "1", "each"))
        )
    counted = before.text in _PLURALS or lead in _NUMBERS or lead.isdecimal()
    plain = token.text == token.lemma and not single and after.tag != "N"
    return plain and (counted or after.tag in "DS")


def _participle(token: Token, after: Token, *, inside: bool) -> str:
    """The tag of a form in -ing: a noun ("a building"), an adjective or a verb."""
    if inside and is_thing(token.text) and after.tag not in "DSRN":
        return "N"
    return "A" if inside and after.tag in "NAKG" else "G"


def _follows_plural(tokens: list[Token], at: int) -> bool:
    """Whether a plural stands before a token: "rays of sun", "a glass and a cup", "men in red"."""
    at -= 1
    for _ in range(2):
        last = tokens[at]
        if last.tag == "N" and (last.text in _PLURALS or _is_plural(last)):
            return True
        while at > 0 and tokens[at].tag in "NAKEDSM":
            at -= 1
        if tokens[at].text == "and" and last.tag == "N" and tokens[at + 1].tag in "DS":
            return True
        if tokens[at].text not in ("of", "in", "with") or not at or last.tag not in "NK":
            return False
        at -= 1
    return False


def _is_plural(token: Token) -> bool:
    return token.text != token.lemma and token.text.endswith("s")


def _determiner(tokens: list[Token], at: int) -> str:
    """The first word of the noun phrase that ends at a token."""
    first = max(0, at - 12)
    while at > first and tokens[at].tag in "NAKGE" and tokens[at - 1].tag in "NAKGEMDS":
        at -= 1
    return tokens[at].text


def _phrases(tokens: list[Token]) -> list[Phrase]:
    phrases: list[Phrase] = []
    at = 0
    while at < len(tokens):
        if tokens[at].tag not in "DSMAKNGEB":
            at += 1
            continue
        first, end, head = at, at, -1
        while end < len(tokens):
            tag, text = tokens[end].tag, tokens[end].text
            if tag == "N":
                head = end
            elif head >= 0 or (tag == "D" and end > first and tokens[end - 1].tag not in "DM"):
                break
            elif tag in "DSMAKB" or (tag in "GE" and end > first and tokens[end - 1].tag in "DAKS"):
                pass
            elif not (_joins(tokens, end) and (text in ",-" or text in ("and", "or"))):
                break
            end += 1
        if head < 0:
            at = max(end, at + 1)
            continue
        phrases.append(_phrase(tokens, first, head))
        at = head + 1
    _count_sets(tokens, phrases)
    return phrases


def _joins(tokens: list[Token], at: int) -> bool:
    """Whether a comma or an "and" stands between two adjectives of one phrase."""
    if not at or at + 1 >= len(tokens):
        return False
    return tokens[at - 1].tag in "AKE" and tokens[at + 1].tag in "AKE"


def _phrase(tokens: list[Token], first: int, head: int) -> Phrase:
    inside = tokens[first:head]
    noun, token = tokens[head].lemma, tokens[head]
    if inside and inside[-1].tag in "NAGK":
        pair = f"{inside[-1].text} {noun}"
        joined = f"{inside[-1].lemma} {noun}"
        name = next((name for name in (pair, joined) if is_thing(name)), noun)
        # An old man is a man; a hot dog is no dog.
        if inside[-1].tag == "N" or noun_kind(name) != noun_kind(noun):
            noun = name
    plural = token.text in _PLURALS or (_is_plural(token) and token.tag == "N")
    phrase = Phrase(noun, head, first, plural=plural, counted=head)
    phrase.words = tuple(token.lemma for token in inside if token.tag in "NAKGE")
    phrase.colors = [first + n for n, token in enumerate(inside) if token.tag == "K"]
    numbers = [token for token in inside if token.tag == "M"]
    if numbers and (len(inside) < 2 or inside[-1].text not in _UNITS) and token.text not in _UNITS:
        phrase.number = number_of(numbers)
        phrase.counted = tokens.index(numbers[0], first)
        if phrase.number == 12 and first and tokens[first - 1].text == "half":
            phrase.number = 6
    return phrase


def number_of(numbers: list[Token]) -> int | None:
    """The number that words and numerals name together: 25 for "twenty-five"."""
    total = 0
    for part in "-".join(token.text for token in numbers).split("-"):
        value = int(part) if part.isdecimal() else _NUMBERS.get(part)
        if value is None:
            return None
        total = total * value if value in (12, 100, 1000) and total else total + value
    return total


def _count_sets(tokens: list[Token], phrases: list[Phrase]) -> None:
    """Give the number of "a pair of dogs" to the dogs."""
    for phrase, following in itertools.pairwise(phrases):
        size = _SETS.get(tokens[phrase.head].lemma)
        if size and tokens[phrase.head + 1].text == "of" and following.first == phrase.head + 2:
            following.number, following.counted = following.number or size, phrase.first


def _bind_predicates(tokens: list[Token], phrases: list[Phrase], sentences: list[int]) -> None:
    """Give the color of "the car is red", "a car painted red" and "men in red" to its noun."""
    inside = {at for phrase in phrases for at in phrase.colors}
    heads = [phrase.head for phrase in phrases]
    for at, token in enumerate(tokens):
        if token.tag != "K" or at in inside:
            continue
        back = at - 1
        while (
            back >= 0
            and at - back < 8
            and (tokens[back].tag in "BXAKCEV" or tokens[back].text in _INTO)
            and tokens[back].text != "while"
        ):
            back -= 1
        if back < 0 or at - back > 7 or tokens[back].tag not in "NR,.":
            continue
        if back == at - 1 and tokens[back].tag == "N" and token.text in _ALSO_THINGS:
            continue
        position = bisect_right(heads, back) - 1
        while (
            position > 0
            and tokens[phrases[position].first - 1].tag == "P"
            and back != at - 1
            and sentences[phrases[position - 1].head] == sentences[at]
        ):
            position -= 1
        if position >= 0 and sentences[phrases[position].head] == sentences[at]:
            phrases[position].colors.append(at)


def _denied(tokens: list[Token]) -> tuple[list[bool], list[tuple[int, int]]]:
    denied = [False] * len(tokens)
    spans: list[tuple[int, int]] = []
    for at, token in enumerate(tokens):
        if token.text in _NOBODY or (token.text == "no" and _text(tokens, at + 1) == "one"):
            last = at + (token.text == "no")
            spans.append((at, last))
            for here in range(last + 1, min(len(tokens), last + 4)):
                if tokens[here].tag not in "XVGB":
                    break
                denied[here] = True
            continue
        if token.text in _ABSENT and not (at and tokens[at - 1].tag in "DP"):
            _deny_subject(tokens, denied, at)
        if not _denies(tokens, at):
            continue
        if token.text == "no" and _text(tokens, at + 1) == "longer":
            _deny_subject(tokens, denied, at)
        last = _scope(tokens, at)
        denied[at + 1 : last + 1] = [True] * (last - at)
        spans.append((at, last))
    return denied, spans


def _text(tokens: list[Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) else ""


def _denies(tokens: list[Token], at: int) -> bool:
    token, after = tokens[at], _text(tokens, at + 1)
    if token.tag == "Q" and token.text != "zero":
        return after not in _NO_DENIAL
    if token.text in ("of", "from"):
        return _text(tokens, at - 1) in _DENIAL_NOUNS
    if token.text in _INSTEAD:
        return _text(tokens, at - 1) in ("instead", "rather", "place")
    return token.text in ("replacing", "replaces", "replaced") and after != "by"


def _scope(tokens: list[Token], at: int) -> int:
    """The last token that a negator at a place denies."""
    last, seen = at, 0
    for here in range(at + 1, min(len(tokens), at + 1 + 2 * _SCOPE)):
        token = tokens[here]
        if token.tag == "." and token.text not in "\"'-":
            break
        noun_seen = any(tokens[n].tag == "N" for n in range(at + 1, here))
        if noun_seen and (token.tag in "VXG" or (token.tag == "P" and token.text != "of")):
            break
        if seen and token.tag == "X" and tokens[at].text == "no":
            break
        if token.tag == "C" and not (
            token.text in ("or", "nor", "and") and _continues(tokens, here)
        ):
            break
        seen += token.tag in "NVGEAK"
        if seen > _SCOPE:
            break
        last = here
        if token.tag in "VG" and tokens[at].text not in ("no", "without"):
            seen += 3
    return last


def _continues(tokens: list[Token], at: int) -> bool:
    """Whether an "or" or "and" goes on with the list that is denied: "no people or cars"."""
    following = tokens[at + 1 : at + 3]
    if not following or following[0].tag in "DRX":
        return tokens[at].text in ("or", "nor")
    return not (
        tokens[at].text == "and" and any(token.tag in "VX" for token in tokens[at + 2 : at + 4])
    )


def _deny_subject(tokens: list[Token], denied: list[bool], at: int) -> None:
    """Deny the subject of "the cars are gone" and "the people are no longer there"."""
    back = at - 1
    while back >= 0 and tokens[back].tag in "XBQ":
        back -= 1
    while back >= 0 and tokens[back].tag in "NAKDSEM":
        denied[back] = True
        back -= 1
