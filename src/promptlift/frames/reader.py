"""What every opened video can do, however it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from promptlift.core.video import Frame, Instant, PacketIndex, Size, Strip, VideoInfo

__all__ = ["Reader"]


class Reader(ABC):
    """An opened video; a context manager that closes it.

    A reader is for one thread at a time. Every method may be called in any order and any number
    of times. All of them raise `promptlift.errors.VideoUnreadable` where no picture can be had.

    Attributes:
        info: What the video is.
    """

    info: VideoInfo

    @property
    @abstractmethod
    def index(self) -> PacketIndex:
        """What can be told of the packets without decoding; empty where there are none."""

    @property
    @abstractmethod
    def content_id(self) -> str:
        """The name of the content, whatever the file is called.

        ``sha256:<hex>`` of all bytes up to 64 MiB; above, ``sha256-sampled:<hex>`` of the size
        and of blocks of the file; for a list of pictures, the hash of their hashes.
        """

    @abstractmethod
    def frames_at(
        self,
        instants: Sequence[Instant],
        box: Size,
        *,
        exactly: bool = False,
        native: bool = False,
    ) -> tuple[Frame, ...]:
        """Give the frames on show at ascending instants, scaled to fit into a box.

        An instant before the first frame gives the first frame; one after the end, the last
        frame that can be decoded. A frame that several instants share is given once. Where an
        instant has a window, a keyframe inside it may be taken instead (`Frame.snapped`).

        Args:
            instants: The moments to look at, ascending.
            box: The most pixels across and down; nothing is enlarged.
            exactly: Give frames of the very size of `box`, enlarged and stretched as need be.
            native: Give `promptlift.frames.native.NativeFrame` where the video's own colours can
                be kept, for a clip.

        Returns:
            At most as many frames as instants, in order, each with its true time.
        """

    @abstractmethod
    def first(
        self, count: int, box: Size, *, exactly: bool = False, native: bool = False
    ) -> tuple[Frame, ...]:
        """Give the first frames shown, fewer where the video has fewer; see `frames_at`."""

    @abstractmethod
    def strip(
        self,
        *,
        side: int = 320,
        fps: int = 8,
        max_seconds: int = 30,
        keep: Sequence[Instant] = (),
    ) -> Strip:
        """Give a small copy for measuring: at most `fps` pictures a second, all of one size.

        Of a video longer than `max_seconds`, a few separate stretches are taken.

        Args:
            side: The most pixels across and down.
            fps: The most pictures a second of video.
            max_seconds: The longest video that is sampled as a whole.
            keep: Ascending instants that `frames_at` will be asked for; where they can be had in
                passing they are kept for it, and `holds` them then.
        """

    def holds(self, instants: Sequence[Instant]) -> bool:  # noqa: ARG002 - not what is not kept
        """Whether the frames at some instants were kept by `strip`, so that they cost nothing."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Give back the file; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
