"""What the user asks for: one reading of the short prompt for all who need it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from promptlift.language import (
    ENGLISH_FUNCTION_WORDS,
    UNSPACED,
    dominant_script,
    guess_language,
    word_set,
)
from promptlift.review.camera import camera_mentions
from promptlift.review.grammar import (
    EMPTY_WORDS,
    Phrase,
    Reading,
    Token,
    english_tables,
    english_words,
    read,
)
from promptlift.review.lexicon import is_person, is_thing, lemma, noun_kind, part_of_speech
from promptlift.review.result import TextSpan

__all__ = [
    "SOFT_NOUNS",
    "Action",
    "EditOrder",
    "Mention",
    "Negation",
    "Quote",
    "Relation",
    "Thing",
    "TimedLine",
    "UserRequest",
    "actions_in",
    "language_of",
    "owner_of",
    "quotes_in",
    "reads_as_english",
    "relations_in",
    "time_families",
    "understand",
    "without_quotes",
]


@dataclass(frozen=True, slots=True)
class Mention:
    """Words of the short prompt that ask for something: a name, a style, a time of day.

    Attributes:
        text: As typed.
        span: Where.
    """

    text: str
    span: TextSpan


@dataclass(frozen=True, slots=True)
class Quote:
    """Text that must appear letter by letter: on a sign, or spoken.

    Attributes:
        text: What stands between the marks.
        marks: The opening and the closing mark.
        span: Where, marks included.
    """

    text: str
    marks: tuple[str, str]
    span: TextSpan


@dataclass(frozen=True, slots=True)
class Thing:
    """A noun with what the user says of it.

    Attributes:
        noun: Its lemma: ``car`` for "cars".
        text: The noun as typed.
        span: Where the noun stands.
        number: How many; None where that is not said.
        colors: Names of colors, as typed and in lower case.
        plural: Whether the noun is a plural.
        owner: Lemma of who wears or has it, as in "a man in a red hat"; empty where not said.
        phrase: Where the noun stands with its number and its colors.
    """

    noun: str
    text: str
    span: TextSpan
    number: int | None = None
    colors: tuple[str, ...] = ()
    plural: bool = False
    owner: str = ""
    phrase: TextSpan = (0, 0)


@dataclass(frozen=True, slots=True)
class Relation:
    """Where one thing is, seen from another.

    Attributes:
        kind: ``left``, ``right``, ``above``, ``below``, ``on``, ``in``, ``outside``, ``behind``,
            ``front``, ``between`` or ``beside``.
        subject: The lemma of the thing that is placed.
        object: The lemma of the thing that it is placed by; empty for the picture itself.
        span: Where the relation stands.
        denied: Whether the text says that it is not so.
    """

    kind: str
    subject: str
    object: str
    span: TextSpan
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody or something does; actions stand in the order in which they happen."""

    verb: str
    text: str
    span: TextSpan


@dataclass(frozen=True, slots=True)
class Negation:
    """What must not be there.

    Attributes:
        words: Lemmas of the content words in its scope.
        text: Negator and scope as typed.
        span: Where.
        place: Where something must not be, as in "not on the wall"; None where a thing, an action
            or a quality is denied.
    """

    words: tuple[str, ...]
    text: str
    span: TextSpan
    place: Relation | None = None


@dataclass(frozen=True, slots=True)
class EditOrder:
    """An order to change what the video shows.

    Attributes:
        kind: Which sort of order.
        gone: Words of what must not be there any more, as typed; empty where nothing goes.
        there: Words of what must be there, as typed; empty where something only goes.
        span: Where.
    """

    kind: Literal["remove", "add", "replace", "change"]
    gone: str
    there: str
    span: TextSpan


