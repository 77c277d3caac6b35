"""An English answer beside an English request."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from promptlift.language import ENGLISH_FUNCTION_WORDS, UNSPACED, dominant_script, word_set
from promptlift.review.camera import camera_mentions
from promptlift.review.grammar import (
    BASIC_COLORS,
    Phrase,
    Reading,
    Token,
    color_families,
    english_tables,
    english_words,
    number_of,
    read,
)
from promptlift.review.lexicon import (
    ancestors,
    is_noun,
    is_person,
    is_thing,
    lemma,
    names_of,
    noun_kind,
    synonyms,
    visible_kind,
)
from promptlift.review.request import (
    SOFT_NOUNS,
    actions_in,
    owner_of,
    relations_in,
    time_families,
    without_quotes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptlift.review.request import Action, EditOrder, Negation, Relation, Thing, UserRequest
    from promptlift.review.result import ClaimStatus, TextSpan

__all__ = ["MOST_READ", "compare_english", "find_style"]

MOST_READ = 12_000  # characters of an answer that are read closely
_MOST_THINGS = 100  # what a longer text asks for is compared no further
_STORY = 60  # words; a longer request tells a story, which need not be told with every thing
_SCENE = 0.3  # the share of a request that another scene does not reach
_ROOMY = 65  # words of an answer; a shorter one has no room for all that was asked
_NOTHING = 0.15  # the same share in such an answer
_FEWEST_FOR_SCENE = 40  # words of an answer in which another scene is an error
_FEWEST_FOR_NOTHING = 12  # the same where more than one thing was asked for
_MORE_THAN_ONE = 1.2  # weight; one word may be told in quite other words: "a pizza"
_EARLY = 30  # words in which an answer has named its subject


def compare_english(request: UserRequest, text: str, add: Callable[..., None]) -> None:
    """Compare two English texts.

    Args:
        request: The short prompt.
        text: The answer, with blanks for what it quotes.
        add: Takes a claim: its kind, its status, the words of the request with their place, the
            place in the answer, a message and a severity.
    """
    comparison = _Comparison(request, text, add)
    for edit in request.edits:
        comparison.edit(edit)
    comparison.things()
    for negation in request.negations:
        comparison.negation(negation)
    comparison.relations()
    comparison.times()
    comparison.styles()
    comparison.actions()
    comparison.order()
    comparison.scene()
    comparison.persons()
    comparison.events()


def find_style(style: str, text: str) -> TextSpan | None:
    """Where a text has a word of a style, if it has half of them; of any script."""
    lower = text.casefold()
    unspaced = dominant_script(style) in UNSPACED
    words = re.findall(r"[^\W_]{1,2}" if unspaced else r"[^\W_]{2,}", style.casefold())
    words = [word for word in words if word not in {"style", *ENGLISH_FUNCTION_WORDS}]
    places = []
    for word in words:
        names = {word[: max(4, len(word) - 3)], *synonyms(lemma(word))}
        either = "|".join(map(re.escape, names))
        if found := re.search(either if unspaced else rf"\b(?:{either})", lower):
            places.append(found.span())
    return min(places) if places and len(places) * 2 >= len(words) else None


class _Answer(NamedTuple):
    """An answer, ready to be asked for words.

    Attributes:
        reading: The answer, read.
        phrases: Noun phrases that it does not deny.
        lemmas: Lemmas of its words that it does not deny, each with the first token's index.
        names: All names that its nouns stand for, each with the first phrase.
        words: Those words as they stand.
        places: Where things are.
    """

    reading: Reading
    phrases: list[Phrase]
    lemmas: dict[str, int]
    names: dict[str, Phrase]
    words: dict[str, int]
    places: list[Relation]


@lru_cache(maxsize=64)
def _answer(text: str) -> _Answer:
    reading = read(text)
    phrases = [phrase for phrase in reading.phrases if not phrase.denied]
    lemmas: dict[str, int] = {}
    words: dict[str, int] = {}
    for at, token in enumerate(reading.tokens):
        if token.tag != "." and not reading.denied[at]:
            lemmas.setdefault(token.lemma, at)
            words.setdefault(token.text, at)
    names: dict[str, Phrase] = {}
    for phrase in phrases:
        for name in names_of(phrase.noun):
            names.setdefault(name, phrase)
        head = reading.tokens[phrase.head].lemma
        names.setdefault(head, phrase)
    return _Answer(reading, phrases, lemmas, names, words, relations_in(reading))


_PERSON_HINTS = english_words("classes", "hints_of_people")
_FEMALE = word_set("woman girl lady female she her hers mother daughter sister queen bride")
_MALE = word_set("man boy gentleman male he him his father son brother king groom guy")
_GENERAL = 4  # steps up from a thing to a word that may still stand for it
_TOO_GENERAL = english_words("nouns", "general")


def _find(answer: _Answer, noun: str) -> Phrase | int | None:
    """Find a noun, a synonym, a kind of it, or what it is a kind of; a phrase or a token."""
    if noun in answer.names:
        return answer.names[noun]
    if noun in answer.lemmas:
        return answer.lemmas[noun]
    if is_person(noun) and (found := _person(answer, noun)) is not None:
        return found
    own = synonyms(noun) if not is_person(noun) else frozenset[str]()
    near = [name for name in ancestors(noun)[: 2 * _GENERAL] if name not in _TOO_GENERAL]
    for name in (*own, *near[:_GENERAL]):
        for part in (name, name.rsplit(" ", 1)[-1]) if name in own else (name,):
            if part in answer.lemmas and part not in _TOO_GENERAL:
                return answer.lemmas[part]
    return _relative(answer, noun)


def _person(answer: _Answer, noun: str) -> int | Phrase | None:
    male, female = noun in _MALE, noun in _FEMALE
    barred = _FEMALE if male else _MALE if female else frozenset[str]()
    for phrase in answer.phrases:
        if is_person(phrase.noun) and phrase.noun not in barred:
            return phrase
    hints = (word for word in _PERSON_HINTS if word in answer.words and word not in barred)
    found = [answer.words[word] for word in hints]
    return min(found) if found else None


def _relative(answer: _Answer, noun: str) -> int | None:
    """Find a word of the same root ("dancer" for "dance") or the same word written apart."""
    joined = noun.replace(" ", "").replace("-", "")
    parts = re.split("[ -]", noun)
    if len(parts) > 1:
        last = answer.lemmas.get(parts[-1])
        if last is not None and not (is_noun(noun) and noun_kind(noun) != noun_kind(parts[-1])):
            return last
        if all(part in answer.lemmas for part in parts):
            return answer.lemmas[parts[0]]
    return next((at for word, at in answer.words.items() if _same_root(joined, word)), None)


@lru_cache(maxsize=32768)
def _same_root(joined: str, word: str) -> bool:
    """Whether one word is the other with an ending or two: "dance" and "dancer"."""
    if len(joined) == 3:
        return word in (f"{joined}er", f"{joined}ing", f"{joined}ers")
    plain = word.replace("-", "")
    short, long = sorted((len(plain), len(joined)))
    same = max(4, short - 2)
    alike = plain[:same] == joined[:same] and (same > 4 or plain.startswith(joined))
    return joined in word.split("-") or (alike and 4 <= short >= long - 4)


@lru_cache(maxsize=32768)
def _same(asked: str, found: str) -> bool:
    """Whether a noun of the answer surely means the thing that was asked for."""
    return asked == found or asked in ancestors(found) or asked in synonyms(found)


def _kin(asked: str, found: str) -> bool:
    return _same(asked, found) or (found in ancestors(asked) and found not in _TOO_GENERAL)


class _Comparison:
    """One answer beside one request."""

    def __init__(self, request: UserRequest, text: str, add: Callable[..., None]) -> None:
        self.request, self.text, self.add = request, text, add
        self.answer = _answer(text)
        self.tokens = self.answer.reading.tokens
        denied = {
            t.start for t, no in zip(self.tokens, self.answer.reading.denied, strict=True) if no
        }
        self.light = {
            family: span for family, span in time_families(text).items() if span[0] not in denied
        }
        self.places = [place for place in self.answer.places if not place.denied]

    def where(self, at: int | Phrase | None) -> TextSpan | None:
        """The place of a token, or of a phrase's head."""
        if at is None:
            return None
        token = self.tokens[at.head if isinstance(at, Phrase) else at]
        return token.start, token.end

    def span_of(self, phrase: Phrase) -> TextSpan:
        """The place of a whole phrase."""
        return self.tokens[phrase.first].start, self.tokens[phrase.head].end

    def words_of(self, place: TextSpan | None) -> str:
        """The words at a place."""
        return repr(self.text[slice(*place)].strip()) if place else "it"

    def same_things(self, noun: str) -> list[Phrase]:
        """Phrases of the answer that may mean a thing of the request; any person for a person."""
        person = is_person(noun)
        return [
            p for p in self.answer.phrases if _kin(noun, p.noun) or (person and is_person(p.noun))
        ]

    def things(self) -> None:
        """Whether each thing is there, with its number and its colors."""
        edited = " ".join(edit.there.lower() for edit in self.request.edits)
        nouns = dict.fromkeys(thing.noun for thing in self.request.things)
        for noun in list(nouns)[:_MOST_THINGS]:
            things = [thing for thing in self.request.things if thing.noun == noun]
            place, first = _find(self.answer, noun), things[0]
            said = first.text, first.span
            denied = [p for p in self.answer.reading.phrases if p.denied and p.noun == noun]
            if place is not None and not (denied and isinstance(place, int)):
                self.add("object", "kept", said, self.where(place))
            elif denied:
                message = f"The request asks for {first.text!r}; the text says that there is none."
                self.add("object", "changed", said, self.span_of(denied[0]), message, "error")
            elif is_thing(noun) and first.text.lower() not in edited:
                self._lost_thing(first)
            counted = {thing.number: thing for thing in reversed(things)}
            for number, thing in counted.items():
                if number is not None:
                    self._number(thing, number, place)
            colored = {color: owner for owner in reversed(things) for color in owner.colors}
            for color, owner in colored.items():
                if color_families(color):
                    self._color(owner, color, place)

    def _lost_thing(self, thing: Thing) -> None:
        said = thing.text, thing.span
        people = [p for p in self.answer.phrases if is_person(p.noun)]
        if thing.noun in _MALE | _FEMALE and people:
            message = f"The request speaks of a {thing.noun}; the text of a {people[0].noun}."
            self.add("object", "changed", said, self.where(people[0]), message)
            return
        # A noun that mostly means what cannot be pictured, as "reflection", may be told by a verb.
        sure = self.request.word_count <= _STORY and _is_concrete(thing.noun)
        severity = "warning" if sure else "info"
        message = f"The request asks for {thing.text!r}; the text has none."
        self.add("object", "missing", said, None, message, severity)

    def _number(self, thing: Thing, wanted: int, place: Phrase | int | None) -> None:
        said = self.request.text[slice(*thing.phrase)], thing.phrase
        same = self.same_things(thing.noun)
        given = [p for p in same if p.number is not None]
        exact = [p for p in given if p.noun in synonyms(thing.noun) | {thing.noun}]
        numerals = (at for at, token in enumerate(self.tokens) if token.tag == "M")
        alone = [at for at in numerals if number_of([self.tokens[at]]) == wanted]
        right = next((p for p in given if p.number == wanted), None)
        wrong = exact or ([] if alone else given)
        if all(p.number == 1 for p in given):
            wrong = []
        if right is not None:
            self.add("number", "kept", said, self.span_of(right))
        elif self._adds_up(wanted, same, exact):
            self.add("number", "kept", said, self.where(place))
        elif wrong:
            found = self.span_of(wrong[0])
            message = f"The request says {said[0]}; the text says {self.words_of(found)}."
            self.add("number", "changed", said, found, message, "error")
        elif alone:
            self.add("number", "kept", said, self.where(alone[0]))
        else:
            there = wanted != 1 and any(_same(thing.noun, p.noun) for p in same)
            message = f"The request says {said[0]}; the text does not say how many."
            severity = "error" if there else "warning"
            self.add("number", "missing", said, self.where(place), message, severity)

    def _adds_up(self, wanted: int, same: list[Phrase], exact: list[Phrase]) -> bool:
        """Whether a text counts to a number without it: "a man and another", "each other"."""
        numbers = {p.number for p in same if p.number is not None}
        if wanted == 1:
            return not numbers or any(not p.plural for p in same)
        if len(exact) > 1 and sum(p.number or 0 for p in exact) == wanted:
            return True
        if not numbers <= {1}:
            return False
        if wanted > 2:
            return len(same) >= wanted
        heads = {p.noun for p in same if not p.plural}
        new = [p for p in same if self.tokens[p.first].text in ("a", "an", "one", "another")]
        return not _PAIRED.isdisjoint(self.answer.words) or len(heads) > 1 or len(new) > 1

    def _color(self, thing: Thing, color: str, place: Phrase | int | None) -> None:
        said = self.request.text[slice(*thing.phrase)], thing.phrase
        families, tokens = color_families(color), self.tokens
        kin = self.same_things(thing.noun)
        owners = {at: p for p in self.answer.phrases for at in p.colors}
        own = {at: p for p in kin for at in p.colors}
        named = [
            at
            for at, token in enumerate(tokens)
            if (color_families(token.text) & families or token.text.startswith(color))
            and not self.answer.reading.denied[at]
        ]
        near = {self.answer.reading.sentences[p.head] for p in kin}
        sure = [at for at in named if at in own and tokens[at].text in BASIC_COLORS] or [
            # The color by itself near the thing: "the car ... its paint is red".
            at
            for at in named
            if tokens[at].text == color
            and at not in owners
            and self.answer.reading.sentences[at] in near
        ]
        plain = [
            at
            for at in named
            if at in own or at not in owners or tokens[at].text in {*BASIC_COLORS, color}
        ]
        wrong = self._wrong_color(thing, kin, place)
        swapped = self._swapped(thing, kin, families)
        if swapped:
            message = f"The request gives {said[0]!r} to the {thing.owner}; the text to another."
            self.add("color", "changed", said, self.span_of(swapped), message, "error")
        elif sure or (plain and not wrong):
            at = (sure or sorted(plain, key=lambda at: at not in own))[0]
            self.add("color", "kept", said, self.span_of(own[at]) if at in own else self.where(at))
        elif wrong:
            message = f"The request says that the {thing.text} is {color}; the text says "
            message += f"{tokens[wrong[1]].text}."
            severity = "error" if color in BASIC_COLORS else "warning"
            self.add("color", "changed", said, self.span_of(wrong[0]), message, severity)
        else:
            # A thing of several colors may be described by one of them.
            there = color in BASIC_COLORS and (bool(kin) or place is not None)
            there = there and len(thing.colors) == 1
            message = f"The request says that the {thing.text} is {color}; the text does not name "
            severity = "error" if there else "warning"
            self.add("color", "missing", said, self.where(place), f"{message}this color.", severity)

    def _wrong_color(
        self, thing: Thing, kin: list[Phrase], place: Phrase | int | None
    ) -> tuple[Phrase, int] | None:
        """A plain color that the answer gives to the thing and the request does not."""
        asked = (c for t in self.request.things if t.noun == thing.noun for c in t.colors)
        families = frozenset[str]().union(*map(color_families, asked))
        wrong = (
            (phrase, at)
            for phrase in kin
            if place is phrase or _same(thing.noun, phrase.noun)
            for at in phrase.colors
            if self.tokens[at].text in BASIC_COLORS
            and not color_families(self.tokens[at].text) & families
        )
        return next(wrong, None)

    def _swapped(self, thing: Thing, kin: list[Phrase], families: frozenset[str]) -> Phrase | None:
        """The thing in its color with an owner to whom the request gives another color."""
        same = [other for other in self.request.things if other.noun == thing.noun]
        rivals = {other.owner for other in same} - {"", thing.owner}
        reading = self.answer.reading
        owned = [
            (owner_of(reading, phrase), phrase)
            for phrase in kin
            if any(color_families(self.tokens[at].text) & families for at in phrase.colors)
        ]
        if not thing.owner or any(_kin(thing.owner, owner) for owner, _ in owned):
            return None
        wrong = (p for owner, p in owned if owner and any(_kin(rival, owner) for rival in rivals))
        return next(wrong, None)

    def negation(self, negation: Negation) -> None:
        """What the user denied and the answer has."""
        said = negation.text, negation.span
        head, where = negation.words[-1], negation.place
        if where:
            wrong = [p for p in self.places if p.kind == where.kind and _kin(head, p.object)]
            message = f"The request says {said[0]!r}; the text says it."
            status: ClaimStatus = "changed" if wrong else "kept"
            span = wrong[0].span if wrong else None
            self.add("negation", status, said, span, message, "error")
            return
        found = self.affirmed(head, set(negation.words[:-1]))
        wanted = {thing.noun for thing in self.request.things}
        if found is None or any(_kin(head, noun) or _kin(noun, head) for noun in wanted):
            self.add("negation", "kept", said)
            return
        span = self.where(found)
        message = f"The request says {negation.text!r}; the text has {self.words_of(span)}."
        self.add("negation", "changed", said, span, message, "error")

    def affirmed(self, head: str, rest: set[str]) -> Phrase | int | None:
        """Where an answer has what was denied, with the words that narrow it down."""
        words = self.answer.words
        for family in time_families(head).keys() & self.light.keys():
            return bisect_left([token.start for token in self.tokens], self.light[family][0])
        if head == "crowd":
            busy = [words[word] for word in _BUSY if word in words]
            return min(busy) if busy else None
        rest = rest - _LOOSE
        colors = {word for word in rest if color_families(word)}
        for phrase in self.answer.phrases:
            if not _same(head, phrase.noun) and not (head in _PEOPLE and is_person(phrase.noun)):
                continue
            around = {t.lemma for t in self.tokens[max(0, phrase.first - 3) : phrase.head + 4]}
            own = [color_families(self.tokens[at].text) for at in phrase.colors]
            if rest - colors <= around | set(phrase.words) and all(
                any(color_families(color) & family for family in own) for color in colors
            ):
                return phrase
        if head == "person" and all(noun_kind(p.noun) != "animal" for p in self.answer.phrases):
            return next((words[word] for word in _PRONOUNS if word in words), None)
        at = self.answer.lemmas.get(head)
        does = at is not None and self.tokens[at].tag == "V"
        if at is None or (rest and not (does and all(_find(self.answer, w) for w in rest))):
            return None
        plain = not is_thing(head) or not is_noun(head)
        return at if plain or self.tokens[at].tag in "VG" else None

    def relations(self) -> None:
        """Where things are, seen from one another."""
        text = self.request.text
        orders = [span for span, _ in camera_mentions(text[:MOST_READ])]
        asked = [
            r
            for r in self.request.relations
            if (r.kind in _OPPOSITES or (r.kind in _CONFLICTS and r.subject and r.object))
            and not any(start <= r.span[0] < end for start, end in orders)
            and not re.search(r"\bfrom\W*$", text[: r.span[0]])
            and not text[slice(*r.span)].lower().startswith("from")
        ]
        for relation in asked[:_MOST_THINGS]:
            place, status = self._placed(relation, asked)
            words = self.request.text[slice(*relation.span)].strip()
            said = f"{relation.subject} {words} {relation.object}".strip(), relation.span
            message = f"The request says {said[0]!r}; the text says {self.words_of(place)}."
            if status and (place or "over" not in words):  # "over" need not be above
                severity = "error" if status == "changed" else "warning"
                self.add("relation", status, said, place, message if place else "", severity)

    def _placed(
        self, asked: Relation, others: list[Relation]
    ) -> tuple[TextSpan | None, ClaimStatus | None]:
        """What became of a relation, and where that shows; no status where that is open."""
        found, opposite = self.places, _OPPOSITES.get(asked.kind, "")
        loose = self.request.text[slice(*asked.span)].strip().lower() == "over"
        own = [
            r
            for r in found
            if r.kind == asked.kind or r.kind in _CONFLICTS[asked.kind]
            if loose or self.text[slice(*r.span)].strip() != "over"  # which need not be above
        ]
        sides = (asked.kind, opposite)
        near = (r for r in others if r.object == asked.object or r.subject == asked.subject)
        order = [r.kind for r in near if r.kind in sides]
        answered = [r.kind for r in own if _kin(asked.object, r.object)]
        if len(order) == 2 and answered == order[::-1] != order:
            return own[0].span, "changed"  # "from the left to the right of the box" the other way
        both = opposite in order
        alone = asked.kind in ("above", "below") and not any(r.kind == asked.kind for r in found)
        scores = [(_agreement(asked, r, alone=alone), r.span) for r in own]
        best = max(scores, default=(0, None))
        worst = min(scores, default=(0, None))
        if best[0] > 0 and best[0] >= -worst[0]:
            return best[1], "kept"
        if worst[0] < 0 and (not both or all(r.kind != opposite for r in own)):
            return worst[1], "changed"
        if not opposite:  # an answer may say it in many ways
            return None, None
        same = next((r.span for r in own if r.kind == asked.kind), None)
        if same or both:
            return same, "kept"
        if own and asked.kind in ("left", "right"):
            return own[0].span, "changed"
        return None, "missing"

    def times(self) -> None:
        """Time of day, weather and season."""
        asked, found = time_families(self.request.text), time_families(self.text)
        for family, span in asked.items():
            if any(edit.span[0] <= span[0] < edit.span[1] for edit in self.request.edits):
                continue
            said = self.request.text[slice(*span)], span
            against = _AGAINST.get(family, "")
            if family in found:
                self.add("time", "kept", said, found[family])
            elif against in found and against not in asked:
                words = self.words_of(found[against])
                message = f"The request says {said[0]!r}; the text says {words}."
                severity = "warning" if "sun" in (family, against) else "error"
                self.add("time", "changed", said, found[against], message, severity)
            else:
                place = self.answer.lemmas.get(said[0].lower())
                self.add("time", "missing" if place is None else "kept", said, self.where(place))

    def styles(self) -> None:
        """The look that is asked for."""
        for style in self.request.styles:
            place, said = find_style(style.text, self.text), (style.text, style.span)
            message = f"The request asks for the style {style.text!r}; the text has none."
            self.add("style", "kept" if place else "missing", said, place, message)

    def actions(self) -> None:
        """What is done; synonyms of verbs are endless, so that nothing follows from a lost one."""
        for action in self.request.actions[:_MOST_THINGS]:
            at = self.answer.lemmas.get(action.verb)
            at = _relative(self.answer, action.verb) if at is None else at
            status: ClaimStatus = "missing" if at is None else "kept"
            self.add("action", status, (action.text, action.span), self.where(at))

    def order(self) -> None:
        """Whether what is done one after another is told the other way round."""
        text, words = self.request.text, _ORDER_WORDS
        if self.request.word_count > _STORY:
            return
        explicit = bool(words.search(text))
        asked = [action for action in self.request.actions if _is_step(text, action)]
        told: dict[str, list[tuple[int, TextSpan]]] = {}
        for rank, action in enumerate(actions_in(self.answer.reading)):
            told.setdefault(action.verb, []).append((rank, action.span))
        for first, second in combinations(asked[:_MOST_THINGS], 2):
            early, late = told.get(first.verb), told.get(second.verb)
            if not early or not late or first.verb == second.verb or late[-1] >= early[0]:
                continue
            between = self.text[late[-1][1][1] : early[-1][1][0]]
            at_once = re.search(r"\b(?:as|while|when)\b", text[first.span[1] : second.span[0]])
            if at_once or not (explicit or words.search(between)):
                continue
            span = (first.span[0], second.span[1]) if first.span < second.span else None
            said = f"{first.text} ... {second.text}", span
            message = f"The request has {first.text!r} before {second.text!r}; the text has it "
            message += "the other way round."
            sure = explicit and len(early) == len(late) == 1
            severity = "error" if sure else "warning"
            self.add("order", "changed", said, late[-1][1], message, severity)
            return

    def scene(self) -> None:
        """Whether almost nothing of the request is there."""
        asked = read(without_quotes(self.request.text)[:MOST_READ])
        size = len(self.tokens)
        weights = [self._weight(p.noun, size) for p in asked.phrases if not p.denied]
        inside = [
            token.lemma
            for phrase in asked.phrases
            for token in asked.tokens[phrase.first : phrase.head]
            if token.tag == "N" and not phrase.denied
        ]
        weights += [(0.4, _find(self.answer, word) is not None) for word in inside]
        words = {
            token.lemma
            for token, no in zip(asked.tokens, asked.denied, strict=True)
            if token.tag in "VGEA" and not no and token.text[0].isalpha()
        }
        for word in words:
            known = word in self.answer.lemmas or _relative(self.answer, word) is not None
            weights.append((0.3, known))
        light = time_families(self.text).keys() | {
            family for family, signs in _SIGNS.items() if signs & self.answer.lemmas.keys()
        }
        weights += [(0.4, family in light) for family in time_families(asked.text)]
        weights += [(float(q.text in self.text), True) for q in self.request.quotes]
        lower = self.text.lower()
        weights += [(0.5, n.text.split()[0].lower() in lower) for n in self.request.names]
        total = sum(weight for weight, _ in weights)
        score = sum(weight * found for weight, found in weights)
        share = _SCENE if size >= _ROOMY else _NOTHING
        if score < share * total and not self.request.edits:
            enough = _FEWEST_FOR_NOTHING if total > _MORE_THAN_ONE else _FEWEST_FOR_SCENE
            names = ", ".join(dict.fromkeys(t.text for t in self.request.things[:6]))
            message = "The text tells of another scene: almost nothing of the request is in it "
            severity = "error" if size >= enough else "warning"
            said = self.request.text[:80], None
            self.add("scene", "missing", said, None, f"{message}({names}).", severity)

    def _weight(self, noun: str, size: int) -> tuple[float, float]:
        """How much a noun counts for the scene, and how much of that the answer has."""
        if noun in SOFT_NOUNS:
            return 0.0, 0.0
        place = _find(self.answer, noun)
        found = place is not None
        if is_person(noun) and size < _ROOMY:
            return 0.5, found
        if noun in _ANYBODY:
            # Somebody in passing is no answer to "a person is knitting".
            early = isinstance(place, Phrase) and place.head < _EARLY
            return 0.13, 1.0 if early else 0.4 * isinstance(place, Phrase)
        weight = 1.0 if _is_concrete(noun) else 0.4
        if is_person(noun) and found:
            # "Somebody" is a poor astronaut.
            return weight, 1.0 if isinstance(place, Phrase) and _kin(noun, place.noun) else 0.3
        return weight, found

    def persons(self) -> None:
        """People that the request does not have."""
        people = [t for t in self.request.things if is_person(t.noun)]
        groups = any(noun_kind(t.noun) == "group" for t in people)
        room = sum(t.number or (3 if t.plural else 1) for t in people) + 3 * groups
        seen: set[str] = set()
        for phrase in self.answer.phrases:
            noun = phrase.noun
            if noun in seen or not is_person(noun):
                continue
            seen.add(noun)
            new = self.tokens[phrase.first].text not in _KNOWN
            fits = groups or any(_kin(t.noun, noun) or _kin(noun, t.noun) for t in people)
            if fits and (room > 0 or not new):
                room -= new * (phrase.number or 1)
                continue
            span = self.span_of(phrase)
            message = "The text adds a person that the request does not have: "
            self.add("person", "added", ("", None), span, f"{message}{self.words_of(span)}.")

    def events(self) -> None:
        """Sudden events that the request does not have."""
        denied = self.answer.reading.denied
        asked = {word.lower()[:5] for word in re.findall(r"\w+", self.request.text)}
        asked |= {action.verb[:5] for action in self.request.actions}
        events: dict[str, TextSpan | None] = {}
        for at, token in enumerate(self.tokens):
            if _is_event(token) and not denied[at] and token.lemma[:5] not in asked:
                events.setdefault(token.lemma, self.where(at))
        for span in events.values():
            message = "The text adds an event that the request does not have: "
            self.add("event", "added", ("", None), span, f"{message}{self.words_of(span)}.")

    def edit(self, edit: EditOrder) -> None:
        """Whether an order to change the video was carried out."""
        said = self.request.text[slice(*edit.span)].strip(), edit.span
        problem, place = self._not_done(edit)
        severity = "error"
        if not problem and (problem := self._not_said(edit)):
            severity = "warning"  # "frozen" may be put in other words
        status: ClaimStatus = "kept" if not problem else "changed" if place else "missing"
        self.add("edit", status, said, place, f"The request says {said[0]!r}: {problem}", severity)

    def _not_done(self, edit: EditOrder) -> tuple[str, TextSpan | None]:
        """What is not done of an edit, and where that shows; where it is done, its place."""
        gone, there = read(edit.gone.rpartition(" from ")[2]), read(edit.there)
        if not edit.there:
            return self._still_there(gone)
        new = [p for p in there.phrases if p.noun not in _PLACEHOLDERS]
        ends = [p for p in gone.phrases if not p.first or gone.tokens[p.first - 1].tag != "P"]
        rest = edit.there
        if not edit.gone and len(new) > 1 and new[0].head + 1 == new[1].first:
            # "Make the woman a man", "make the wooden bridge a stone bridge".
            ends, new, rest = new[:1], new[1:], rest[there.tokens[new[1].first].start :]
        names = [[p.noun] if p.noun not in _PLACEHOLDERS else p.words[-1:] for p in ends]
        old = [noun for name in names for noun in name]
        if families := time_families(rest):
            place = next((self.light[f] for f in families if f in self.light), None)
            return ("" if place else f"the text has nothing of {' or '.join(families)}."), place
        recolored = any(p.noun in ("color", "colour") for p in gone.phrases)
        colors = [t.text for t in there.tokens if t.tag == "K" or (recolored and t.tag == "N")]
        new = [p for p in new if not (recolored and p.noun in colors)]
        if colors and (not new or new[0].noun in old or (len(new) == 1 and not old)):
            return self._not_colored([p.noun for p in new] or old, colors)
        before = {word for p in ends for word in p.words} if old else None
        lacks = (self._not_made(p, there, before if p.noun in old else None) for p in new)
        if problem := next(filter(None, lacks), ""):
            return problem, None
        old = [noun for noun in old if not any(_kin(noun, p.noun) for p in new)]
        return self._as_before(old, there) or (
            "",
            self.where(_find(self.answer, new[0].noun)) if new else None,
        )

    def _as_before(self, old: list[str], there: Reading) -> tuple[str, TextSpan | None] | None:
        """Where a thing or a quality that an edit replaces is still there."""
        wanted = {token.text for token in there.tokens}
        for one, other in _CONTRARIES:
            if one in wanted and (place := self._predicate(other)):
                return f"the text says {other}.", place
        for phrase in self.answer.phrases:
            if any(_same(noun, phrase.noun) for noun in old) and self._brought(phrase):
                return f"the text still has {phrase.noun}.", self.span_of(phrase)
        return None

    def _brought(self, phrase: Phrase) -> bool:
        """Whether a phrase brings a thing in, unlike "a bottle stands where the jar was"."""
        lead, numbers = self.tokens[phrase.first].text, self.answer.reading.sentences
        if lead == "the":
            same = (n for n, no in enumerate(numbers) if no == numbers[phrase.head])
            return all(self.tokens[at].text not in _FORMERLY for at in same)
        return lead in ("a", "an") or (bool(phrase.number or phrase.plural) and lead not in _KNOWN)

    def _predicate(self, word: str) -> TextSpan | None:
        """Where a word is said of something, as in "the lights are on" or "a young man"."""
        for at, token in enumerate(self.tokens):
            if token.text == word and not self.answer.reading.denied[at] and at:
                before = self.tokens[at - 1]
                if token.tag != "P" or (before.tag == "X" and before.lemma == "be"):
                    return self.where(at)
        return None

    def _not_said(self, edit: EditOrder) -> str:
        """What is to be said or done of a thing, and is not: "frozen", "pop"."""
        there, last = read(edit.there), 0
        if not edit.gone or "should" in edit.there or "must" in edit.there:
            last = max((p.head for p in there.phrases), default=0)
        else:
            return ""
        graded = {word for pair in _CONTRARIES for word in pair}
        words = [t for t in there.tokens[last + 1 :] if t.tag in "AEV" and t.text not in graded]
        lost = [
            t.text
            for t in words
            if t.lemma not in self.answer.lemmas and _relative(self.answer, t.lemma) is None
        ]
        return f"the text has nothing of {lost[0]!r}." if lost and len(lost) == len(words) else ""

    def _not_made(self, phrase: Phrase, there: Reading, before: set[str] | None) -> str:
        """What the text lacks of a thing that an edit asks for; `before`: what the old one was."""
        new = phrase.words if before is not None else ()
        if new and all(w in (before or ()) or _find(self.answer, w) is None for w in new):
            return f"the text has no {' '.join(new)} {phrase.noun}."
        parts = (phrase.noun, phrase.noun.rsplit(" ", 1)[-1])
        if all(_find(self.answer, part) is None for part in parts):
            return f"the text has no {phrase.noun}." if is_thing(phrase.noun) else ""
        kin = [p for p in self.answer.phrases if _kin(phrase.noun, p.noun)]
        numbers = {p.number for p in kin if p.number}
        asked = {number_of([token]) for token in there.tokens if token.tag == "M"} - {1}
        if asked and numbers - {1} and not asked & numbers:
            return (
                f"the text does not have {phrase.number or max(filter(None, asked))} {phrase.noun}."
            )
        more = {"second", "another", "third"} & {
            t.text for t in there.tokens[phrase.first : phrase.head]
        }
        words = self.answer.words
        several = len(kin) > 1 or any(p.plural for p in kin) or {*more, "other"} & words.keys()
        if more and not several:
            return f"the text has no {min(more)} {phrase.noun}."
        return self._not_colored([phrase.noun], [there.tokens[at].text for at in phrase.colors])[0]

    def _still_there(self, gone: Reading) -> tuple[str, TextSpan | None]:
        for phrase in gone.phrases:
            if phrase.noun in _PLACEHOLDERS:
                continue
            found: Phrase | int | None
            if "one of" in gone.text:  # all but one may stay
                kin = (p for p in self.answer.phrases if _same(phrase.noun, p.noun))
                found = next((p for p in kin if p.number and p.number == phrase.number), None)
            else:
                colors = {gone.tokens[at].text for at in phrase.colors}
                found = self.affirmed(phrase.noun, colors)
                if found is None and not colors:  # where the robot is gone, so is its arm
                    found = next((p for p in self.answer.phrases if phrase.noun in p.words), None)
            if found is not None:
                span = self.where(found)
                return f"the text still has {self.words_of(span)}.", span
        return "", None

    def _not_colored(self, nouns: list[str], colors: list[str]) -> tuple[str, TextSpan | None]:
        kin = [p for p in self.answer.phrases if any(_kin(noun, p.noun) for noun in nouns)]
        bound = [(p, self.tokens[at].text) for p in kin for at in p.colors]
        for color in colors:
            families = color_families(color)
            kept = next((p for p, text in bound if color_families(text) & families), None)
            if kept is not None:
                return "", self.span_of(kept)
            if bound:
                return f"the text says {bound[0][1]}.", self.span_of(bound[0][0])
            if not any(color_families(token.text) & families for token in self.tokens):
                return f"the text has nothing {color}.", None
        return "", None


