"""Going through a memory-mapped array without keeping it in memory. Knows no files."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 1 << 20  # elements at a time


def released(array: Array) -> Array:
    """The same array; if it is mapped, what was read of its file no longer takes memory.

    It comes again as it is used. Without this the pages of a large file stay with the process for
    as long as nobody else wants memory.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
    return array


def blocks(array: Array, overlap: int = 0) -> Iterator[Array]:
    """A vector in blocks, each with the `overlap` elements before the next; released in between."""
    for start in range(0, max(1, len(array) - overlap), BLOCK):
        yield array[start : start + BLOCK + overlap]
        released(array)
