"""What every format's reader gives: the items of a spec file, each with the place of its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from promptlift.cosmos.controls import Hint
from promptlift.cosmos.scan import Node
from promptlift.errors import SpecError

__all__ = ["Box", "Format", "Item", "Layout", "Misfit", "Read", "hints", "path", "text"]

Layout: TypeAlias = Literal["document", "lines"]
"""One JSON value in the whole file, or one on each line."""


class Box(NamedTuple):
    """A rectangle in parts of the picture's width and height, from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt of a spec file and everything that bears on it.

    Attributes:
        where: How a person finds it, such as ``line 3``; empty where the file holds only one.
        owner: The object whose member the prompt is.
        prompt: The prompt in the file; None where there is none.
        prompt_path: The file that holds the prompt instead, as written; None for none.
        video: The RGB video, as written; None where none is named.
        hints: The controls, overrides followed.
        region: The part of the picture that the prompt is about; None for the whole.
        region_mask: The mask video that shows that part instead, as written; None for none.
        region_fault: Why the part cannot be known from the spec; empty where it can.
    """

    where: str
    owner: Node
    prompt: str | None
    prompt_path: str | None = None
    video: str | None = None
    hints: tuple[Hint, ...] = ()
    region: Box | None = None
    region_mask: str | None = None
    region_fault: str = ""

    @property
    def is_region(self) -> bool:
        """Whether the prompt is for a part of the picture."""
        return bool(self.region or self.region_mask or self.region_fault)


class Misfit(NamedTuple):
    """An item that cannot be read, and why."""

    where: str
    error: SpecError


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader is given besides the object.

    Attributes:
        where: How a person finds the object.
        base: The spec that a Transfer1 batch runs with; None for none.
        warn: Takes what the generator itself will stumble over.
    """

    where: str
    base: Item | None
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of spec file.

    Attributes:
        name: As in ``--format``.
        title: In words.
        target: The generator's name in `promptlift.core.targets`.
        layouts: How such a file may be laid out.
        beside: Whether relative paths count from the spec's folder; else from the folder that
            the generator is started in.
        matches: Whether an object may be of this format, by its keys.
        read: Gives the items of one object; raises `SpecError` for one that cannot be used.
        refuses: What the generator's loader stumbles over, though it is JSON: any of
            ``blank`` (lines) and ``bom``.
        array: Whether the document is an array of objects and not an object.
    """

    name: str
    title: str
    target: str
    layouts: Sequence[Layout]
    beside: bool
    matches: Callable[[Node], bool]
    read: Callable[[Node, Read], Iterator[Item | Misfit]]
    refuses: frozenset[str] = frozenset({"bom"})
    array: bool = False


def text(owner: Node, key: str) -> str | None:
    """A member that is a text; None where it is missing or null.

    Raises:
        SpecError: It is something else.
    """
    member = owner.get(key)
    if member is None or member.value is None:
        return None
    if not isinstance(member.value, str):
        raise SpecError(f"{key!r} is {member.kind}, not a text", remedy="put it in quotes")
    return member.value


def path(owner: Node, key: str) -> str | None:
    """A member that names a file; None where it is missing, null or empty."""
    return text(owner, key) or None


def hints(owner: Node, keys: frozenset[str], video_key: str) -> tuple[Hint, ...]:
    """The controls that an object names, in its order; null ones are none."""
    found = []
    members = owner.value if isinstance(owner.value, dict) else {}
    for key, node in members.items():
        if key not in keys or node.value is None:
            continue
        if not isinstance(node.value, dict):
            raise SpecError(
                f"the control {key!r} is {node.kind}, not an object",
                remedy="write its settings in braces",
            )
        found.append(Hint(key, path(node, video_key)))
    return tuple(found)
