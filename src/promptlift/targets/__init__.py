"""What each generator wants: the contract that a prompt for it has to meet.

A contract is one file in ``contracts/``. The template, the token budget, the review, the engine
without a model, the page and the reference read it; nothing about a target stands anywhere else.
Most of these generators cut a longer prompt without a word. The limits are those of the
generator's own code, named in `Target.source`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from promptlift.errors import OptionError
from promptlift.tokens.text import estimate

__all__ = [
    "DEFAULT_TARGET",
    "TARGET_NAMES",
    "Encoder",
    "Example",
    "GeneratedVideo",
    "Target",
    "all_targets",
    "describe",
    "estimate_tokens",
    "prompt_language",
    "read_target",
    "target",
    "written_in",
]

Encoder = Literal["t5", "umt5", "qwen2.5", "llama3", "gemma3"]
"""Families of text encoders' tokenizers, as `promptlift.tokens.text` estimates them."""

_MAX_FILE_BYTES = 262_144


class GeneratedVideo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The videos that a generator makes, as far as its prompts tell of them.

    Attributes:
        fps: Frames per second where none are asked for; None where prompts do not tell.
        rates: Possible frames per second; empty for any.
        seconds: The shortest and the longest video in whole seconds, the rest left out; None
            where prompts do not tell.
        default_seconds: Its length where none is asked for.
        frames: Step and rest of a possible number of frames: 17 and 5 for 17k + 5; None for any.
        sizes: Possible sizes, such as ``1280x720``, the usual one first; empty for any.
    """

    fps: float | None = None
    rates: tuple[float, ...] = ()
    seconds: tuple[float, float] | None = None
    default_seconds: float | None = None
    frames: tuple[int, int] | None = None
    sizes: tuple[str, ...] = ()


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A short prompt and a prompt made of it that meets the contract; written for promptlift."""

    short: str
    prompt: str


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generator that prompts are written for.

    Attributes:
        name: As the user writes it, such as ``cosmos-transfer1``.
        versions: Other names that it is known by, such as of versions that want the same.
        encoder: The family of the text encoder's tokenizer.
        limit: The most tokens that the prompt may take, counted by `encoder`'s tokenizer with
            the special tokens that it adds.
        unit: What the limit counts, in words for a reader.
        source: The file of the generator's project that sets the limit.
        max_characters: The most characters that a hosted generator takes; None for any number.
        form: ``prose`` for a paragraph, ``json`` for one JSON object, ``sections`` for a text of
            named sections.
        document: The structure where `form` is not prose; see `promptlift.targets.documents`.
        fields: Of a JSON document the object as JSON text, with what each value is to say; an
            object in a list stands for any number.
        min_words: Fewest words of English that make a good prompt.
        max_words: Most words of English that make a good prompt.
        languages: English names of the languages that it reads; the first is written where the
            user's own is not among them.
        writes: The language that is written unless the user asks for one, whatever the short
            prompt's; empty to follow the short prompt.
        openings: Whether its makers' own prompts open with words such as "The video shows".
        camera: Whether a prompt must say what the camera does, may say it, or must not unless
            the user orders it or it was measured.
        shot: Whether a prompt should name shot size and camera angle.
        sound: Whether it makes sound, so that a prompt describes what is heard.
        style: Where its makers name the style: ``first`` in the prompt where the user asks for
            one, as ``last tags`` after the description, or nowhere in particular.
        quotes: What it does with words in quotation marks: ``drawn``, ``spoken``, both, or
            nothing in particular.
        instructions: Sentences that a model is told besides the common ones.
        negative: A negative prompt to start from; empty where it takes none.
        extender: How to switch off the generator's own prompt extension, which would rewrite the
            prompt; empty where it has none.
        video: The videos that it makes.
        note: What else is worth knowing; may be empty.
        examples: Prompts that meet the contract.
        digest: Tells files of the user's apart; empty for a target of promptlift.
    """

    name: str
    versions: tuple[str, ...] = ()
    encoder: Encoder
    limit: int
    unit: str
    source: str
    max_characters: int | None = None
    form: Literal["prose", "json", "sections"] = "prose"
    document: Literal["cosmos3", "minimax-h3", ""] = ""
    fields: str = ""
    min_words: int = 60
    max_words: int = 200
    languages: tuple[str, ...] = ("English",)
    writes: str = ""
    openings: bool = False
    camera: Literal["required", "welcome", "only asked"] = "welcome"
    shot: bool = False
    sound: bool = False
    style: Literal["first", "last tags", ""] = ""
    quotes: Literal["drawn", "spoken", "drawn and spoken", ""] = ""
    instructions: tuple[str, ...] = ()
    negative: str = ""
    extender: str = ""
    video: GeneratedVideo = GeneratedVideo()
    note: str = ""
    examples: tuple[Example, ...] = ()
    digest: str = ""

    @property
    def label(self) -> str:
        """The name by which a record tells the contract: with a digest for a file of the user's."""
        return f"{self.name}@{self.digest}" if self.digest else self.name


_FOLDER = Path(__file__).parent / "contracts"
TARGET_NAMES: tuple[str, ...] = tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))
DEFAULT_TARGET = "cosmos-transfer1"


