"""The NVIDIA GPUs of this machine, with their memory as it is now."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from promptlift.errors import OptionError

__all__ = ["GIB", "Gpu", "choose_gpu", "gib", "parse_smi", "read_gpus"]

GIB = 1 << 30

_FP8_CAPABILITY = (8, 9)
_GPU_QUERY = "index,uuid,name,memory.total,memory.free,compute_cap"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, as it is now.

    Attributes:
        index: Its place in the order of the PCI bus.
        uuid: Its identity.
        name: What it is sold as.
        total: Bytes that it has.
        free: Bytes that nobody holds.
        capability: Compute capability.
    """

    index: int
    uuid: str
    name: str
    total: int
    free: int
    capability: tuple[int, int]

    @property
    def can_fp8(self) -> bool:
        """Whether it multiplies 8-bit floats itself."""
        return self.capability >= _FP8_CAPABILITY


def read_gpus(environ: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs that this process may use, with their memory as it is now; none is no error."""
    found = _from_nvml()
    if found is None:
        found = _from_smi()
    return _visible(found, os.environ if environ is None else environ)


def choose_gpu(gpus: list[Gpu], index: int | None) -> Gpu | None:
    """The GPU of that index, else the one with most free memory; None where there is none.

    Raises:
        OptionError: There is none of that index.
    """
    if index is None:
        return max(gpus, key=lambda gpu: gpu.free, default=None)
    for gpu in gpus:
        if gpu.index == index:
            return gpu
    there = ", ".join(str(gpu.index) for gpu in gpus) or "none"
    raise OptionError(f"there is no GPU {index} to be used", remedy=f"those there are: {there}")


def _from_nvml() -> list[Gpu] | None:
    """Through nvidia-ml-py where it is installed; None where it is not, or has no driver."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        return [_gpu_from_nvml(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _gpu_from_nvml(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        total=memory.total,
        free=memory.free,
        capability=tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # bytes up to release 11


def _from_smi() -> list[Gpu]:
    command = ["nvidia-smi", f"--query-gpu={_GPU_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_smi(done.stdout)


def parse_smi(text: str) -> list[Gpu]:
    """The GPUs of nvidia-smi's table; a line that is not of that form is no GPU."""
    found = []
    for line in text.splitlines():
        with suppress(ValueError):
            index, uuid, name, total, free, capability = (part.strip() for part in line.split(","))
            major, minor = capability.split(".")
            mib = 1 << 20
            found.append(
                Gpu(
                    int(index),
                    uuid,
                    name,
                    int(total) * mib,
                    int(free) * mib,
                    (int(major), int(minor)),
                )
            )
    return found


def _visible(gpus: list[Gpu], environ: Mapping[str, str]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names, by index or by the start of a UUID."""
    names = environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return gpus
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return [
        gpu
        for gpu in gpus
        if any(
            name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))
            for name in wanted
        )
    ]


def gib(size: int) -> str:
    """A size for people."""
    return f"{size / GIB:.1f} GiB"
