"""HOT PATH 1: the recurrent cells, forward and backward over a whole sequence.

A cell is given `a`, what the input adds to its gates at every step (Wx x + b, made by the stack in
one matmul), and owns the recurrence: nothing outside this file computes the next state from the
last, but `trace`, which has the plain form of the equations to compare with.
Feature-major on purpose: the gates of one step are a contiguous (G*H, n) block, so that one matmul
fills them, one tanh covers them all (sigmoid(x) = tanh(x/2)/2 + 1/2), and each gate is a contiguous
run of it. Gates are stacked sigmoids first: lstm i f o | g, gru r z | n.

A carry (P, B) holds the state of every sequence; a step reads and writes the n columns alive, so
ragged, dense and reversed sequences are one code. Shape letters: see `rnncli.nn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.nn.ops import add_layer_norm_backward, layer_norm_forward
from rnncli.nn.packed import Steps

Array = NDArray[Any]
Weights = Mapping[str, Array]
State = tuple[Array, ...]  # (h,) or (h, c): h (P, B), c (H, B)
Cache = Any  # whatever a forward leaves to its own backward
Activation = Literal["tanh", "relu", "identity"]


def walk(steps: Steps, reverse: bool) -> list[tuple[int, slice, int]]:
    """Every step with the columns it owns and how many they are, in the order of the recurrence."""
    path = [(t, steps.columns[t], n) for t, n in enumerate(steps.sizes)]
    return path[::-1] if reverse else path


def _blocks(rows: int, steps: Steps, like: Array) -> list[Array]:
    """A contiguous (rows, n) block for each step, all in one allocation."""
    flat = np.empty(rows * steps.N, like.dtype)
    return [flat[rows * s.start : rows * s.stop].reshape(rows, -1) for s in steps.columns]


def _clear(dw: Weights, *names: str) -> None:
    """Zero the gradients that are added up step by step, where there are such."""
    for name in names:
        if name in dw:
            dw[name][:] = 0


# Of the type of the gates: an array as the factor takes half the time of a number.
HALF = {np.dtype(kind): np.array(0.5, kind) for kind in (np.float32, np.float64)}


def _tanh_gates(gates: Array, sigmoids: int) -> None:
    """tanh on all rows, turned into the sigmoid on the first `sigmoids` of them, in place."""
    s, half = gates[:sigmoids], HALF[gates.dtype]
    s *= half
    np.tanh(gates, out=gates)
    s *= half
    s += half


# --------------------------------------------------------------------------------------------- rnn


def rnn_forward(
    a: Array,
    w: Weights,
    state: State,
    steps: Steps,
    *,
    reverse: bool = False,
    activation: Activation = "tanh",
) -> tuple[Array, State, Cache]:
    """h = act(a + Wh h_prev) (Elman 1990).

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


def rnn_backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """dy (H, N), (dh_n,) -> da (H, N), (dh_0,); weight gradients are put into `dw`."""
    w, steps, reverse, activation, y, h_prev, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    da, dh = np.empty_like(dy), dstate[0].copy()
    _clear(dw, "bh", "gh")
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


# -------------------------------------------------------------------------------------------- lstm


def lstm_forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """c = f c_prev + i g,  h = o tanh(c),  (i f o | g) = (sigmoid | tanh)(a + Wh h_prev).

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. With `Wp` (P, H) in
    `w`, h = Wp (o tanh(c)) (Sak et al. 2014). With gains `gh`, `gc` and bias `bc`, Wh h_prev and
    the c under the last tanh are layer-normalised (Ba et al. 2016, eq. 20 to 22).
    a (4H, N), h_0 (P, B), c_0 (H, B) -> y (P, N), (h_n, c_n), cache.
    """
    Wh, Wp, gain = w["Wh"], w.get("Wp"), w.get("gh")
    H, P = len(a) // 4, Wh.shape[1]
    h, c = state[0].copy(), state[1].copy()
    y, h_prev = np.empty((2, P, steps.N), a.dtype)
    m = None if Wp is None else np.empty((H, steps.N), a.dtype)  # o tanh(c), before the projection
    gates, c_prev, tanh_c = _blocks(4 * H, steps, a), _blocks(H, steps, a), _blocks(H, steps, a)
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn, cn, g, tc = h[:, :n], c[:, :n], gates[t], tanh_c[t]
        h_prev[:, columns] = hn
        c_prev[t][:] = cn
        np.matmul(Wh, hn, out=g)  # (4H, n)
        if gain is not None:
            g[:], norm_h = layer_norm_forward(g, gain)
        g += a[:, columns]
        _tanh_gates(g, 3 * H)
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


def lstm_backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """dy (P, N), (dh_n, dc_n) -> da (4H, N), (dh_0, dc_0); weight gradients are put into `dw`."""
    w, steps, reverse, gates, c_prev, tanh_c, h_prev, m, norms = cache
    WhT = np.ascontiguousarray(w["Wh"].T)  # (P, 4H)
    Wp, gain = w.get("Wp"), w.get("gh")
    H = WhT.shape[1] // 4
    dh, dc = dstate[0].copy(), dstate[1].copy()
    da = np.empty((4 * H, steps.N), dy.dtype)
    du = da if gain is None else np.empty_like(da)  # d (Wh h_prev)
    dh_all = None if Wp is None else np.empty_like(dy)
    work = np.empty((4 * H, steps.B), dy.dtype), np.empty((H, steps.B), dy.dtype)
    _clear(dw, "gh", "gc", "bc")
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


# --------------------------------------------------------------------------------------------- gru


