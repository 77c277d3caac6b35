"""Does an answer contradict or drop what the user asked for?"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from promptlift.language import (
    ENGLISH_FUNCTION_WORDS,
    FUNCTION_WORDS,
    UNSPACED,
    dominant_script,
    guess_language,
    word_set,
)
from promptlift.review.vocabulary import (
    COLORS,
    ENTITIES,
    FEMALE,
    IRREGULAR,
    MALE,
    NUMBERS,
    OPPOSITES,
    PAIRED,
    PERSON_HINTS,
    PERSONS,
    PLAIN_COLORS,
    SOFT,
    SYNONYMS,
    WORKING_HINTS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from promptlift.facts import Facts

__all__ = [
    "KEPT_SHARE",
    "AnswerWords",
    "Word",
    "camera_contradiction",
    "camera_moves",
    "denied_groups",
    "english_problem",
    "read",
    "stem",
    "unfaithful",
]

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*[a-z%]*|[^\W\d_]+(?:['’][^\W\d_]+)?|[.,;:!?]", re.IGNORECASE)
_NEGATORS = word_set("no not without never nor neither none cannot lacking nobody")
# After these, "of" or "from" denies what follows: "free of traffic", "an absence of wind".
_NEGATOR_NOUNS = word_set("free devoid empty absence lack clear bereft")
_ABSENT = word_set("absent missing nowhere gone")
_NOBODY = "nobody"
_SCOPE = 6  # words that one denial reaches over
_SCOPE_ENDS = word_set(". , ; : ! ? but while as with only")
_DETERMINERS = word_set("a an the this these his her its their two three four five one")
_VOWELS = frozenset("aeiouy")


@dataclass(frozen=True, slots=True)
class Word:
    """One word or mark of a text.

    Attributes:
        text: Lower-case, as written.
        stem: What it is compared by.
        negated: Whether the text denies it.
        is_content: Whether it carries meaning of its own: no grammar, no mark.
        number: The whole number that it stands for; None for another word.
        colors: The families of color that it names; empty for another word.
    """

    text: str
    stem: str
    negated: bool
    is_content: bool
    number: int | None
    colors: frozenset[str]


@lru_cache(maxsize=8192)  # answers are made of the same few thousand words
def _as_word(text: str, negated: bool) -> Word:
    root = stem(text)
    return Word(
        text,
        root,
        negated,
        is_content=text[0].isalnum() and text not in ENGLISH_FUNCTION_WORDS,
        number=_as_number(text, root),
        colors=COLORS.get(text) or COLORS.get(root) or frozenset(),
    )


def _as_number(text: str, root: str) -> int | None:
    if text.isdecimal():
        return int(text) if len(text) < 7 else None
    return NUMBERS.get(text, NUMBERS.get(root))


def read(text: str) -> list[Word]:
    """Split a text into words and marks and see which of them it denies."""
    tokens = [token.lower().replace("’", "'") for token in _TOKEN.findall(text)]
    return list(map(_as_word, tokens, _negated(tokens)))


def _negated(tokens: list[str]) -> list[bool]:
    denied = [False] * len(tokens)
    left = 0
    for at, token in enumerate(tokens):
        if _denies(tokens, at):
            left = _SCOPE
            denied[at] = token == _NOBODY
        elif token in _SCOPE_ENDS or _starts_afresh(tokens, at):
            left = 0
        elif left:
            denied[at] = True
            left -= 1
        if token in _ABSENT:
            denied[max(0, at - 4) : at] = [True] * min(4, at)
    return denied


def _denies(tokens: list[str], at: int) -> bool:
    token = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    if token in _NEGATORS:
        # "not only a dog", "no longer", "no fewer than" deny nothing that is in the picture.
        return following not in ("only", "just", "longer", "fewer", "less", "far", "long")
    if token.endswith("n't"):
        return True
    return token in ("of", "from") and at > 0 and tokens[at - 1] in _NEGATOR_NOUNS


def _starts_afresh(tokens: list[str], at: int) -> bool:
    return tokens[at] == "and" and at + 1 < len(tokens) and tokens[at + 1] in _DETERMINERS


def denied_groups(words: list[Word]) -> list[list[Word]]:
    """List what a text denies outright: "no people or red cars" gives people, and red cars."""
    groups: list[list[Word]] = []
    texts = [word.text for word in words]
    for at in range(len(words)):
        if _denies(texts, at):
            groups += _denied_after(words, texts, at)
    return groups


def _denied_after(words: list[Word], texts: list[str], at: int) -> list[list[Word]]:
    groups: list[list[Word]] = [[words[at]] if texts[at] == _NOBODY else []]
    for next_at in range(at + 1, min(len(words), at + 1 + 2 * _SCOPE)):
        word = words[next_at]
        if word.is_content and not _denies(texts, next_at):
            groups[-1].append(word)
        elif word.text in ("or", "nor", "and") and not _starts_afresh(texts, next_at):
            groups.append([])
        elif groups[-1] or not word.text.isalpha():
            break
    return [group for group in groups if group]


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Cut a lower-case English word to what its forms and both spellings have in common.

    A light stemmer: plurals, -ing, -ed, -ly, -ic, British -ise and -our. It need not give words,
    only the same result for forms of the same word.
    """
    word = word.removesuffix("'s").removesuffix("'")
    word = IRREGULAR.get(word, word)
    word = _singular(word)
    word = IRREGULAR.get(word, word)
    for suffix in ("ing", "ed"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) > 2 and _VOWELS & set(rest):
            word = _single_end(rest)
            break
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    if word.endswith("ise") and len(word) > 5:
        word = word[:-3] + "ize"
    if word.endswith("ic") and len(word) > 5:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if word.endswith("s") and len(word) > 3 and word[-2] not in "sui":
        return word[:-1]
    return word


