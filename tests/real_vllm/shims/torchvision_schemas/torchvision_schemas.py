"""Called by ``import torch``: declare the two operators that torchvision registers fakes for.

The package index serves a torchvision built for CUDA. Beside a torch for the CPU its native
library does not load, and its import then stops at the fake kernels of ``nms`` and ``qnms``
because nothing has declared them. With both declared, the transforms, which are plain torch,
work; the two operators themselves stay out of reach.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

_kept: list[Any] = []  # a library object undoes its declarations when it is collected


def declare() -> None:
    """Declare both, where torch has no GPU build and torchvision has one."""
    import torch

    if _kept or torch.version.cuda or torch.version.hip or not _built_for_cuda():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)


def _built_for_cuda() -> bool:
    try:
        version = distribution("torchvision").locate_file("torchvision/version.py")
        with open(str(version)) as file:  # noqa: PTH123 - locate_file promises no Path
            return "+cu" in file.read()
    except (PackageNotFoundError, OSError):
        return False