@dataclass(frozen=True, slots=True)
class TimedLine:
    """What happens in one stretch of time: "0:00-0:02 a door opens".

    Attributes:
        start: Seconds from the start.
        end: Seconds from the start; None where only a start is given.
        text: What happens.
        span: Where, the time included.
    """

    start: float
    end: float | None
    text: str
    span: TextSpan


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A short prompt, read once.

    Attributes:
        text: As typed; all spans are places in it.
        language: English name of the language, such as ``English``; the name of the script, such
            as ``han``, where that is all that is known; None where not even that.
        word_count: Words, or letters where the script has no spaces.
        things: Nouns, with numbers and colors.
        relations: Where things are.
        actions: What is done, in order.
        negations: What must not be there.
        quotes: What must be kept letter by letter.
        names: Proper names.
        edits: Orders to change the video.
        camera: What the camera is to do: moves as in `promptlift.facts.Camera`, and ``move`` for
            one without a direction.
        times: Time of day, weather and season.
        styles: The look that is asked for: "watercolour", "35 mm film".
        timed_lines: What happens when.
    """

    text: str
    language: str | None = None
    word_count: int = 0
    things: tuple[Thing, ...] = ()
    relations: tuple[Relation, ...] = ()
    actions: tuple[Action, ...] = ()
    negations: tuple[Negation, ...] = ()
    quotes: tuple[Quote, ...] = ()
    names: tuple[Mention, ...] = ()
    edits: tuple[EditOrder, ...] = ()
    camera: frozenset[str] = frozenset()
    times: tuple[Mention, ...] = ()
    styles: tuple[Mention, ...] = ()
    timed_lines: tuple[TimedLine, ...] = ()


_QUOTES = re.compile(
    r"\"(?P<a>[^\"\n]{1,300})\"|“(?P<b>[^”\n]{1,300})”|„(?P<c>[^“”\n]{1,300})[“”]"
    r"|«\s?(?P<d>[^»\n]{1,300}?)\s?»|»(?P<e>[^«\n]{1,300})«|「(?P<f>[^」\n]{1,300})」"
    r"|『(?P<g>[^』\n]{1,300})』|‘(?P<h>[^‘’\n]{1,300}(?:’\w[^‘’\n]*)*)’(?!\w)"
    r"|(?<!\w)'(?P<i>[^'\s](?:[^'\n]|'(?=\w)){0,300}?)'(?!\w)"
)


def quotes_in(text: str) -> tuple[Quote, ...]:
    """Find text in quotation marks of any sort; apostrophes are none."""
    found = []
    for match in _QUOTES.finditer(text):
        inner = next(group for group in match.groups() if group is not None)
        if any(char.isalnum() for char in inner):
            whole = match[0]
            found.append(Quote(inner, (whole[0], whole[-1]), match.span()))
    return tuple(found)


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_MOST_READ = 6000  # characters that are read closely
_CAPITALIZED_NOUNS = word_set("German")
_KNOWN = 0.75


def language_of(text: str) -> str | None:
    """The language of a text, or the name of its script; None where neither is known."""
    return _language(text)[0]


def reads_as_english(text: str) -> bool:
    """Whether a text can be read by the rules of English."""
    return _language(text)[1]


@lru_cache(maxsize=1024)
def _language(text: str) -> tuple[str | None, bool]:
    """The language of a text, None where it is not known, and whether English rules may read it."""
    words = [word.lower() for word in _WORD.findall(text)]
    script = dominant_script(text)
    if script != "latin":
        return script, False
    guess = guess_language(words)
    if guess is not None:
        return guess, guess == "English"
    names = {word.lower() for word in _WORD.findall(text) if word[0].isupper()}
    unknown = {word for word in words if not _may_be_english(word)}
    from promptlift.review.languages import language_of_words

    foreign = language_of_words(unknown, text)
    if foreign is None and unknown <= names and set(words) - names:
        # All but names is English: "Machu Picchu, pan left".
        words = [word for word in words if word not in unknown]
        unknown = set()
    known = sum(word not in unknown for word in words)
    if len(words) > 1 and known >= _KNOWN * len(words):
        return "English", True
    return foreign, known > len(words) / 2


def _may_be_english(word: str) -> bool:
    return word.isascii() and bool(
        word in ENGLISH_FUNCTION_WORDS or part_of_speech(word) or part_of_speech(lemma(word))
    )


@lru_cache(maxsize=1024)
def understand(text: str) -> UserRequest:
    """Read a short prompt.

    Args:
        text: The user's words as typed, line breaks included.
    """
    language, english = _language(without_quotes(text))
    quotes = tuple(q for q in quotes_in(text) if q.span[1] - q.span[0] < len(text.strip()))
    letters = _WORD.findall(text)
    count = sum(map(len, letters)) if language in UNSPACED else len(letters)
    request = UserRequest(
        text=text,
        language=language,
        word_count=count,
        quotes=quotes,
        names=_names(text, quotes) if language not in _CAPITALIZED_NOUNS else (),
        timed_lines=_timed_lines(text),
    )
    if not english:
        from promptlift.review.languages import read_in_language

        return read_in_language(request, without_quotes(text)[:_MOST_READ])
    reading = read(without_quotes(text)[:_MOST_READ])
    edits, places = _edits(reading.text), relations_in(reading)
    gone = [_place(reading.text, edit.gone, edit.span) for edit in edits if edit.gone]
    styles = _mentions(_STYLE, reading.text)
    return replace(
        request,
        things=_things(reading, gone, [style.span for style in styles]),
        relations=tuple(
            found
            for found in places
            if not found.denied and not any(a <= found.span[0] < b for a, b in gone)
        ),
        actions=actions_in(reading),
        negations=_negations(reading, [found for found in places if found.denied]),
        edits=edits,
        camera=frozenset(move for _, move in camera_mentions(reading.text)),
        times=_mentions(_TIME_WORD, reading.text),
        styles=styles,
    )


def _mentions(pattern: re.Pattern[str], text: str) -> tuple[Mention, ...]:
    return tuple(Mention(match[0], match.span()) for match in pattern.finditer(text))


def without_quotes(text: str) -> str:
    """A text with blanks for the letters of what it quotes, so that places stay the same."""
    for quote in quotes_in(text):
        start, end = quote.span
        if end - start < len(text.strip()):
            text = text[:start] + re.sub(r"[^\W_]", "_", text[start:end]) + text[end:]
    return text


def _span(reading: Reading, first: int, last: int) -> TextSpan:
    return reading.tokens[first].start, reading.tokens[last].end


SOFT_NOUNS = english_words("nouns", "soft")


_NEAR = 6  # words from a noun to a color that is said of it in one breath


def owner_of(reading: Reading, phrase: Phrase) -> str:
    """Who wears or has a thing: ``man`` for the hat of "a man in a red hat"; empty for nobody."""
    at = phrase.first - 1
    if at < 1 or reading.tokens[at].text not in ("in", "with", "wearing", "wears"):
        return ""
    return next((owner.noun for owner in reading.phrases if owner.head == at - 1), "")


def _things(reading: Reading, gone: list[TextSpan], styles: list[TextSpan]) -> tuple[Thing, ...]:
    """List the things asked for; what edits take away, at the places `gone`, is none of them."""
    another = any(token.text in ("another", "other", "others") for token in reading.tokens)
    found = []
    for phrase in reading.phrases:
        token = reading.tokens[phrase.head]
        if phrase.denied or any(start <= token.start < end for start, end in gone):
            continue
        part = phrase.noun in SOFT_NOUNS and not (
            phrase.noun == "couple" and not reading.text[token.end :].startswith(" of")
        )
        if part or not token.text[0].isalpha():
            continue
        number = None if phrase.number == 1 and another else phrase.number
        colored = [
            at
            for at in phrase.colors
            if not reading.tokens[at].name
            and not any(start <= reading.tokens[at].start < end for start, end in styles)
        ]
        near = [at for at in colored if at < phrase.head + _NEAR]
        whole = [phrase.head, *near, *([phrase.counted] if number else [])]
        found.append(
            Thing(
                noun=phrase.noun,
                text=reading.text[token.start : token.end],
                span=(token.start, token.end),
                number=number,
                colors=tuple(reading.tokens[at].text for at in colored),
                plural=phrase.plural,
                owner=owner_of(reading, phrase),
                phrase=_span(reading, min(whole), max(whole)),
            )
        )
    return tuple(found)


def _place(text: str, part: str, span: TextSpan) -> TextSpan:
    start = text.find(part, *span)
    return (start, start + len(part)) if start >= 0 else (0, 0)


_SIDE = (
    r"(?:to|on|at|in|from|of|along|by)?\s*(?:the|its|his|her|their|your)?\s*"
    r"(?:far |very |immediate |lower |upper )?"
)
_END = r"(?:[- ]?hand)?(?:\s+(?:side|edge|corner|half|part|end))?(?P<of>\s+(?:of|from)\b)?"
_ALONE = r"(?=[,.;]|$| (?:in|on|at)\b)(?P<of>)?"
_TOP = r"on top of|(?:on|to|onto|at|along|across) the (?:very )?(?:top|above) of"
_BOTTOM = r"(?:on|to|at|near) the (?:very )?(?:bottom|base|foot|below) of"
_PLACES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"\b{pattern}", re.IGNORECASE))
    for kind, pattern in (
        ("left", rf"{_SIDE}left{_END}"),
        ("right", rf"{_SIDE}right{_END}"),
        ("on", r"all over(?P<of>\s+)"),
        ("above", rf"(?:above(?: of)?|atop|{_TOP}|over)(?P<of>\s+)"),
        ("below", rf"(?:below|beneath|underneath|under|{_BOTTOM})(?P<of>\s+)"),
        ("above", rf"above{_ALONE}"),
        ("below", rf"below{_ALONE}"),
        ("front", r"(?:in front of|(?:in|to|at) the front(?: of)?)(?P<of>\s+)"),
        ("behind", r"(?:behind|in back of|(?:to|at|in) the (?:back|behind|rear) of)(?P<of>\s+)"),
        ("between", r"between(?P<of>\s+)"),
        ("beside", r"(?:beside|next to|alongside|near|by)(?P<of>\s+)"),
        ("outside", r"outside(?: of)?(?P<of>\s+)"),
        ("in", r"(?:in|inside|within)(?P<of>\s+)"),
        ("on", r"(?:on|onto|upon)(?P<of>\s+)"),
    )
)
_OWNERS = word_set("its his her their")
_PRONOUNS = word_set("it he she they him them")
_PARTS = english_words("nouns", "parts")
# "Right beside", "left behind" and "is left" are no sides.
_NO_SIDE = re.compile(
    r"\b(?:right (?:beside|next|behind|in|on|above|under|below|away|now|there|here|angle|as|where|"
    r"outside|inside)\b"
    r"|left (?:behind|by|over|to (?!right)|in|on|open|alone|it|them|him|her|a |an |the (?!of))"
    r"|(?:just|is|are|was|were|has|have|had|been|all|what|be|being|who|which|that|he|she|it|they)"
    r"\s+left(?! of| side))",
    re.IGNORECASE,
)


def relations_in(reading: Reading) -> list[Relation]:
    """Find where things are: "a bed on the left of a television"."""
    text, found = reading.text, list[Relation]()
    starts = [token.start for token in reading.tokens]
    heads = [starts[phrase.head] for phrase in reading.phrases]
    no_sides = {at for match in _NO_SIDE.finditer(text) for at in range(*match.span())}
    taken: set[int] = set()
    for kind, match in ((kind, match) for kind, p in _PLACES for match in p.finditer(text)):
        start, end = match.span()
        side, words = kind in ("left", "right"), match[0].lower().split()
        if start in taken or end - 1 in (taken if not side or "the" in words else no_sides):
            continue
        at, behind = bisect_right(starts, start) - 1, bisect_left(starts, end)
        after = reading.phrases[bisect_left(heads, end) :][:6]
        object_ = _object(reading, after, behind) if match["of"] else None
        by_pronoun = bool(match["of"]) and text[end:].split(" ", 1)[0].strip(",.") in _PRONOUNS
        if not (side or by_pronoun or (object_ and is_thing(object_.noun)) or not match["of"]):
            continue
        before = reading.phrases[: bisect_left(heads, start)][-8:]
        subject = _placed(reading, before, at)
        lead = text[:start].rstrip()
        if by_pronoun:
            object_ = None
        if side and after and object_ is None and lead[-1:] in ("", *".,;:"):
            # "To its right, a chair": the chair is placed by what came before.
            object_ = None if _OWNERS.isdisjoint(words) else subject
            subject = after[0]
        elif (object_ or by_pronoun) and (lead[-1:] in ("", *".,;:") or lead.endswith(" and")):
            last = object_.head if object_ else behind
            subject = _fronted(reading, after, last, lead[-1:]) or subject
        if kind not in ("in", "on"):
            taken.update(range(start, end))
        nouns = [phrase.noun if phrase else "" for phrase in (subject, object_)]
        found.append(Relation(kind, nouns[0], nouns[1], (start, end), reading.denied[at]))
    return sorted(found, key=lambda relation: relation.span)


def _fronted(reading: Reading, after: list[Phrase], last: int, lead: str) -> Phrase | None:
    """What a place at the start of a clause places: "behind the house, in the snow, a dog sits".

    `last` is the token in which the place ends, `lead` the mark before the place. Behind a comma
    or an "and" the thing must follow at once: ", behind him a dog".
    """
    tokens = reading.tokens
    for phrase in after:
        if phrase.head <= last or reading.sentences[phrase.head] != reading.sentences[last]:
            continue
        before = tokens[phrase.first - 1 - (tokens[phrase.first - 1].tag in "EG")]
        if before.tag == "P" or before.text in ("and", "or"):
            continue
        barred = "RC" if lead in ("", *".;:") else "RC.PNGE"
        gap = tokens[last + 1 : phrase.first]
        return phrase if all(token.tag not in barred for token in gap) else None
    return None


def _object(reading: Reading, after: list[Phrase], at: int) -> Phrase | None:
    """What a preposition governs, past "a pair of"; `at` is the token after the preposition."""
    while len(after) > 1 and after[0].noun in _PARTS:
        if reading.tokens[after[0].head + 1].text != "of":
            break
        at, after = after[0].head + 2, after[1:]
    gap = reading.tokens[at : after[0].first] if after else []
    barred = any(token.tag in "VXCP" or token.text in ".;:!?" for token in gap)
    return after[0] if after and not barred else None


def _placed(reading: Reading, before: list[Phrase], at: int) -> Phrase | None:
    """The thing that stands somewhere: the nearest before, past "side", "top" and the like."""
    found, sentence = None, reading.sentences[at]
    for phrase in reversed(before):
        if any(token.text in _PRONOUNS for token in reading.tokens[phrase.head + 1 : at]):
            return None  # "it rests under a plate": what "it" is was said before
        if phrase.noun in SOFT_NOUNS or phrase.denied:
            continue
        found = found or phrase
        if reading.sentences[phrase.head] != sentence:
            return found if reading.sentences[found.head] == sentence else None
        # What hangs on a preposition is seldom what moves: "from under the table to the right".
        lead = reading.tokens[phrase.first - 1] if phrase.first else None
        if lead is None or lead.tag != "P" or lead.text in ("with", "as"):
            return phrase
    return found


def actions_in(reading: Reading) -> tuple[Action, ...]:
    """List what is done in the order in which it happens: "B after A" is A, then B."""
    tokens, places = reading.tokens, list[int]()
    for at, token in enumerate(tokens):
        if token.tag in "VGE" and token.lemma != "be" and not reading.denied[at]:
            places.append(at)
    when: dict[int, float] = {at: at for at in places}
    for at, token in enumerate(tokens):
        if token.text not in ("before", "after"):
            continue
        stops = (n for n in range(at, len(tokens)) if tokens[n].text in _CLAUSE_ENDS)
        stop, sentence = next(stops, len(tokens)), reading.sentences[at]
        inner = [n for n in places if at < n < stop]
        before = [n for n in places if n < at and reading.sentences[n] == sentence]
        behind = [n for n in places if n > stop and reading.sentences[n] == sentence]
        if token.text == "after" and before:
            when.update((n, before[-1] - 0.5) for n in inner)
        elif token.text == "before" and behind and not before:
            when.update((n, behind[-1] + 0.5) for n in inner)
    ordered = sorted(places, key=lambda at: when[at])
    spans = [(tokens[at].lemma, _span(reading, at, at)) for at in ordered]
    return tuple(Action(verb, reading.text[slice(*span)], span) for verb, span in spans)


_CLAUSE_ENDS = word_set(", . ; ! ?")
_SHOWING = word_set("show have include contain feature add depict use see put be display need want")


def _negations(reading: Reading, places: list[Relation]) -> tuple[Negation, ...]:
    found, tokens = list[Negation](), reading.tokens
    crowd = any(is_person(p.noun) or noun_kind(p.noun) == "group" for p in reading.phrases)
    for first, last in reading.denials:
        if tokens[first].text in ("instead", "than", "of") and "instead" in reading.text.lower():
            continue
        span = _span(reading, first, last)
        words = reading.text[slice(*span)]
        if tokens[first].text in ("nobody", "no-one") or tokens[last].text == "one":
            doing = [token.lemma for token in tokens[last + 1 : last + 3] if token.tag in "VG"]
            if doing and crowd:  # "nobody speaks", where there are people
                found.append(Negation((doing[0],), words, span))
                continue
        for place in places:
            if tokens[first].text == "not" and tokens[first + 1].start == place.span[0]:
                found.append(Negation((place.object,), words, span, place))
        found += [
            Negation(tuple(group), words, span)
            for group in _denied_words(tokens[first : last + 1])
            if group and "camera" not in group
        ]
    for phrase in reading.phrases:
        empty = next(
            (n for n in range(phrase.first, phrase.head) if tokens[n].text in EMPTY_WORDS), -1
        )
        if empty >= 0 and not phrase.denied:
            span = _span(reading, empty, phrase.head)
            found.append(Negation(("crowd",), reading.text[slice(*span)], span))
    return tuple(found)


def _denied_words(tokens: list[Token]) -> list[list[str]]:
    """The content words of a negator's scope; "no people or cars" gives two groups."""
    groups: list[list[str]] = [[]]
    for token in tokens:
        if token.text in ("nobody", "no-one", "one") and len(tokens) <= 2:
            groups[-1].append("person")
        elif token.text in ("or", "and", "nor"):
            groups.append([])
        elif token.tag == "P" and not groups[-1] and tokens[0].text == "not":
            break  # "not on the wall" is about the place
        elif token.tag in "NVGAKE" and token.text not in ENGLISH_FUNCTION_WORDS:
            if token.tag == "N":
                # "Do not show any people" denies the people.
                groups[-1] = [word for word in groups[-1] if word not in _SHOWING]
            groups[-1].append(token.lemma)
    return groups


