"""A request and an answer in a language other than English, read by the words of one table.

The reader knows no language: what it looks for stands in ``languages.toml``, a table a language.
Where a text says nothing of the same thing, it claims nothing: what is put in other words is seldom
recognised, so only what is contradicted on the same noun is an error.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from promptlift.language import FUNCTION_WORDS, UNSPACED
from promptlift.review.request import EditOrder, Negation, Relation, Thing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptlift.review.request import UserRequest
    from promptlift.review.result import TextSpan

__all__ = [
    "camera_in_language",
    "compare_in_language",
    "is_order",
    "language_of_words",
    "nouns_in",
    "read_in_language",
    "without_camera",
]


class _Place(NamedTuple):
    """Where something is: `near` are the units around, `anchor` is what it is seen from."""

    kind: str
    span: TextSpan
    near: tuple[str, ...]
    anchor: tuple[str, ...] = ()


_COLOR_WORDS = "red blue green yellow orange purple pink brown black white gray"
_COLORS = tuple(_COLOR_WORDS.split())
_OPPOSITES = (("left", "right"), ("above", "below"), ("front", "behind"), ("inside", "outside"))
_OPPOSITE = dict(_OPPOSITES) | {second: first for first, second in _OPPOSITES}
_MOVES = ("pan left", "pan right", "tilt up", "tilt down", "forward", "backward")
_WORD = re.compile(r"[^\W\d_]+")
_CLAUSE = re.compile(r"[^,;.:!?，。；：！？、\n()（）]+")
_SENTENCE = re.compile(r"[^;.!?。；！？\n]+")
_COUNTERS = "[个只条头匹辆位名张杯朵棵座艘架台人羽枚本株块把件]"
_GRAMMAR = (  # characters that carry no content in Chinese and Japanese
    "的了着在把将和与及是有一个位只条张从到给被向对为而且并也都就不没子色两三四五六七八九十"
    "のをにがはでともへやかられるいてしたますなりえっ辆匹朵棵座艘架枚株块件"
)
_CONTENT = re.compile(f"[^{_GRAMMAR}ぁ-ん]|[^{_GRAMMAR}]{{2,}}")
_HAN = r"[\u3400-\u9fff]"
_COMPOUND = "[群家店站窗道库棚屋笼窝粮毛尾头格行物]"
_PERSON = "person"
_MOST_ORDERED = 300  # characters of a clause that orders an edit


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("promptlift.review").joinpath("languages.toml").read_text("utf-8"))


@cache
def _pattern(language: str, *names: str) -> re.Pattern[str]:
    """A pattern of a language's table, as whole words where its script has spaces."""
    value = _tables()[language]
    for name in names:
        value = value[name]
    return _compile(value, language)


def _compile(value: str, language: str) -> re.Pattern[str]:
    if language not in UNSPACED:
        value = rf"(?<!\w)(?:{value})(?:(?<=\W)|(?!\w))"
    return re.compile(value, re.IGNORECASE)


@cache
def _orders(language: str) -> list[tuple[str, re.Pattern[str]]]:
    edits = _tables()[language]["edits"]
    some = "[^をがは、]+?" if language == "kana" else ".+?"
    parts = {name: f"(?P<{name}>{some})" for name in ("gone", "there")}
    parts["thing"] = "(?P<thing>.+)"
    return [
        (kind, _compile(one.format(polite=edits["polite"], **parts), language))
        for kind in ("replace", "change", "remove", "add")
        for one in edits[kind]
    ]


def is_order(text: str, language: str | None) -> bool:
    """Whether a text has a word of an order to edit."""
    return language in _tables() and bool(_pattern(str(language), "editing").search(text))


def language_of_words(words: set[str], text: str) -> str | None:
    """The language of a text too short for grammar, by its numbers, colors, sides and orders."""
    spaced = [name for name in _tables() if name not in UNSPACED]
    long = [word for word in words if len(word) > 3]
    named = (
        name
        for name in spaced
        for word in long
        if _color(word, name) or _number(word, name) or _pattern(name, "camera", "noun").match(word)
    )
    start = text[:_MOST_ORDERED]
    sides = (n for n in spaced if any(h[3] or h[1] - h[0] > 6 for h in _hits(start, n)))
    ordered = (name for name in spaced if any(_edits(text, name)))
    return next(itertools.chain(named, sides, ordered), None)