def _single_end(word: str) -> str:
    doubled = len(word) > 2 and word[-1] == word[-2]
    if doubled and (word[-1] not in "aeiouylsz" or (word[-1] == "l" and len(word) > 5)):
        return word[:-1]
    return word


_GROUPS: dict[str, set[int]] = {}
for _number, _group in enumerate(SYNONYMS):
    for _word in _group:
        _GROUPS.setdefault(stem(_word), set()).add(_number)

_SHORTEST_PREFIX = 4
_LONGEST_ENDING = 5
_LONGEST_WORD = 40  # longer runs of letters are no words


class AnswerWords:
    """What a text affirms, ready to be asked for words."""

    def __init__(self, words: list[Word]) -> None:
        affirmed = [word for word in words if not word.negated]
        self.stems = {word.stem for word in affirmed}
        self.texts = {word.text for word in affirmed}
        self._sorted = sorted(self.stems)
        self._groups = {number for stem in self.stems for number in _GROUPS.get(stem, ())}
        self._joined = " ".join(word.text for word in affirmed)

    def has(self, wanted: str) -> bool:
        """Whether the text affirms a word: itself, a form, a compound with it, or a synonym."""
        root = stem(wanted)
        if len(root) > _LONGEST_WORD:
            return root in self.stems
        return (
            root in self.stems
            or not self._groups.isdisjoint(_GROUPS.get(root, ()))
            or self._has_relative(root)
            or (len(wanted) > _SHORTEST_PREFIX and wanted in self._joined)
            or self._has_parts(wanted)
        )

    def _has_relative(self, root: str) -> bool:
        """Find "dancer" for "dance", and "driv(e)" for "driver"."""
        if len(root) < _SHORTEST_PREFIX:
            return False
        at = bisect_left(self._sorted, root)
        if at < len(self._sorted):
            next_stem = self._sorted[at]
            if next_stem.startswith(root) and len(next_stem) <= len(root) + _LONGEST_ENDING:
                return True
        shortest = max(_SHORTEST_PREFIX, len(root) - 3)
        return any(root[:length] in self.stems for length in range(shortest, len(root)))

    def _has_parts(self, wanted: str) -> bool:
        """Find "table top" for "tabletop"."""
        return len(wanted) > 6 and any(
            wanted[:at] in self.texts and wanted[at:] in self.texts
            for at in range(3, len(wanted) - 2)
        )


# The share of the user's content words that an answer must keep; colors, numbers and talk of the
# video do not count. In the tests' corpus good answers keep half and more, answers about another
# scene a third at most. Free paraphrases come lower than one would think, and what matters most
# (subjects, numbers, colors, denials) is held to exactly by the other checks.
KEPT_SHARE = 0.3
_MOST_WORDS = 400
_UNITS = word_set(
    "k fps p mm cm km m px s sec second seconds minute minutes hour hours percent am pm x degrees"
)
# These are denied of one thing and said of another ("the camera does not move").
_VAGUE = word_set("move moving motion movement stop stopping change changing shake shaking camera")


def _stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(stem(word) for word in words)


