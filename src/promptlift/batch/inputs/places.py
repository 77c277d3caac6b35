"""Where the videos of an input lie, and the words that lie beside them."""

# ruff: noqa: PTH113, PTH118, PTH122, PTH123
# A million names pass here, and a Path takes several times as long as a text.

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from promptlift.errors import InputError, PromptError, VideoRefused

__all__ = ["Places", "prompt_beside"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|data:")
_PROMPT_BYTES = 65_536
_KEPT = 4096  # names whose place is remembered; the same videos come again and again


class Places:
    """Finds the videos that an input names.

    Args:
        folder: The folder of the input; None for the current one.

    Attributes:
        looked_around: Whether a row was made from more than the input itself: a file was not in
            its folder, or words were looked for beside a video.
    """

    def __init__(self, folder: Path | None) -> None:
        self._here = str(Path.cwd())
        self._folder = self._here if folder is None else str(folder.absolute())
        self.looked_around = False
        self.path = lru_cache(maxsize=_KEPT)(self._path)

    def _path(self, named: str) -> str:
        """The absolute path of a video: from the input's folder, else the current one.

        A video that is in neither is taken to belong into the input's.

        Raises:
            VideoRefused: It is a URL.
            InputError: It is no path.
        """
        if _URL.match(named):
            raise VideoRefused(
                f"{named[:200]!r} is a URL, and promptlift fetches nothing",
                remedy="download the video and give its path",
            )
        if not named or "\0" in named:
            raise InputError(f"{named[:200]!r} is no path of a video", remedy="correct the row")
        if named.startswith("/") or Path(named).is_absolute():
            return _tidy(named)
        first = _tidy(os.path.join(self._folder, named))
        if self._folder == self._here or os.path.lexists(first):
            return first
        self.looked_around = True
        second = _tidy(os.path.join(self._here, named))
        return second if os.path.lexists(second) else first

    def prompt(self, video: str) -> str:
        """The words beside a video; see `prompt_beside`."""
        self.looked_around = True
        return prompt_beside(video)


def _tidy(path: str) -> str:
    """Without ``.`` and doubled slashes; ``..`` stays, since it counts from where a link leads."""
    return str(Path(path)) if "/." in path or "//" in path or "\\" in path else path


def prompt_beside(video: str) -> str:
    """The text of ``clip.txt`` beside ``clip.mp4``; empty where there is none.

    Raises:
        PromptError: It is not UTF-8, too long to be a short prompt, or cannot be read.
    """
    path = os.path.splitext(video)[0] + ".txt"
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            data = file.read(_PROMPT_BYTES + 1)
    except OSError as error:
        raise PromptError(
            f"cannot read {path!r}: {error.strerror}", remedy="check its permissions"
        ) from None
    if len(data) > _PROMPT_BYTES:
        raise PromptError(f"{path!r} is longer than {_PROMPT_BYTES} bytes", remedy="shorten it")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise PromptError(f"{path!r} is not UTF-8", remedy="save it as UTF-8") from None
