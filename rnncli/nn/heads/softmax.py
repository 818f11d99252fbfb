"""HOT PATH 2: a linear layer and its softmax: loss and gradients, in blocks of the vocabulary.

    z = W x + b                      logits (V, N) of the features x (F, N)
    p = exp(z) / sum of exp(z)       over the V classes of each column
    nats = -ln p[y]                  for the target y of each column
    d nats / dz = p - onehot(y)

The (V, N) logits are the largest array of a word model. They are made block by block of the
vocabulary, so that the weights are read once a pass and a block of logits stays in the cache while
its maximum, exponential and sum are taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.heads.linear import weights
from rnncli.nn.params import Params

Array = NDArray[Any]

BLOCK_BYTES = 1 << 20  # of logits: fits the second-level cache with the weights beside it


def block_rows(N: int, itemsize: int) -> int:
    """Return the number of rows of the vocabulary in one block."""
    return max(64, BLOCK_BYTES // max(1, N * itemsize))


def nats(params: Params, config: Config, x: Array, y: Array) -> Array:
    """Compute -log p of each target of y (N,) from x (F, N): (N,)."""
    return token_nats(x, *weights(params, config), y)


def nats_and_logprob(
    params: Params, config: Config, x: Array, y: Array, token: int
) -> tuple[Array, Array]:
    """Compute -log p of each target of y (N,), and log p of one token in its place: (N,) each."""
    W, b = weights(params, config)
    total, target = log_totals(x, W, b, y)
    return total - target, W[token] @ x + b[token] - total


def loss_and_gradients(
    params: Params, config: Config, x: Array, y: Array, scale: float, grads: Params,
    block: int | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Compute the nats of each target (N,), and put the gradients; see `Head`."""
    weight = np.full(x.shape[1], scale, x.dtype)
    return token_gradients(x, *weights(params, config), y, weight, *weights(grads, config), block)


def token_nats(x: Array, W: Array, b: Array, y: Array, block: int | None = None) -> Array:
    """Compute -log softmax(W x + b)[y] for each column: (N,)."""
    total, target = log_totals(x, W, b, y, block)
    return np.asarray(total - target)


def log_totals(
    x: Array, W: Array, b: Array, y: Array, block: int | None = None
) -> tuple[Array, Array]:
    """Return log sum exp(W x + b) and (W x + b)[y] for each column: (N,) each.

    The running maximum and sum over blocks give the logarithm of the sum of exponentials without
    the (V, N) array ever existing whole.
    """
    V, N = len(W), len(y)
    block = block or block_rows(N, x.itemsize)
    top = np.full(N, -np.inf, x.dtype)
    total = np.zeros(N, x.dtype)
    target = np.empty(N, x.dtype)
    for start in range(0, V, block):
        z = W[start : start + block] @ x
        z += b[start : start + block, None]
        _pick(z, y, start, target)
        higher = np.maximum(top, z.max(axis=0))
        z -= higher
        np.exp(z, out=z)
        total *= np.exp(top - higher)
        total += z.sum(axis=0)
        top = higher
    return top + np.log(total), target


def token_gradients(
    x: Array,
    W: Array,
    b: Array,
    y: Array,
    weight: Array,
    dW: Array,
    db: Array,
    block: int | None = None,
) -> tuple[Array, Array]:
    """Return the nats of each column (N,) and d (sum of weight * nats) / dx (F, N).

    `weight` (N,) is usually 1/N. Gradients of W (V, F) and b (V,) are put into dW and db.
    d nats / d logits = softmax - onehot(y).
    """
    V, N = len(W), len(y)
    block = block or block_rows(N, x.itemsize)
    starts = range(0, V, block)
    exps = np.empty((V, N), x.dtype)
    tops, sums = np.empty((2, len(starts), N), x.dtype)
    target = np.empty(N, x.dtype)
    for k, start in enumerate(starts):
        z = exps[start : start + block]
        np.matmul(W[start : start + block], x, out=z)
        z += b[start : start + block, None]
        _pick(z, y, start, target)
        np.max(z, axis=0, out=tops[k])
        z -= tops[k]
        np.exp(z, out=z)
        np.sum(z, axis=0, out=sums[k])
    top = tops.max(axis=0)
    rescale = np.exp(tops - top)  # (blocks, N)
    total = np.einsum("kn,kn->n", rescale, sums)
    rescale *= weight / total
    dx = np.zeros_like(x)
    for k, start in enumerate(starts):
        p = exps[start : start + block]
        p *= rescale[k]  # weight * softmax
        inside = np.flatnonzero((y >= start) & (y < start + block))
        p[y[inside] - start, inside] -= weight[inside]
        dx += W[start : start + block].T @ p
        np.matmul(p, x.T, out=dW[start : start + block])
        np.sum(p, axis=1, out=db[start : start + block])
    return np.asarray(top + np.log(total) - target), dx


def _pick(z: Array, y: Array, start: int, target: Array) -> None:
    """Copy the logits of the targets that fall in this block."""
    inside = np.flatnonzero((y >= start) & (y < start + len(z)))
    target[inside] = z[y[inside] - start, inside]