_PERSONS, _HINTS, _SOFT = _stems(PERSONS), _stems(PERSON_HINTS), _stems(SOFT)
_FEMALE, _MALE, _WORKING = _stems(FEMALE), _stems(MALE), _stems(WORKING_HINTS)
_FAMILIES = tuple((_stems(said), _stems(taken)) for said, taken in ENTITIES)
_OPPOSITES = tuple((_stems(one), _stems(other)) for one, other in OPPOSITES)


def english_problem(text: str, short_prompt: str) -> str:
    """Say what of an English short prompt is missing from or contradicted by an English answer."""
    asked, answer = read(short_prompt), read(text)
    index, bound = AnswerWords(answer), _Bound(answer)
    return (
        _revived(asked, answer)
        or _lost_subject(asked, index)
        or _wrong_number(asked, answer, bound)
        or _wrong_color(asked, bound)
        or _reversed(asked, index)
        or _too_few(asked, index)
    )


def _revived(asked: list[Word], answer: list[Word]) -> str:
    """Find what the user denied and the answer affirms."""
    groups = [[word for word in group if not _is_soft(word)] for group in denied_groups(asked)]
    if not any(groups):
        return ""
    affirmed = {word.stem for word in answer if not word.negated}
    nearby = _neighbors(answer)
    for group in filter(None, groups[:_MOST_WORDS]):
        head = group[0]
        if head.text in _VAGUE:
            continue
        family = _family(head.stem)
        rest = {word.stem for word in group[1:]}
        found = next((stem for stem in sorted(affirmed & family) if rest <= nearby[stem]), None)
        found = found or next(iter(sorted(affirmed & family)), None) if len(family) > 1 else found
        if found:
            return f"the user denied {head.text!r}, the answer has {found!r}"
    return ""


def _family(root: str) -> frozenset[str]:
    """All that a denied word rules out: "no people" rules out a pedestrian."""
    if root == "person":
        return _PERSONS
    if root == "nobody":
        return _PERSONS
    for said, _ in _FAMILIES:
        if root in said:
            return said
    return frozenset({root})


def _neighbors(words: list[Word]) -> defaultdict[str, set[str]]:
    near: defaultdict[str, set[str]] = defaultdict(set)
    for at, word in enumerate(words):
        if not word.negated:
            near[word.stem].update(other.stem for other in words[max(0, at - 3) : at + 4])
    return near


def _lost_subject(asked: list[Word], index: AnswerWords) -> str:
    for at, word in enumerate(asked[: 4 * _MOST_WORDS]):
        if word.negated or _is_modifier(asked, at) or _has(index, word, needed=False):
            continue
        return f"{word.text!r} is missing"
    return _wrong_sex(asked, index)


def _is_modifier(words: list[Word], at: int) -> bool:
    """Whether a word only colors its neighbor: a "drone" shot, a robot "surgeon"."""
    after = words[at + 1] if at + 1 < len(words) else None
    before = words[at - 1].stem if at else ""
    return (after is not None and _is_soft(after)) or before == "robot"


def _has(index: AnswerWords, word: Word, *, needed: bool) -> bool:
    """Whether an answer has a word or what may stand for it; `needed` for words that have none."""
    if index.has(word.text):
        return True
    wanted = _stand_ins(word.stem)
    return not wanted.isdisjoint(index.stems) if wanted else not needed


def _stand_ins(root: str) -> frozenset[str]:
    """What may stand for a subject in an answer; empty for a word that is none."""
    if root in _FEMALE:
        return (_PERSONS | _HINTS) - _MALE
    if root in _MALE:
        return (_PERSONS | _HINTS) - _FEMALE
    if root in _PERSONS:
        return _PERSONS | _HINTS | _WORKING
    accepted = [taken for said, taken in _FAMILIES if root in said]
    return frozenset().union(*accepted)


def _wrong_sex(asked: list[Word], index: AnswerWords) -> str:
    stems = {word.stem for word in asked if not word.negated}
    for own, other in ((_FEMALE, _MALE), (_MALE, _FEMALE)):
        if stems & own and not stems & other and index.stems & other and not index.stems & own:
            return f"{min(stems & own)!r} became {min(index.stems & other)!r}"
    return ""


