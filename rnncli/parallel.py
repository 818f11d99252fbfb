"""Who computes a training run: shards of a batch in threads here, and processes elsewhere.

A batch is cut into a fixed number of shards, whatever number of threads happens to run them, and
their gradients are added in order: results depend on the shards alone. A `Comm` is the seam for
several processes; one process is the case in which nobody else takes part.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnncli.batches import Work
from rnncli.nn.packed import Steps

Array = NDArray[Any]
R = TypeVar("R")


class Comm(Protocol):
    """`size` processes, of which this is number `rank`."""

    rank: int
    size: int

    def add(self, vector: Array) -> None:
        """Replace `vector` by the sum over all processes, in place."""

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""


class Serial:
    """One process."""

    rank = 0
    size = 1

    def add(self, vector: Array) -> None:
        """The sum over one."""

    def total(self, value: float) -> float:
        """The sum over one."""
        return value


class Crew:
    """Threads that do like work side by side; the calling thread is one of them."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def map(self, work: Callable[[int], R], count: int) -> list[R]:
        """[work(0), ..., work(count - 1)]."""
        if self._pool is None or count == 1:
            return [work(k) for k in range(count)]
        rest = [self._pool.submit(work, k) for k in range(1, count)]
        try:
            first = work(0)
        finally:
            others = [future.exception() for future in rest]  # all have ended
        for error in others:
            if error is not None:
                raise error
        return [first, *(future.result() for future in rest)]


def share(work: Work, rank: int, size: int) -> Work:
    """The part of a batch that shard `rank` of `size` computes: every size-th sequence."""
    if size == 1:
        return work
    steps, mine = work.steps, np.arange(rank, work.steps.B, size)
    sizes = [int(np.count_nonzero(mine < n)) for n in steps.sizes]
    at = np.concatenate([c.start + mine[:n] for c, n in zip(steps.columns, sizes, strict=True)])
    kept = Steps(tuple(n for n in sizes if n))
    return Work(work.x[at], work.y[at], kept, int(np.count_nonzero(mine < work.carried)))
