"""Products of a large matrix with few columns, in pieces that threads share.

The pieces are the same, and the bits of the result too, for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn.threads import Threads

Array = NDArray[Any]

PIECES = 8  # of a large matmul
LARGE = 1 << 23  # (columns + READ) x weights: some 0.2 ms, below which a thread comes too late
READ = 4  # columns that could be computed in the time in which the weights are read


def left(W: Array, y: Array, threads: Threads) -> Array:
    """Multiply W (n, H) by y, (H, B) or (H,)."""
    if W.size * (y.size // len(y) + READ) < LARGE:
        return np.asarray(W.dot(y))
    out, pieces = np.empty((len(W), *y.shape[1:]), y.dtype), _pieces(len(W))
    threads.run(lambda k: np.dot(W[pieces[k]], y, out=out[pieces[k]]), PIECES)
    return out


def right(y: Array, W: Array, b: Array, threads: Threads) -> Array:
    """Compute y W + b: y (B, F) or (F,), W (F, V) -> (B, V) or (V,)."""
    if W.size * (y.size // len(W) + READ) < LARGE:
        z = y.dot(W)
        z += b
        return np.asarray(z)
    out, pieces = np.empty((*y.shape[:-1], len(b)), y.dtype), _pieces(len(b))

    def piece(k: int) -> None:
        z = out[..., pieces[k]]
        np.matmul(y, W[:, pieces[k]], out=z)
        z += b[pieces[k]]

    threads.run(piece, PIECES)
    return out


def _pieces(n: int) -> list[slice]:
    """Cut 0 to n into PIECES slices of whole cache lines."""
    size = -(-n // (16 * PIECES)) * 16
    return [slice(k * size, min(n, (k + 1) * size)) for k in range(PIECES)]
