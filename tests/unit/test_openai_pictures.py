"""Frames are encoded once while they live, and never taken for one another."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from promptlift.core.video import Frame
from promptlift.engines.base import Request
from promptlift.engines.wire.chat import messages
from promptlift.engines.wire.pictures import Pictures, data_urls


def frame(seed: int = 7, side: int = 48) -> Frame:
    """A frame of many colours."""
    image = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return Frame(Fraction(0), image, wanted=Fraction(0))


def asked(*frames: Frame) -> Request:
    """A request with frames."""
    return Request("what is seen?", frames)


def test_what_is_remembered_is_what_would_be_made() -> None:
    """The URLs are those that are made without a memory, the first time and later."""
    request = asked(frame(1), frame(2))
    pictures = Pictures()
    for _ in range(3):
        assert pictures.urls(request) == data_urls(request)
    assert messages(request, pictures.urls(request)) == messages(request)


def test_nothing_is_known_until_all_of_it_was_made() -> None:
    """A request is known when each of its frames was made before, in whatever request."""
    one, two = frame(1), frame(2)
    pictures = Pictures()
    assert pictures.known(asked(one, two)) is None
    pictures.urls(asked(one))
    assert pictures.known(asked(one, two)) is None
    made = pictures.urls(asked(two, one))
    assert pictures.known(asked(one, two)) == (made[1], made[0])
    assert pictures.known(asked()) == ()


def test_the_same_frame_is_the_same_string() -> None:
    """Nothing is encoded twice: the very string comes back."""
    request = asked(frame())
    pictures = Pictures()
    (first,), (again,) = pictures.urls(request), pictures.urls(replace(request, text="other"))
    assert first is again


def test_a_control_picture_is_made_apart() -> None:
    """The same frame goes as JPEG where it is a camera's, and as PNG where it is a control's."""
    camera = asked(frame())
    control = replace(camera, shown="depth")
    pictures = Pictures()
    for request, media in ((camera, "jpeg"), (control, "png"), (camera, "jpeg")):
        (url,) = pictures.urls(request)
        assert url.startswith(f"data:image/{media};")
        assert pictures.known(request) == (url,)


def test_a_frame_equal_in_all_but_itself_is_another() -> None:
    """An array that is drawn over under a new frame is a new picture."""
    first = frame()
    pictures = Pictures()
    (before,) = pictures.urls(asked(first))
    first.image[:] = 0
    second = replace(first)
    assert pictures.known(asked(second)) is None
    assert pictures.urls(asked(second)) != (before,)


def test_frames_at_the_same_address_are_not_mistaken() -> None:
    """Frames come and go, and the memory of one is never given for the next at its place."""
    pictures = Pictures()
    addresses = set()
    for shade in range(200):
        image = np.full((4, 4, 3), shade, np.uint8)
        request = asked(Frame(Fraction(0), image, wanted=Fraction(0)))
        addresses.add(id(request.frames[0]))
        assert pictures.known(request) is None
        assert pictures.urls(request) == data_urls(request)
        del request
    assert len(addresses) < 200  # or the test has shown nothing


def test_frames_are_not_kept_alive() -> None:
    """A frame that is let go of is gone, and its URL goes when the next is made."""
    pictures = Pictures()
    request = asked(frame())
    gone = weakref.ref(request.frames[0])
    pictures.urls(request)
    del request
    gc.collect()
    assert gone() is None
    held = asked(frame(2))
    (url,) = pictures.urls(held)
    assert pictures._held == len(url)
    assert len(pictures._made) == 1


def test_the_memory_is_bounded() -> None:
    """What was used last is kept, up to the bound; what is larger than it is not kept at all."""
    frames = [frame(seed) for seed in range(4)]
    length = max(len(url) for one in frames for url in data_urls(asked(one)))
    pictures = Pictures(most_bytes=int(2.5 * length))
    pictures.urls(asked(frames[0]))
    pictures.urls(asked(frames[1]))
    assert pictures.known(asked(frames[0])) is not None
    pictures.urls(asked(frames[2]))
    assert [pictures.known(asked(one)) is not None for one in frames] == [True, False, True, False]
    assert pictures._held <= 2.5 * length
    huge = asked(frame(side=256))
    assert pictures.urls(huge) == data_urls(huge)
    assert pictures.known(huge) is None
    assert pictures._held <= 2.5 * length


def test_many_threads_make_a_picture_once() -> None:
    """A crowd that asks for the same frames at once gets the same strings."""
    request = asked(*(frame(seed, side=256) for seed in range(3)))
    pictures = Pictures()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: pictures.urls(request), range(64)))
    assert len({tuple(map(id, urls)) for urls in made}) == 1


def test_a_picture_that_cannot_be_made_is_no_rule() -> None:
    """A failure is told each time, and leaves nothing behind that would keep others waiting."""
    broken = Frame(Fraction(0), np.zeros((4, 4, 7), np.uint8), wanted=Fraction(0))
    pictures = Pictures()
    for _ in range(2):
        with pytest.raises(TypeError):
            pictures.urls(asked(broken))
    assert pictures.known(asked(broken)) is None
    assert pictures._held == 0
