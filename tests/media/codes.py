"""Pictures that say which frame they are: its number in large black and white blocks.

A grid of 4x4 blocks, row by row: a white one, ten bits of the number, four bits of a checksum, a
black one. A picture that is turned, mirrored, torn or mixed from two frames fails the checksum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRID", "coded_picture", "read_number"]

GRID = 4
_BITS = 10
_CHECK_BITS = 4
_CHECKS = 1 << _CHECK_BITS


def _check_of(number: int) -> int:
    return (number * 7 + number // 16 * 5 + 3) % _CHECKS


def _bits(value: int, count: int) -> list[int]:
    return [value >> shift & 1 for shift in range(count - 1, -1, -1)]


def coded_picture(
    number: int, width: int, height: int, *, black: int = 0, white: int = 255
) -> NDArray[np.uint8]:
    """Draw a number from 0 to 1023; gives ``(height, width, 3)``."""
    cells = [1, *_bits(number, _BITS), *_bits(_check_of(number), _CHECK_BITS), 0]
    grid = np.array(cells, dtype=np.uint8).reshape(GRID, GRID)
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    grey = np.where(grid[rows][:, columns] > 0, white, black).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def read_number(image: NDArray[np.uint8]) -> int | None:
    """Read the number of a picture; None where there is none or it is not as it was drawn."""
    height, width = image.shape[:2]
    grey = image.astype(np.float32).mean(axis=2)
    cells = []
    for row in range(GRID):
        for column in range(GRID):
            top, left = (4 * row + 1) * height // 16, (4 * column + 1) * width // 16
            bottom, right = (4 * row + 3) * height // 16, (4 * column + 3) * width // 16
            cells.append(
                float(grey[top : max(bottom, top + 1), left : max(right, left + 1)].mean())
            )
    threshold = (max(cells) + min(cells)) / 2
    bits = [int(cell > threshold) for cell in cells]
    number = _value(bits[1 : 1 + _BITS])
    is_whole = max(cells) - min(cells) > 64 and bits[0] == 1 and bits[-1] == 0
    return number if is_whole and _value(bits[1 + _BITS : -1]) == _check_of(number) else None


def _value(bits: list[int]) -> int:
    return int("".join(map(str, bits)), 2)
