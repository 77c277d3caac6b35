"""A row with what it means in this run, and the settings that rows share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptlift.batch.inputs.asked import row_options
from promptlift.batch.rows import Row
from promptlift.config import Options
from promptlift.core.text import check_short_prompt
from promptlift.engines.base import EngineInfo
from promptlift.errors import PromptError, PromptliftError
from promptlift.pipeline.identity import settings_of, work_key

__all__ = ["Item", "Meaning", "Meanings", "trouble_of"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the settings of some rows come to.

    Attributes:
        options: How their items are treated.
        settings: Digest of all that their answers depend on besides video and prompt.
        own: Whether the rows set any of it themselves.
    """

    options: Options
    settings: str
    own: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One row's work.

    Attributes:
        row: The row.
        meaning: Its settings.
        key: The item's identity; None while the video's content is not known.
    """

    row: Row
    meaning: Meaning
    key: str | None = None

    def keyed(self, content: str) -> str:
        """The key with the content of its video."""
        return work_key(self.meaning.settings, content=content, short_prompt=self.short_prompt)

    @property
    def short_prompt(self) -> str:
        """The prompt as the pipeline cleans it; as it stands where that refuses it."""
        try:
            return check_short_prompt(self.row.prompt)
        except PromptError:
            return self.row.prompt


class Meanings:
    """Gives rows their meaning; most rows share one.

    Args:
        options: What holds where a row says nothing.
        who: The engine, as it describes itself.
    """

    def __init__(self, options: Options, who: EngineInfo) -> None:
        self._options = options
        self._who = who
        self._known: dict[str, Meaning] = {}
        self.plain = Meaning(options, settings_of(options, who), own=False)

    def of(self, said: Mapping[str, Any]) -> Meaning:
        """The meaning of what a row sets.

        Raises:
            OptionError: It sets what does not exist or makes no sense.
        """
        if not said:
            return self.plain
        words = json.dumps(dict(said), sort_keys=True)
        if words not in self._known:
            options = row_options(self._options, said)
            self._known[words] = Meaning(options, settings_of(options, self._who), own=True)
        return self._known[words]


def trouble_of(error: PromptliftError) -> tuple[str, str, str]:
    """An error as a row carries it."""
    return error.code, error.message, error.remedy
