"""HOT PATH 1: the long short-term memory, a state h beside a memory c that gates guard.

    i, f, o = sigmoid(a + Wh h_prev)     what is let in, kept and let out
    g       = tanh(a + Wh h_prev)        what there is to let in
    c       = f c_prev + i g
    h       = o tanh(c)

a = Wx x + b is (4H, N): the gates i f o g one above the other, H rows each; h is (P, B), c (H, B),
where P is H unless there is a projection. For each column the forward keeps 6 H + 2 P numbers for
the backward: four gates, the c before, tanh(c), h and the h before; H more with a projection.
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
    """List recurrent weights, bias, projection (P, H), gains and the bias under the last tanh."""
    out = {
        "Wh": Spec((4 * H, P), "recurrence", "weights", 4),
        "b": Spec((4 * H,), "input", "bias", 4),
    }
    if config.proj:
        out["Wp"] = Spec((P, H), "recurrence", "projection")
    if config.layer_norm:
        out["gh"] = Spec((4 * H,), "recurrence", "gain", 4)
        out["gx"] = Spec((4 * H,), "input", "gain", 4)
        out["gc"] = Spec((H,), "recurrence", "gain")
        out["bc"] = Spec((H,), "recurrence", "bias")
    return out


def forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """Run the cell over a batch: c = f c_prev + i g,  h = o tanh(c).

    (i f o | g) = (sigmoid | tanh)(a + Wh h_prev): Hochreiter and Schmidhuber 1997, with the forget
    gate of Gers et al. 2000. With `Wp` (P, H) in `w`, h = Wp (o tanh(c)) (Sak et al. 2014). With
    gains `gh`, `gc` and bias `bc`, Wh h_prev and the c under the last tanh are layer-normalised (Ba
    et al. 2016, eq. 20 to 22).
    a (4H, N), h_0 (P, B), c_0 (H, B) -> y (P, N), (h_n, c_n), cache.
    """
    Wh, Wp, gain = w["Wh"], w.get("Wp"), w.get("gh")
    H, P = len(a) // 4, Wh.shape[1]
    h, c = state[0].copy(), state[1].copy()
    y, h_prev = np.empty((2, P, steps.N), a.dtype)
    m = None if Wp is None else np.empty((H, steps.N), a.dtype)  # o tanh(c), before the projection
    gates = step_blocks(4 * H, steps, a)
    c_prev, tanh_c = step_blocks(H, steps, a), step_blocks(H, steps, a)
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn, cn, g, tc = h[:, :n], c[:, :n], gates[t], tanh_c[t]
        h_prev[:, columns] = hn
        c_prev[t][:] = cn
        np.matmul(Wh, hn, out=g)  # (4H, n)
        if gain is not None:
            g[:], norm_h = layer_norm_forward(g, gain)
        g += a[:, columns]
        tanh_gates(g, 3 * H)
        cn *= g[H : 2 * H]
        np.multiply(g[:H], g[3 * H :], out=tc)
        cn += tc
        if gain is None:
            np.tanh(cn, out=tc)
        else:
            tc[:], norm_c = layer_norm_forward(cn, w["gc"])
            tc += w["bc"][:, None]
            np.tanh(tc, out=tc)
            norms[t] = norm_h, norm_c
        if m is None or Wp is None:
            np.multiply(g[2 * H : 3 * H], tc, out=hn)
        else:
            np.multiply(g[2 * H : 3 * H], tc, out=m[:, columns])
            np.matmul(Wp, m[:, columns], out=hn)
        y[:, columns] = hn
    return y, (h, c), (w, steps, reverse, gates, c_prev, tanh_c, h_prev, m, norms)


def backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """Run the chain rule back through time; weight gradients are put into `dw`.

    dy (P, N), (dh_n, dc_n) -> da (4H, N), (dh_0, dc_0).
    """
    w, steps, reverse, gates, c_prev, tanh_c, h_prev, m, norms = cache
    WhT = np.ascontiguousarray(w["Wh"].T)  # (P, 4H)
    Wp, gain = w.get("Wp"), w.get("gh")
    H = WhT.shape[1] // 4
    dh, dc = dstate[0].copy(), dstate[1].copy()
    da = np.empty((4 * H, steps.N), dy.dtype)
    du = da if gain is None else np.empty_like(da)  # d (Wh h_prev)
    dh_all = None if Wp is None else np.empty_like(dy)
    work = np.empty((4 * H, steps.B), dy.dtype), np.empty((H, steps.B), dy.dtype)
    clear(dw, "gh", "gc", "bc")
    for t, columns, n in reversed(walk(steps, reverse)):
        dhn, dcn, g, tc = dh[:, :n], dc[:, :n], gates[t], tanh_c[t]
        i, f, o, u = g[:H], g[H : 2 * H], g[2 * H : 3 * H], g[3 * H :]
        if n == steps.B:
            d, q = work
        else:
            d, q = np.empty((4 * H, n), dy.dtype), np.empty((H, n), dy.dtype)
        dhn += dy[:, columns]
        if dh_all is None or Wp is None:
            dm = dhn
        else:
            dh_all[:, columns] = dhn
            dm = Wp.T @ dhn  # (H, n)
        # d = the gate's slope times what it is multiplied by, then times dc (i, f, g) or dm (o)
        np.subtract(1, g[: 3 * H], out=d[: 3 * H])
        d[: 3 * H] *= g[: 3 * H]
        np.multiply(u, u, out=d[3 * H :])
        np.subtract(1, d[3 * H :], out=d[3 * H :])
        d[:H] *= u
        d[H : 2 * H] *= c_prev[t]
        d[2 * H : 3 * H] *= tc
        d[3 * H :] *= i
        np.multiply(tc, tc, out=q)
        np.subtract(1, q, out=q)
        q *= o
        q *= dm  # (H, n) d of what is under the last tanh
        if gain is not None:
            dw["bc"][:] += q.sum(axis=1)
            q = add_layer_norm_backward(q, norms[t][1], dw["gc"])
        dcn += q
        d[: 2 * H].reshape(2, H, n)[:] *= dcn
        d[2 * H : 3 * H] *= dm
        d[3 * H :] *= dcn
        dcn *= f
        da[:, columns] = d
        if gain is not None:
            d = add_layer_norm_backward(d, norms[t][0], dw["gh"])
            du[:, columns] = d
        np.matmul(WhT, d, out=dhn)
    np.matmul(du, h_prev.T, out=dw["Wh"])
    if dh_all is not None:
        np.matmul(dh_all, m.T, out=dw["Wp"])
    return da, (dh, dc)


def plain(a: Array, w: Weights, config: Config) -> Iterator[State]:
    """Yield the gates, c and h of every step of a (4H, T), from a fresh state."""
    H = len(a) // 4
    h, c = np.zeros(w["Wh"].shape[1], a.dtype), np.zeros(H, a.dtype)
    for column in a.T:
        z = column + normed(w["Wh"] @ h, w, "gh")
        i, f, o = sigmoid(z[: 3 * H]).reshape(3, H)
        g = np.tanh(z[3 * H :])
        c = f * c + i * g
        under = normed(c, w, "gc") + w["bc"] if "gc" in w else c
        h = o * np.tanh(under)
        h = w["Wp"] @ h if "Wp" in w else h
        yield i, f, o, g, c, h


def step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """Take one step of `forward`, as generating needs it and no more: a, z (4H, n).

    Nothing is kept for a backward; there is no layer norm and no projection. z = Wh h_prev, fresh,
    is overwritten; `after` is where the new state is put. Arrays of n texts are (rows, n), biases
    columns; of one text all are vectors.
    """
    h, c = after
    H = len(c)
    z += a
    tanh_gates(z, 3 * H)
    np.multiply(state[1], z[H : 2 * H], out=c)
    u = z[3 * H :]
    u *= z[:H]
    c += u
    np.tanh(c, out=h)
    h *= z[2 * H : 3 * H]


CELL = Cell(
    gates="ifog",
    sigmoids=3,
    n_states=2,
    series=("i", "f", "o", "g", "c", "h"),
    parameters=parameters,
    forward=forward,
    backward=backward,
    plain=plain,
    step=step,
    torch_gates="ifgo",
)
