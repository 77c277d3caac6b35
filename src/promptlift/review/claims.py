"""What became of each thing that the user asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.language import FUNCTION_WORDS, UNSPACED, dominant_script
from promptlift.review.camera import (
    OPPOSITE_MOVES,
    camera_contradiction,
    camera_mentions,
    moves_in_words,
)
from promptlift.review.english import MOST_READ, compare_english, find_style
from promptlift.review.request import (
    UserRequest,
    language_of,
    quotes_in,
    reads_as_english,
    without_quotes,
)
from promptlift.review.result import Claim, ClaimKind, ClaimStatus, Finding, Severity, TextSpan

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.review.request import Thing

__all__ = ["compare", "style_claim"]

# A longer request tells a story, which an answer retells in its own way: there only lost text and
# another scene are errors.
_SHORT = 60
_SPOKEN = 12  # letters of a quote from which it is a sentence, which may end in a comma


def compare(
    request: UserRequest, text: str, facts: Facts | None = None, *, camera_apart: bool = False
) -> tuple[tuple[Claim, ...], tuple[Finding, ...]]:
    """Compare a cleaned answer with the user's words and with what was measured.

    Args:
        request: The user's words.
        text: The answer.
        facts: What was measured; None if nothing was.
        camera_apart: Whether it may say nothing of the camera but what the user says.

    Returns:
        A claim for each thing that was asked for or added, and a finding for each that matters.
    """
    ledger = _Ledger(request, text)
    _quotes(ledger)
    _names(ledger)
    plain = without_quotes(text)
    if reads_as_english(without_quotes(request.text)) and reads_as_english(plain):
        compare_english(request, plain[:MOST_READ], ledger.add)
    elif request.text.strip():
        _other_languages(ledger)
    _camera(ledger, facts)
    if camera_apart:
        _no_camera(ledger)
    return tuple(ledger.claims), tuple(ledger.findings)


def style_claim(style: str, text: str) -> Claim | None:
    """What became of a style that is asked for besides the short prompt.

    Returns:
        None where it is not found in a text that may name it in another language.
    """
    place = find_style(style, text)
    is_foreign = language_of(text) not in (None, "English", language_of(style))
    if not place and (is_foreign or dominant_script(style) != dominant_script(text)):
        return None
    return Claim(
        kind="style",
        said=style,
        found=text[slice(*place)] if place else "",
        status="kept" if place else "missing",
        found_span=place,
    )


class _Ledger:
    """The claims and findings on one answer."""

    def __init__(self, request: UserRequest, text: str) -> None:
        self.request, self.text = request, text
        self.claims: list[Claim] = []
        self.findings: list[Finding] = []

    def add(
        self,
        kind: ClaimKind,
        status: ClaimStatus,
        said: tuple[str, TextSpan | None],
        place: TextSpan | None = None,
        message: str = "",
        severity: Severity = "warning",
    ) -> None:
        """Enter a claim, and a finding where it was not kept and there is a message."""
        found = self.text[slice(*place)] if place else ""
        self.claims.append(
            Claim(
                kind=kind,
                said=said[0],
                found=found,
                status=status,
                said_span=said[1],
                found_span=place,
            )
        )
        if status == "kept" or not message:
            return
        long = self.request.word_count > _SHORT and kind not in ("quote", "scene")
        if long and severity == "error":
            severity = "warning"
        self.note(kind, message, severity, place)

    def note(
        self,
        kind: ClaimKind | None,
        message: str,
        severity: Severity = "info",
        place: TextSpan | None = None,
    ) -> None:
        """Enter a finding that belongs to no claim."""
        name = kind or "unfaithful"
        self.findings.append(Finding(name=name, severity=severity, message=message, span=place))


def _quotes(ledger: _Ledger) -> None:
    """Text that must stand letter by letter, with marks around it."""
    request, text = ledger.request, ledger.text
    quoted = [quote.text for quote in quotes_in(text)]
    for quote in request.quotes:
        lead = request.text[: quote.span[0]].rstrip().lower()
        if lead.endswith((" from", "instead of", "rather than")) and request.edits:
            continue  # the text that is to go
        wanted = quote.text.rstrip(".,") if len(quote.text) > _SPOKEN else quote.text
        at = _letter_by_letter(text, wanted)
        said = request.text[slice(*quote.span)], quote.span
        if at < 0:
            message = f"The request says {said[0]}, letter by letter; the text does not."
            ledger.add("quote", "missing", said, None, message, "error")
            continue
        status: ClaimStatus = "kept" if any(wanted in other for other in quoted) else "changed"
        message = f"The words {said[0]} must stand in quotation marks."
        ledger.add("quote", status, said, (at, at + len(wanted)), message)


def _letter_by_letter(text: str, wanted: str) -> int:
    """Where words stand with nothing grown onto them, as in "EXIT 24" but not "EXIT 248"; or -1."""
    start, end = (r"(?<!\w)" if wanted[0].isalnum() else ""), (r"(?!\w)" if wanted else "")
    if dominant_script(wanted) in UNSPACED:
        start = end = ""
    found = re.search(f"{start}{re.escape(wanted)}{end}", text)
    return found.start() if found else -1


def _names(ledger: _Ledger) -> None:
    lower = ledger.text.casefold()
    script = dominant_script(ledger.text)
    for name in ledger.request.names:
        if script and dominant_script(name.text) != script:
            continue  # written otherwise in another script
        parts = [part for part in re.split(r"[\W_]+", name.text) if len(part) > 2]
        places = [(lower.find(part.casefold()), part) for part in (name.text, *parts)]
        at, part = next((place for place in places if place[0] >= 0), (-1, ""))
        if at >= 0:
            ledger.add("name", "kept", (name.text, name.span), (at, at + len(part)))
        elif parts:
            message = f"The request names {name.text}; the text does not."
            ledger.add("name", "missing", (name.text, name.span), None, message)


def _camera(ledger: _Ledger, facts: Facts | None) -> None:
    """The user's order, or else the measurement."""
    asked = ledger.request.camera
    measured = frozenset[str](facts.camera.value.moves if facts and facts.camera else ())
    known = asked or measured
    if not known:
        return
    mentions = _camera_words(ledger)
    said = ", ".join(sorted(asked - {"move"} or asked)), None
    problem = camera_contradiction({move for _, move in mentions}, known)
    if problem:
        against = [span for span, move in mentions if OPPOSITE_MOVES.get(move) in known]
        source = "The request says" if asked else "It was measured"
        message = f"{source} that the camera {moves_in_words(known)}; the text says that it "
        place = (against or [mentions[0][0]])[0]
        ledger.add("camera", "changed", said, place, f"{message}{problem}.", "error")
    elif asked:
        place_of = next((span for span, move in mentions if move in asked), None)
        ledger.add("camera", "kept" if place_of else "missing", said, place_of)
        if measured and camera_contradiction(asked, measured):
            message = f"The request says that the camera {moves_in_words(asked)}; in the video it "
            ledger.note("camera", f"{message}{moves_in_words(measured)}.", "warning")


