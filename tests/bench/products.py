"""What a training step would take if only its matrix products took time."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapes import SHAPES, SHARDS, rate

from rnncli.parallel.processes import WorkerPool


def products(shape: str, cell: str) -> list[tuple[int, int, int, int]]:
    """List the matrix products of a step of one shard: (how often, rows, inner, columns).

    Each is (rows, inner) x (inner, columns), as the engine has it: a vocabulary smaller than the
    batch goes through the input weights once.
    """
    V, H, L, T, B = SHAPES[shape]
    n, G = B // SHARDS, {"lstm": 4, "gru": 3}[cell] * H
    N = T * n
    inputs = [(L - 1, G, H, N), (L - 1, H, G, N), (L - 1, G, N, H)]
    if V < N:
        inputs += [(1, V, H, G), (1, G, V, H), (1, V, G, H)]
        inputs += [(1, G, V, N), (1, G, N, V)] if V <= 256 else []  # of one-hot inputs
    else:
        inputs += [(1, G, H, N), (1, H, G, N), (1, G, N, H)]
    return [*inputs, (L * T, G, H, n), (L * T, H, G, n), (L, G, N, H),
            (1, V, H, N), (1, H, V, N), (1, V, N, H)]  # fmt: skip


def measured(shape: str, cell: str, seconds: float, threads: int) -> float:
    """Measure the tokens/s of training if only its matrix products took time."""

    def one(shape: tuple[int, int, int, int]) -> tuple[int, Any, Any, Any]:
        times, rows, inner, columns = shape
        a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
        return times, a, b, np.empty((rows, columns), np.float32)

    made = [one(product) for product in products(shape, cell)]

    def shard(_: int) -> None:
        for times, a, b, out in made:
            for _ in range(times):
                np.matmul(a, b, out=out)

    _, _, _, T, B = SHAPES[shape]
    with WorkerPool(shard, min(threads, SHARDS)) as crew:

        def step() -> int:
            crew.map(range(SHARDS))
            return T * B

        return rate(step, seconds)
