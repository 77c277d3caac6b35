"""One row of an input: a video, a short prompt, and what else it says; and which item it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from promptlift.errors import InputError, OptionError, OutputError, PromptError
from promptlift.options import Options
from promptlift.pipeline import NO_VIDEO, settings_of, work_key
from promptlift.targets import DEFAULT_TARGET, target
from promptlift.targets.templates import TEMPLATES
from promptlift.text import check_short_prompt
from promptlift.types import EngineInfo, Role
from promptlift.video.source import Pictures, combined_content

if TYPE_CHECKING:
    from promptlift.store.index import Index
    from promptlift.store.run_dir import InputCopy, RunConfig

__all__ = [
    "CurrentKeys",
    "ItemOptions",
    "OptionsResolver",
    "Row",
    "count_rows",
    "row_digest",
    "row_json",
    "rows_of",
    "trouble_content",
    "unreadable_content",
]


def row_digest(
    video: str,
    prompt: str,
    options: Mapping[str, Any],
    given: str | None,
    pictures: Sequence[tuple[Role, str]] = (),
) -> str:
    """Name a row by what it says: 32 hexadecimal digits, the same in every run.

    Args:
        video: Path as it is opened.
        prompt: The short prompt.
        options: What the row sets of the options of one item.
        given: The row's own id; None where it has none.
        pictures: Roles and paths of the pictures beside the video.
    """
    said = [video, prompt, dict(options), given]
    words = _sorted_json([*said, pictures] if pictures else said)
    return hashlib.sha256(words.encode()).hexdigest()[:32]


_sorted_json = json.JSONEncoder(sort_keys=True).encode


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        number: Place in its input, from 0.
        id: The row's own, else twelve digits of its digest. Need not be unique.
        video: Path as it is opened; absolute. As it was written where the row has trouble; empty
            where the row is a prompt alone.
        prompt: The short prompt; empty for "describe what is there".
        digest: See `row_digest`.
        options: What the row sets of the options of one item, such as ``control``.
        extra: Columns that are carried through to the export, as JSON values.
        pictures: Roles and paths of pictures beside or instead of a video.
        trouble: Why the row cannot be done, as code, message and remedy; None for nothing. A line
            that is no row at all is a row with trouble, and stops nobody else.
    """

    number: int
    id: str
    video: str
    prompt: str
    digest: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    trouble: tuple[str, str, str] | None = None
    pictures: tuple[tuple[Role, str], ...] = ()

    @classmethod
    def of(
        cls,
        number: int,
        video: str,
        prompt: str = "",
        *,
        id: str | None = None,  # noqa: A002 - the column's name
        options: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        pictures: tuple[tuple[Role, str], ...] = (),
    ) -> Row:
        """A row from what an input says."""
        options = options or {}
        digest = row_digest(video, prompt, options, id, pictures)
        label = id if id is not None else digest[:12]
        more = extra or {}
        return cls(number, label, video, prompt, digest, options, more, pictures=pictures)

    @property
    def source(self) -> str | Pictures | None:
        """What the model is shown."""
        return Pictures(self.video or None, self.pictures) if self.pictures else self.video or None

    @property
    def paths(self) -> tuple[str, ...]:
        """All files that it names, the video first."""
        own = (self.video,) if self.video else ()
        return (*own, *(path for _, path in self.pictures)) if self.pictures else own

    def content(self, contents: Sequence[str]) -> str:
        """One name for the contents of its `paths`."""
        if not self.pictures:
            return contents[0] if contents else NO_VIDEO
        own = 1 if self.video else 0
        roles = (role for role, _ in self.pictures)
        others = list(zip(roles, contents[own:], strict=True))
        return combined_content(contents[0] if own else NO_VIDEO, others)

    @classmethod
    def broken(
        cls,
        number: int,
        said: str,
        error: InputError,
        *,
        video: str = "",
        prompt: str = "",
        id: str | None = None,  # noqa: A002 - the column's name
        extra: Mapping[str, Any] | None = None,
    ) -> Row:
        """A row that cannot be done.

        Args:
            number: Place in its input, from 0.
            said: All that the input says there: the same words are the same row in every run.
            error: Why it cannot be done.
            video: As it is written; empty where nothing is.
            prompt: Likewise.
            id: The row's own, where it has one.
            extra: Columns that are carried through.
        """
        row = cls.of(number, "", said, id=id, extra=extra)
        trouble = (error.code, error.message, error.remedy)
        return replace(row, video=video, prompt=prompt, trouble=trouble)

    def in_shard(self, shard: tuple[int, int]) -> bool:
        """Whether the row belongs to shard ``(i, n)``, the i-th of n, counted from 1."""
        part, parts = shard
        return int(self.digest, 16) % parts == part - 1


def row_json(row: Row) -> bytes:
    """A row as one line of JSON, with its newline."""
    try:
        return msgspec.json.encode(row) + b"\n"
    except UnicodeEncodeError:  # a path that is no UTF-8
        return json.dumps(asdict(row)).encode() + b"\n"


