"""The folder of a run: its layout, what the run is, and the copies of its inputs.

::

    RUN_DIR/
      run.json                                 options, engine, versions and the last command
      inputs/<source>.jsonl                    the copy of one input: a header, then one row a line
      parts/<turn>.<writer>.<number>.jsonl     results; see `promptlift.store.results`

A folder holds results of any options side by side, since each has its own key. ``run.json`` keeps a
run from going on with other options without anyone noticing. It and the copies of inputs are
replaced whole; nothing is locked.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from promptlift import __version__
from promptlift.errors import InputError, OptionError, OutputError
from promptlift.files import write_atomic
from promptlift.options import Options
from promptlift.pipeline import choose_template, options_as_json
from promptlift.store.index import PARTS, Index
from promptlift.store.results import (
    SCHEMA,
    is_disk_full,
    process_runs,
    sync_folder,
    this_host,
    writer_process,
)
from promptlift.types import EngineInfo

__all__ = [
    "INPUTS",
    "PARTS",
    "RUN_FILE",
    "InputCopy",
    "RunCommand",
    "RunConfig",
    "RunDir",
    "copy_input",
    "create_run_dir",
    "ensure_config",
    "input_copies",
    "open_run",
]

RUN_FILE: Final = "run.json"
INPUTS: Final = "inputs"

_EXPECTED = {RUN_FILE, PARTS, INPUTS, "lost+found"}
_NAMED = 3
_LONGEST_VALUE = 60
_REMEDY = "name the folder that `promptlift batch run` was given with -o"
_COPY_BYTES = 1 << 18
_LONGEST_PAUSE_S = 10.0
_ABANDONED_S = 86_400


class RunCommand(BaseModel):
    """The last command of a run, for a retry. Holds the name of a key's variable, never a key.

    Attributes:
        engine: Name of the engine.
        engine_settings: What it was made with.
        options: The options that are not the defaults, as JSON values.
        addresses: Base URLs that the engines of a cluster are spread over, where there are several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    engine_settings: dict[str, Any]
    options: dict[str, Any]
    addresses: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        engine: str,
        engine_settings: Mapping[str, Any],
        options: Options,
        *,
        addresses: Sequence[str] = (),
    ) -> Self:
        """The command with these."""
        return cls(
            engine=engine,
            engine_settings={
                name: str(value) if isinstance(value, Path) else value
                for name, value in engine_settings.items()
            },
            options=options.model_dump(mode="json", exclude_defaults=True),
            addresses=tuple(addresses),
        )

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """The last command of the run in a folder.

        Raises:
            InputError: There is no run, or none that a command began.
            OptionError: ``run.json`` cannot be read.
        """
        config = RunConfig.read(run_dir)
        if config is None or config.command is None:
            raise InputError(
                f"there is no run in {str(run_dir)!r}",
                remedy="name the folder that `promptlift batch run` was given with --output",
            )
        return cls.model_validate(config.command.model_dump())

    @property
    def settings_without_retries(self) -> dict[str, Any]:
        """The engine's settings with no tries of its own: the run knows when to try again."""
        settings = dict(self.engine_settings)
        speaks_http = self.engine == "openai" or "base_url" in settings
        return {**settings, "retries": 0} if speaks_http else settings

    @property
    def item_options(self) -> Options:
        """The options of an item.

        Raises:
            OptionError: One of them makes no sense any more.
        """
        return Options(**self.options)