# ---- nouns with a number or a color


def nouns_in(text: str, language: str | None) -> tuple[Thing, ...]:
    """Nouns that a text counts or colors, by the words beside them."""
    if language not in _tables():
        return ()
    table, language = _tables()[language], str(language)
    if language not in UNSPACED:
        return tuple(_spaced_nouns(text, language))
    before = rf"(?<![一二三四五六七八九十第])(?:{{0}}|{{1}}){_COUNTERS}の?(\w{{{{1,2}}}})"
    behind = r"(?:{0})(?:色的?|色の|的|い|の)(\w{{1,2}})"
    numbers, colors = enumerate(table["numbers"].split(), start=2), table["colors"].split()
    kinds: list[tuple[str, int | None, tuple[str, ...]]] = [
        *((before.format(word, value), value, ()) for value, word in numbers),
        *((behind.format(w), None, (name,)) for w, name in zip(colors, _COLORS, strict=True)),
    ]
    return tuple(
        Thing(match[1], match[1], match.span(1), number, own)
        for pattern, number, own in kinds
        for match in re.finditer(pattern, text)
    )


def _known(word: str, language: str, kind: str) -> int:
    """The place of a word among the numbers or the colors of a language; -1 for none."""
    table = _tables()[language]
    keys, end = table[kind].split(), table["ending"]
    fits = (n for n, k in enumerate(keys) if re.fullmatch(f"(?:{k}){end}", word, re.IGNORECASE))
    return next(fits, -1)


@lru_cache(maxsize=4096)
def _color(word: str, language: str) -> str:
    at = _known(word, language, "colors")
    return _COLORS[at] if at >= 0 else ""


@lru_cache(maxsize=4096)
def _number(word: str, language: str) -> int | None:
    return _known(word, language, "numbers") + 2 if _known(word, language, "numbers") >= 0 else None


def _spaced_nouns(text: str, language: str) -> Iterator[Thing]:
    table, small = _tables()[language], FUNCTION_WORDS[language]
    words = [(match[0], match.span()) for match in _WORD.finditer(text)]
    for at, (word, _) in enumerate(words):
        number, color = _number(word, language), _color(word, language)
        if number is None and not color:
            continue
        follows = not color or table.get("color_first")
        for noun, span in words[at + 1 : at + 4] if follows else words[max(0, at - 1) : at]:
            lower = table.get("capital_nouns") and not noun[0].isupper()
            if noun not in small and not _color(noun, language) and not lower:
                yield Thing(noun.lower()[:5], noun, span, number, (color,) if color else ())
                break


# ---- words of content


class _Unit(NamedTuple):
    key: str  # the stem, or the character, or "=" and the color's name
    start: int
    end: int
    capital: bool = False


_UNIT_OF_SCRIPT = re.compile(r"[ァ-ヺー]+|[ぁ-ん]+|[\u3400-\u9fff]")
_UMLAUTS = str.maketrans("äöüáéíóúàèâêîôûïñç", "aouaeiouaeaeiouinc")


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """The same for the singular and the plural of most nouns, and for the forms of an adjective."""
    word = word.lower().translate(_UMLAUTS)
    return word[:3] + re.sub("(?:e?[nmrsx]|[eao])+$", "", word[3:])


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _units(text: str, language: str, start: int = 0, end: int | None = None) -> list[_Unit]:
    """The words of content between two places of a text."""
    end = len(text) if end is None else end
    part = _pattern(language, "passed_over").sub(_blank, text[start:end])
    found = []
    if language in UNSPACED:
        for match in _UNIT_OF_SCRIPT.finditer(part):
            for piece in _CONTENT.finditer(match[0]):
                at = start + match.start() + piece.start()
                found.append(_Unit(piece[0], at, at + len(piece[0])))
        return found
    for match in _WORD.finditer(part):
        word = match[0]
        if len(word) < 3 or word.lower() in FUNCTION_WORDS[language]:
            continue
        color = _color(word, language)
        key = f"={color}" if color else _stem(word)
        found.append(_Unit(key, start + match.start(), start + match.end(), word[0].isupper()))
    return found