def _camera_words(ledger: _Ledger) -> list[tuple[TextSpan, str]]:
    """What the text says of the camera's movement, in its language."""
    text, language = without_quotes(ledger.text)[:MOST_READ], language_of(ledger.text)
    if language is None or reads_as_english(ledger.text):
        return camera_mentions(text)
    from promptlift.review.languages import camera_in_language

    return camera_in_language(text, str(language))


def _no_camera(ledger: _Ledger) -> None:
    """The first word on the camera that is not the user's."""
    for span, move in _camera_words(ledger):
        if move not in ledger.request.camera:
            message = "The camera's movement is ordered apart from the prompt; the text adds to it."
            ledger.note("camera", message, "error", span)
            return


_NUMERAL = re.compile(r"(?<![\w.,])\d{1,6}(?![\w.,]*\d)(?![a-z%])", re.IGNORECASE)
_MOST_SPELLED = 20  # smaller numbers may be written as words
# A share of the words (or pairs of characters) that an answer in the same language must keep.
_KEPT_WORDS = 0.4
_KEPT_PAIRS = 0.2
_KEPT_CHARACTERS = 0.5
_MOST_WORDS = 400
# Characters that carry grammar in Chinese and Japanese.
_PARTICLES = re.compile(
    "[的了着在把将和与及是有一个位只条张从到给被向对为而且并也都就不没のをにはがでともへやかられるいてしたます]"
)
_LETTERS = re.compile(r"[^\W\d_]+")


