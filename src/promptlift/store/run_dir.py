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

import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from promptlift import __version__
from promptlift.errors import InputError, OptionError, OutputError
from promptlift.files import write_atomic
from promptlift.options import Options
from promptlift.pipeline import choose_template, options_as_json
from promptlift.store.index import PARTS, Index
from promptlift.store.results import (
    SCHEMA,
    process_runs,
    sync_file,
    sync_folder,
    this_host,
    writer_process,
)
from promptlift.targets import Target
from promptlift.template_file import make_template
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

_REMEDY = "name the folder that `promptlift batch run` was given with -o"
_COPY_BYTES = 1 << 18


class RunCommand(BaseModel):
    """The last command of a run, for a retry. Holds the name of a key's variable, never a key.

    Attributes:
        engine: Name of the engine.
        engine_settings: What it was made with.
        options: The options of an item.
        addresses: Base URLs that the engines of a cluster are spread over, where there are several.
        template_source: The text of a template from a file, which may have changed since.
        target_contract: A target from a file, likewise.
        judge: The engine that verifies the results, in one line; None for the engine itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    engine_settings: dict[str, Any]
    options: Options
    addresses: tuple[str, ...] = ()
    template_source: str = ""
    target_contract: dict[str, JsonValue] | None = None
    judge: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Of a template or a target from a file the options have no more than its name."""
        options = values["options"]
        if isinstance(options, Options):
            is_own = isinstance(options.target, Target)
            return {
                **values,
                "template_source": getattr(options.template, "source", ""),
                "target_contract": msgspec.to_builtins(options.target) if is_own else None,
            }
        options = dict(options)
        if source := values.get("template_source"):
            options["template"] = make_template(options["template"].rpartition("@")[0], source)
        if contract := values.get("target_contract"):
            options["target"] = msgspec.convert(contract, Target)
        return {**values, "options": options}

    @staticmethod
    def read(run_dir: Path) -> RunCommand:
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
        return config.command

    @property
    def settings_without_retries(self) -> dict[str, Any]:
        """The engine's settings with no tries of its own: the run knows when to try again."""
        settings = dict(self.engine_settings)
        speaks_http = self.engine == "openai" or "base_url" in settings
        return {**settings, "retries": 0} if speaks_http else settings


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
            template=choose_template(options, info)[0].name,
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
            schema = fields.get("schema")
            if isinstance(schema, int) and schema > SCHEMA:
                raise OptionError(
                    f"{str(path)!r} was written by promptlift {fields.get('promptlift')}, in a "
                    f"format that {__version__} does not know",
                    remedy="use that version or a newer one for this folder",
                )
            return cls.model_validate(fields)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise OptionError(
                f"{str(path)!r} cannot be read, or does not describe a run",
                remedy="remove it and run the same command again; no result is lost by that",
            ) from error

    def write(self, run_dir: Path) -> None:
        """Put it into a folder, whole or not at all, in the place of the one that is there.

        Raises:
            OutputError: It cannot be written.
        """
        text = self.model_dump_json(by_alias=True, indent=2)
        write_atomic(run_dir / RUN_FILE, text.encode() + b"\n")
        sync_folder(run_dir)

    def differences(self, other: RunConfig) -> list[str]:
        """What differs, as phrases: ``seed is 1 here and 0 in the folder``.

        Versions, times and commands are no differences, and an option that is null is as one that
        is not there.
        """
        here, there = self._compared(), other._compared()
        return [
            f"{name} is {here.get(name, 'not set')!s:.60} here and "
            f"{there.get(name, 'not set')!s:.60} in the folder"
            for name in {**here, **there}
            if here.get(name) != there.get(name)
        ]

    def _compared(self) -> dict[str, JsonValue]:
        names = ("engine", "model", "revision", "template")
        values = {**self.options, **{name: getattr(self, name) for name in names}}
        return {name: value for name, value in values.items() if value is not None}


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
    if found := new.differences(old):
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
    names = {RUN_FILE, PARTS, INPUTS, "lost+found"}
    try:
        for folder in (run_dir, run_dir / PARTS, run_dir / INPUTS):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)
            elif folder == run_dir and not (run_dir / RUN_FILE).exists():
                entries = sorted(entry.name for entry in run_dir.iterdir())
                foreign = [name for name in entries if name not in names and name[0] != "."]
                if foreign:
                    raise OutputError(
                        f"{str(run_dir)!r} is not the folder of a run: it holds "
                        f"{len(foreign)} other files or folders, such as {foreign[0]!r}",
                        remedy="name a new or an empty folder",
                    )
        if not os.access(run_dir / PARTS, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it may not be written to")
    except OSError as error:
        raise OutputError(
            f"cannot keep a run in {str(run_dir)!r}: {error.strerror or error}",
            remedy="name a folder that can be written to",
        ) from error


@dataclass(frozen=True, slots=True)
class InputCopy:
    """The copy of one input, read to its end.

    Attributes:
        path: The file.
        source: The input's description, such as its path.
    """

    path: Path
    source: str

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
    config = RunConfig.read(run_dir)
    copies = tuple(input_copies(run_dir))
    with Index(run_dir) as index:
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


def copy_input(run_dir: Path, source: str, lines: Iterable[bytes]) -> InputCopy:
    """Copy an input into a run's folder, in the place of an earlier copy.

    Args:
        run_dir: The folder.
        source: The input's description.
        lines: Its rows, each one line of JSON.

    Raises:
        OutputError: It cannot be written.
    """
    folder = run_dir / INPUTS
    name = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:16]
    path = folder / f"{name}.jsonl"
    for other in folder.glob(f".{this_host()}-*.part"):  # what a kill left
        if not process_runs(writer_process(other.stem[1:])[1]):
            other.unlink(missing_ok=True)
    temporary = folder / f".{this_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    # The token tells this copy from another of the same size.
    header = {"kind": "input", "copy": secrets.token_hex(8), "source": source}
    try:
        with temporary.open("wb", buffering=_COPY_BYTES) as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.writelines(lines)
            file.flush()
            sync_file(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror or error}",
            remedy="name a folder that can be written to",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)
    return InputCopy(path, source)


def _copy_at(path: Path) -> InputCopy | None:
    """The copy in a file; None where it is gone or is none."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
        return InputCopy(path, str(header["source"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