_FAMILIES_OF_TIME = "|".join(
    rf"(?P<{family}>{words})" for family, words in english_tables()["times"].items()
)
_TIME_WORD = re.compile(rf"(?<![\w-])(?:{_FAMILIES_OF_TIME})(?![\w-])", re.IGNORECASE)


def time_families(text: str) -> dict[str, TextSpan]:
    """Times of day, weather and seasons that a text names, each with its first place."""
    found: dict[str, TextSpan] = {}
    for match in _TIME_WORD.finditer(text):
        found.setdefault(str(match.lastgroup), match.span())
    return found


_STYLE = re.compile(
    r"\bin the style of [^,.;\n]+|\b(?:in (?:an? |the )?)?(?:[\w'’-]+ ){1,2}style\b"
    r"|\b(?:water\s?colou?r|oil|acrylic|ink) paint(?:ing|ed)?\b|\bwater\s?colou?r\b|\bpixel art\b"
    r"|\bblack[ -]and[ -]white\b(?= *(?:$|[,.;]|film|photo|video|footage|movie))|\bfilm noir\b"
    r"|\b(?:anime|cartoon|claymation|cyberpunk|surrealis[mt]|impressionis[mt]|ukiyo[- ]?e?|"
    r"stop[- ]motion|line art|pencil (?:sketch|drawing)|charcoal drawing|low[- ]poly|"
    r"vaporwave|steampunk|comic book|monochrome|sepia|(?:8|16|35|70)\s?mm film|3d render)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?<![\w'’])[A-ZÀ-ÖØ-Þ][\w'’-]*(?:\s+(?:(?:of|the|de|la|von|van|del|di)\s+){0,2}"
    r"[A-ZÀ-ÖØ-Þ][\w'’-]*){0,6}"
)
_MOSTLY = 0.7


