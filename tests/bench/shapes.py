"""What all measurements share: the shapes, one measurement in a process of its own, rates."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

SHAPES = {  # V, H = E, layers, T, B
    "char-128": (65, 128, 1, 50, 50),
    "char-128x2": (65, 128, 2, 50, 50),
    "char-512": (65, 512, 1, 100, 64),
    "lyrics-256": (1027, 256, 1, 35, 32),
    "comments-100": (8000, 100, 1, 35, 32),
    "words-200x2": (33278, 200, 2, 35, 20),
    "words-650x2": (10000, 650, 2, 35, 20),
}
CELLS = ("lstm", "gru")
SHARDS = 2  # of a batch
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def flops(shape: str, cell: str) -> int:
    """Count the operations a token in training, as `rnncli train --plan` does."""
    from rnncli.nn import Config, cost

    V, H, L, _, _ = SHAPES[shape]
    return sum(cost.flops(Config(V, cell=cell, hidden=H, embed=H, layers=L)).values())


def child(script: str, *words: Any, threads: int = 1, before: Sequence[str] = ()) -> dict[str, Any]:
    """Run a script in a process of its own with some BLAS threads; return the JSON that it prints.

    `before` is what starts it, in place of this Python: `mpiexec -n 2 python -m mpi4py`.
    """
    command = [*(before or [sys.executable]), script, *map(str, words)]
    environment = {**os.environ, **dict.fromkeys(BLAS_THREADS, str(threads))}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def rate(step: Callable[[], int], seconds: float) -> float:
    """Measure tokens a second by the median step, after two that warm up."""
    times: list[float] = []
    tokens, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        begin = time.perf_counter()
        tokens = step()
        times.append(time.perf_counter() - begin)
    return tokens / statistics.median(times[2:])
