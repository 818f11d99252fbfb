"""Layers of cells above one another: input matmuls, both directions, dropout between, residuals.

What enters the first layer is ids (N,) or an array (D, N); what leaves the top layer is (S*P, N).
Each layer multiplies its input for all steps at once, a = Wx x + b (G*H, N), and its cell does the
rest step by step. The stack knows cells only by their table, and nothing of heads or losses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.cells.table import CELLS
from rnncli.nn.inputs.input import Source, dropped
from rnncli.nn.layout import cell_weights
from rnncli.nn.ops import (
    add_gather_backward,
    add_layer_norm_backward,
    dropout_mask,
    gather_forward,
    layer_norm_forward,
)
from rnncli.nn.packed import Steps
from rnncli.nn.params import Params

Array = NDArray[Any]


class State(NamedTuple):
    """The hidden state (and cell state) of every layer and direction, passed in and handed back."""

    h: Array  # (L*S, P, B)
    c: Array | None  # (L*S, H, B), of cells with two states

    def take(self, sequences: Array | slice) -> State:
        """Copy the state of some of the sequences."""
        c = None if self.c is None else self.c[..., sequences].copy()
        return State(self.h[..., sequences].copy(), c)

    def zeros(self) -> State:
        """Return zeros of the same shape: gradients, or a fresh start."""
        return State(np.zeros_like(self.h), None if self.c is None else np.zeros_like(self.c))

    def of(self, k: int, H: int, P: int, part: int | slice = slice(None)) -> tuple[Array, ...]:
        """Return what layer and direction k holds: the first P and H rows; zeros lie below them.

        `part` is which sequences: one of them as a vector.
        """
        h = self.h[k, :P, part]
        return (h,) if self.c is None else (h, self.c[k, :H, part])

    def put(self, k: int, parts: tuple[Array, ...]) -> None:
        """Set what `of` returns."""
        self.h[k, : len(parts[0])] = parts[0]
        if self.c is not None:
            self.c[k, : len(parts[1])] = parts[1]


def stack_forward(
    params: Params,
    config: Config,
    source: Source,
    state: State,
    steps: Steps,
    rng: np.random.Generator | None = None,
) -> tuple[Array, State, Any]:
    """Run all layers over a batch: the top output (S*P, N), the last state, and the cache.

    `rng` None means inference: no dropout.
    """
    cell = CELLS[config.cell]
    options = {name: getattr(config, name) for name in cell.settings}
    after = state.zeros()
    caches: list[Any] = []
    y: Array | None = None
    for layer in range(config.layers):
        mask = None
        if y is not None:
            x, mask = dropped(y, config.dropout, steps, rng, config.variational)
            source = Source(x)
        outputs, parts = [], []
        for s in range(config.directions):
            k = layer * config.directions + s
            w = cell_weights(params, layer, s)
            drop = None
            if rng is not None and config.dropout_weight:  # Merity et al. 2018, section 2
                drop = dropout_mask(rng, config.dropout_weight, w["Wh"].shape, w["Wh"].dtype)
                w["Wh"] = w["Wh"] * drop
            a, project_cache = _project_forward(source, w)
            H, P = config.units(layer), config.proj or config.units(layer)
            out, last, cache = cell.forward(
                a, w, state.of(k, H, P), steps, reverse=s == 1, **options
            )
            after.put(k, last)
            outputs.append(out)
            parts.append((drop, project_cache, cache))
        out = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)  # (S*P, N)
        skip = config.residual and layer > 0  # the first input is not as wide
        if skip:
            out = out + source.x
        caches.append((mask, skip, parts))
        y = out
    assert y is not None  # there is one layer or more
    return y, after, caches


def stack_backward(
    dy: Array, dstate: State, config: Config, caches: Any, grads: Params
) -> tuple[Array | None, State]:
    """Return the gradients of `Source.x` (None for ids) and of the first state.

    Parameter gradients are put into `grads`; that of an embedding in the `Source` is added, because
    both directions and a tied output layer share it.
    """
    cell = CELLS[config.cell]
    d0 = dstate.zeros()
    dx: Array | None = None
    for layer in reversed(range(config.layers)):
        mask, skip, parts = caches[layer]
        dx = dy if skip else None
        width = len(dy) // config.directions
        for s, (drop, project_cache, cache) in enumerate(parts):
            k = layer * config.directions + s
            dw = cell_weights(grads, layer, s)
            H, P = config.units(layer), config.proj or config.units(layer)
            da, before = cell.backward(
                dy[s * width : (s + 1) * width], dstate.of(k, H, P), cache, dw
            )
            if drop is not None:
                dw["Wh"] *= drop
            d0.put(k, before)
            part = _project_backward(da, project_cache, dw, grads)
            dx = part if dx is None or part is None else dx + part
        if dx is not None and layer > 0:
            dy = dx if mask is None else dx * mask
    return dx, d0


def _project_forward(source: Source, w: dict[str, Array]) -> tuple[Array, Any]:
    """Compute Wx x + b for all steps in one matmul, or gather rows of Wx: (G*H, N).

    With the gain `gx`, LN(Wx x) + b (Ba et al. 2016).
    """
    x, ids, embed = source
    Wx, b, gain = w["Wx"], w.get("b"), w.get("gx")
    if ids is not None:
        a = gather_forward(Wx if embed is None else embed @ Wx.T, ids)
    else:
        assert x is not None
        a = Wx @ x
    norm = None
    if gain is not None:
        a, norm = layer_norm_forward(a, gain)
    if b is not None:
        a += b[:, None]
    return a, (source, w, norm)


def _project_backward(da: Array, cache: Any, dw: dict[str, Array], grads: Params) -> Array | None:
    """Put the gradients of Wx and b, add the embedding's; return that of x, if x was an array."""
    source, w, norm = cache
    x, ids, embed = source
    if "b" in dw:
        np.sum(da, axis=1, out=dw["b"])
    if norm is not None:
        dw["gx"][:] = 0
        da = add_layer_norm_backward(da, norm, dw["gx"])
    if ids is None:
        np.matmul(da, x.T, out=dw["Wx"])
        return np.asarray(w["Wx"].T @ da)
    if embed is None:
        dw["Wx"][:] = 0
        add_gather_backward(da, ids, dw["Wx"])
        return None
    dtable = np.zeros((len(embed), len(da)), da.dtype)  # (V, G*H)
    add_gather_backward(da, ids, dtable)
    np.matmul(dtable.T, embed, out=dw["Wx"])
    grads["embed.W"][:] += dtable @ w["Wx"]
    return None