def _names(text: str, quotes: tuple[Quote, ...]) -> tuple[Mention, ...]:
    words = [word for word in _WORD.findall(text) if len(word) > 3]
    if sum(word[0].isupper() for word in words) > _MOSTLY * len(words) and len(words) > 2:
        return ()
    found = []
    for match in _NAME.finditer(text):
        start, end = match.span()
        if any(first <= start < last for first, last in [quote.span for quote in quotes]):
            continue
        parts = match[0].split()
        before = text[:start].rstrip()
        opens = not before or before[-1] in '.!?:;\n"“«(' or text[len(before) : start].count("\n")
        # A capital at the start of a sentence says nothing of its word.
        if opens and (len(parts) < 2 or parts[0].lower() in ENGLISH_FUNCTION_WORDS):
            start += len(parts[0])
            start += len(text[start:end]) - len(text[start:end].lstrip())
            parts = parts[1:]
        name = text[start:end].strip()
        if len(name) > 1 and parts and not all(part.isupper() and len(part) < 3 for part in parts):
            found.append(Mention(name, (start, start + len(name))))
    return tuple(found)


_CLOCK = (
    r"(?:(?P<{0}m>\d{{1,2}}):(?P<{0}s>\d{{2}}(?:\.\d+)?)"
    r"|(?P<{0}p>\d{{1,3}}(?:\.\d+)?)\s?s(?:ec(?:onds?)?)?)"
)
_TIMED = re.compile(
    rf"[\[(]?(?<![\d:]){_CLOCK.format('a')}(?:\s*(?:[-–—]|to)\s*{_CLOCK.format('b')})?[\])]?"
    r"\s*[:,–—-]?\s+(?P<text>[^\n;]+?)(?=\s*(?:[\n;]|[.,]?\s*[\[(]?\d{1,2}:\d{2}\s*[-–—\]:]|$))"
)


