"""The hint frames of the sample, decoded again from their videos, small.

A record keeps which frames were shown and not the frames. They are read again where the video is
still what it was, each in a process of its own: a video that crashed a decoder is in the run too.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, NamedTuple

from promptlift.batch.measure import Sampled
from promptlift.core.video import Instant, Size
from promptlift.errors import VideoError
from promptlift.frames import open_video
from promptlift.frames.isolated import isolated_call
from promptlift.frames.source import content_of

__all__ = ["Pictures", "pictures_of", "shown_times"]

_BOX = Size(320, 320)
_QUALITY = 82
_MOST = 4
_AT_ONCE = 2


class Pictures(NamedTuple):
    """The frames of one record.

    Attributes:
        urls: As ``data:`` addresses, in the order of the record's frames.
        missing: Why there are none, in a few words; empty where there are.
    """

    urls: tuple[str, ...] = ()
    missing: str = ""


def pictures_of(sample: Sequence[Sampled]) -> list[Pictures]:
    """The frames of each of a sample, at most four of one record."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="report") as threads:
        return list(threads.map(_pictures, sample))


def _pictures(sampled: Sampled) -> Pictures:
    outcome, record = sampled
    times = [frame["exact_seconds"] for frame in record.get("frames") or ()]
    content = (record.get("video") or {}).get("content")
    if not times or content is None:
        return Pictures(missing="no frame was shown")
    try:
        if content_of(outcome.row.video) != content:
            return Pictures(missing="the video is no longer the one that was shown")
        urls = isolated_call(_decode, outcome.row.video, _evenly(times))
    except VideoError:
        return Pictures(missing="the video is gone or cannot be read any more")
    return Pictures(urls)


def _evenly(times: Sequence[str]) -> list[str]:
    """At most four, evenly spaced."""
    if len(times) <= _MOST:
        return list(times)
    return [times[number * (len(times) - 1) // (_MOST - 1)] for number in range(_MOST)]


def _decode(path: str, times: Sequence[str]) -> tuple[str, ...]:
    with open_video(path) as reader:
        instants = [Instant.exact(Fraction(time)) for time in times]
        return tuple(_url(frame.image) for frame in reader.frames_at(instants, _BOX))


def _url(image: Any) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def shown_times(record: Mapping[str, Any]) -> list[float]:
    """Seconds of the frames that `pictures_of` gives."""
    frames = record.get("frames") or ()
    kept = set(_evenly([frame["exact_seconds"] for frame in frames]))
    return [frame["seconds"] for frame in frames if frame["exact_seconds"] in kept]
