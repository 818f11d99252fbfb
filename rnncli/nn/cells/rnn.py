"""HOT PATH 1: the plain recurrent cell of Elman 1990, one state h and no gates.

    h = act(a + Wh h_prev),  act = tanh, relu or the identity

a = Wx x + b is (H, N), h is (H, B); act's argument is the only gate, "h". For each column the
forward keeps 2 H numbers for the backward: h and the h before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from rnncli.config.network import Config
from rnncli.nn.cells.cell import (
    Array,
    Cache,
    Cell,
    State,
    Weights,
    clear,
    normed,
    walk,
)
from rnncli.nn.ops import add_layer_norm_backward, layer_norm_forward
from rnncli.nn.packed import Steps
from rnncli.nn.params import Spec

Activation = Literal["tanh", "relu", "identity"]


def parameters(H: int, P: int, config: Config) -> dict[str, Spec]:
    """List recurrent weights and bias; with layer norm the bias follows the norm."""
    out = {"Wh": Spec((H, P), "recurrence", "weights")}
    if not config.layer_norm:
        return out | {"b": Spec((H,), "input", "bias")}
    out["bh"] = Spec((H,), "recurrence", "bias")
    out["gh"] = Spec((H,), "recurrence", "gain")
    return out


def forward(
    a: Array,
    w: Weights,
    state: State,
    steps: Steps,
    *,
    reverse: bool = False,
    activation: Activation = "tanh",
) -> tuple[Array, State, Cache]:
    """Run the cell over a batch: h = act(a + Wh h_prev) (Elman 1990).

    With the gain `gh` in `w`: h = act(LN(a + Wh h_prev) + bh) (Ba et al. 2016, eq. 4).
    a (H, N), h_0 (H, B) -> y (H, N), (h_n,), cache.
    """
    Wh, gain = w["Wh"], w.get("gh")
    y, h_prev = np.empty_like(a), np.empty_like(a)
    h = state[0].copy()
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn = h[:, :n]
        h_prev[:, columns] = hn
        z = Wh @ hn  # (H, n)
        z += a[:, columns]
        if gain is not None:
            z, norms[t] = layer_norm_forward(z, gain)
            z += w["bh"][:, None]
        if activation == "tanh":
            np.tanh(z, out=hn)
        elif activation == "relu":
            np.maximum(z, 0, out=hn)
        else:
            hn[:] = z
        y[:, columns] = hn
    return y, (h,), (w, steps, reverse, activation, y, h_prev, norms)


def backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """Run the chain rule back through time; weight gradients are put into `dw`.

    dy (H, N), (dh_n,) -> da (H, N), (dh_0,).
    """
    w, steps, reverse, activation, y, h_prev, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    da, dh = np.empty_like(dy), dstate[0].copy()
    clear(dw, "bh", "gh")
    for t, columns, n in reversed(walk(steps, reverse)):
        dhn, yt = dh[:, :n], y[:, columns]
        dhn += dy[:, columns]
        if activation == "tanh":
            d = yt * yt
            np.subtract(1, d, out=d)
            d *= dhn
        elif activation == "relu":
            d = dhn * (yt > 0)
        else:
            d = dhn.copy()
        if gain is not None:
            dw["bh"][:] += d.sum(axis=1)
            d = add_layer_norm_backward(d, norms[t], dw["gh"])
        da[:, columns] = d
        np.matmul(WhT, d, out=dhn)
    np.matmul(da, h_prev.T, out=dw["Wh"])
    return da, (dh,)


def plain(a: Array, w: Weights, config: Config) -> Iterator[State]:
    """Yield (h,) of every step of a (H, T), from a fresh state."""
    h = np.zeros(w["Wh"].shape[1], a.dtype)
    for column in a.T:
        z = normed(column + w["Wh"] @ h, w, "gh")
        z = z + w["bh"] if "bh" in w else z
        if config.activation == "tanh":
            h = np.tanh(z)
        else:
            h = np.maximum(z, 0) if config.activation == "relu" else z
        yield (h,)


def step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """Take one step of `forward` with tanh, as `step` in `lstm.py`: a, z (H, n)."""
    z += a
    np.tanh(z, out=after[0])


CELL = Cell(
    gates="h",
    sigmoids=0,
    n_states=1,
    series=("h",),
    parameters=parameters,
    forward=forward,
    backward=backward,
    plain=plain,
    step=step,
    step_needs={"activation": "tanh"},
    settings=("activation",),
    torch_gates="h",
)