def _timed_lines(text: str) -> tuple[TimedLine, ...]:
    found = []
    for match in _TIMED.finditer(text):
        alone = match["bm"] is None and match["bp"] is None
        opens = (
            not text[: match.start()].strip() or text[: match.start()].rstrip(" ")[-1:] in "\n;.,"
        )
        if alone and not (opens and match["am"]):
            continue
        end = None if alone else _seconds(match, "b")
        found.append(TimedLine(_seconds(match, "a"), end, match["text"].strip(), match.span()))
    return tuple(found)


def _seconds(match: re.Match[str], which: str) -> float:
    if match[f"{which}p"]:
        return float(match[f"{which}p"])
    return 60 * int(match[f"{which}m"]) + float(match[f"{which}s"])


_POLITE = (
    r"(?:(?:please|kindly|now|then|and|also|just|(?:can|could|would|will) you|"
    r"i(?:['’]d| would) like (?:you )?to|i want (?:you )?to|i want|let['’]s|(?:we|you) should|"
    r"you need to|you must),?\s+)*"
)
_START = rf"(?:^|(?<=[.;!?\n,:])\s*|(?<=\band)\s+|(?<=\bthen)\s+){_POLITE}"
_STOP = (
    r"(?=\s*(?:[.;!?\n,]|$|\b(?:and|then)\s+(?:add|insert|put|place|replace|remove|delete|erase|"
    r"make|change|turn|swap|keep|leave|let|show|paint)\b))"
)
_SOME, _THE = r"[^.;!?\n,]+?", "(?:the|all|every|his|her|their|my|its)"
_GONE, _THERE = r"(?P<gone>[^.;!?\n]+?)", f"(?P<there>{_SOME})"
_WHERE = (
    r"(?: (?:from|in|on|at|off|out of|between|around|along|against|behind|near|to|into|onto|"
    rf"next to|beside|under|over) {_SOME})?"
)
_REPLACE = "(?:replace|trade|swap(?: out)?|exchange|switch|substitute)"
_TURN = "(?:change|turn|transform|convert|switch|morph)"
_REMOVE = (
    "(?:remove|delete|erase|eliminate|get rid of|take (?:away|out|off)|clear (?:away|out)|"
    "cut out|leave out|omit)"
)
_MAKE = "(?:make|paint|recolou?r|colou?r|dye|tint|turn|render|set|have|let|keep)"
_MADE = rf"(?P<there>(?:it|this|everything|him|them|(?:all )?{_THE} {_SOME}) {_SOME})"
_REPLACED = "(?:(?:should|must|to) be )?(?:replaced (?:by|with)|swapped for)"
_RATHER = "(?:instead of|rather than)"
_SHOULD = "(?:should|must|has to|have to) (?:be|become)"
_ONE = r"(?P<gone>(?:an? |the )?[\w-]+(?: [\w-]+)??)"
# Orders by kind; in a pattern a space stands for any white space.
_ORDERS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(_START + pattern.replace(" ", r"\s+") + _STOP, re.IGNORECASE))
    for kind, pattern in (
        ("replace", f"{_REPLACE} {_GONE} (?:with|by|for|to|into) {_THERE}"),
        ("change", f"{_TURN} {_GONE} (?:into|to) {_THERE}(?: (?:instead of|rather than) {_SOME})?"),
        ("remove", rf"(?:take|move) (?!away|out|off|an?\b){_GONE} (?:away|out(?: of {_SOME})?)\b"),
        ("remove", f"{_REMOVE} (?P<gone>{_SOME}){_WHERE}"),
        ("add", f"(?:add|insert|include|introduce|put|place) {_THERE}{_WHERE}"),
        ("change", f"{_MAKE} {_MADE}(?: (?:instead of|rather than|not) (?P<gone>{_SOME}))?"),
        ("replace", f"(?:i (?:want|need) )?(?P<gone>{_THE} {_SOME}) {_REPLACED} {_THERE}"),
        ("replace", f"no more (?P<gone>{_SOME}), {_THERE} instead(?: please)?"),
        ("change", f"(?:the )?same {_SOME},? but (?:as|in|with|at) {_THERE}"),
        (
            "change",
            rf"(?P<there>{_SOME} {_SHOULD} {_SOME})(?: {_RATHER} (?P<gone>{_SOME}))?",
        ),
        (
            "replace",
            rf"instead of {_ONE},? (?P<there>(?:the|an?|there|show|make|use|have)\b{_SOME})",
        ),
    )
)
_INSTEAD = re.compile(
    rf"(?P<there>{_SOME})\s+(?:instead of|rather than|in place of)\s+"
    r"(?P<gone>(?:an? |the )?(?:[\w-]+\s?){1,4}?)"
    r"(?=\s*(?:[.;!?\n,]|$|\b(?:in|on|at|is|are|hands?|with|and)\b))",
    re.IGNORECASE,
)
_MOST_ORDERED = 600  # characters of a clause; longer ones are no orders