class _Bound:
    """Which numbers and colors an answer gives to which nouns."""

    def __init__(self, words: list[Word]) -> None:
        self.numbers: defaultdict[str, set[int]] = defaultdict(set)
        self.colors: defaultdict[str, set[str]] = defaultdict(set)
        self.all_numbers = {number for word in words if (number := word.number) is not None}
        self.all_colors = {color for word in words if not word.negated for color in word.colors}
        for at, word in enumerate(words):
            if word.negated:
                continue
            number = word.number
            if number is not None:
                for noun in _nouns_after(words, at):
                    self.numbers[noun].add(number)
            if word.colors:
                self._bind_color(words, at)

    def _bind_color(self, words: list[Word], at: int) -> None:
        nouns = _nouns_after(words, at)
        # "a car painted red": a color before no noun belongs to what it follows.
        for noun in nouns or [word.stem for word in words[max(0, at - 5) : at]]:
            self.colors[noun] |= words[at].colors


def _nouns_after(words: list[Word], at: int) -> list[str]:
    """List the stems that a number or color at a place may belong to: up to 3 words on."""
    nouns: list[str] = []
    for word in words[at + 1 : at + 5]:
        if word.text in ("and", "of", "the") or word.number is not None or word.colors:
            continue
        if not word.is_content:
            break
        nouns.append(word.stem)
    return nouns[:3]


def _wrong_number(asked: list[Word], answer: list[Word], bound: _Bound) -> str:
    for at, word in enumerate(asked[: 4 * _MOST_WORDS]):
        number = word.number
        following = asked[at + 1].text if at + 1 < len(asked) else ""
        if number is None or word.negated or following in _UNITS or following == "of":
            continue
        for noun in _nouns_after(asked, at):
            given = bound.numbers.get(noun, set())
            if given and number not in given and not (given == {1} and _is_paired(answer)):
                return f"{word.text!r} became {min(given)} ({noun})"
        if number > 1 and number not in bound.all_numbers and not _adds_up(number, answer):
            return f"the number {word.text!r} is missing"
    return ""


def _adds_up(number: int, answer: list[Word]) -> bool:
    return number == 2 and _is_paired(answer)


def _is_paired(answer: list[Word]) -> bool:
    """Whether the answer counts to two without a number: "a man and a woman", "each other"."""
    texts = [word.text for word in answer]
    return not PAIRED.isdisjoint(texts) or any(
        first == "and" and second in ("a", "an", "one") for first, second in pairwise(texts)
    )


def _wrong_color(asked: list[Word], bound: _Bound) -> str:
    for at, word in enumerate(asked[: 4 * _MOST_WORDS]):
        if word.text not in PLAIN_COLORS or word.negated:
            continue
        if word.colors.isdisjoint(bound.all_colors):
            return f"the color {word.text!r} is missing"
        for noun in _nouns_after(asked, at) or _noun_before(asked, at):
            given = bound.colors.get(noun, set())
            if given and word.colors.isdisjoint(given):
                return f"{word.text!r} became {min(given)!r} ({noun})"
    return ""


def _noun_before(words: list[Word], at: int) -> list[str]:
    """Find "car" for the color of "the car is red"."""
    before = [word.stem for word in words[max(0, at - 3) : at] if word.is_content]
    return before[-1:]


def _reversed(asked: list[Word], index: AnswerWords) -> str:
    said = {word.stem: word.text for word in asked if not word.negated}
    for pair in _OPPOSITES:
        for own, opposite in (pair, pair[::-1]):
            meant, instead = own & said.keys(), opposite & index.stems
            if not meant or not instead or opposite & said.keys():
                continue
            if own.isdisjoint(index.stems) and not any(index.has(said[word]) for word in meant):
                return f"{said[min(meant)]!r} became {min(instead)!r}"
    return ""


def _too_few(asked: list[Word], index: AnswerWords) -> str:
    wanted = {word.stem: word for word in asked if _must_be_kept(word)}
    words = list(wanted.values())[:_MOST_WORDS]
    lost = [word.text for word in words if not _has(index, word, needed=True)]
    if len(words) - len(lost) < KEPT_SHARE * len(words):
        missing = ", ".join(lost[:6])
        return f"{len(lost)} of the user's {len(words)} content words are missing: {missing}"
    return ""


def _must_be_kept(word: Word) -> bool:
    return (
        word.is_content
        and not word.negated
        and word.text[0].isalpha()
        and len(word.text) > 1
        and word.number is None
        and word.text not in PLAIN_COLORS
        and not _is_soft(word)
    )


def _is_soft(word: Word) -> bool:
    return word.text in SOFT or word.stem in _SOFT