def target(name: str | Target = DEFAULT_TARGET) -> Target:
    """Look up a target by its name; case, spaces, hyphens and underscores do not matter.

    Raises:
        OptionError: There is no such target; the remedy names the nearest, or all.
    """
    if isinstance(name, Target):
        return name
    wanted = name.lower()
    plain = re.sub(r"[-_\s]", "", wanted)
    for known in TARGET_NAMES:
        if plain == known.replace("-", ""):
            return _built_in(known)
    for goal in all_targets():
        if plain in (one.replace("-", "") for one in goal.versions):
            return goal
    near = [known for known in TARGET_NAMES if known.startswith(wanted)]
    near = near or get_close_matches(wanted, TARGET_NAMES, n=1, cutoff=0.6)
    meant = " or ".join(map(repr, near))
    remedy = f"did you mean {meant}" if near else f"use one of {', '.join(TARGET_NAMES)}"
    raise OptionError(f"there is no target {name[:80]!r}", remedy=remedy)


@cache
def _built_in(name: str) -> Target:
    return _parse((_FOLDER / f"{name}.toml").read_bytes())


def all_targets() -> list[Target]:
    """Every target, by name."""
    return [_built_in(name) for name in TARGET_NAMES]


def read_target(path: Path) -> Target:
    """Read a contract from a TOML file of the user's.

    Raises:
        OptionError: It cannot be read, or is no contract; the message names the field.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ValueError(f"it has more than {_MAX_FILE_BYTES:,} bytes")
        made = _parse(content)
    except FileNotFoundError:
        raise OptionError(
            f"there is no target file {str(path)!r}",
            remedy=f"name a file, or use one of {', '.join(TARGET_NAMES)}",
        ) from None
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise OptionError(
            f"the target {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="correct it; docs/how-to/targets.md lists the fields",
        ) from None
    return msgspec.structs.replace(made, digest=hashlib.sha256(content).hexdigest()[:12])


def _parse(content: bytes) -> Target:
    made = msgspec.convert(tomllib.loads(content.decode()), Target)
    if not 0 < made.min_words < made.max_words:
        raise ValueError(f"min_words is {made.min_words} and max_words {made.max_words}")
    if made.limit < 1 or not made.languages:
        raise ValueError("a limit of at least 1 and a language are needed")
    return made


def describe(goal: Target) -> Iterator[tuple[str, str]]:
    """What a target wants, as pairs of a label and a text for readers."""
    if goal.versions:
        yield "also named", ", ".join(goal.versions)
    form = {"prose": "one paragraph", "json": "one JSON object", "sections": "named sections"}
    yield "form", form[goal.form]
    yield "length", f"{goal.min_words} to {goal.max_words} words of English"
    yield "limit", f"{goal.limit:,} {goal.unit}"
    if goal.max_characters:
        yield "characters", f"at most {goal.max_characters:,}"
    read = ", ".join(goal.languages)
    yield "languages", f"{read}; {goal.writes} unless you ask for another" if goal.writes else read
    wants = {
        "the camera has to be told": goal.camera == "required",
        "no camera motion that was neither ordered nor measured": goal.camera == "only asked",
        "shot size and angle": goal.shot,
        "sound": goal.sound,
        "the style first": goal.style == "first",
        "tags of style last": goal.style == "last tags",
        f"words in quotation marks are {goal.quotes}": bool(goal.quotes),
        'may open with "The video shows"': goal.openings,
    }
    if any(wants.values()):
        yield "wants", "; ".join(words for words, is_wanted in wants.items() if is_wanted)
    if goal.instructions:
        yield "told to the model", " ".join(goal.instructions)
    if goal.extender:
        yield "its own extension", goal.extender
    if goal.negative:
        yield "negative prompt", " ".join(goal.negative.split())
    if goal.note:
        yield "note", goal.note
    yield "source of the limit", goal.source


def prompt_language(goal: Target, requested: str | None) -> str:
    """The language in which a prompt is to be written.

    Args:
        goal: The generator.
        requested: The language of the short prompt, or its script; None where neither is known.

    Returns:
        The one that the target always writes, else the user's own where the generator reads it,
        else the first that it reads.
    """
    if goal.writes:
        return goal.writes
    language = "Chinese" if requested == "han" else requested
    return language if language in goal.languages else goal.languages[0]


def written_in(goal: Target, language: str) -> Target:
    """The same target for prompts in a language that the user asks for, and in no other.

    Raises:
        OptionError: It does not read that language.
    """
    for name in goal.languages:
        if name.casefold() == language.casefold():
            return msgspec.structs.replace(goal, languages=(name,), writes=name)
    raise OptionError(
        f"the language {language[:40]!r} is asked for, and {goal.label} reads "
        f"{' and '.join(goal.languages)}",
        remedy="choose a language that it reads, or another target",
    )


def estimate_tokens(text: str, target: Target) -> int:
    """Estimate from above what a prompt costs a target's encoder, without its tokenizer.

    See `promptlift.tokens.text` for how loose the estimate is.
    """
    return estimate(text, target.encoder)