class RunConfig(BaseModel):
    """What a run is.

    Attributes:
        format: Version of the folder's format; ``schema`` in the file.
        promptlift: Version that made the folder.
        created_at: Seconds since 1970, for people only.
        options: The options that an answer depends on, as JSON values.
        engine: Who answers; with the next two, what the answers depend on.
        model: The model's name.
        revision: Of the model.
        template: Name of the template.
        command: The last command; None for a run that none began.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    format: int = Field(default=SCHEMA, alias="schema")
    promptlift: str = __version__
    created_at: float = Field(default_factory=lambda: round(time.time(), 3))
    options: dict[str, JsonValue]
    engine: str
    model: str
    revision: str
    template: str
    command: RunCommand | None = None

    @classmethod
    def of(cls, options: Options, info: EngineInfo, command: RunCommand | None = None) -> Self:
        """What a run with these options and this engine is."""
        return cls(
            options=options_as_json(options),
            engine=info.name,
            model=info.model,
            revision=info.revision,
            template=choose_template(options, info)[0],
            command=command,
        )

    @classmethod
    def read(cls, run_dir: Path) -> Self | None:
        """The ``run.json`` of a folder; None where there is none.

        Raises:
            OptionError: It cannot be read, is damaged, or a newer version wrote it.
        """
        path = run_dir / RUN_FILE
        try:
            fields = json.loads(path.read_bytes())
            _refuse_newer(path, fields)
            return cls.model_validate(fields)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OptionError(
                f"cannot read {str(path)!r}: {error.strerror or error}",
                remedy="see that it may be read",
            ) from error
        except (ValueError, ValidationError) as error:
            raise OptionError(
                f"{str(path)!r} does not describe a run",
                remedy="remove it and run the same command again; no result is lost by that",
            ) from error

    def write(self, run_dir: Path) -> None:
        """Put it into a folder, whole or not at all, in the place of the one that is there.

        Raises:
            OutputError: It cannot be written.
        """
        text = json.dumps(self.model_dump(by_alias=True), indent=2)
        write_atomic(run_dir / RUN_FILE, text.encode() + b"\n")
        sync_folder(run_dir)

    def differences(self, other: RunConfig) -> list[str]:
        """What differs, as phrases: ``seed is 1 here and 0 in the folder``.

        Versions, times and commands are no differences, and an option that is null is as one that
        is not there.
        """
        here, there = self._compared(), other._compared()
        return [
            f"{name} is {_text(here.get(name))} here and {_text(there.get(name))} in the folder"
            for name in {**here, **there}
            if not _same(here.get(name), there.get(name))
        ]

    def _compared(self) -> dict[str, JsonValue]:
        names = ("engine", "model", "revision", "template")
        return {**self.options, **{name: getattr(self, name) for name in names}}


def ensure_config(run_dir: Path, new: RunConfig, *, accept_changes: bool = False) -> RunConfig:
    """Let a run begin in a folder, or go on in it.

    Nothing is locked: of two runs that begin at once, each reads what lies there after it has
    written, so that with the same options both go on.

    Args:
        run_dir: A folder that `create_run_dir` has opened.
        new: What this run is.
        accept_changes: Replace a ``run.json`` that differs.

    Returns:
        What holds from now on.

    Raises:
        OptionError: The folder's differs.
        OutputError: It cannot be written.
    """
    old = RunConfig.read(run_dir)
    if old is None or (accept_changes and new.differences(old)):
        new.write(run_dir)
        old = RunConfig.read(run_dir) or new
    found = new.differences(old)
    if found:
        raise OptionError(
            f"the run in {str(run_dir)!r} was begun with other options: {'; '.join(found)}",
            remedy=(
                "give the options of the folder, name another folder, or go on with "
                "--accept-changes, which leaves the old results out of the export"
            ),
        )
    if new.command is not None and new.command != old.command:
        old = old.model_copy(update={"command": new.command})
        old.write(run_dir)
    return old


def create_run_dir(run_dir: Path) -> None:
    """Make the folder of a run, or see that it is one and can be written to.

    Raises:
        OutputError: It is a file, it may not be written to, or it holds other things.
    """
    try:
        if run_dir.exists():
            _refuse_foreign(run_dir)
        for folder in (run_dir, run_dir / PARTS, run_dir / INPUTS):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)
    except FileExistsError as error:
        raise _refused(Path(error.filename), "it is a file, not a folder") from error
    except NotADirectoryError as error:
        raise _refused(run_dir, "a part of that path is a file") from error
    except OSError as error:
        raise _refused(run_dir, error.strerror or str(error)) from error
    if not os.access(run_dir / PARTS, os.W_OK | os.X_OK):
        raise _refused(run_dir, "it may not be written to")


@dataclass(frozen=True, slots=True)
class InputCopy:
    """The copy of one input, read to its end.

    Attributes:
        path: The file.
        source: The input's description, such as its path.
        stamp: What tells that the input is unchanged, as a JSON value; None where nothing tells.
        rows: How many there are.
    """

    path: Path
    source: str
    stamp: Any
    rows: int

    def lines(self) -> Iterator[bytes]:
        """The rows as lines of JSON, in the order of the input."""
        with self.path.open("rb", buffering=_COPY_BYTES) as file:
            file.readline()
            yield from file


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run as it is now, to be read: results, inputs and what it is.

    Attributes:
        path: The folder.
        index: Its results.
        inputs: Copies of its inputs, sorted by their descriptions.
        config: What it is; None where ``run.json`` was lost.
    """

    path: Path
    index: Index
    inputs: tuple[InputCopy, ...]
    config: RunConfig | None

    @property
    def complete(self) -> bool:
        """Whether its rows are known."""
        return bool(self.inputs)


