"""Tell the rows that are to be worked on from those that are finished, without opening a video."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from promptlift.batch.journal import Index
from promptlift.batch.policy import Retry, wanted
from promptlift.batch.rows import Row
from promptlift.batch.runner.contents import unread
from promptlift.batch.runner.items import Item, Meanings, trouble_of
from promptlift.errors import OptionError

__all__ = ["Sieve", "Sifted"]

_GONE = ""


@dataclass(slots=True)
class Sifted:
    """What became of some rows.

    Attributes:
        todo: Items that are to be worked on, or whose content is to be hashed first.
        finished: How many rows are finished, by the state of their items.
        news: Rows that are finished and were not known to be these items: digest and key.
    """

    todo: list[Item] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    news: list[tuple[str, str]] = field(default_factory=list)


class Sieve:
    """Knows the journal and the settings. Like the index, for one thread at a time.

    Args:
        index: The journal.
        meanings: The settings.
        retry: What is done again besides what a rerun always does.
    """

    def __init__(self, index: Index, meanings: Meanings, retry: Retry | None) -> None:
        self._index = index
        self._meanings = meanings
        self._retry = retry

    def sift(self, rows: Iterable[Row]) -> Sifted:
        """Sort rows; each video is looked at once, however many of them name it."""
        sifted = Sifted()
        held: dict[str, str | None] = {}
        for row in rows:
            item = self._item(row)
            key = self._key(item, held)
            if key is None:
                sifted.todo.append(item)
            else:
                self._sort(Item(item.row, item.meaning, key), key, sifted)
        return sifted

    def settled(self, key: str) -> str | None:
        """State of an item that is finished; None where it is to be worked on."""
        standing = self._index.state(key)
        if standing is None or wanted(
            standing.state, retryable=standing.retryable, retry=self._retry
        ):
            return None
        return standing.state

    def is_news(self, digest: str, key: str) -> bool:
        """Whether the journal does not know yet that this row is this item."""
        return self._index.key_of(digest) != key

    def refresh(self) -> None:
        """Read what other writers have added."""
        self._index.refresh()

    def _sort(self, item: Item, key: str, sifted: Sifted) -> None:
        state = self.settled(key)
        if state is None:
            sifted.todo.append(item)
            return
        sifted.finished[state] += 1
        if self.is_news(item.row.digest, key):
            sifted.news.append((item.row.digest, key))

    def _item(self, row: Row) -> Item:
        try:
            return Item(row, self._meanings.of(row.options))
        except OptionError as error:
            return Item(replace(row, trouble=trouble_of(error)), self._meanings.plain)

    def _key(self, item: Item, held: dict[str, str | None]) -> str | None:
        """An item's key; None where its video must be hashed first.

        Args:
            item: The item.
            held: What videos hold, as `_content` has it, of those that were looked at just now.
        """
        row = item.row
        if row.trouble is not None:
            return item.keyed(f"trouble:{row.digest}")
        if row.video not in held:
            held[row.video] = self._content(row.video)
        content = held[row.video]
        if content == _GONE:
            return self._key_of_what_was_there(item)
        return None if content is None else item.keyed(content)

    def _content(self, path: str) -> str | None:
        """What a file holds, as the journal has it; None where it has not, or not of this state."""
        try:
            status = os.stat(path)  # noqa: PTH116 - two hundred thousand of them
        except (OSError, ValueError):
            return _GONE
        return self._index.content_of(path, status.st_size, status.st_mtime_ns)

    def _key_of_what_was_there(self, item: Item) -> str:
        """A video that is gone: what was finished with it stays finished."""
        path = item.row.video
        content = self._index.latest_content(path)
        if content is not None and self.settled(known := item.keyed(content)) is not None:
            return known
        return item.keyed(unread(path))
