"""What each generator wants: the contract that a prompt for it has to meet.

A contract is one file in ``contracts/``. The template, the token budget, the review, the engine
without a model, the page and the reference read it; nothing about a target stands anywhere else.
Most of these generators cut a longer prompt without a word. The limits are those of the
generator's own code, named in `Target.source`.
"""

from __future__ import annotations

import hashlib
import tomllib
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
    "estimate_tokens",
    "prompt_language",
    "read_target",
    "target",
]

Encoder = Literal["t5", "umt5", "qwen2.5", "llama3", "gemma3"]
"""Families of text encoders' tokenizers, as `promptlift.tokens.text` estimates them."""

_MAX_FILE_BYTES = 262_144


class GeneratedVideo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The videos that a generator makes, as far as its prompts tell of them.

    Attributes:
        fps: Frames per second where none are asked for; None where prompts do not tell.
        seconds: The shortest and the longest video; None where prompts do not tell.
        default_seconds: Its length where none is asked for.
        frames: Step and rest of a possible number of frames: 17 and 5 for 17k + 5; None for any.
        sizes: Possible sizes, such as ``1280x720``, the usual one first; empty for any.
    """

    fps: float | None = None
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
        encoder: The family of the text encoder's tokenizer.
        limit: The most tokens that the prompt may take, counted by `encoder`'s tokenizer with
            the special tokens that it adds.
        unit: What the limit counts, in words for a reader.
        source: The file of the generator's project that sets the limit.
        max_characters: The most characters that a hosted generator takes; None for any number.
        form: ``prose`` for a paragraph, ``json`` for one JSON object, ``sections`` for a text of
            named sections.
        document: The structure where `form` is not prose; see `promptlift.targets.documents`.
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
    encoder: Encoder
    limit: int
    unit: str
    source: str
    max_characters: int | None = None
    form: Literal["prose", "json", "sections"] = "prose"
    document: Literal["cosmos3", "minimax-h3", ""] = ""
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
    """Look up a target by its name; case, spaces and underscores do not matter.

    Raises:
        OptionError: There is no such target; the remedy names the nearest, or all.
    """
    if isinstance(name, Target):
        return name
    wanted = "-".join(name.lower().replace("_", " ").split())
    if wanted in TARGET_NAMES:
        return _built_in(wanted)
    near = get_close_matches(wanted, TARGET_NAMES, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]!r}" if near else f"use one of {', '.join(TARGET_NAMES)}"
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


def estimate_tokens(text: str, target: Target) -> int:
    """Estimate from above what a prompt costs a target's encoder, without its tokenizer.

    See `promptlift.tokens.text` for how loose the estimate is.
    """
    return estimate(text, target.encoder)
