"""What the engine asks of the machine: threads for large matrices, memory that is kept."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h; the second is 32 MiB at most


class Threads:
    """Threads that share pieces of work in which NumPy holds no lock: some 0.1 ms, or more."""

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def run(self, task: Callable[[int], Any], count: int) -> None:
        """Do task(0) to task(count - 1), each in whichever thread is free first."""
        left = iter(range(count))

        def work() -> None:
            for k in left:
                task(k)

        helping = [self._pool.submit(work) for _ in range(self.size - 1)]
        work()
        for one in helping:
            if not one.cancel():  # it has begun
                one.result()

    @cached_property
    def _pool(self) -> Any:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(self.size - 1)


def keep_memory() -> None:
    """Let freed memory stay with this process and those forked from it (glibc).

    A step frees what the next one asks for again. Given back to the system, each page of it costs
    a fault when it is touched anew: a seventh of the time of a small network.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30)):
            mallopt(option, value)