def _agreement(asked: Relation, found: Relation, *, alone: bool) -> int:
    """How surely a relation of the answer speaks of the two things; below 0 for the wrong way."""
    opposite = _OPPOSITES.get(asked.kind)
    mine = bool(asked.subject) and _kin(asked.subject, found.subject)
    same = bool(asked.object and found.object) and _kin(asked.object, found.object)
    if found.kind not in (asked.kind, opposite):
        open_ = not found.subject and found.kind != "beside"  # a pronoun, but "one by one"
        return -2 if same and (mine or open_) else 0
    sign = 1 if found.kind == asked.kind else -1
    if same and asked.object:
        return 2 * sign
    if opposite is None:
        return 0
    if asked.subject and found.object and _kin(asked.subject, found.object):
        return -2 * sign
    if found.object and asked.object:
        return -int(alone and sign < 0 and mine)
    if mine:
        return sign
    return -sign if asked.object and _kin(asked.object, found.subject) else 0


_ORDER_WORDS = re.compile(
    r"\b(?:first|then|before|after|afterwards?|finally|next|later|lastly|at last|once)\b(?! to\b)",
    re.IGNORECASE,
)
_STATES = english_words("verbs", "states")


_GOES_ON = re.compile(r"\s+(?:up|down|off|away|out|in)\b")
_IS_DONE = re.compile(r"\b(?:is|are|was|were|gets?)\s+(?:\w+ly\s+)?$", re.IGNORECASE)
_BEGUN = re.compile(r"\b(?:before|after|then|starts?|begins?)\s+$", re.IGNORECASE)


