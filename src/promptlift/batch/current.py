"""Which results belong to a run as it is now, and not to one with other settings before it.

A run that went on with ``--accept-changes`` has results of both in its journal. A row's item is
then told by its key: it must be what the settings of the manifest come to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from promptlift.batch.inputs.asked import row_options
from promptlift.batch.runner.items import Item, Meanings
from promptlift.config import Options
from promptlift.engines.base import EngineInfo
from promptlift.errors import OptionError, OutputError

if TYPE_CHECKING:
    from promptlift.batch.journal import Index
    from promptlift.batch.manifest import Manifest
    from promptlift.batch.rows import Row

__all__ = ["Current"]


class Current:
    """Tells keys of the settings that hold now from others.

    Args:
        index: The journal.
        manifest: What the run is; None where that is lost, and then every key is of now.
    """

    def __init__(self, index: Index, manifest: Manifest | None) -> None:
        self._index = index
        self._meanings = None if manifest is None else _meanings(manifest)

    def has(self, row: Row, key: str) -> bool:
        """Whether the item that a row was last found to be is one of the settings of now."""
        if self._meanings is None:
            return True
        item = _item(row, self._meanings)
        noted = self._index.latest_content(row.video)
        known = (noted, f"unread:{row.video}", f"trouble:{row.digest}")
        if any(content is not None and item.keyed(content) == key for content in known):
            return True
        # The video was replaced while it was worked on: only the record knows what was seen.
        content = self._content_seen(key)
        return content is not None and item.keyed(content) == key

    def _content_seen(self, key: str) -> str | None:
        try:
            content = self._index.record(key)["video"]["content"]
        except (KeyError, TypeError, OutputError):
            return None
        return content if isinstance(content, str) else None


def _meanings(manifest: Manifest) -> Meanings | None:
    said = {name: value for name, value in manifest.settings.items() if value not in (None, [])}
    try:
        options = replace(row_options(Options(), said), template=manifest.template)
    except OptionError:  # by another version, whose options are not ours
        return None
    engine = manifest.engine
    who = EngineInfo(engine.name, engine.model, engine.revision, "", None, None, 1)
    return Meanings(options, who)


def _item(row: Row, meanings: Meanings) -> Item:
    try:
        return Item(row, meanings.of(row.options))
    except OptionError:
        return Item(row, meanings.plain)