def gru_forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """The reset gate after the recurrent matmul: n = tanh(a_n + r (Wh_n h_prev + bn)).

    (r z) = sigmoid(a + Wh h_prev),  h = (1 - z) n + z h_prev (Cho et al. 2014, version 1; the form
    of the common frameworks). With gains `gh` in `w`, Wh_rz h_prev and Wh_n h_prev are each
    layer-normalised; the stack normalises Wx x whole.
    a (3H, N), h_0 (H, B) -> y (H, N), (h_n,), cache.
    """
    Wh, bn, gain = w["Wh"], w["bn"][:, None], w.get("gh")
    H = len(a) // 3
    h = state[0].copy()
    y, h_prev = np.empty((2, H, steps.N), a.dtype)
    gates, recurrent = _blocks(3 * H, steps, a), _blocks(H, steps, a)
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
        _tanh_gates(rz, 2 * H)
        np.multiply(r, v, out=c)
        c += a[2 * H :, columns]
        np.tanh(c, out=c)
        hn -= c
        hn *= z
        hn += c
        y[:, columns] = hn
    return y, (h,), (w, steps, reverse, gates, recurrent, h_prev, norms)


def gru_backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """dy (H, N), (dh_n,) -> da (3H, N), (dh_0,); weight gradients are put into `dw`."""
    w, steps, reverse, gates, recurrent, h_prev, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    H = len(WhT)
    dh = dstate[0].copy()
    da = np.empty((3 * H, steps.N), dy.dtype)
    # d (Wh h_prev): without a norm its rows for r and z are those of da
    du = np.empty((H if gain is None else 3 * H, steps.N), dy.dtype)
    _clear(dw, "bn", "gh")
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


def gru_before_forward(
    a: Array, w: Weights, state: State, steps: Steps, *, reverse: bool = False
) -> tuple[Array, State, Cache]:
    """The reset gate before the recurrent matmul: n = tanh(a_n + Wh_n (r h_prev)).

    (r z) = sigmoid(a + Wh_rz h_prev),  h = (1 - z) n + z h_prev (Cho et al. 2014, version 3).
    a (3H, N), h_0 (H, B) -> y (H, N), (h_n,), cache.
    """
    Wh, gain = w["Wh"], w.get("gh")
    H = len(a) // 3
    h = state[0].copy()
    y, h_prev, reset = np.empty((3, H, steps.N), a.dtype)
    gates = _blocks(3 * H, steps, a)
    norms: list[Any] = [None] * steps.T
    for t, columns, n in walk(steps, reverse):
        hn, g = h[:, :n], gates[t]
        h_prev[:, columns] = hn
        r, z, c, rz = g[:H], g[H : 2 * H], g[2 * H :], g[: 2 * H]
        np.matmul(Wh[: 2 * H], hn, out=rz)
        if gain is not None:
            rz[:], norm_rz = layer_norm_forward(rz, gain[: 2 * H])
        rz += a[: 2 * H, columns]
        _tanh_gates(rz, 2 * H)
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


def gru_before_backward(dy: Array, dstate: State, cache: Cache, dw: Weights) -> tuple[Array, State]:
    """dy (H, N), (dh_n,) -> da (3H, N), (dh_0,); weight gradients are put into `dw`."""
    w, steps, reverse, gates, h_prev, reset, norms = cache
    WhT, gain = np.ascontiguousarray(w["Wh"].T), w.get("gh")
    H = len(WhT)
    WT_rz, WT_n = np.ascontiguousarray(WhT[:, : 2 * H]), np.ascontiguousarray(WhT[:, 2 * H :])
    dh = dstate[0].copy()
    da = np.empty((3 * H, steps.N), dy.dtype)
    du = da if gain is None else np.empty_like(da)  # d of the recurrent matmuls
    _clear(dw, "gh")
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


# ------------------------------------------------------------------------------------ a single step
#
# What generating needs of a cell, and no more: nothing is kept for a backward, no layer norm, no
# projection. z = Wh h_prev, fresh, is overwritten; `after` is where the new state is put. Arrays of
# n texts are (rows, n), biases columns; of one text all are vectors.


def rnn_step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """One step of `rnn_forward` with tanh: a, z (H, n)."""
    z += a
    np.tanh(z, out=after[0])


def lstm_step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """One step of `lstm_forward`: a, z (4H, n)."""
    h, c = after
    H = len(c)
    z += a
    _tanh_gates(z, 3 * H)
    np.multiply(state[1], z[H : 2 * H], out=c)
    u = z[3 * H :]
    u *= z[:H]
    c += u
    np.tanh(c, out=h)
    h *= z[2 * H : 3 * H]


def gru_step(a: Array, z: Array, w: Weights, state: State, after: State) -> None:
    """One step of `gru_forward`: a, z (3H, n)."""
    (h,) = after
    H = len(h)
    rz, v = z[: 2 * H], z[2 * H :]
    rz += a[: 2 * H]
    _tanh_gates(rz, 2 * H)
    v += w["bn"]
    v *= z[:H]
    v += a[2 * H :]
    np.tanh(v, out=v)
    np.subtract(state[0], v, out=h)
    h *= z[H : 2 * H]
    h += v


class Cell(NamedTuple):
    """What the stack needs to know of a cell."""

    gates: int
    n_states: int  # 1: h; 2: h and c
    forward: Callable[..., tuple[Array, State, Cache]]
    backward: Callable[[Array, State, Cache, Weights], tuple[Array, State]]
    step: Callable[[Array, Array, Weights, State, State], None] | None = None


CELLS = {
    "lstm": Cell(4, 2, lstm_forward, lstm_backward, lstm_step),
    "gru": Cell(3, 1, gru_forward, gru_backward, gru_step),
    "gru-before": Cell(3, 1, gru_before_forward, gru_before_backward),
    "rnn": Cell(1, 1, rnn_forward, rnn_backward, rnn_step),
}
