"""Ids with an embedding: each token is a row of the table W (V, E), learnt with the rest.

x (N,) -> (E, N). A tied output layer has the same table as its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnncli.config.network import Config
from rnncli.nn.inputs.input import Array, Input, Source, dropped
from rnncli.nn.ops import add_gather_backward, dropout_mask, gather_forward
from rnncli.nn.packed import Steps
from rnncli.nn.params import Params, Spec

NAME = "embed.W"
TABLE = 1 << 23  # entries of the table of gates at most: 32 MiB of float32
SOON = 1 << 23  # products that a whole table may take at once: some 0.2 ms


def parameters(config: Config) -> dict[str, Spec]:
    """List the table: a row of `embed` numbers for each token."""
    return {NAME: Spec((config.inputs, config.embed), "embedding", "weights", tokens=True)}


def forward(
    params: Params, config: Config, x: Array, steps: Steps, rng: np.random.Generator | None
) -> tuple[Source, Any]:
    """Look up the rows of x (N,): (E, N), with dropout of whole tokens and of entries.

    Without dropout a vocabulary smaller than the batch is left to the stack, see `Source`.
    """
    table, rate, rows = params[NAME], config.input_dropout, None
    if config.inputs < steps.N and (rng is None or not (rate or config.dropout_embed)):
        return Source(ids=x, embed=table), None
    if rng is not None and config.dropout_embed:  # Gal and Ghahramani 2016, section 4
        rows = dropout_mask(rng, config.dropout_embed, (config.inputs, 1), table.dtype)
        table = table * rows
    values, mask = dropped(gather_forward(table, x), rate, steps, rng, config.variational)
    return Source(values), (mask, rows)


def add_backward(dx: Array, x: Array, cache: Any, grads: Params) -> None:
    """Add dx (E, N) to the rows of x (N,), through both dropouts."""
    mask, rows = cache
    if mask is not None:
        dx = dx * mask
    if rows is None:
        add_gather_backward(dx, x, grads[NAME])
    else:
        dtable = np.zeros_like(grads[NAME])
        add_gather_backward(dx, x, dtable)
        grads[NAME][:] += dtable * rows


def clear(config: Config, grads: Params) -> None:
    """Zero the gradient, unless a tied output layer has put its part already."""
    if not config.tied:
        grads[NAME][:] = 0


class TokenGates:
    """What tokens add to the gates of the first layer, Wx W[token] + b, worked out once for each.

    The results are kept in a table, a row a token, if it is not too large.
    """

    def __init__(self, params: Params, w: Mapping[str, Array]) -> None:
        self.embed, self.Wx, self.b = params[NAME], w["Wx"], w["b"]
        (V, E), rows = self.embed.shape, len(self.b)
        self.table = np.empty((V, rows), self.b.dtype) if V * rows <= TABLE else None
        self.known = np.zeros(V, bool)
        if V * rows * E <= SOON:
            self(np.arange(V))

    def __call__(self, ids: Array) -> Array:
        """Return the gates of tokens (B,), or of one (): (G*H, B) or (G*H,)."""
        b = self.b[:, None] if ids.ndim else self.b
        if self.table is None:
            return np.asarray(self.Wx @ self.embed[ids].T + b)
        known = self.known[ids]
        if not (known.all() if known.ndim else known):
            self.known[ids], new = True, ids
            if known.ndim:  # each once; np.unique would load numpy.ma
                new = np.flatnonzero(np.bincount(ids[~known]))
            self.table[new] = (self.Wx.dot(self.embed[new].T) + b).T
        return np.asarray(self.table[ids].T)


INPUT = Input(
    width=lambda config: config.embed,
    parameters=parameters,
    forward=forward,
    add_backward=add_backward,
    clear=clear,
    vectors=lambda params, x: np.asarray(params[NAME][x].T),
    token_gates=TokenGates,
)
