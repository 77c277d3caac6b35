"""What a run is: its options, its engine and its versions, kept beside its journal.

A folder holds results of any settings side by side, since each has its own key; the manifest
keeps a run from going on with other settings without anyone noticing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from promptlift import __version__
from promptlift.batch.journal.folder import MANIFEST, sync_folder
from promptlift.batch.journal.lines import SCHEMA
from promptlift.config import Options
from promptlift.engines.base import EngineInfo
from promptlift.errors import OptionError
from promptlift.files import write_atomic
from promptlift.pipeline.identity import as_asked, template_name

__all__ = ["Manifest", "ManifestEngine", "differences", "ensure"]

_LONGEST_VALUE = 60


class ManifestEngine(BaseModel):
    """Who answers, as far as the answer depends on it."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    revision: str


class Manifest(BaseModel):
    """What a run is.

    Attributes:
        format: Version of the folder's format; ``schema`` in the file.
        promptlift: Version that made the folder.
        made_at: Seconds since 1970, for people only.
        settings: The options as asked, as JSON values.
        engine: Who answers.
        template: Digest of the template.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    format: int = Field(default=SCHEMA, alias="schema")
    promptlift: str = __version__
    made_at: float = Field(default_factory=lambda: round(time.time(), 3))
    settings: dict[str, JsonValue]
    engine: ManifestEngine
    template: str

    @classmethod
    def of(cls, options: Options, who: EngineInfo) -> Self:
        """What a run with these options and this engine is."""
        engine = ManifestEngine(name=who.name, model=who.model, revision=who.revision)
        return cls(settings=as_asked(options), engine=engine, template=template_name(options, who))

    @classmethod
    def read(cls, run_dir: Path) -> Self | None:
        """The manifest of a folder; None where there is none.

        Raises:
            OptionError: It cannot be read, is damaged, or a newer version wrote it.
        """
        path = run_dir / MANIFEST
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
                f"{str(path)!r} is not the manifest of a run",
                remedy="remove it and run the same command again; no result is lost by that",
            ) from error

    def write(self, run_dir: Path) -> None:
        """Put it into a folder, whole or not at all, in the place of the one that is there.

        Raises:
            OutputError: It cannot be written.
        """
        text = json.dumps(self.model_dump(by_alias=True), indent=2)
        write_atomic(run_dir / MANIFEST, text.encode() + b"\n")
        sync_folder(run_dir)


def differences(old: Manifest, new: Manifest) -> list[str]:
    """What differs, as phrases: ``seed is 1 here and 0 in the folder``.

    Versions of promptlift and times are no differences, and a setting that is null is as one
    that is not there.
    """
    there, here = dict(_flat(_said(old))), dict(_flat(_said(new)))
    names = [*here, *(name for name in there if name not in here)]
    return [
        f"{name} is {_shown(here.get(name))} here and {_shown(there.get(name))} in the folder"
        for name in names
        if not _same(here.get(name), there.get(name))
    ]


def ensure(run_dir: Path, new: Manifest, *, accept_changes: bool = False) -> Manifest:
    """Let a run begin in a folder, or go on in it.

    Nothing is locked: of two runs that begin at once, each reads what lies there after it has
    written, so that with the same settings both go on.

    Args:
        run_dir: A folder that `promptlift.batch.journal.open_folder` has opened.
        new: What this run is.
        accept_changes: Take the place of a manifest that differs.

    Returns:
        The manifest that holds from now on.

    Raises:
        OptionError: The folder's differs.
        OutputError: It cannot be written.
    """
    old = Manifest.read(run_dir)
    if old is None or (accept_changes and differences(old, new)):
        new.write(run_dir)
        old = Manifest.read(run_dir) or new
    found = differences(old, new)
    if found:
        raise OptionError(
            f"the run in {str(run_dir)!r} was begun with other settings: {'; '.join(found)}",
            remedy=(
                "give the settings of the folder, name another folder, or go on with "
                "--accept-changes, which leaves the old results out of the export"
            ),
        )
    return old


def _refuse_newer(path: Path, fields: Any) -> None:
    schema = fields.get("schema") if isinstance(fields, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise OptionError(
            f"{str(path)!r} was written by promptlift {fields.get('promptlift')}, in a format "
            f"that {__version__} does not know",
            remedy="use that version or a newer one for this folder",
        )


def _said(manifest: Manifest) -> dict[str, JsonValue]:
    engine = manifest.engine
    return {
        **manifest.settings,
        "engine": engine.name,
        "model": engine.model,
        "revision": engine.revision,
        "template": manifest.template,
    }


def _flat(values: Mapping[str, JsonValue], under: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{under}{name}.")
        else:
            yield under + name, value


def _same(one: JsonValue, other: JsonValue) -> bool:
    """As JSON, where ``1`` is not ``true``; a whole number is the same as a fraction."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _shown(value: JsonValue) -> str:
    if value is None or value == "":
        return "not set"
    plain = isinstance(value, str) and not any(c.isspace() for c in value)
    text = str(value) if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
