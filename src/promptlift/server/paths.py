"""Files that clients may name: below ``--allow-path``, links resolved, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from promptlift.files import content_id
from promptlift.frames.source import open_source
from promptlift.server.errors import Refusal

__all__ = ["AllowedPaths", "content_of"]


class AllowedPaths:
    """The folders.

    Args:
        folders: They are there; links in their own names are resolved now.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folder.resolve(strict=True) for folder in folders)

    def resolve(self, named: str) -> Path:
        """The file that a client names; relative names are below the first folder.

        Raises:
            Refusal: No folder was allowed; or it is not there, no file, or not below one. These
                have one answer, so that nobody learns what lies elsewhere.
        """
        if not self._folders:
            raise Refusal(
                403,
                "no_paths",
                "this server reads no files for its clients",
                remedy="upload the video, or start the server with --allow-path",
            )
        try:
            path = (self._folders[0] / named).resolve(strict=True)
            allowed = path.is_file() and any(path.is_relative_to(one) for one in self._folders)
        except (OSError, ValueError, RuntimeError):
            allowed = False
        if not allowed:
            raise Refusal(
                404,
                "path_not_found",
                "there is no such file below the folders that are allowed",
                remedy="check the path, or upload the video",
            )
        return path


def content_of(path: Path) -> str:
    """Hash of a file's content, as the pipeline names it.

    Raises:
        VideoError: It cannot be read.
    """
    opened = open_source(path)
    with opened.file as file:
        return content_id(file, opened.size)
