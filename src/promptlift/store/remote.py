"""A run in an object store: a local folder that is worked in, and a copy of it behind a URL.

Nothing can be appended to an object, so results are written to local parts, and each part is put
into the store once, when it is complete. What a kill left is put there by the next run on the same
machine. ``run.json`` and the copies of inputs are put whole when they change; where both the folder
and the store have one when a run begins, the store's holds.

A part is put by a process on the machine of its writer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from promptlift.errors import OptionError, OutputError
from promptlift.files import cache_folder
from promptlift.store.index import PARTS
from promptlift.store.results import PartName, process_runs, this_host, writer_process
from promptlift.store.run_dir import INPUTS, RUN_FILE

__all__ = ["RemoteBehind", "RemoteRun", "RunPlace", "local_copy"]

RunPlace: TypeAlias = Path | str
"""Where a run is: a folder, or a URL that fsspec opens."""

_TRIES = 6
_FIRST_PAUSE_S = 0.5
_HEAD_BYTES = 4096
_FILES = re.compile(rf"{re.escape(RUN_FILE)}|({INPUTS}|{PARTS})/[^./][^/]*\.jsonl")


class RemoteBehind(OutputError):
    """The run is on this machine's disk, and not all of it in the object store."""

    exit_code: ClassVar[int] = 75


