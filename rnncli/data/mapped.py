"""Goes through a memory-mapped array without keeping it in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 1 << 20  # elements at a time


def released(array: Array) -> Array:
    """Return the same array; if it is mapped, the pages that were read no longer take memory.

    They are read again when they are used. Without this the pages of a large file stay with the
    process for as long as nobody else wants memory.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
    return array


def blocks(array: Array, overlap: int = 0) -> Iterator[Array]:
    """Yield a vector in blocks of BLOCK elements, `overlap` more at the end of each.

    What was read is released after each block.

    Example: [1, 2, 3, 4, 5], blocks of 2, overlap 1 -> [1, 2, 3], [3, 4, 5]
    """
    for start in range(0, max(1, len(array) - overlap), BLOCK):
        yield array[start : start + BLOCK + overlap]
        released(array)