def rows_of(copy: InputCopy, shard: tuple[int, int] | None = None) -> Iterator[Row]:
    """The rows of a copied input, in their order.

    Args:
        copy: The copy.
        shard: ``(i, n)`` for the i-th of n parts only, counted from 1.

    Raises:
        OutputError: The copy is damaged.
    """
    for line in copy.lines():
        try:
            row = _row(line)
        except (ValueError, msgspec.DecodeError):
            raise OutputError(
                f"the copy of the input in {str(copy.path)!r} is damaged",
                remedy="remove it and run `promptlift batch run` with the input again",
            ) from None
        if shard is None or row.in_shard(shard):
            yield row


def count_rows(copy: InputCopy, shard: tuple[int, int] | None = None) -> int:
    """How many rows a copied input has, or a shard of it."""
    return sum(1 for _ in (copy.lines() if shard is None else rows_of(copy, shard)))


_decode = msgspec.json.Decoder(Row).decode


def _row(line: bytes) -> Row:
    try:
        return _decode(line)
    except msgspec.DecodeError:  # a path that is no UTF-8, which the standard library can read
        return msgspec.convert(json.loads(line), Row)


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """The options of some rows, and the part of their items' keys that follows from them.

    Attributes:
        options: How their items are treated.
        settings: Digest of all that their answers depend on besides video and prompt.
        own: Whether the rows set any of it themselves.
    """

    options: Options
    settings: str
    own: bool

    def key(self, content: str, prompt: str) -> str:
        """The key of the item with this content of its video and this short prompt."""
        try:
            checked = check_short_prompt(prompt)
        except PromptError:
            checked = prompt
        return work_key(self.settings, content=content, short_prompt=checked)


class OptionsResolver:
    """Gives rows their options; most rows share them.

    Args:
        options: What holds where a row sets nothing.
        info: The engine, as it describes itself.
    """

    def __init__(self, options: Options, info: EngineInfo) -> None:
        self._options = options
        self._info = info
        self._resolved: dict[str, ItemOptions] = {}
        self.shared = ItemOptions(options, settings_of(options, info), own=False)

    def of(self, row: Row) -> ItemOptions:
        """The options of a row.

        Raises:
            OptionError: It sets one that does not exist or makes no sense.
        """
        if not row.options:
            return self.shared
        words = json.dumps(dict(row.options), sort_keys=True)
        if words not in self._resolved:
            options = self._options.merged(row.options)
            settings = settings_of(options, self._info)
            self._resolved[words] = ItemOptions(options, settings, own=True)
        return self._resolved[words]


def unreadable_content(path: str) -> str:
    """What stands for the content of a file that cannot be read."""
    return f"unread:{path}"


def trouble_content(row: Row) -> str:
    """What stands for the content of the video of a row with trouble."""
    return f"trouble:{row.digest}"


class CurrentKeys:
    """Tells the keys of a run as it is now from those of other options before it.

    A run that went on with ``--accept-changes`` has results of both. A row's key must then be what
    the options in ``run.json`` come to.

    Args:
        index: The results.
        config: What the run is; None where that is lost, and then every key is current.
    """

    def __init__(self, index: Index, config: RunConfig | None) -> None:
        self._index = index
        self._resolver: OptionsResolver | None = None
        if config is not None:
            values: dict[str, Any] = {
                name: value for name, value in config.options.items() if value is not None
            }
            info = EngineInfo(config.engine, config.model, config.revision, "", None, None, 1)
            with contextlib.suppress(OptionError):  # by another version, whose options are not ours
                # Of a template or a target from a file no more than its name is in the folder.
                values["template"] = replace(TEMPLATES["verbatim/1"], name=config.template)
                name, _, digest = str(values.get("target", DEFAULT_TARGET)).rpartition("@")
                if name:
                    values["target"] = structs.replace(target(), name=name, digest=digest)
                options = Options(**values)
                self._resolver = OptionsResolver(options, info)

    def key_of(self, row: Row) -> str | None:
        """The key of a row's item; None where it was not begun with the options of now."""
        key = self._index.key_of(row.digest)
        return key if key is not None and self._is_current(row, key) else None

    def _is_current(self, row: Row, key: str) -> bool:
        if self._resolver is None:
            return True
        try:
            item = self._resolver.of(row)
        except OptionError:
            item = self._resolver.shared
        contents = [unreadable_content(" ".join(row.paths)), trouble_content(row)]
        noted = [one for path in row.paths if (one := self._index.video(path)) is not None]
        if len(noted) == len(row.paths):
            contents.append(row.content([one.content for one in noted]))
        if any(item.key(content, row.prompt) == key for content in contents):
            return True
        # The video was replaced while it was worked on: only the record knows what was seen.
        try:
            content = json.loads(self._index.raw_record(key))["video"]["content"]
        except (KeyError, TypeError, OutputError):
            return False
        return isinstance(content, str) and item.key(content, row.prompt) == key
