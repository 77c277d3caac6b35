"""An object store in memory that fails as often as it is told to; ``flaky://`` for fsspec."""

from __future__ import annotations

from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["FlakyStore"]


class FlakyStore(MemoryFileSystem):  # type: ignore[misc]
    """A store in memory that fails as often as it is told to."""

    protocol = "flaky"
    cachable = False
    failures = 0
    uploads: list[str] = []  # noqa: RUF012 - shared between instances on purpose

    @classmethod
    def _fail(cls) -> None:
        if cls.failures:
            cls.failures -= 1
            raise ConnectionError("the store is away")

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        """Upload, unless it is to fail."""
        self._fail()
        super().put_file(lpath, rpath, **kwargs)
        self.uploads.append(rpath.rpartition("/")[2])

    def find(self, path: str, **kwargs: Any) -> Any:
        """List, unless it is to fail."""
        self._fail()
        return super().find(path, **kwargs)


fsspec.register_implementation("flaky", FlakyStore, clobber=True)
