"""What a client wants done, where its video is, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from promptlift.config import Options
from promptlift.core.record import Failure, Record
from promptlift.core.text import check_short_prompt
from promptlift.engines.base import EngineInfo
from promptlift.errors import PromptliftError
from promptlift.pipeline.identity import settings_of, work_key
from promptlift.server.models import UpsampleAsked

__all__ = ["Done", "Place", "Wish"]


@dataclass(frozen=True)
class Wish:
    """What a client wants done, in a form that survives the server.

    Attributes:
        asked: The request; its video is named, not held.
        owner: Whose key it came with.
        name: What the client calls the video.
    """

    asked: UpsampleAsked
    owner: str
    name: str

    @cached_property
    def options(self) -> Options:
        """How it is to be done.

        Raises:
            OptionError: Something makes no sense together, or names nothing.
        """
        return self.asked.options()

    @cached_property
    def prompt(self) -> str:
        """The short prompt, checked.

        Raises:
            InputError: It cannot be one.
        """
        return check_short_prompt(self.asked.prompt)

    def check(self) -> None:
        """Raise what `options` or `prompt` would."""
        _ = self.options, self.prompt

    def key(self, who: EngineInfo, content: str) -> str:
        """The key of its item.

        Args:
            who: The engine that is asked.
            content: Hash of the video's content.
        """
        return work_key(settings_of(self.options, who), content=content, short_prompt=self.prompt)

    def to_json(self) -> dict[str, Any]:
        """As it goes into the journal."""
        asked = self.asked.model_dump(mode="json", exclude_defaults=True)
        return {"asked": asked, "owner": self.owner, "name": self.name}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The same again."""
        return cls(UpsampleAsked(**fields["asked"]), fields["owner"], fields["name"])


@dataclass(frozen=True, slots=True)
class Place:
    """A video that a client may use.

    Attributes:
        path: Where it is.
        name: What the client calls it.
        content: Hash of its content, where it is known.
    """

    path: Path
    name: str
    content: str | None


@dataclass(frozen=True)
class Done:
    """What became of a job.

    Attributes:
        key: The item's key; None if it failed before there was one.
        record: The record; None if it failed before there was one.
        failure: Why there is no answer; None where there is one.
        error: The same as it was raised; None where the journal had it.
        cached: Whether the journal had it.
    """

    key: str | None = None
    record: Record | None = None
    failure: Failure | None = None
    error: PromptliftError | None = None
    cached: bool = False

    @cached_property
    def text(self) -> str:
        """The record as JSON."""
        assert self.record is not None
        return self.record.model_dump_json()