def _head(phrase: str, language: str) -> str:
    """What a noun phrase is about: a stem, or the last characters; empty where that is not sure."""
    cut = _pattern(language, "cut").search(phrase, 1)
    units = _units(phrase, language, 0, cut.start() if cut else None)
    if language in UNSPACED:
        return "".join(unit.key for unit in _chain(units, len(phrase.rstrip())))
    nouns = [unit for unit in units if not unit.key.startswith("=")]
    if _tables()[language].get("capital_nouns"):
        nouns = [unit for unit in nouns if unit.capital]
    return nouns[0].key if nouns else ""


def _chain(units: list[_Unit], end: int) -> list[_Unit]:
    """At most two units that touch each other and a place; 子 ends many nouns and says nothing."""
    found: list[_Unit] = []
    for unit in reversed(units[-2:]):
        if unit.end not in (end, end - 1 if not found else end):
            break
        found.insert(0, unit)
        end = unit.start
    return found


def _has(clause: str, head: str, language: str) -> bool:
    if language not in UNSPACED:
        return any(unit.key == head for unit in _units(clause, language))
    if len(head) > 1:
        return head in clause
    # One character is a noun behind a counter, and before what is no part of a longer noun.
    own = rf"(?:{_COUNTERS}{head}(?!{_COMPOUND})|(?:[的色ぁ-ん]|^){head}子?(?!{_COMPOUND}|{_HAN}))"
    own += f"|[的色]{head}子?(?=[在的了着有是被把从和与向正上下里前后旁])"
    return bool(re.search(own, clause))


# ---- clauses and what they deny


def _clauses(text: str, language: str) -> Iterator[tuple[re.Match[str], bool]]:
    """The clauses of a text, and whether each denies what it names."""
    denied, last = False, 0
    for clause in _CLAUSE.finditer(text):
        listed = denied and not re.search(r"[;.!?。；！？\n]", text[last : clause.start()])
        denied = _denier(clause[0], language) or (
            listed and len(_units(clause[0], language)) <= (6 if language in UNSPACED else 3)
        )
        last = clause.end()
        yield clause, denied


def _denier(clause: str, language: str) -> bool:
    plain = _pattern(language, "but").sub(_blank, clause)
    names = ("no", "not", "nobody", "absent")
    return any(_pattern(language, name).search(plain) for name in names)


def _negations(text: str, language: str) -> Iterator[Negation]:
    for match in _CLAUSE.finditer(text):
        clause, span = match[0], match.span()
        plain = _pattern(language, "but").sub(_blank, clause)
        if _pattern(language, "camera", "noun").search(clause):
            continue
        no, people = _pattern(language, "no").search(plain), _pattern(language, "people")
        rest = re.sub("^(?:任何|一个|一丝|一点|半点|有)", "", plain[no.end() :]) if no else ""
        if _pattern(language, "nobody").search(plain) or people.search(rest[:20]):
            yield Negation((_PERSON,), clause.strip(), span)
        elif no:
            if language in UNSPACED:
                run = re.match(r"[\u3400-\u9fff]+", rest)
                noun = re.split("[的了着在和与及或]", run[0])[0][:4] if run else ""
            else:
                noun = _head(f" {rest}", language)
            if noun:
                start = no.start()
                yield Negation((noun,), clause[start:].strip(), (span[0] + start, span[1]))
        elif negator := _pattern(language, "not").search(plain):
            ends = _tables()[language].get("not_ends", False)
            part = plain[: negator.start()] if ends else plain
            units = _units(re.split("[にで]は?", part)[-1] if ends else part, language)
            words = tuple(unit.key for unit in units)
            if 1 <= len(words) <= 5:
                yield Negation(words, clause.strip(), span)


# ---- places