_CAMERA = r"\b(?:camera|shot|lens|viewpoint|perspective|framing|drone shot)\b"
_STATIC = re.compile(
    rf"{_CAMERA}[^.;,]{{0,40}}?\b(?:static|stationary|still|fixed|locked|motionless|unmoving)\b"
    rf"|\b(?:static|stationary|fixed|locked[- ]off|motionless|unmoving)\b[^.;,]{{0,20}}?{_CAMERA}"
    r"|\bcamera (?:does not|doesn['’]t|never) (?:move|pan|tilt|shift)",
    re.IGNORECASE,
)
_MOVING = (
    r"(?:mov|slid|track|drift|glid|sweep|travel|shift|turn|rotat|swing|swivel|truck|follow|pan)"
    r"(?:e?s|ing|ped|ned|ed|e)?"
)
_SIDEWAYS = re.compile(
    rf"\bpan(?:s|ning|ned)?\b(?P<pan>[^.;]{{0,40}}?)\b(?P<side>left|right)"
    rf"|\bcamera\s+(?:\w+ly\s+|gently\s+)?{_MOVING}\b(?P<move>[^.;]{{0,40}}?)\b(?P<to>left|right)",
    re.IGNORECASE,
)
_FROM = re.compile(r"\bfrom (?:the )?\Z", re.IGNORECASE)
_OTHERS = {
    "tilt up": r"\btilt(?:s|ing|ed)?\b[^.;]{0,20}?\bup"
    r"|\bcamera (?:slowly )?(?:rises|ascends|cranes up)",
    "tilt down": r"\btilt(?:s|ing|ed)?\b[^.;]{0,20}?\bdown"
    r"|\bcamera (?:slowly )?(?:descends|lowers)",
    "forward": r"\bzoom(?:s|ing|ed)?\b[^.;]{0,15}?\bin\b|\bpush(?:es|ing)? in\b"
    r"|\bdoll(?:y|ies|ying) (?:in|forward)\b|\bcamera\b[^.;]{0,30}?\b(?:forward|closer)\b",
    "backward": r"\bzoom(?:s|ing|ed)?\b[^.;]{0,15}?\bout\b|\bpull(?:s|ing)? (?:back|out|away)\b"
    r"|\bdoll(?:y|ies|ying) (?:out|back)"
    r"|\bcamera\b[^.;]{0,30}?\b(?:backwards?|retreats|recedes)\b",
    "move": rf"\bcamera\s+(?:\w+ly\s+|then\s+|also\s+)?{_MOVING}\b"
    r"|\bpan(?:s|ning) (?:across|over)",
}
_OTHER_MOVES = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _OTHERS.items()}
_NEGATED = re.compile(r"\b(?:no|not|never|without)\b|n['’]t\b", re.IGNORECASE)
_OPPOSITE = {
    "pan left": "pan right",
    "pan right": "pan left",
    "tilt up": "tilt down",
    "tilt down": "tilt up",
    "forward": "backward",
    "backward": "forward",
}


def camera_moves(text: str) -> frozenset[str]:
    """Name what a text says of the camera.

    Returns:
        Moves as in `promptlift.facts.Camera`, and ``move`` for one without a direction.
    """
    moves = {"static"} if _STATIC.search(text) else set[str]()
    for found in _SIDEWAYS.finditer(text):
        if not _denied(text, found):
            moves |= {"move", f"pan {_side(found)}"}
    for name, pattern in _OTHER_MOVES.items():
        if any(not _denied(text, found) for found in pattern.finditer(text)):
            moves |= {"move", name}
    return frozenset(moves)


def _side(found: re.Match[str]) -> str:
    between, side = found["pan"] or found["move"] or "", (found["side"] or found["to"]).lower()
    if _FROM.search(between):
        return "right" if side == "left" else "left"
    return side


def _denied(text: str, found: re.Match[str]) -> bool:
    return bool(_NEGATED.search(text[max(0, found.start() - 24) : found.end()]))


def camera_contradiction(said: AbstractSet[str], known: Iterable[str]) -> str:
    """Say whether what was said of the camera goes against what is known of it.

    Args:
        said: As `camera_moves` returns it; a text that says both passes.
        known: The moves that the user asked for or that were measured.
    """
    moves = set(known) - {"shake"}
    if moves == {"static"} and "move" in said and "static" not in said:
        return "says that the camera moves; it is static"
    moving = moves - {"static"}
    if moving and said == {"static"}:
        return f"says that the camera is static; it moves ({', '.join(sorted(moving))})"
    for move in sorted(moving):
        opposite = _OPPOSITE.get(move)
        if opposite in said and move not in said:
            return f"says {opposite!r} of the camera; it is {move!r}"
    return ""


