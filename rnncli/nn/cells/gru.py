"""HOT PATH 1: the gated recurrent unit, whose reset gate acts after the recurrent matmul.

    r, z = sigmoid(a + Wh h_prev)              reset gate and update gate
    n    = tanh(a_n + r (Wh_n h_prev + bn))    the candidate for the new state
    h    = (1 - z) n + z h_prev

a = Wx x + b is (3H, N): r z n one above the other, H rows each; h is (H, B). This is version 1 of
Cho et al. 2014, the form of the common frameworks. For each column the forward keeps 6 H numbers
for the backward: r, z, n, what the reset gate multiplies, h and the h before.
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
    """List recurrent weights, bias, the candidate's bias bn and, with layer norm, the gains."""
    out = {
        "Wh": Spec((3 * H, P), "recurrence", "weights", 3),
        "b": Spec((3 * H,), "input", "bias", 3),
        "bn": Spec((H,), "recurrence", "bias"),
    }
    if config.layer_norm:
        out["gh"] = Spec((3 * H,), "recurrence", "gain", 3)
        out["gx"] = Spec((3 * H,), "input", "gain", 3)
    return out


def forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """Run the cell over a batch: n = tanh(a_n + r (Wh_n h_prev + bn)),  h = (1 - z) n + z h_prev.

    (r z) = sigmoid(a + Wh h_prev). With gains `gh` in `w`, Wh_rz h_prev and Wh_n h_prev are each
    layer-normalised; the stack normalises Wx x whole.
    a (3H, N), h_0 (H, B) -> y (H, N), (h_n,), cache.
    """
    Wh, bn, gain = w["Wh"], w["bn"][:, None], w.get("gh")
    H = len(a) // 3
    h = state[0].copy()
    y, h_prev = np.empty((2, H, steps.N), a.dtype)
    gates, recurrent = step_blocks(3 * H, steps, a), step_blocks(H, steps, a)
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn, g, v = h[:, :n], gates[t], recurrent[t]
        h_prev[:, columns] = hn
        np.matmul(Wh, hn, out=g)  # (3H, n)
        if gain is not None:
            g[: 2 * H], norm_rz = layer_norm_forward(g[: 2 * H], gain[: 2 * H])
            g[2 * H :], norm_n = layer_norm_forward(g[2 * H :], gain[2 * H :])
            norms[t] = norm_rz, norm_n
        r, z, c = g[:H], g[H : 2 * H], g[2 * H :]
        np.add(c, bn, out=v)  # what the reset gate lets through
        rz = g[: 2 * H]
        rz += a[: 2 * H, columns]
        tanh_gates(rz, 2 * H)
        np.multiply(r, v, out=c)
        c += a[2 * H :, columns]
        np.tanh(c, out=c)
        hn -= c
        hn *= z
        hn += c
        y[:, columns] = hn
    return y, (h,), (w, steps, reverse, gates, recurrent, h_prev, norms)


def backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """Run the chain rule back through time; weight gradients are put into `dw`.

    dy (H, N), (dh_n,) -> da (3H, N), (dh_0,).
    """
    w, steps, reverse, gates, recurrent, h_prev, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    H = len(WhT)
    dh = dstate[0].copy()
    da = np.empty((3 * H, steps.N), dy.dtype)
    # d (Wh h_prev): without a norm its rows for r and z are those of da
    du = np.empty((H if gain is None else 3 * H, steps.N), dy.dtype)
    clear(dw, "bn", "gh")
    for t, columns, n in reversed(walk(steps, reverse)):
        dhn, g = dh[:, :n], gates[t]
        r, z, c = g[:H], g[H : 2 * H], g[2 * H :]
        dhn += dy[:, columns]
        d = np.empty((3 * H, n), dy.dtype)
        dr, dz, dn = d[:H], d[H : 2 * H], d[2 * H :]
        np.subtract(1, g[: 2 * H], out=d[: 2 * H])
        np.multiply(d[H : 2 * H], dhn, out=dn)  # (1 - z) dh
        d[: 2 * H] *= g[: 2 * H]  # the slopes of r and z
        dz *= dhn
        dz *= h_prev[:, columns] - c
        slope = c * c
        np.subtract(1, slope, out=slope)
        dn *= slope
        dr *= dn
        dr *= recurrent[t]
        da[:, columns] = d
        dn *= r
        if gain is not None:
            dw["bn"][:] += dn.sum(axis=1)
            d[: 2 * H] = add_layer_norm_backward(d[: 2 * H], norms[t][0], dw["gh"][: 2 * H])
            d[2 * H :] = add_layer_norm_backward(dn, norms[t][1], dw["gh"][2 * H :])
        du[:, columns] = d[-len(du) :]
        dhn *= z
        dhn += WhT @ d
    if gain is None:
        np.matmul(da[: 2 * H], h_prev.T, out=dw["Wh"][: 2 * H])
        np.sum(du, axis=1, out=dw["bn"])
    np.matmul(du, h_prev.T, out=dw["Wh"][-len(du) :])
    return da, (dh,)


def plain(a: Array, w: Weights, config: Config) -> Iterator[State]:
    """Yield r, z, n and h of every step of a (3H, T), from a fresh state."""
    H = len(a) // 3
    rz, candidate = slice(0, 2 * H), slice(2 * H, 3 * H)
    h = np.zeros(H, a.dtype)
    for column in a.T:
        r, z = sigmoid(column[rz] + normed(w["Wh"][rz] @ h, w, "gh", rz)).reshape(2, H)
        recurrent = normed(w["Wh"][candidate] @ h, w, "gh", candidate)
        n = np.tanh(column[candidate] + r * (recurrent + w["bn"]))
        h = (1 - z) * n + z * h
        yield r, z, n, h


def step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """Take one step of `forward`, as `step` in `lstm.py`: a, z (3H, n)."""
    (h,) = after
    H = len(h)
    rz, v = z[: 2 * H], z[2 * H :]
    rz += a[: 2 * H]
    tanh_gates(rz, 2 * H)
    v += w["bn"]
    v *= z[:H]
    v += a[2 * H :]
    np.tanh(v, out=v)
    np.subtract(state[0], v, out=h)
    h *= z[H : 2 * H]
    h += v


CELL = Cell(
    gates="rzn",
    sigmoids=2,
    n_states=1,
    series=("r", "z", "n", "h"),
    parameters=parameters,
    forward=forward,
    backward=backward,
    plain=plain,
    step=step,
    torch_gates="rzn",
)