def _hits(text: str, language: str) -> list[tuple[int, int, str, bool]]:
    """Words of places: where, which, and whether it is a side of the picture."""
    found = [
        (*match.span(), kind, group == "sides")
        for group in ("places", "sides")
        for kind in _tables()[language][group]
        for match in _pattern(language, group, kind).finditer(text)
    ]
    kept: list[tuple[int, int, str, bool]] = []
    for hit in sorted(found, key=lambda hit: (hit[0], -hit[1], hit[3])):
        if not kept or hit[0] >= kept[-1][1]:
            kept.append(hit)
    return kept


def _places(text: str, language: str, around: re.Pattern[str]) -> Iterator[_Place]:
    """Find where things are; `around` are the stretches in which they stand."""
    hits = _hits(text, language)
    last = _tables()[language].get("place_last", False)
    capital = _tables()[language].get("capital_nouns", False)
    stretches = [match.span() for match in around.finditer(text)]
    for start, end, kind, side in hits:
        low, high = next((s for s in stretches if s[0] <= start < s[1]), (start, end))
        if last and not side:
            anchor = _chain(_units(text, language, max(0, start - 12), start), start)
            side = not anchor and kind in ("left", "right")
        if side:
            near = _beside(text, language, (start, end), hits)
            if near:
                yield _Place(kind, (start, end), tuple(unit.key for unit in near))
            continue
        if not last:
            clause = _CLAUSE.match(text, end)
            after = _units(text, language, end, clause.end() if clause else end)
            after = [u for u in after if u.key[0] != "=" and (u.capital or not capital)]
            anchor = after[:2]
        taken = {unit.start for unit in anchor}
        if anchor:
            near = [u for u in _units(text, language, low, high) if u.start not in taken]
            near = [unit for unit in near if not start <= unit.start < end]
            keys = tuple(unit.key for unit in near), tuple(unit.key for unit in anchor)
            yield _Place(kind, (start, end), *keys)


def _beside(
    text: str, language: str, span: TextSpan, hits: list[tuple[int, int, str, bool]]
) -> list[_Unit]:
    """What is at a side of the picture: it follows "on the left", or stands before it."""
    start, end = span
    clause = next(match for match in _CLAUSE.finditer(text) if match.start() <= start < match.end())
    low = max((hit[1] for hit in hits if hit[3] and hit[1] <= start), default=0)
    high = min((hit[0] for hit in hits if hit[3] and hit[0] >= end), default=len(text))
    joins = [match.span() for match in _pattern(language, "joins").finditer(text)]
    low = max([low, clause.start(), *(j[1] for j in joins if j[1] <= start)])
    stop = min([high, clause.end(), *(j[0] for j in joins if j[0] >= end)])
    following = _CLAUSE.search(text, clause.end())
    own = _units(text, language, end, stop) or _units(text, language, low, start)
    if own or not following or high < following.start():
        return own
    return _units(text, language, following.start(), min(high, following.end()))


def _same_anchor(asked: tuple[str, ...], found: tuple[str, ...], language: str) -> bool:
    if language not in UNSPACED:
        return asked[0] in found
    shorter = min(len(asked), len(found))
    return asked[-shorter:] == found[-shorter:]


# ---- edits and the camera


def _edits(text: str, language: str) -> Iterator[EditOrder]:
    for sentence in _SENTENCE.finditer(text):
        for clause in _CLAUSE.finditer(text, *sentence.span()):
            body = clause[0].strip()[:_MOST_ORDERED]
            orders = ((kind, one.fullmatch(body)) for kind, one in _orders(language))
            kind, order = next(((k, o) for k, o in orders if o), ("", None))
            if order is None:
                break
            groups = order.groupdict()
            gone, there = groups.get("gone") or "", groups.get("there") or ""
            colored = any(_shade(there, language)) and not _rest(there, language)
            if thing := groups.get("thing") or (gone if colored and kind == "change" else ""):
                if not colored:
                    continue
                unspaced = language in UNSPACED
                gone, there = "", f"{there}的{thing}" if unspaced else f"{thing} {there}"
            yield EditOrder(kind, gone.strip(), there.strip(), clause.span())  # type: ignore[arg-type]


