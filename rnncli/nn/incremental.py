"""A token of each of B sequences at a time: a network as generating needs it.

The weights are bound once, and what a token adds to the first layer's gates is kept in a table:
a step is a gather, one small matmul a layer, a few elementwise operations and the head. A large
matmul is done in pieces, which threads share: the same pieces, and bits, for any number of threads.
The plain twin is `Model.predict` with a single step. It also does the work for networks that the
short way does not know (`gru-before`, rnn with relu or identity, layer norm, projection).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn.cells.table import CELLS
from rnncli.nn.layout import cell_weights
from rnncli.nn.model import Model
from rnncli.nn.packed import Steps
from rnncli.nn.stack import State
from rnncli.nn.threads import Threads

Array = NDArray[Any]

TABLE = 1 << 23  # entries of the table at most: 32 MiB of float32
SOON = 1 << 23  # products that a whole table may take at once: some 0.2 ms
PIECES = 8  # of a large matmul
LARGE = 1 << 23  # (columns + READ) x weights: some 0.2 ms, below which a thread comes too late
READ = 4  # columns that could be computed in the time in which the weights are read


class Single:
    """Reads one token of each sequence: `Single(model)(ids, state)`.

    ids (B,), state -> logits (B, V) of the next token, and the new state. What the embedding adds
    is computed once for each token: the model must not change meanwhile.
    """

    def __init__(self, model: Model, threads: Threads | None = None) -> None:
        config, params = model.config, model.params
        self.model, self.cell = model, CELLS[config.cell]
        self.short = (
            self.cell.step is not None
            and config.head == "tokens"
            and not (config.layer_norm or config.proj or config.bidirectional or config.last_only)
            and all(getattr(config, name) == k for name, k in self.cell.step_needs.items())
        )
        if not self.short:
            return
        self.threads = threads or Threads()
        # Turned, so that one column is read through once for many logits: twice as fast.
        self.head_W, self.head_b = np.ascontiguousarray(model.head[0].T), model.head[1]
        layers = [cell_weights(params, k) for k in range(config.layers)]
        # What tokens add to the first layer's gates, a row each, worked out when one is first met.
        V, rows = config.inputs, len(layers[0]["b"])
        self.table = np.empty((V, rows), model.dtype) if V * rows <= TABLE else None
        self.known = np.zeros(V, bool)
        if config.embed and V * rows * config.embed <= SOON:
            self._first(np.arange(V), {**layers[0], "b": layers[0]["b"][:, None]})
        # A text alone is vectors: half the time of arrays with one column.
        self.vectors = list(zip(layers, map(config.units, range(config.layers)), strict=True))
        self.columns = [
            ({n: v[:, None] if v.ndim == 1 else v for n, v in w.items()}, H)
            for w, H in self.vectors
        ]

    def __call__(self, ids: Array, state: State) -> tuple[Array, State]:
        if not self.short or self.cell.step is None:
            z, after = self.model.predict(ids, state, Steps((len(ids),)))
            return np.ascontiguousarray(z.T), after
        after = State(np.empty_like(state.h), None if state.c is None else np.empty_like(state.c))
        if self.model.config.top:  # narrower: rows below it stay zero
            after = state.zeros()
        alone = len(ids) == 1
        part: Any = 0 if alone else slice(None)
        y: Array | None = None
        for k, (w, H) in enumerate(self.vectors if alone else self.columns):
            if y is None:
                a = self._first(ids[part], w)
            else:
                a = self._times(w["Wx"], y)
                a += w["b"]
            old, new = state.of(k, H, H, part), after.of(k, H, H, part)
            self.cell.step(a, self._times(w["Wh"], old[0]), w, old, new)
            y = new[0] if y is None or not self.model.config.residual else new[0] + y
        assert y is not None
        z = self._logits(y.T)
        return z[None] if alone else z, after

    def _times(self, W: Array, y: Array) -> Array:
        """W (n, H) times y, (H, B) or (H,)."""
        if W.size * (y.size // len(y) + READ) < LARGE:
            return np.asarray(W.dot(y))
        out, pieces = np.empty((len(W), *y.shape[1:]), y.dtype), _pieces(len(W))
        self.threads.run(lambda k: np.dot(W[pieces[k]], y, out=out[pieces[k]]), PIECES)
        return out

    def _logits(self, y: Array) -> Array:
        """The output layer: y (B, F) or (F,) -> (B, V) or (V,)."""
        W, b = self.head_W, self.head_b
        if W.size * (y.size // len(W) + READ) < LARGE:
            z = y.dot(W)
            z += b
            return np.asarray(z)
        out, pieces = np.empty((*y.shape[:-1], len(b)), y.dtype), _pieces(len(b))

        def piece(k: int) -> None:
            z = out[..., pieces[k]]
            np.matmul(y, W[:, pieces[k]], out=z)
            z += b[pieces[k]]

        self.threads.run(piece, PIECES)
        return out

    def _first(self, ids: Array, w: dict[str, Array]) -> Array:
        """What tokens (B,), or one (), add to the first layer's gates: (G*H, B) or (G*H,)."""
        embed = self.model.params.get("embed.W")
        if embed is None:
            return np.asarray(w["Wx"][ids].T + w["b"])
        if self.table is None:
            return np.asarray(w["Wx"] @ embed[ids].T + w["b"])
        known = self.known[ids]
        if not (known.all() if known.ndim else known):
            self.known[ids], new = True, ids
            if known.ndim:  # each once; np.unique would load numpy.ma
                new = np.flatnonzero(np.bincount(ids[~known]))
            self.table[new] = (w["Wx"].dot(embed[new].T) + w["b"]).T
        return np.asarray(self.table[ids].T)


def _pieces(n: int) -> list[slice]:
    """0 to n in PIECES parts of whole cache lines."""
    size = -(-n // (16 * PIECES)) * 16
    return [slice(k * size, min(n, (k + 1) * size)) for k in range(PIECES)]
