"""How a run was begun, kept in its folder so that ``promptlift retry`` needs nothing but that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from promptlift.batch.inputs.asked import row_options
from promptlift.config import Options
from promptlift.errors import InputError, OptionError
from promptlift.files import write_atomic
from promptlift.pipeline.identity import as_asked

__all__ = ["Invocation"]

_FILE = "command.json"


class Invocation(BaseModel):
    """The last command of a run. Holds the name of a key's variable, and never a key.

    Attributes:
        engine: Name of the engine.
        engine_settings: What it was made with.
        options: The options that an answer depends on, as JSON values.
        attempts: How often an item is asked until an answer passes the review.
        on_reject: What the result is when none passes.
        target_tokenizer: Path of the target's tokenizer; None for an estimate.
        addresses: Base URLs that the engines of a cluster are shared out over, where there are
            several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    engine_settings: dict[str, Any]
    options: dict[str, Any]
    attempts: int
    on_reject: str
    target_tokenizer: str | None
    addresses: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        engine: str,
        engine_settings: dict[str, Any],
        options: Options,
        *,
        addresses: Sequence[str] = (),
    ) -> Self:
        """The invocation with these."""
        path = options.target_tokenizer
        return cls(
            engine=engine,
            engine_settings={
                name: str(value) if isinstance(value, Path) else value
                for name, value in engine_settings.items()
            },
            options={**as_asked(options), "template": options.template},
            attempts=options.attempts,
            on_reject=options.on_reject,
            target_tokenizer=None if path is None else str(path),
            addresses=tuple(addresses),
        )

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """The last command of the run in a folder.

        Raises:
            InputError: There is no run, or the file is damaged.
        """
        path = run_dir / _FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError:
            raise InputError(
                f"there is no run in {str(run_dir)!r}",
                remedy="name the folder that `promptlift batch` was given with --output",
            ) from None
        except (ValidationError, OptionError):
            raise InputError(
                f"{str(path)!r} is damaged", remedy="run the `promptlift batch` command again"
            ) from None

    def write(self, run_dir: Path) -> None:
        """Put it into a folder in the place of the one before.

        Raises:
            OutputError: It cannot be written.
        """
        path, text = run_dir / _FILE, self.model_dump_json(indent=2).encode() + b"\n"
        if not path.is_file() or path.read_bytes() != text:  # mostly it is the same command again
            write_atomic(path, text)

    @property
    def patient_settings(self) -> dict[str, Any]:
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
        said = {name: value for name, value in self.options.items() if value not in (None, [])}
        plain = Options.of(
            attempts=self.attempts,
            on_reject=self.on_reject,
            target_tokenizer=None if self.target_tokenizer is None else Path(self.target_tokenizer),
        )
        return row_options(plain, said)
