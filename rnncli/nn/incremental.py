"""Incremental decoding: one token of each of B sequences at a time, as generating needs it.

The weights are bound once, and what a token adds to the first layer's gates is kept in a table:
a step is a gather, one small matmul a layer, a few elementwise operations and the head. Large
matmuls are shared by threads (`nn.products`). `Model.predict` with a single step computes the same,
and does the work for networks whose cell, input or head has no quick step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn import products
from rnncli.nn.cells.table import CELLS
from rnncli.nn.heads.table import HEADS
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.layout import cell_weights
from rnncli.nn.model import Model
from rnncli.nn.packed import Steps
from rnncli.nn.stack import State
from rnncli.nn.threads import Threads

Array = NDArray[Any]


class Single:
    """Reads one token of each sequence: `Single(model)(ids, state)`.

    ids (B,), state -> logits (B, V) of the next token, and the new state. What the embedding adds
    is computed once for each token: the model must not change meanwhile.
    """

    def __init__(self, model: Model, threads: Threads | None = None) -> None:
        config, params = model.config, model.params
        self.model, self.cell = model, CELLS[config.cell]
        source, head = INPUTS[config.input], HEADS[config.head]
        self.short = False
        if (
            self.cell.step is None
            or source.token_gates is None
            or head.decoder is None
            or config.layer_norm or config.proj or config.bidirectional or config.last_only
            or any(getattr(config, name) != k for name, k in self.cell.step_needs.items())
        ):  # fmt: skip
            return
        self.short, self.threads = True, threads or Threads()
        layers = [cell_weights(params, k) for k in range(config.layers)]
        self.token_gates = source.token_gates(params, layers[0])
        self.decode = head.decoder(params, config, self.threads)
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
                a = self.token_gates(ids[part])
            else:
                a = products.left(w["Wx"], y, self.threads)
                a += w["b"]
            old, new = state.of(k, H, H, part), after.of(k, H, H, part)
            self.cell.step(a, products.left(w["Wh"], old[0], self.threads), w, old, new)
            y = new[0] if y is None or not self.model.config.residual else new[0] + y
        assert y is not None
        z = self.decode(y.T)
        return z[None] if alone else z, after