def _edits(text: str) -> tuple[EditOrder, ...]:
    """Find orders to change the video: "replace the jar with a bottle"."""
    found: list[EditOrder] = []
    clauses = [m.span() for m in re.finditer(r"[^.;!?\n]+", text) if len(m[0]) < _MOST_ORDERED]
    orders = (
        (kind, match)
        for kind, pattern in _ORDERS
        for clause in clauses[:40]
        for match in pattern.finditer(text, *clause)
    )
    for kind, match in sorted(orders, key=lambda order: order[1].start()):
        lead = text[: match.start()].rstrip()
        if any(edit.span[0] < match.end() and match.start() < edit.span[1] for edit in found):
            continue
        if lead.endswith(("and", "then")) and not found:
            continue
        groups = match.groupdict()
        gone, there = groups.get("gone") or "", groups.get("there") or ""
        said = re.search(r"\b(?:be|become)\b|^same\b", match[0].strip()) is not None
        if kind == "change" and not (gone or said or _changes(there, match[0])):
            continue
        if match[0].lower().lstrip().startswith("substitute") and " for " in match[0]:
            gone, there = there, gone
        start = match.end() - len(match[0].lstrip())
        found.append(EditOrder(kind, gone.strip(), there.strip(), (start, match.end())))  # type: ignore[arg-type]
    if not found and len(text) < _MOST_ORDERED:
        found += [
            EditOrder("replace", match["gone"].strip(), match["there"].strip(), match.span())
            for match in _INSTEAD.finditer(text)
        ]
    return tuple(sorted(found, key=lambda edit: edit.span))


def _changes(there: str, order: str) -> bool:
    """Whether "make the car blue" changes a thing; "let the sun shine" does not."""
    verb = re.sub(_POLITE, "", order.lstrip(), flags=re.IGNORECASE).split()[0].lower()
    whole = there.lower().startswith(("it ", "this ", "everything "))
    if verb in ("have", "let", "keep", "set", "render") and not there.lower().startswith("it "):
        return False
    reading = read(there)
    if not reading.tokens:
        return False
    if whole and (verb == "make" or time_families(there) or _STYLE.search(there)):
        return True
    if reading.tokens[-1].tag in "KA":
        return True
    more = reading.tokens[-1].tag == "E" or len(reading.phrases) > 1
    return not whole and (more or bool(re.search(r"\blook\b|\b\w+er\b", there)))
