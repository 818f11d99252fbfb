"""The head of a forecast: K real values; half the squared error stands in the place of nats."""

from __future__ import annotations

import numpy as np

from rnncli.config.network import Config
from rnncli.nn.heads import linear
from rnncli.nn.heads.head import Array, Head
from rnncli.nn.params import Params


def nats(params: Params, config: Config, x: Array, y: Array) -> Array:
    """Compute half the squared error of each column of y (K, N): (N,)."""
    return _squared_error(linear.logits(params, config, x), y)[0]


def loss_and_gradients(
    params: Params, config: Config, x: Array, y: Array, scale: float, grads: Params,
    block: int | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Compute the loss of each column (N,), and put the gradients; see `Head`."""
    (W, _), (dW, db) = linear.weights(params, config), linear.weights(grads, config)
    loss, error = _squared_error(linear.logits(params, config, x), y)
    error *= x.dtype.type(scale)
    np.matmul(error, x.T, out=dW)
    np.sum(error, axis=1, out=db)
    return loss, np.asarray(W.T @ error)


def _squared_error(prediction: Array, target: Array) -> tuple[Array, Array]:
    """Compute half the squared error of each column of (K, N), and its gradient."""
    error = prediction - target
    return 0.5 * np.einsum("kn,kn->n", error, error), error


HEAD = Head(linear.parameters, linear.logits, nats, loss_and_gradients)
