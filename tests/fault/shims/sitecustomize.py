"""Faults inside our own processes: Python runs this where the folder is on PYTHONPATH.

A process that opens a video whose name begins
with ``hangs`` never comes back, and with ``crashes`` it dies, as codecs do.
"""

import os
import signal
import sys
import time


def _open_badly(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], str):
        return
    name = os.path.basename(arguments[0])  # noqa: PTH119 - pathlib is not to be loaded here
    if name.startswith("hangs"):
        time.sleep(600)
    if name.startswith("crashes"):
        os.kill(os.getpid(), signal.SIGSEGV)


sys.addaudithook(_open_badly)