@contextmanager
def open_run(run_dir: Path, *, source: str | None = None) -> Iterator[RunDir]:
    """Read the results of a run. Nothing is written, so that others may work in the folder.

    Args:
        run_dir: The folder.
        source: The one input whose rows are wanted; None for all.

    Raises:
        OptionError: The folder is no run, or there is no such input.
        OutputError: It cannot be read.
    """
    if not run_dir.is_dir():
        what = "is a file" if run_dir.exists() else "is not there"
        raise OptionError(f"the folder {str(run_dir)!r} {what}", remedy=_REMEDY)
    config = RunConfig.read(run_dir)
    copies = tuple(input_copies(run_dir))
    with Index.load(run_dir) as index:
        if config is None and not copies and not index.writers:
            raise OptionError(f"{str(run_dir)!r} is not the folder of a run", remedy=_REMEDY)
        chosen = tuple(copy for copy in copies if source is None or copy.source == source)
        if source is not None and not chosen:
            names = ", ".join(repr(copy.source) for copy in copies) or "none"
            raise OptionError(
                f"the run has no input {source!r}", remedy=f"name one that it has read: {names}"
            )
        yield RunDir(run_dir, index, chosen, config)


def input_copies(run_dir: Path) -> list[InputCopy]:
    """The copies of inputs in a run's folder, sorted by their descriptions."""
    found = (_copy_at(path) for path in (run_dir / INPUTS).glob("[!.]*.jsonl"))
    return sorted((copy for copy in found if copy is not None), key=lambda copy: copy.source)


def copy_input(
    run_dir: Path,
    source: str,
    stamp: Callable[[], Any],
    lines: Iterable[bytes],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> InputCopy:
    """Copy an input into a run's folder, or take the earlier copy where the input is unchanged.

    Args:
        run_dir: The folder.
        source: The input's description.
        stamp: Gives what tells that the input is unchanged, as a JSON value; None where nothing
            tells. Called before the first line is taken and after the last one.
        lines: Its rows, each one line of JSON; not touched where the earlier copy is taken.
        pause: Waits so many seconds while the disk is full.

    Raises:
        OutputError: It cannot be written.
    """
    folder = run_dir / INPUTS
    path = (
        folder / f"{hashlib.sha256(source.encode(errors='surrogateescape')).hexdigest()[:16]}.jsonl"
    )
    before = json.loads(json.dumps(stamp()))  # as it comes back: tuples are lists
    earlier = _copy_at(path)
    if before is not None and earlier is not None and earlier.stamp == before:
        return earlier
    _remove_abandoned(folder)
    temporary = folder / f".{this_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        with temporary.open("wb", buffering=0) as file:
            name = secrets.token_hex(8)
            place = len(_header(name, source, before, 0, reusable=False))
            rows, block = 0, bytearray()
            for line in lines:
                rows += 1
                block += line
                if len(block) >= _COPY_BYTES:
                    place = _write_at(file, place, bytes(block), pause)
                    block.clear()
            _write_at(file, place, bytes(block), pause)
            reusable = before is not None and json.loads(json.dumps(stamp())) == before
            _write_at(file, 0, _header(name, source, before, rows, reusable=reusable), pause)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror or error}",
            remedy="name a folder that can be written to",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)
    copy = _copy_at(path)
    assert copy is not None, "it was just written"
    return copy