def _shade(text: str, language: str) -> list[str]:
    """Names of the colors that a text has."""
    colors = _tables()[language]["colors"].split()
    if language in UNSPACED:
        return [_COLORS[n] for n, one in enumerate(colors) if re.search(one, text)]
    return [shade for word in _WORD.findall(text) if (shade := _color(word, language))]


def _rest(text: str, language: str) -> list[_Unit]:
    """What a text has besides colors."""
    colors = "|".join(_tables()[language]["colors"].split())
    text = re.sub(colors, " ", text) if language in UNSPACED else text
    return [unit for unit in _units(text, language) if unit.key[0] != "="]


@lru_cache(maxsize=256)
def camera_in_language(text: str, language: str) -> list[tuple[TextSpan, str]]:
    """Find what a text says of the camera; as `promptlift.review.camera.camera_mentions`."""
    found: list[tuple[TextSpan, str]] = []
    if language not in _tables():
        return found
    pattern = {name: _pattern(language, "camera", name) for name in _tables()[language]["camera"]}
    for clause in _CLAUSE.finditer(text):
        words, span = clause[0], clause.span()
        named, shot = pattern["noun"].search(words), pattern["shot"].search(words)
        moves = pattern["verb"].search(words, named.end()) if named else None
        denied = _pattern(language, "not").search(words)
        holds = named and pattern["holds"].search(words)
        if holds or pattern["static"].search(words) or (moves and denied):
            found.append((span, "static"))
        elif shot or moves:
            found.append((span, "move"))
            found += [(span, move) for move in _MOVES if pattern[move].search(words)]
    return found


def without_camera(text: str, language: str | None) -> str:
    """A text without the words that order what the camera does."""
    for (start, end), _ in camera_in_language(text, str(language)):
        for name in _tables()[str(language)]["camera"]:
            part = _pattern(str(language), "camera", name).sub(_blank, text[start:end])
            text = text[:start] + part + text[end:]
    return text


def read_in_language(request: UserRequest, text: str) -> UserRequest:
    """Read a request; one in a language without a table stays as it is.

    Args:
        request: What is known of it by any language.
        text: Its text, with blanks for what it quotes.
    """
    language = str(request.language)
    if language not in _tables():
        return request
    camera = frozenset(move for _, move in camera_in_language(text, language))
    nouns = nouns_in(text, language)
    if edits := tuple(_edits(text, language)):
        for edit in edits:
            start = text.find(edit.gone, *edit.span)
            end = start + len(edit.gone)
            nouns = tuple(noun for noun in nouns if not start <= noun.span[0] < end)
        return replace(request, things=nouns, edits=edits, camera=camera)
    return replace(
        request,
        camera=camera,
        things=nouns,
        relations=tuple(
            Relation(place.kind, " ".join(place.near), " ".join(place.anchor), place.span)
            for place in _places(text, language, _CLAUSE)
        ),
        negations=tuple(_negations(text, language)),
    )


# ---- the comparison


def compare_in_language(
    request: UserRequest, text: str, language: str, add: Callable[..., None]
) -> None:
    """Compare places, negations and edits of two texts in one language.

    Args:
        request: The short prompt.
        text: The answer, with blanks for what it quotes.
        language: Of both; where there is no table for it nothing is compared.
        add: As for `promptlift.review.english.compare_english`.
    """
    if language not in _tables():
        return
    clauses = [*_clauses(text, language)]
    _compare_places(request, text, language, add)
    for negation in request.negations:
        if negation.words == (_PERSON,) and _asks_for_people(request.text, language):
            continue
        yes, no = _said(clauses, negation.words, language)
        said = negation.text, negation.span
        message = f"The request says {said[0]!r}; the text shows it."
        add("negation", "kept" if no or not yes else "changed", said, no or yes, message, "error")
    for edit in request.edits:
        said = request.text[slice(*edit.span)].strip(), edit.span
        place, wrong = _edited(edit, clauses, text, language)
        message = f"The edit {said[0]!r} is not made in the text." if wrong else ""
        status = "changed" if wrong else "kept" if place or not edit.there else "missing"
        add("edit", status, said, place, message, "error")


