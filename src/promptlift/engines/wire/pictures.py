"""Frames as ``data:`` URLs, made once however many prompts there are for them."""

from __future__ import annotations

import base64
import io
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

from PIL import Image

from promptlift.core.video import Frame
from promptlift.engines.base import Request

__all__ = ["Pictures", "data_urls"]

_FEW_COLOURS = 256
_JPEG_QUALITY = 95
_MOST_BYTES = 64 << 20


def data_urls(request: Request) -> tuple[str, ...]:
    """Each frame as a ``data:`` URL.

    Edges, masks and maps, where a colour has a meaning or a line is one pixel wide, go as PNG;
    camera pictures as JPEG of quality 95 without chroma subsampling.
    """
    return tuple(_data_url(frame, lossless=_lossless(request)) for frame in request.frames)


@dataclass(slots=True)
class _Made:
    """A URL, and whose it is."""

    frame: weakref.ref[Frame]
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str | None = None


class Pictures:
    """Remembers the URLs of frames for as long as the frames live, the latest first.

    A frame is known by itself and not by what it shows: the same object, which nobody changes, is
    the same picture. It is not kept alive. May be used from many threads: a frame that one of them
    is encoding is waited for by the others.

    Args:
        most_bytes: Characters of URLs that are kept, which are a byte each.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[int, bool], _Made] = OrderedDict()

    def known(self, request: Request) -> tuple[str, ...] | None:
        """The URLs of a request's frames; None unless all of them are there already."""
        lossless = _lossless(request)
        urls = []
        with self._lock:
            for frame in request.frames:
                made = self._made.get((id(frame), lossless))
                if made is None or made.url is None or made.frame() is not frame:
                    return None
                self._made.move_to_end((id(frame), lossless))
                urls.append(made.url)
        return tuple(urls)

    def urls(self, request: Request) -> tuple[str, ...]:
        """The URLs of a request's frames, made where they are not there; see `data_urls`."""
        lossless = _lossless(request)
        return tuple(self._url(frame, lossless=lossless) for frame in request.frames)

    def _url(self, frame: Frame, *, lossless: bool) -> str:
        key = (id(frame), lossless)
        with self._lock:
            made = self._made.get(key)
            # An address may have been another frame's, which is gone.
            if made is None or made.frame() is not frame:
                self._drop(key)
                made = self._made[key] = _Made(weakref.ref(frame))
        with made.lock:
            if made.url is None:
                url = _data_url(frame, lossless=lossless)
                self._keep(key, made, url)
                return url
            return made.url

    def _keep(self, key: tuple[int, bool], made: _Made, url: str) -> None:
        """Note a URL, and forget those of frames that are gone, and the oldest of too much."""
        with self._lock:
            if self._made.get(key) is not made:
                return
            made.url = url
            self._held += len(url)
            for gone in [key for key, each in self._made.items() if each.frame() is None]:
                self._drop(gone)
            while self._held > self._most and self._made:
                self._drop(next(iter(self._made)))

    def _drop(self, key: tuple[int, bool]) -> None:
        dropped = self._made.pop(key, None)
        if dropped is not None and dropped.url is not None:
            self._held -= len(dropped.url)


def _lossless(request: Request) -> bool:
    return request.shown is not None


def _data_url(frame: Frame, *, lossless: bool) -> str:
    picture = Image.fromarray(frame.image)
    buffer = io.BytesIO()
    if lossless or picture.getcolors(_FEW_COLOURS) is not None:
        picture.save(buffer, "PNG", compress_level=1)
        media = "image/png"
    else:
        picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        media = "image/jpeg"
    return f"data:{media};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