def _header(name: str, source: str, stamp: Any, rows: int, *, reusable: bool) -> bytes:
    """The first line of a copy; its length does not depend on the last two."""
    words = json.dumps({"kind": "input", "copy": name, "source": source, "stamp": stamp})
    return f'{words[:-1]}, "rows": {rows:>12}, "reusable": {json.dumps(reusable):>5}}}\n'.encode()


def _copy_at(path: Path) -> InputCopy | None:
    """The copy in a file; None where it is gone or is none."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.readline())
        stamp = said["stamp"] if said["reusable"] else None
        return InputCopy(path, str(said["source"]), stamp, int(said["rows"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write_at(file: BinaryIO, place: int, data: bytes, pause: Callable[[float], None]) -> int:
    """Write at a place, waiting while the disk is full; gives the place behind the data.

    All is on the disk on return, so that a full disk of a network file system is met here.
    """
    wait = 0.1
    while True:
        try:
            view = memoryview(data)
            while view:
                view = view[os.pwrite(file.fileno(), view, place + len(data) - len(view)) :]
            _sync(file.fileno())
        except OSError as error:
            if not is_disk_full(error):
                raise
        else:
            return place + len(data)
        pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE_S)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def _remove_abandoned(folder: Path) -> None:
    """Remove what copies have left that a kill broke off."""
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError, ValueError):
            host, pid = writer_process(path.name[1:].removesuffix(".part"))
            here = host == this_host()
            old = path.stat().st_mtime < time.time() - _ABANDONED_S
            if not process_runs(pid) if here else old:
                path.unlink()


def _refuse_newer(path: Path, fields: Any) -> None:
    schema = fields.get("schema") if isinstance(fields, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise OptionError(
            f"{str(path)!r} was written by promptlift {fields.get('promptlift')}, in a format "
            f"that {__version__} does not know",
            remedy="use that version or a newer one for this folder",
        )


def _refuse_foreign(run_dir: Path) -> None:
    if not run_dir.is_dir():
        raise FileExistsError(errno.EEXIST, "it is a file", str(run_dir))
    names = sorted(entry.name for entry in run_dir.iterdir())
    foreign = [n for n in names if n not in _EXPECTED and not n.startswith(".")]
    if foreign and RUN_FILE not in names:
        named = ", ".join(repr(name) for name in foreign[:_NAMED])
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        raise OutputError(
            f"{str(run_dir)!r} is not the folder of a run: it holds {named}{more}",
            remedy="name a new or an empty folder",
        )


def _refused(folder: Path, why: str) -> OutputError:
    return OutputError(
        f"cannot keep a run in {str(folder)!r}: {why}",
        remedy="name a folder that can be written to",
    )


def _same(one: JsonValue, other: JsonValue) -> bool:
    """As JSON, where ``1`` is not ``true``; a whole number is the same as a fraction."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _text(value: JsonValue) -> str:
    if value is None or value == "":
        return "not set"
    plain = isinstance(value, str) and not any(c.isspace() for c in value)
    text = str(value) if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