def _asks_for_people(text: str, language: str) -> bool:
    people = _pattern(language, "people")
    return any(not no and people.search(clause[0]) for clause, no in _clauses(text, language))


def _said(
    clauses: list[tuple[re.Match[str], bool]], words: tuple[str, ...], language: str
) -> tuple[TextSpan | None, TextSpan | None]:
    """Where a text says words of one clause and where it denies one of them."""
    yes = no = None
    for clause, denied in clauses:
        if words == (_PERSON,):
            nobody = _pattern(language, "nobody").search(clause[0])
            here = [bool(nobody or _pattern(language, "people").search(clause[0]))]
        elif len(words) == 1:
            here = [_has(clause[0], words[0], language)]
        else:
            keys = {unit.key for unit in _units(clause[0], language)}
            here = [word in keys for word in words]
        if denied and any(here):
            no = no or clause.span()
        elif all(here) and not denied:
            yes = yes or clause.span()
    return yes, no


def _compare_places(
    request: UserRequest, text: str, language: str, add: Callable[..., None]
) -> None:
    answer = [*_places(text, language, _SENTENCE)]
    for relation in request.relations:
        wanted, anchor = set(relation.subject.split()), tuple(relation.object.split())
        share = 3 if anchor else 2
        need = max(1, -(-len(wanted) // share))
        scores: dict[str, tuple[int, _Place]] = {}
        for place in answer:
            if bool(place.anchor) != bool(anchor):
                continue
            if anchor and not _same_anchor(anchor, place.anchor, language):
                continue
            common = wanted & set(place.near)
            if any(key[0] != "=" for key in common):
                scores[place.kind] = max(
                    scores.get(place.kind, (0, place)), (len(common), place), key=lambda one: one[0]
                )
        said = request.text[slice(*relation.span)], relation.span
        right, _ = scores.get(relation.kind, (0, None))
        wrong, found = scores.get(_OPPOSITE[relation.kind], (0, None))
        if found and wrong >= need and wrong > right and not _named_before(text, found, language):
            message = f"The request says {said[0]!r}; the text says {text[slice(*found.span)]!r}."
            add("relation", "changed", said, found.span, message, "error")
        elif right >= need:
            add("relation", "kept", said, scores[relation.kind][1].span)


def _named_before(text: str, place: _Place, language: str) -> bool:
    """Whether a sentence also says the opposite of a thing that was named: "..., and below it"."""
    there = _tables()[language]["there"][_OPPOSITE[place.kind]]
    sentence = next(m for m in _SENTENCE.finditer(text) if m.start() <= place.span[0] < m.end())
    return bool(_compile(there, language).search(sentence[0]))


def _edited(
    edit: EditOrder, clauses: list[tuple[re.Match[str], bool]], text: str, language: str
) -> tuple[TextSpan | None, bool]:
    """Where a text speaks of what an edit names, and whether the edit was surely not made."""
    gone, there = edit.gone, edit.there
    colors, own = _shade(gone, language), nouns_in(text, language)
    head, new = _head(gone, language), _head(there, language)
    wanted = _shade(there, language)
    came = _said(clauses, (new,), language)[0] if new and (new != head or not wanted) else None
    if not gone:
        if edit.kind == "change" and wanted and came:
            same = [noun for noun in own if _has(noun.text, new, language)]
            others = [one for one in same if one.colors and wanted[0] not in one.colors]
            if others and wanted[0] not in _shade(text, language):
                return others[0].span, True
        return came, False
    if colors:
        kept = [o for o in own if _has(o.text, head, language) and {*colors} & {*o.colors}]
        place, denied = (kept[0].span if kept else None), None
    else:
        place, denied = _said(clauses, (head,), language) if head else (None, None)
    if edit.kind == "remove":
        return place or denied, place is not None and denied is None
    lasting = edit.kind == "change" and _pattern(language, "setting").search(gone)
    if place is None or lasting or (head == new and not colors):
        return came, False
    stays = came or (wanted and head == new and wanted[0] in _shade(text, language))
    if language in UNSPACED:
        stays = stays or any(char in text for char in new)
    return came or place, not stays and denied is None
