"""A run in an object store: a local folder that is worked in, and whole objects that follow it.

Nothing can be appended to an object, so that the journal is written on a disk, as it always is,
and each of its segments is uploaded whole, again and again while it grows. The folder is kept: what
a kill left unsent is sent by the next run on the same machine, before anything else.

Only the writer of a segment uploads it, or, once its process is gone, the machine it was on. A
segment only ever grows, so that of two copies the longer one holds the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from promptlift.batch.journal.folder import INPUTS, MANIFEST, SEGMENTS
from promptlift.batch.journal.names import here, process_of, runs
from promptlift.errors import OptionError, OutputError
from promptlift.files import replacing

__all__ = ["EVERY_S", "Mirror", "MirrorBehind", "Place", "local_copy"]

Place: TypeAlias = Path | str
"""Where a run is: a folder, or a URL that fsspec opens."""

EVERY_S = 10.0
"""Seconds between two uploads."""

_SHARE = 10  # of the time, the part that uploads may take
_QUICK_S = 1.0
_TRIES = 6
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_TAIL_BYTES = 256
_COMMAND = "command.json"
_SENT = ".sent.json"
_SOURCE = re.compile(r"\A[0-9a-f]{16}\.")  # before the writer's name in that of a reading's part

Told: TypeAlias = Callable[[str], None]


class MirrorBehind(OutputError):
    """The run is on this machine's disk, and not all of it in the object store."""

    exit_code: ClassVar[int] = 75


