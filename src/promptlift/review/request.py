"""What the user asks for: one reading of the short prompt for all who need it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from promptlift.language import dominant_script, guess_language
from promptlift.review.result import TextSpan

__all__ = [
    "Action",
    "CameraMove",
    "EditOrder",
    "Mention",
    "Negation",
    "Quote",
    "Relation",
    "Thing",
    "TimedLine",
    "UserRequest",
    "understand",
]

CameraMove = Literal[
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "forward",
    "backward",
    "shake",
    "move",
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
    """

    noun: str
    text: str
    span: TextSpan
    number: int | None = None
    colors: tuple[str, ...] = ()
    plural: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """Where one thing is, seen from another.

    Attributes:
        kind: ``left``, ``right``, ``above``, ``below``, ``on``, ``under``, ``in``, ``behind``,
            ``front``, ``between`` or ``beside``.
        subject: The lemma of the thing that is placed.
        object: The lemma of the thing that it is placed by; empty for the picture itself.
        span: Where the relation stands.
    """

    kind: str
    subject: str
    object: str
    span: TextSpan


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
    """

    words: tuple[str, ...]
    text: str
    span: TextSpan


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
        camera: What the camera is to do.
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
    camera: frozenset[CameraMove] = frozenset()
    times: tuple[Mention, ...] = ()
    styles: tuple[Mention, ...] = ()
    timed_lines: tuple[TimedLine, ...] = ()


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@lru_cache(maxsize=1024)
def understand(text: str) -> UserRequest:
    """Read a short prompt.

    Args:
        text: The user's words as typed, line breaks included.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    script = dominant_script(text)
    language = script if script != "latin" else guess_language(words)
    return UserRequest(text=text, language=language, word_count=len(words))
