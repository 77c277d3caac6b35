"""Importing what a command needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["loading"]


@contextmanager
def loading() -> Iterator[None]:
    """Hold off the garbage collector while modules are imported.

    They make objects by the hundred thousand, all of which stay, and the collector would go
    through them again and again, for an eighth of the time that importing takes. What is there
    at the end it never looks at any more.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