def _other_languages(ledger: _Ledger) -> None:
    """Compare by numerals, and in one language by counted and colored nouns and by words."""
    from promptlift.review.languages import (
        compare_in_language,
        is_order,
        nouns_in,
        without_camera,
    )

    request, text = ledger.request, ledger.text
    kept = set(_NUMERAL.findall(text))
    for match in _NUMERAL.finditer(request.text):
        if match[0] not in kept and int(match[0]) > _MOST_SPELLED:
            message = f"The request says {match[0]}; the text does not."
            ledger.add("number", "missing", (match[0], match.span()), None, message, "error")
    asked, answered = request.language, language_of(text)
    if asked is None or asked != answered:
        ledger.note(
            None,
            f"from {asked or 'an unknown language'} to {answered or 'an unknown language'}: only "
            f"numerals above {_MOST_SPELLED}, quotes and names were compared",
        )
        return
    text_read = without_quotes(text)[:MOST_READ]
    compare_in_language(request, text_read, answered, ledger.add)
    found = nouns_in(text, answered)
    for thing in request.things:
        _counted_or_colored(ledger, thing, [other for other in found if other.noun == thing.noun])
    how = "pairs of characters" if asked in UNSPACED else "the starts of words"
    ledger.note(None, f"compared by {how}")
    scene = without_camera(request.text, asked)
    if asked in UNSPACED:
        lost, wanted = _lost_pairs(text, scene)
    else:
        lost, wanted = _lost_words(text, scene, asked)
    share = _KEPT_PAIRS if asked in UNSPACED else _KEPT_WORDS
    if wanted - len(lost) < share * wanted and not is_order(request.text, asked):
        message = f"The text tells of another scene: {len(lost)} of the user's {wanted} words are "
        message += f"missing: {', '.join(lost[:6])}"
        ledger.add("scene", "missing", (request.text[:80], None), None, message, "error")


def _counted_or_colored(ledger: _Ledger, thing: Thing, same: list[Thing]) -> None:
    numbers = [other for other in same if other.number is not None]
    if thing.number is not None and numbers:
        right = any(other.number == thing.number for other in numbers)
        said = f"{thing.number} {thing.text}", thing.span
        message = f"The request says {said[0]}; the text says {numbers[0].number}."
        status: ClaimStatus = "kept" if right else "changed"
        ledger.add("number", status, said, numbers[0].span, message, "error")
    colored = [other for other in same if other.colors]
    for color in thing.colors if colored else ():
        said = f"{color} {thing.text}", thing.span
        message = f"The request says that {thing.text!r} is {color}; the text says "
        message += f"{colored[0].colors[0]}."
        status = "kept" if any(color in other.colors for other in colored) else "changed"
        ledger.add("color", status, said, colored[0].span, message, "error")


def _lost_words(text: str, short_prompt: str, language: str) -> tuple[list[str], int]:
    small = FUNCTION_WORDS.get(language, frozenset())
    asked = dict.fromkeys(word for word in _LETTERS.findall(short_prompt.lower()) if len(word) > 3)
    wanted = [word for word in asked if word not in small][:_MOST_WORDS]
    lower = text.lower()
    lost = [word for word in wanted if word[: max(4, len(word) * 3 // 5)] not in lower]
    return lost, len(wanted)


def _lost_pairs(text: str, short_prompt: str) -> tuple[list[str], int]:
    stretches = _PARTICLES.sub(" ", " ".join(_LETTERS.findall(short_prompt))).split()
    pairs = dict.fromkeys(
        stretch[at : at + 2] for stretch in stretches for at in range(len(stretch) - 1)
    )
    # A short prompt has few pairs, and "red car" may be put in other words of the same characters.
    characters = dict.fromkeys("".join(stretches))
    wanted = list(pairs)[:_MOST_WORDS]
    if sum(char in text for char in characters) >= _KEPT_CHARACTERS * len(characters):
        return [], len(wanted)
    return [pair for pair in wanted if pair not in text], len(wanted)
