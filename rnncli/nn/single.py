"""A token of each of B sequences at a time: a network as generating needs it.

The weights are bound once, and what each token adds to the first layer's gates stands in a table:
a step is a gather, one small matmul a layer, a few elementwise operations and the head. A large
matmul is done in pieces, which threads share: the same pieces, and bits, for any number of threads.
The plain twin is `Model.predict` with a single step, which is also what does the work for networks
that the short way does not know (`gru-before`, layer norm, projection, two directions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn.cells import CELLS
from rnncli.nn.machine import Threads
from rnncli.nn.model import Model
from rnncli.nn.packed import Steps
from rnncli.nn.stack import State

Array = NDArray[Any]

TABLE = 1 << 23  # entries of the table at most: 32 MiB of float32
PIECES = 8  # of a large matmul
LARGE = 1 << 23  # (columns + READ) x weights: some 0.2 ms, below which a thread comes too late
READ = 4  # columns that could be computed in the time in which the weights are read


class Single:
    """Reads one token of each sequence: `Single(model)(ids, state)`.

    ids (B,), state -> logits (B, V) of the next token, and the new state. What the embedding adds
    is computed once: the model must not change meanwhile.
    """

    def __init__(self, model: Model, threads: Threads | None = None) -> None:
        config, params = model.config, model.params
        self.model, self.cell = model, CELLS[config.cell]
        self.short = (
            self.cell.step is not None
            and config.head == "tokens"
            and not (config.layer_norm or config.proj or config.bidirectional or config.last_only)
            and (config.cell != "rnn" or config.activation == "tanh")
        )
        if not self.short:
            return
        self.layers = [
            (params.under(f"rnn.{k}.fwd"), config.units(k)) for k in range(config.layers)
        ]
        self.threads = threads or Threads()
        # Turned, so that one column is read through once for many logits: twice as fast.
        self.head_W, self.head_b = np.ascontiguousarray(model.head[0].T), model.head[1]
        self.first = self._first_gates()

    def __call__(self, ids: Array, state: State) -> tuple[Array, State]:
        if not self.short or self.cell.step is None:
            z, after = self.model.predict(ids, state, Steps((len(ids),)))
            return np.ascontiguousarray(z.T), after
        after = State(np.empty_like(state.h), None if state.c is None else np.empty_like(state.c))
        if self.model.config.top:  # narrower: rows below it stay zero
            after = state.zeros()
        y: Array | None = None
        for k, (w, H) in enumerate(self.layers):
            if y is None:
                a = self.first(ids)
            else:
                a = self._times(w["Wx"], y)
                a += w["b"][:, None]
            old, new = state.of(k, H, H), after.of(k, H, H)
            self.cell.step(a, self._times(w["Wh"], old[0]), w, old, new)
            y = new[0] if y is None or not self.model.config.residual else new[0] + y
        assert y is not None
        return self._logits(y), after

    def _times(self, W: Array, y: Array) -> Array:
        """W (n, H) times y (H, B)."""
        if W.size * (y.shape[1] + READ) < LARGE:
            return np.asarray(W @ y)
        out, pieces = np.empty((len(W), y.shape[1]), y.dtype), _pieces(len(W))
        self.threads.run(lambda k: np.matmul(W[pieces[k]], y, out=out[pieces[k]]), PIECES)
        return out

    def _logits(self, y: Array) -> Array:
        """The output layer: y (F, B) -> (B, V)."""
        y, W, b = y.T, self.head_W, self.head_b
        if W.size * (len(y) + READ) < LARGE:
            z = y @ W
            z += b
            return np.asarray(z)
        out, pieces = np.empty((len(y), len(b)), y.dtype), _pieces(len(b))

        def piece(k: int) -> None:
            z = out[:, pieces[k]]
            np.matmul(y, W[:, pieces[k]], out=z)
            z += b[pieces[k]]

        self.threads.run(piece, PIECES)
        return out

    def _first_gates(self) -> Callable[[Array], Array]:
        """What tokens (B,) add to the first layer's gates: (G*H, B)."""
        w, embed = self.layers[0][0], self.model.params.get("embed.W")
        if self.model.config.inputs * len(w["b"]) > TABLE:
            b = w["b"][:, None]
            if embed is None:
                return lambda ids: w["Wx"][ids].T + b
            return lambda ids: w["Wx"] @ embed[ids].T + b
        table = w["Wx"] if embed is None else embed @ w["Wx"].T
        table = table + w["b"]
        return lambda ids: np.asarray(table[ids].T)


def _pieces(n: int) -> list[slice]:
    """0 to n in PIECES parts of whole cache lines."""
    size = -(-n // (16 * PIECES)) * 16
    return [slice(k * size, min(n, (k + 1) * size)) for k in range(PIECES)]