_WORD = re.compile(r"[^\W\d_]+")
_NUMERAL = re.compile(r"(?<![\w.,])\d{1,6}(?![\w.,]*\d)(?![a-z%])", re.IGNORECASE)
# A share of the words (or pairs of characters) that an answer in the same language must keep.
_KEPT_WORDS = 0.4
_KEPT_PAIRS = 0.2
_KEPT_CHARACTERS = 0.5
# Characters that carry grammar in Chinese and Japanese.
_PARTICLES = re.compile(
    "[的了着在把将和与及是有一个位只条张从到给被向对为而且并也都就不没のをにはがでともへやかられるいてしたます]"
)
_MOST_SPELLED = 20  # smaller numbers may be written as words


def unfaithful(text: str, short_prompt: str, facts: Facts | None = None) -> tuple[str, str]:
    """Compare an answer with the user's words and the facts.

    Returns:
        What is missing or contradicted (empty for nothing), and what could not be checked.
    """
    problem, note = _against_words(text, short_prompt) if short_prompt else ("", "")
    return problem or _against_camera(text, short_prompt, facts), note


def _against_camera(text: str, short_prompt: str, facts: Facts | None) -> str:
    # The user's word goes over the measurement: a generator can move the camera.
    known = camera_moves(short_prompt)
    if not known and facts and facts.camera:
        known = frozenset(facts.camera.value.moves)
    return camera_contradiction(camera_moves(text), known)


def _against_words(text: str, short_prompt: str) -> tuple[str, str]:
    asked, answered = _language(short_prompt), _language(text)
    if asked == answered == "English":
        return english_problem(text, short_prompt), ""
    problem = _lost_numerals(text, short_prompt)
    if asked != answered:
        return (
            problem,
            f"from {asked} to {answered}: only numerals above {_MOST_SPELLED} were compared",
        )
    if asked in UNSPACED:
        note = "compared by pairs of characters"
        return problem or _lost_pairs(text, short_prompt), note
    return problem or _lost_words(text, short_prompt, asked), "compared by the starts of words"


def _language(text: str) -> str:
    """Name the language of text in Latin letters (English where in doubt), else the script."""
    script = dominant_script(text) or "latin"
    if script != "latin":
        return script
    return guess_language(word.lower() for word in _WORD.findall(text)) or "English"


def _lost_numerals(text: str, short_prompt: str) -> str:
    wanted = dict.fromkeys(_NUMERAL.findall(short_prompt))
    kept = set(_NUMERAL.findall(text))
    lost = [number for number in wanted if number not in kept and int(number) > _MOST_SPELLED]
    return f"the number {lost[0]} is missing" if lost else ""


def _lost_words(text: str, short_prompt: str, language: str) -> str:
    small = FUNCTION_WORDS.get(language, frozenset())
    asked = dict.fromkeys(word for word in _WORD.findall(short_prompt.lower()) if len(word) > 3)
    wanted = [word for word in asked if word not in small][:_MOST_WORDS]
    lower = text.lower()
    lost = [word for word in wanted if word[: max(4, len(word) * 3 // 5)] not in lower]
    return _too_few_faithful(lost, len(wanted), _KEPT_WORDS)


def _lost_pairs(text: str, short_prompt: str) -> str:
    stretches = _PARTICLES.sub(" ", " ".join(_WORD.findall(short_prompt))).split()
    pairs = dict.fromkeys(
        stretch[at : at + 2] for stretch in stretches for at in range(len(stretch) - 1)
    )
    # A short prompt has few pairs, and "red car" may be put in other words of the same characters.
    characters = dict.fromkeys("".join(stretches))
    if sum(char in text for char in characters) >= _KEPT_CHARACTERS * len(characters):
        return ""
    wanted = list(pairs)[:_MOST_WORDS]
    return _too_few_faithful(
        [pair for pair in wanted if pair not in text], len(wanted), _KEPT_PAIRS
    )


def _too_few_faithful(lost: list[str], wanted: int, share: float) -> str:
    if wanted and wanted - len(lost) < share * wanted:
        return f"{len(lost)} of the user's {wanted} words are missing: {', '.join(lost[:6])}"
    return ""