def _is_step(text: str, action: Action) -> bool:
    """Whether a verb tells of an event: neither "covered with" nor "sits" nor "reading a book"."""
    (start, end), word = action.span, action.text.lower()
    if action.verb in _STATES and not _GOES_ON.match(text, end):
        return False
    if word.endswith("ing"):
        return bool(_BEGUN.search(text, 0, start))
    return not word.endswith("ed") or bool(_IS_DONE.search(text, 0, start))


_PAIRED = word_set("another other second each pair couple both duo twin twins double together")
_PLACEHOLDERS = word_set("it this everything one color colour that background look scene")
_CONTRARIES = [tuple(pair.split()) for pair in english_tables()["contraries"]["qualities"]]
_CONTRARIES += [(second, first) for first, second in _CONTRARIES]
_FORMERLY = english_words("verbs", "formerly")
_LOOSE = word_set("other more additional any single sign trace hint else visible")
_PRONOUNS = ("he", "she", "his", "her", "him", "someone", "somebody")
_PEOPLE = word_set("person people anyone anybody human humans individual pedestrian")
_BUSY = word_set("crowded packed bustling busy crowd crowds throng teeming")
_PAIRS = (("left", "right"), ("above", "below"), ("front", "behind"))
_OPPOSITES = dict(_PAIRS) | {second: first for first, second in _PAIRS}
# Where a thing is, it cannot be in these places too.
_CONFLICTS = {
    **{kind: frozenset({other}) for kind, other in _OPPOSITES.items()},
    "above": word_set("below beside"),
    "below": word_set("above on"),
    "front": word_set("behind in"),
    "behind": word_set("front in"),
    "on": word_set("below behind beside"),
    "in": word_set("outside behind beside below above front"),
    "outside": word_set("in"),
    "beside": word_set("in below above"),
    "between": word_set("behind front above below in"),
}
_AGAINST = {"night": "day", "summer": "winter", "rain": "sun"}
_AGAINST |= {second: first for first, second in _AGAINST.items()}
_SIGNS = {family: word_set(words) for family, words in english_tables()["signs"].items()}
_ANYBODY = word_set("person people man woman individual someone figure human guy lady")


@lru_cache(maxsize=4096)
def _is_concrete(noun: str) -> bool:
    """Whether a noun names a thing that an answer cannot do without."""
    if noun in _TOO_GENERAL:
        return False
    if is_noun(noun):
        return noun_kind(noun) in ("animal", "artifact", "plant", "food", "person", "object")
    return visible_kind(noun) in ("animal", "artifact", "plant", "food")


_EVENT_VERBS = english_words("verbs", "events")
_EVENT_NOUNS = english_words("nouns", "events")


def _is_event(token: Token) -> bool:
    """Whether a word tells of a sudden change."""
    verb = token.tag in "VGEN" and token.lemma in _EVENT_VERBS
    return verb or (token.tag == "N" and token.lemma in _EVENT_NOUNS)


_KNOWN = word_set("the this that his her their its these")
