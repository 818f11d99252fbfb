"""What the engine asks of the machine: cores, threads, memory that is kept."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h; the second is 32 MiB at most
BLAS = [  # the functions that get and set the number of threads, as the matrix libraries name them
    *(
        (f"{vendor}openblas_get_num_threads{suffix}", f"{vendor}openblas_set_num_threads{suffix}")
        for vendor in ("scipy_", "")
        for suffix in ("64_", "_64", "")
    ),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
]


def cores() -> int:
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's matrix library compute with one thread inside the block (OpenBLAS, MKL).

    Several threads on the small matrices of a recurrence wait for one another more than they
    compute, far more when another program runs, and they round in another way. The command line
    sets the same by the environment, before NumPy is loaded.
    """
    counts = [(put, get()) for get, put in _blas_threads()]
    try:
        for put, _ in counts:
            put(1)
        yield
    finally:
        for put, count in counts:
            put(count)


@cache
def _blas_threads() -> list[tuple[Callable[[], int], Callable[[int], Any]]]:
    """Find the functions that get and set the threads of each matrix library in this process."""
    found = []
    for path in _loaded():
        library = ctypes.CDLL(path)
        for get, put in BLAS:
            if hasattr(library, get) and hasattr(library, put):
                found.append((getattr(library, get), getattr(library, put)))
                break
    return found


def _loaded() -> list[str]:
    """Find the files of the matrix libraries that NumPy has loaded, or (not on Linux) came with."""
    import numpy as np

    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
        paths = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) > 5}
    else:
        folder = Path(np.__file__).parent
        beside = (folder / ".dylibs", folder.parent / "numpy.libs")
        paths = {str(path) for one in beside if one.is_dir() for path in one.iterdir()}
    names = ("openblas", "mkl_rt")
    return sorted(p for p in paths if any(name in os.path.basename(p) for name in names))


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
    a fault when it is touched again: a seventh of the time of a small network.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30)):
            mallopt(option, value)
