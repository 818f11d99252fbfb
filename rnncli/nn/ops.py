"""Stateless pairs, forward and backward: row gather, dropout, layer norm.

Arrays are feature-major: (features, N). The two `add_...` add to the parameter gradient that they
are given, for a caller that meets one parameter many times. This module knows nothing of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn.packed import Steps

Array = NDArray[Any]


def gather_forward(table: Array, ids: Array) -> Array:
    """Pick the rows of `table` (V, F) for `ids` (N,), and return them as columns: (F, N)."""
    V, N = len(table), len(ids)
    if V <= 256 and V <= N:  # a one-hot matmul writes (F, N) at once; a gather would be transposed
        onehot = np.zeros((V, N), table.dtype)
        onehot[ids, np.arange(N)] = 1
        return np.asarray(table.T @ onehot)
    return np.ascontiguousarray(table[ids].T)


def add_gather_backward(dout: Array, ids: Array, dtable: Array) -> None:
    """Add the columns of `dout` (F, N) to the rows `ids` of `dtable` (V, F)."""
    V, N = len(dtable), len(ids)
    if V <= 256 and V <= N:
        onehot = np.zeros((N, V), dout.dtype)
        onehot[np.arange(N), ids] = 1
        dtable += (dout @ onehot).T
        return
    rows = np.ascontiguousarray(dout.T)  # (N, F)
    order = np.argsort(ids, kind="stable")
    unique, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
    # Round k adds the k-th occurrence of each token: within a round no row is met twice.
    # Tokens that occur often are summed at once instead.
    often = counts > 8
    for token, start, n in zip(unique[often], first[often], counts[often], strict=True):
        dtable[token] += rows[order[start : start + n]].sum(axis=0)
    unique, first, counts = unique[~often], first[~often], counts[~often]
    for k in range(counts.max(initial=0)):
        alive = counts > k
        dtable[unique[alive]] += rows[order[first[alive] + k]]


def dropout_mask(
    rng: np.random.Generator, rate: float, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Draw zeros with probability `rate`, else 1/(1 - rate) (inverted dropout, Srivastava 2014)."""
    keep = rng.random(shape, dtype=np.float32) >= rate
    return np.asarray(keep * dtype.type(1 / (1 - rate)))


EPSILON = 1e-5


def layer_norm_forward(x: Array, gain: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Compute gain * (x - mean) / std over each column's features (Ba et al. 2016, eq. 3).

    x (F, N), gain (F,). The bias of the paper is left to the sum that the result enters.
    """
    centred = x - x.mean(axis=0)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=0) + x.dtype.type(EPSILON))  # (N,)
    unit = centred * scale
    return unit * gain[:, None], (unit, scale, gain)


def add_layer_norm_backward(dout: Array, cache: tuple[Array, Array, Array], dgain: Array) -> Array:
    """Return the gradient of the input, and add that of the gain to `dgain`."""
    unit, scale, gain = cache
    dgain += np.einsum("fn,fn->f", dout, unit)
    dunit = dout * gain[:, None]
    along = np.mean(dunit * unit, axis=0)
    return np.asarray((dunit - dunit.mean(axis=0) - unit * along) * scale)


def mean_square_change(x: Array, steps: Steps) -> tuple[float, Array]:
    """Return the mean square of the change of x (F, N) from step to step, and its gradient."""
    slope = np.zeros_like(x)
    count, total = len(x) * (steps.N - steps.B), 0.0
    for before, now in zip(steps.columns, steps.columns[1:], strict=False):
        n = now.stop - now.start
        before = slice(before.start, before.start + n)
        change = x[:, now] - x[:, before]
        total += float(np.sum(change * change))
        slope[:, now] += change
        slope[:, before] -= change
    return total / count, slope * x.dtype.type(2 / count)


def log_softmax(z: Array, axis: int) -> Array:
    """Return log-probabilities: logits less the logarithm of their summed exponentials."""
    z = z - z.max(axis=axis, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=axis, keepdims=True)))


def top(values: Array, k: int) -> Array:
    """Return the places of the k highest values (n,), best first; of equal ones the first.

    Example: [3, 9, 5, 9], 3 -> [1, 3, 2].
    """
    k = min(k, len(values))
    if not k:
        return np.zeros(0, np.int64)
    places = np.flatnonzero(values >= np.partition(values, -k)[-k])
    return np.asarray(places[np.argsort(-values[places], kind="stable")][:k])
