"""HOT PATH 1: the gated recurrent unit whose reset gate acts before the recurrent matmul.

    r, z = sigmoid(a + Wh_rz h_prev)       reset gate and update gate
    n    = tanh(a_n + Wh_n (r h_prev))     the candidate for the new state
    h    = (1 - z) n + z h_prev

a = Wx x + b is (3H, N): r z n one above the other, H rows each; h is (H, B). This is version 3 of
Cho et al. 2014. It takes two matmuls a step where `gru` takes one. For each column the forward
keeps 6 H numbers for the backward: r, z, n, r h_prev, h and the h before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    sigmoid,
    step_blocks,
    tanh_gates,
    walk,
)
from rnncli.nn.ops import add_layer_norm_backward, layer_norm_forward
from rnncli.nn.packed import Steps
from rnncli.nn.params import Spec


def parameters(H: int, P: int, config: Config) -> dict[str, Spec]:
    """List recurrent weights, bias and, with layer norm, the gains."""
    out = {
        "Wh": Spec((3 * H, P), "recurrence", "weights", 3),
        "b": Spec((3 * H,), "input", "bias", 3),
    }
    if config.layer_norm:
        out["gh"] = Spec((3 * H,), "recurrence", "gain", 3)
        out["gx"] = Spec((3 * H,), "input", "gain", 3)
    return out


def forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """Run the cell over a batch: n = tanh(a_n + Wh_n (r h_prev)),  h = (1 - z) n + z h_prev.

    (r z) = sigmoid(a + Wh_rz h_prev). With gains `gh` in `w`, Wh_rz h_prev and Wh_n (r h_prev) are
    each layer-normalised.
    a (3H, N), h_0 (H, B) -> y (H, N), (h_n,), cache.
    """
    Wh, gain = w["Wh"], w.get("gh")
    H = len(a) // 3
    h = state[0].copy()
    y, h_prev, reset = np.empty((3, H, steps.N), a.dtype)
    gates = step_blocks(3 * H, steps, a)
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn, g = h[:, :n], gates[t]
        h_prev[:, columns] = hn
        r, z, c, rz = g[:H], g[H : 2 * H], g[2 * H :], g[: 2 * H]
        np.matmul(Wh[: 2 * H], hn, out=rz)
        if gain is not None:
            rz[:], norm_rz = layer_norm_forward(rz, gain[: 2 * H])
        rz += a[: 2 * H, columns]
        tanh_gates(rz, 2 * H)
        rh = r * hn
        reset[:, columns] = rh
        np.matmul(Wh[2 * H :], rh, out=c)
        if gain is not None:
            c[:], norm_n = layer_norm_forward(c, gain[2 * H :])
            norms[t] = norm_rz, norm_n
        c += a[2 * H :, columns]
        np.tanh(c, out=c)
        hn -= c
        hn *= z
        hn += c
        y[:, columns] = hn
    return y, (h,), (w, steps, reverse, gates, h_prev, reset, norms)


def backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """Run the chain rule back through time; weight gradients are put into `dw`.

    dy (H, N), (dh_n,) -> da (3H, N), (dh_0,).
    """
    w, steps, reverse, gates, h_prev, reset, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    H = len(WhT)
    WT_rz, WT_n = np.ascontiguousarray(WhT[:, : 2 * H]), np.ascontiguousarray(WhT[:, 2 * H :])
    dh = dstate[0].copy()
    da = np.empty((3 * H, steps.N), dy.dtype)
    du = da if gain is None else np.empty_like(da)  # d of the recurrent matmuls
    clear(dw, "gh")
    for t, columns, n in reversed(walk(steps, reverse)):
        dhn, g, hp = dh[:, :n], gates[t], h_prev[:, columns]
        r, z, c = g[:H], g[H : 2 * H], g[2 * H :]
        dhn += dy[:, columns]
        d = np.empty((3 * H, n), dy.dtype)
        dr, dz, dn = d[:H], d[H : 2 * H], d[2 * H :]
        np.subtract(1, g[: 2 * H], out=d[: 2 * H])
        np.multiply(dz, dhn, out=dn)  # (1 - z) dh
        d[: 2 * H] *= g[: 2 * H]
        dz *= dhn
        dz *= hp - c
        slope = c * c
        np.subtract(1, slope, out=slope)
        dn *= slope
        da[2 * H :, columns] = dn
        if gain is not None:
            dn[:] = add_layer_norm_backward(dn, norms[t][1], dw["gh"][2 * H :])
            du[2 * H :, columns] = dn
        drh = WT_n @ dn  # (H, n) d (r h_prev)
        dr *= drh
        dr *= hp
        drz = d[: 2 * H]
        da[: 2 * H, columns] = drz
        if gain is not None:
            drz = add_layer_norm_backward(drz, norms[t][0], dw["gh"][: 2 * H])
            du[: 2 * H, columns] = drz
        dhn *= z
        drh *= r
        dhn += drh
        dhn += WT_rz @ drz
    np.matmul(du[: 2 * H], h_prev.T, out=dw["Wh"][: 2 * H])
    np.matmul(du[2 * H :], reset.T, out=dw["Wh"][2 * H :])
    return da, (dh,)


def plain(a: Array, w: Weights, config: Config) -> Iterator[State]:
    """Yield r, z, n and h of every step of a (3H, T), from a fresh state."""
    H = len(a) // 3
    rz, candidate = slice(0, 2 * H), slice(2 * H, 3 * H)
    h = np.zeros(H, a.dtype)
    for column in a.T:
        r, z = sigmoid(column[rz] + normed(w["Wh"][rz] @ h, w, "gh", rz)).reshape(2, H)
        recurrent = normed(w["Wh"][candidate] @ (r * h), w, "gh", candidate)
        n = np.tanh(column[candidate] + recurrent)
        h = (1 - z) * n + z * h
        yield r, z, n, h


CELL = Cell(
    gates="rzn",
    sigmoids=2,
    n_states=1,
    series=("r", "z", "n", "h"),
    parameters=parameters,
    forward=forward,
    backward=backward,
    plain=plain,
)