class Mirror:
    """The local folder of a run in an object store.

    Args:
        url: Where the run is, such as ``s3://bucket/run``.
        folder: The local folder; None for one in the user's cache that the URL names.
        every_s: Seconds between two uploads, where uploading takes less than a tenth of that.
        pause_s: Seconds before a transfer that failed is tried again, doubled each time.

    Attributes:
        url: As given, without a slash at the end.
        folder: The local folder, which is there.

    Raises:
        OptionError: fsspec, or what it needs for such URLs, is not installed, or does not open it.
    """

    def __init__(
        self,
        url: str,
        folder: Path | None = None,
        *,
        every_s: float = EVERY_S,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self.url = url.rstrip("/")
        self.folder = folder or _cached(self.url)
        self._every_s = every_s
        self._pause_s = pause_s
        self._files, self._root = _opened(self.url)
        self._sent: dict[str, tuple[int, int]] = {}
        self._busy = threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)

    def pull(self) -> None:
        """Bring what the store has and the folder has not, or has less of.

        Raises:
            OutputError: The store cannot be read.
        """
        with self._busy:
            self._patiently(self._pull, "read")

    def push(self) -> None:
        """Upload what this machine has and the store has not.

        Raises:
            MirrorBehind: The store cannot be written to.
        """
        with self._busy:
            self._patiently(self._push, "write to")

    def send(self, path: Path) -> None:
        """Upload one file of the folder as it is now, if it has changed since; tried once.

        Raises:
            Exception: What the store raises; see `behind`.
        """
        with self._busy:
            self._send(path.relative_to(self.folder).as_posix())

    def behind(self, error: Exception) -> MirrorBehind:
        """What an error of the store comes to: the results are on this machine's disk alone."""
        return MirrorBehind(
            f"cannot write to {self.url!r}: {_reason(error)}; what is not there is in "
            f"{str(self.folder)!r}",
            remedy="run the same command again on this machine: it uploads that first",
        )

    @contextlib.contextmanager
    def kept_up(self, told: Told) -> Iterator[Path]:
        """Work in the folder: the store's state before, uploads beside, all in the store after.

        Args:
            told: Called with one line when uploads begin to fail, and when they go on.

        Raises:
            OutputError: The store cannot be read.
            MirrorBehind: Not all of it could be uploaded at the end.
        """
        self._tidy()
        self.pull()
        self.push()
        closing = threading.Event()
        hand = threading.Thread(target=self._follow, args=(closing, told), daemon=True)
        hand.start()
        try:
            yield self.folder
        finally:
            closing.set()
            hand.join()
            self.push()

    def _tidy(self) -> None:
        """Remove the copies of transfers that a kill broke off."""
        for suffix in ("upload", "download"):
            for path in self.folder.glob(f".*-*.{suffix}"):
                pid = path.name[1:].partition("-")[0]
                if pid.isdigit() and not runs(int(pid)):
                    path.unlink(missing_ok=True)

    def _follow(self, closing: threading.Event, told: Told) -> None:
        pause, failing = self._every_s, False
        while not closing.wait(pause):
            began = time.monotonic()
            try:
                with self._busy:
                    self._push()
            except Exception as error:  # noqa: BLE001 - every store raises its own kinds
                pause = min(max(self._pause_s, 2 * pause if failing else 0), _LONGEST_PAUSE_S)
                if not failing:
                    told(
                        f"promptlift: uploads to {self.url} are paused: {_reason(error)}; "
                        f"results are kept in {self.folder} and are uploaded later"
                    )
                failing = True
            else:
                if failing:
                    told(f"promptlift: uploads to {self.url} go on")
                took = time.monotonic() - began
                pause = max(self._every_s, _SHARE * took if took > _QUICK_S else 0)
                failing = False

    def _patiently(self, work: Callable[[], None], what: str) -> None:
        pause = self._pause_s
        for left in reversed(range(_TRIES)):
            try:
                return work()
            except Exception as error:
                if not left:
                    raise self._error(what, error) from error
            time.sleep(pause)
            pause *= 2
        return None

    def _error(self, what: str, error: Exception) -> OutputError:
        if what != "read":
            return self.behind(error)
        return OutputError(
            f"cannot read {self.url!r}: {_reason(error)}",
            remedy="see that the store answers, and your credentials",
        )

    def _pull(self) -> None:
        self._remember()
        there = self._there()
        for name in sorted(there, key=_order):
            path, size = self.folder / name, there[name]
            if self._is_news(name, path, size):
                self._download(name, path)
            elif path.stat().st_size != size:
                continue  # it is longer here, or replaced: the next push sends it
            self._sent[name] = _signature(path)
        self._note()

    def _is_news(self, name: str, path: Path, size: int) -> bool:
        """Whether the store's file takes the place of the folder's."""
        if not path.exists():
            return True
        if _only_grows(name):
            return path.stat().st_size < size
        if self._sent.get(name) != _signature(path):
            return False  # it was replaced here, and that was not sent yet
        # The last line of a reading has a sum of all before it; the other files are short.
        start = max(0, size - _TAIL_BYTES) if "/" in name else 0
        tail = self._files.cat_file(f"{self._root}/{name}", start=start, end=size)
        with path.open("rb") as file:
            file.seek(start)
            return bool(file.read() != tail)

    def _download(self, name: str, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        temporary = self.folder / f".{os.getpid()}-{threading.get_ident()}.download"
        try:
            self._files.get_file(f"{self._root}/{name}", str(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _push(self) -> None:
        for name in sorted(filter(self._to_send, self._here()), key=_order):
            # A part may become a whole reading meanwhile; its new name is sent the next time.
            with contextlib.suppress(FileNotFoundError):
                self._send(name)
        for name in [name for name in self._sent if name.endswith(".part")]:
            if not (self.folder / name).exists():  # it became a whole reading
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(f"{self._root}/{name}")
                del self._sent[name]
        self._note()

    def _send(self, name: str) -> None:
        signature = _signature(self.folder / name)
        if self._sent.get(name) != signature:
            self._upload(name, signature[0])
            self._sent[name] = signature

    def _remember(self) -> None:
        """What was the same here and in the store when this machine last looked."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            said = json.loads((self.folder / _SENT).read_bytes())
            self._sent = {name: (int(size), int(at)) for name, (size, at) in said.items()}

    def _note(self) -> None:
        # Without fsync: a loss of it costs one more upload of each file.
        with replacing(self.folder / _SENT) as temporary:
            temporary.write_text(json.dumps(self._sent))

    def _to_send(self, name: str) -> bool:
        return not _only_grows(name) or _is_ours(name)

    def _upload(self, name: str, size: int) -> None:
        """Upload a file as it was when it had `size` bytes; whoever writes to it goes on."""
        copy = self.folder / f".{os.getpid()}-{threading.get_ident()}.upload"
        target = f"{self._root}/{name}"
        try:
            with (self.folder / name).open("rb") as source, copy.open("wb") as sink:
                _copy(source, sink, size)
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            if "file" not in _protocols(self._files):
                self._files.put_file(str(copy), target)
            else:  # An object appears when it is whole; a file would be seen half written.
                beside = f"{self._root}/.{os.getpid()}-{socket.gethostname()}.upload"
                self._files.put_file(str(copy), beside)
                Path(beside).replace(target)
        finally:
            copy.unlink(missing_ok=True)

    def _here(self) -> Iterator[str]:
        for name in (MANIFEST, _COMMAND):
            if (self.folder / name).exists():
                yield name
        for folder in (INPUTS, SEGMENTS):
            for path in (self.folder / folder).glob("*"):
                if _is_a_runs(f"{folder}/{path.name}"):
                    yield f"{folder}/{path.name}"

    def _there(self) -> dict[str, int]:
        self._files.invalidate_cache()
        try:
            found = self._files.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._root) + 1
        sizes = {path[start:]: int(entry["size"]) for path, entry in found.items()}
        return {name: size for name, size in sizes.items() if _is_a_runs(name)}


def local_copy(place: Place) -> Path:
    """The folder of a run to read from: the one named, or one that has what the store has now.

    Raises:
        OptionError: The URL cannot be opened, or no run is there.
        OutputError: The store cannot be read.
    """
    if isinstance(place, Path):
        return place
    mirror = Mirror(place)
    mirror.pull()
    if not any(mirror.folder.glob("[!.]*")):
        raise OptionError(
            f"there is no run at {place!r}",
            remedy="name the URL that `promptlift batch` was given with -o",
        )
    return mirror.folder


def _cached(url: str) -> Path:
    import platformdirs

    cache = os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift")
    return Path(cache) / "runs" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _opened(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise OptionError(
            f"a run at {url!r} needs fsspec, which is not installed",
            remedy="pip install 'promptlift[objects]'",
        ) from error
    try:
        files, root = url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise OptionError(
            f"cannot open {url!r}: {error}",
            remedy="install what fsspec needs for such URLs, such as s3fs or gcsfs",
        ) from error
    return files, str(root).rstrip("/")


def _protocols(files: Any) -> tuple[str, ...]:
    named = files.protocol
    return (named,) if isinstance(named, str) else tuple(named)


def _only_grows(name: str) -> bool:
    return name.startswith(f"{SEGMENTS}/") or name.endswith(".part")


def _is_a_runs(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if file.startswith("."):
        return False
    return name in (MANIFEST, _COMMAND) or (
        (folder in (SEGMENTS, INPUTS) and file.endswith(".jsonl"))
        or (folder == INPUTS and file.endswith(".part"))
    )


def _order(name: str) -> tuple[bool, bool, str]:
    """The manifest before all else, so that what is there is always told for a run."""
    return name != MANIFEST, "/" in name, name


def _is_ours(name: str) -> bool:
    """Whether the file's writer is this process, or one of this machine that is gone."""
    stem = name.rpartition("/")[2].removesuffix(".jsonl").removesuffix(".part")
    found = process_of(_SOURCE.sub("", stem))
    if found is None:
        return False
    host, pid = found
    return host == here() and (pid == os.getpid() or not runs(pid))


def _signature(path: Path) -> tuple[int, int]:
    seen = path.stat()
    return seen.st_size, seen.st_mtime_ns


def _copy(source: Any, sink: Any, size: int) -> None:
    while size > 0 and (block := source.read(min(size, shutil.COPY_BUFSIZE))):  # type: ignore[attr-defined]
        sink.write(block)
        size -= len(block)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