class RemoteRun:
    """The local folder of a run in an object store.

    Args:
        url: Where the run is, such as ``s3://bucket/run``.
        folder: The local folder; None for one in the user's cache that the URL names.
        pause_s: Seconds before a transfer that failed is tried again, doubled each time.

    Attributes:
        url: As given, without a slash at the end.
        folder: The local folder, which is there.

    Raises:
        OptionError: fsspec, or what it needs for such URLs, is not installed, or does not open it.
    """

    def __init__(
        self, url: str, folder: Path | None = None, *, pause_s: float = _FIRST_PAUSE_S
    ) -> None:
        self.url = url.rstrip("/")
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.folder = folder or cache_folder() / "runs" / name
        self._pause_s = pause_s
        self._files, self._root = _open_store(self.url)
        self._busy = threading.Lock()
        self._same: dict[str, tuple[int, int]] = {}  # size and time of what the store has as well
        self.folder.mkdir(parents=True, exist_ok=True)

    def pull(self) -> None:
        """Get what the store has and the folder has not, or has another of.

        Raises:
            OutputError: The store cannot be read.
        """
        try:
            self._with_retries(self._pull)
        except Exception as error:
            raise OutputError(
                f"cannot read {self.url!r}: {error}",
                remedy="see that the store answers, and your credentials",
            ) from error

    def push(self, *, final: bool = False) -> None:
        """Put what this machine has and the store has not.

        Args:
            final: Whether no writer of this process is open any more.

        Raises:
            RemoteBehind: The store cannot be written to.
        """
        try:
            self._with_retries(lambda: self._push(final=final))
        except Exception as error:
            raise RemoteBehind(
                f"cannot write to {self.url!r}: {error}; what is not there is in "
                f"{str(self.folder)!r}",
                remedy="run the same command again on this machine: it uploads that first",
            ) from error

    @contextlib.contextmanager
    def syncing(self, seconds: float, say: Callable[[str], None]) -> Iterator[Path]:
        """Work in the folder: get the store's state before, put parts beside, all at the end.

        Args:
            seconds: Between two looks for what is to be put.
            say: Called with one line when uploads begin to fail, and when they go on.

        Raises:
            OutputError: The store cannot be read.
            RemoteBehind: Not all of it could be put there at the end.
        """
        self.pull()
        self.push()
        closing = threading.Event()
        thread = threading.Thread(target=self._push_often, args=(closing, seconds, say))
        thread.daemon = True
        thread.start()
        try:
            yield self.folder
        finally:
            closing.set()
            thread.join()
            self.push(final=True)

    def _push_often(
        self, closing: threading.Event, seconds: float, say: Callable[[str], None]
    ) -> None:
        failing = False
        while not closing.wait(seconds):
            try:
                with self._busy:
                    self._push(final=False)
            except Exception as error:  # noqa: BLE001 - every store raises its own kinds
                if not failing:
                    say(
                        f"promptlift: uploads to {self.url} are paused: {error}; "
                        f"results are kept in {self.folder} and are uploaded later"
                    )
                failing = True
            else:
                if failing:
                    say(f"promptlift: uploads to {self.url} go on")
                failing = False

    def _with_retries(self, work: Callable[[], None]) -> None:
        for attempt in range(_TRIES):
            try:
                with self._busy:
                    return work()
            except Exception:
                if attempt == _TRIES - 1:
                    raise
            time.sleep(self._pause_s * 2**attempt)
        return None

    def _pull(self) -> None:
        self._files.invalidate_cache()
        try:
            found = self._files.find(self._root, detail=True)
        except FileNotFoundError:
            return
        sizes = {path[len(self._root) + 1 :]: int(entry["size"]) for path, entry in found.items()}
        for name in filter(_FILES.fullmatch, sizes):
            path = self.folder / name
            if not self._is_current(name, sizes[name]):
                path.parent.mkdir(exist_ok=True)
                temporary = self.folder / f".transfer-{os.getpid()}"
                self._files.get_file(f"{self._root}/{name}", str(temporary))
                temporary.replace(path)  # a run may be reading the earlier one
            if path.stat().st_size == sizes[name]:
                self._same[name] = _signature(path)

    def _is_current(self, name: str, size: int) -> bool:
        """Whether a file here is what the store has, by its size and head, or more of a part."""
        path = self.folder / name
        here = path.stat().st_size if path.exists() else -1
        if name.startswith(f"{PARTS}/"):
            return here >= size
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            head, target = file.read(_HEAD_BYTES), f"{self._root}/{name}"
            return here == size and self._files.cat_file(target, start=0, end=len(head)) == head
        return False

    def _push(self, *, final: bool) -> None:
        # What is there is always known for a run.
        names = [RUN_FILE] if (self.folder / RUN_FILE).exists() else []
        names += [f"{INPUTS}/{path.name}" for path in self.folder.glob(f"{INPUTS}/[!.]*.jsonl")]
        names += [f"{PARTS}/{name}" for name in self._complete_parts(final=final)]
        for name in names:
            self._put(name)

    def _complete_parts(self, *, final: bool) -> Iterator[PartName]:
        """The parts of this machine that do not change any more."""
        found = [PartName.parse(path.name) for path in self.folder.glob(f"{PARTS}/*.jsonl")]
        parts = sorted(name for name in found if name is not None)
        last = {part.writer: part for part in parts}
        for part in parts:
            host, pid = writer_process(part.writer)
            ended = final if pid == os.getpid() else not process_runs(pid)
            if host == this_host() and (ended or part != last[part.writer]):
                yield part

    def _put(self, name: str) -> None:
        """Put a file into the store, unless it is there as it is now."""
        path = self.folder / name
        if self._same.get(name) == _signature(path):
            return
        target = f"{self._root}/{name}"
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(path), target)
        self._same[name] = _signature(path)


def local_copy(place: RunPlace) -> Path:
    """The folder of a run to read from: the one named, or one that has what the store has now.

    Raises:
        OptionError: The URL cannot be opened, or no run is there.
        OutputError: The store cannot be read.
    """
    if isinstance(place, Path):
        return place
    remote = RemoteRun(place)
    remote.pull()
    if not any(remote.folder.glob("[!.]*")):
        raise OptionError(
            f"there is no run at {place!r}",
            remedy="name the URL that `promptlift batch run` was given with -o",
        )
    return remote.folder


def _open_store(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise OptionError(
            f"cannot open {url!r}: {error}",
            remedy="run `pip install 'promptlift[objects]' s3fs`, or gcsfs or adlfs for s3fs",
        ) from error
    return files, str(root).rstrip("/")


def _signature(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
