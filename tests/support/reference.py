"""The definition of correct: recurrent networks as a textbook writes them, in plain loops.

One sequence, one step, one gate at a time, in float64, with column vectors and the natural names
(W for what multiplies the input, U for what multiplies the last hidden state). Each forward is
followed by its backward through time, worked out by hand from the chain rule. Slow on purpose,
and on purpose it uses nothing of the package that it judges.

A layer's weights are a dict: {"W": ..., "U": ..., "b": ...} for the rnn, {"W_i": ..., ...} per gate
for the others. A sequence is a list of vectors. A state is a dict {"h": ...}, for the lstm
{"h": ..., "c": ...}. Backward functions give dicts with the same keys.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def zeros_like(weights):
    return {name: np.zeros_like(value) for name, value in weights.items()}


# --------------------------------------------------------------------------------------------- rnn

SQUASH: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tanh": (np.tanh, lambda s: 1 - np.tanh(s) ** 2),
    "relu": (lambda s: np.where(s > 0, s, 0.0), lambda s: np.where(s > 0, 1.0, 0.0)),
    "identity": (lambda s: s, lambda s: np.ones_like(s)),
}


def rnn(xs, state, w, activation="tanh"):
    """h_t = act(W x_t + U h_{t-1} + b)"""
    act, _ = SQUASH[activation]
    h = state["h"]
    hs, tape = [], []
    for x in xs:
        s = w["W"] @ x + w["U"] @ h + w["b"]
        tape.append((x, h, s))
        h = act(s)
        hs.append(h)
    return hs, {"h": h}, tape


def rnn_backward(dhs, dstate, tape, w, activation="tanh"):
    _, slope = SQUASH[activation]
    dw, dxs = zeros_like(w), [None] * len(tape)
    dh = dstate["h"]
    for t in reversed(range(len(tape))):
        x, h_before, s = tape[t]
        ds = (dh + dhs[t]) * slope(s)
        dw["W"] += np.outer(ds, x)
        dw["U"] += np.outer(ds, h_before)
        dw["b"] += ds
        dxs[t] = w["W"].T @ ds
        dh = w["U"].T @ ds
    return dxs, {"h": dh}, dw


# -------------------------------------------------------------------------------------------- lstm


def lstm(xs, state, w):
    """Six equations; with a projection R, a seventh.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f_t c_{t-1} + i_t g_t
    m_t = o_t tanh(c_t)
    h_t = m_t, or R m_t
    """
    h, c = state["h"], state["c"]
    hs, tape = [], []
    for x in xs:
        i = sigmoid(w["W_i"] @ x + w["U_i"] @ h + w["b_i"])
        f = sigmoid(w["W_f"] @ x + w["U_f"] @ h + w["b_f"])
        o = sigmoid(w["W_o"] @ x + w["U_o"] @ h + w["b_o"])
        g = np.tanh(w["W_g"] @ x + w["U_g"] @ h + w["b_g"])
        h_before, c_before = h, c
        c = f * c_before + i * g
        m = o * np.tanh(c)
        h = w["R"] @ m if "R" in w else m
        tape.append((x, h_before, c_before, i, f, o, g, c, m))
        hs.append(h)
    return hs, {"h": h, "c": c}, tape


def lstm_backward(dhs, dstate, tape, w):
    dw, dxs = zeros_like(w), [None] * len(tape)
    dh, dc = dstate["h"], dstate["c"]
    for t in reversed(range(len(tape))):
        x, h_before, c_before, i, f, o, g, c, m = tape[t]
        dh = dh + dhs[t]
        if "R" in w:
            dw["R"] += np.outer(dh, m)
            dm = w["R"].T @ dh
        else:
            dm = dh
        dc = dc + dm * o * (1 - np.tanh(c) ** 2)
        ds = {
            "i": dc * g * i * (1 - i),
            "f": dc * c_before * f * (1 - f),
            "o": dm * np.tanh(c) * o * (1 - o),
            "g": dc * i * (1 - g**2),
        }
        dxs[t], dh = np.zeros_like(x), np.zeros_like(h_before)
        for gate in "ifog":
            dw[f"W_{gate}"] += np.outer(ds[gate], x)
            dw[f"U_{gate}"] += np.outer(ds[gate], h_before)
            dw[f"b_{gate}"] += ds[gate]
            dxs[t] += w[f"W_{gate}"].T @ ds[gate]
            dh += w[f"U_{gate}"].T @ ds[gate]
        dc = dc * f
    return dxs, {"h": dh, "c": dc}, dw


# --------------------------------------------------------------------------------------------- gru


def gru_after(xs, state, w):
    """The reset gate acts after the recurrent product.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    n_t = tanh(W_n x_t + b_n + r_t (U_n h_{t-1} + a_n))
    h_t = (1 - z_t) n_t + z_t h_{t-1}
    """
    h = state["h"]
    hs, tape = [], []
    for x in xs:
        r = sigmoid(w["W_r"] @ x + w["U_r"] @ h + w["b_r"])
        z = sigmoid(w["W_z"] @ x + w["U_z"] @ h + w["b_z"])
        q = w["U_n"] @ h + w["a_n"]
        n = np.tanh(w["W_n"] @ x + w["b_n"] + r * q)
        tape.append((x, h, r, z, q, n))
        h = (1 - z) * n + z * h
        hs.append(h)
    return hs, {"h": h}, tape


def gru_after_backward(dhs, dstate, tape, w):
    dw, dxs = zeros_like(w), [None] * len(tape)
    dh = dstate["h"]
    for t in reversed(range(len(tape))):
        x, h_before, r, z, q, n = tape[t]
        dh = dh + dhs[t]
        ds_n = dh * (1 - z) * (1 - n**2)
        ds_z = dh * (h_before - n) * z * (1 - z)
        ds_r = ds_n * q * r * (1 - r)
        dq = ds_n * r
        for gate, ds in (("r", ds_r), ("z", ds_z), ("n", ds_n)):
            dw[f"W_{gate}"] += np.outer(ds, x)
            dw[f"b_{gate}"] += ds
        for gate, du in (("r", ds_r), ("z", ds_z), ("n", dq)):
            dw[f"U_{gate}"] += np.outer(du, h_before)
        dw["a_n"] += dq
        dxs[t] = w["W_r"].T @ ds_r + w["W_z"].T @ ds_z + w["W_n"].T @ ds_n
        dh = dh * z + w["U_r"].T @ ds_r + w["U_z"].T @ ds_z + w["U_n"].T @ dq
    return dxs, {"h": dh}, dw


def gru_before(xs, state, w):
    """The reset gate acts before the recurrent product.

    r_t and z_t as in `gru_after`
    n_t = tanh(W_n x_t + U_n (r_t h_{t-1}) + b_n)
    h_t = (1 - z_t) n_t + z_t h_{t-1}
    """
    h = state["h"]
    hs, tape = [], []
    for x in xs:
        r = sigmoid(w["W_r"] @ x + w["U_r"] @ h + w["b_r"])
        z = sigmoid(w["W_z"] @ x + w["U_z"] @ h + w["b_z"])
        n = np.tanh(w["W_n"] @ x + w["U_n"] @ (r * h) + w["b_n"])
        tape.append((x, h, r, z, n))
        h = (1 - z) * n + z * h
        hs.append(h)
    return hs, {"h": h}, tape


def gru_before_backward(dhs, dstate, tape, w):
    dw, dxs = zeros_like(w), [None] * len(tape)
    dh = dstate["h"]
    for t in reversed(range(len(tape))):
        x, h_before, r, z, n = tape[t]
        dh = dh + dhs[t]
        ds_n = dh * (1 - z) * (1 - n**2)
        ds_z = dh * (h_before - n) * z * (1 - z)
        dp = w["U_n"].T @ ds_n  # p = r h_before
        ds_r = dp * h_before * r * (1 - r)
        for gate, ds, u in (
            ("r", ds_r, h_before),
            ("z", ds_z, h_before),
            ("n", ds_n, r * h_before),
        ):
            dw[f"W_{gate}"] += np.outer(ds, x)
            dw[f"U_{gate}"] += np.outer(ds, u)
            dw[f"b_{gate}"] += ds
        dxs[t] = w["W_r"].T @ ds_r + w["W_z"].T @ ds_z + w["W_n"].T @ ds_n
        dh = dh * z + dp * r + w["U_r"].T @ ds_r + w["U_z"].T @ ds_z
    return dxs, {"h": dh}, dw


# ------------------------------------------------------------------------------ layer-normalised

# Forward only: these say what is computed; its gradient is then a matter of numeric derivatives.
# What is normalised together is what one matrix product gives: all the gates' W x; all the gates'
# U h, but for the gru, whose candidate's U h is normalised apart from that of r and z.


def normalised(vectors, gain):
    """gain (s - mean(s)) / sqrt(var(s) + 1e-5) of all the vectors as one, taken apart again."""
    s = np.concatenate(vectors)
    s = gain * (s - s.mean()) / np.sqrt(s.var() + 1e-5)
    return np.split(s, len(vectors))


def rnn_normalised(xs, state, w, activation="tanh"):
    """h_t = act(LN(W x_t + U h_{t-1}) + b)"""
    h, hs = state["h"], []
    for x in xs:
        (s,) = normalised([w["W"] @ x + w["U"] @ h], w["gain_h"])
        h = SQUASH[activation][0](s + w["b"])
        hs.append(h)
    return hs, {"h": h}, None


def lstm_normalised(xs, state, w):
    """As `lstm` with LN(W x_t) + LN(U h_{t-1}) + b in the gates, and tanh(LN(c_t) + b_c)."""
    h, c, hs = state["h"], state["c"], []
    for x in xs:
        from_x = normalised([w[f"W_{gate}"] @ x for gate in "ifog"], w["gain_x"])
        from_h = normalised([w[f"U_{gate}"] @ h for gate in "ifog"], w["gain_h"])
        b = [w[f"b_{gate}"] for gate in "ifog"]
        i, f, o = (sigmoid(from_x[k] + from_h[k] + b[k]) for k in range(3))
        c = f * c + i * np.tanh(from_x[3] + from_h[3] + b[3])
        (under,) = normalised([c], w["gain_c"])
        m = o * np.tanh(under + w["b_c"])
        h = w["R"] @ m if "R" in w else m
        hs.append(h)
    return hs, {"h": h, "c": c}, None


def gru_normalised(xs, state, w, after):
    """As `gru_after` or `gru_before`, each product normalised."""
    h, hs = state["h"], []
    H = len(h)
    for x in xs:
        x_r, x_z, x_n = normalised([w[f"W_{gate}"] @ x for gate in "rzn"], w["gain_x"])
        h_r, h_z = normalised([w["U_r"] @ h, w["U_z"] @ h], w["gain_h"][: 2 * H])
        r, z = sigmoid(x_r + h_r + w["b_r"]), sigmoid(x_z + h_z + w["b_z"])
        (h_n,) = normalised([w["U_n"] @ (h if after else r * h)], w["gain_h"][2 * H :])
        n = np.tanh(x_n + w["b_n"] + (r * (h_n + w["a_n"]) if after else h_n))
        h = (1 - z) * n + z * h
        hs.append(h)
    return hs, {"h": h}, None


NORMALISED = {
    "rnn": rnn_normalised,
    "lstm": lstm_normalised,
    "gru": lambda xs, state, w: gru_normalised(xs, state, w, after=True),
    "gru-before": lambda xs, state, w: gru_normalised(xs, state, w, after=False),
}


# ------------------------------------------------------------------------------------ many of them

CELLS = {
    "rnn": (rnn, rnn_backward),
    "lstm": (lstm, lstm_backward),
    "gru": (gru_after, gru_after_backward),
    "gru-before": (gru_before, gru_before_backward),
}


def stack(cell, xs, states, layers, **options):
    """Layers above one another; `layers[l]` holds one dict of weights a direction, fwd then bwd.

    states[l][s] is the state of layer l, direction s before its first step. The second direction
    reads the sequence from its end; what the two give for a step stands one above the other.
    """
    forward, _ = CELLS[cell]
    after, tapes = [], []
    for weights, state in zip(layers, states, strict=True):
        halves, ends, rolls = [], [], []
        for s, (w, start) in enumerate(zip(weights, state, strict=True)):
            ys, end, tape = forward(xs if s == 0 else xs[::-1], start, w, **options)
            halves.append(ys if s == 0 else ys[::-1])
            ends.append(end)
            rolls.append(tape)
        xs = [np.concatenate(parts) for parts in zip(*halves, strict=True)]
        after.append(ends)
        tapes.append(rolls)
    return xs, after, tapes


def stack_backward(cell, dys, dafter, layers, tapes, **options):
    """Gradients of the inputs, of the first states and of all weights, in the same nesting."""
    _, backward = CELLS[cell]
    dstates, dlayers = [], []
    for weights, dend, rolls in reversed(list(zip(layers, dafter, tapes, strict=True))):
        P = len(dys[0]) // len(weights)
        dxs, dstate, dweights = [0.0] * len(dys), [], []
        for s, (w, de, tape) in enumerate(zip(weights, dend, rolls, strict=True)):
            half = [dy[s * P : (s + 1) * P] for dy in dys]
            dx, dstart, dw = backward(half if s == 0 else half[::-1], de, tape, w, **options)
            dx = dx if s == 0 else dx[::-1]
            dxs = [total + part for total, part in zip(dxs, dx, strict=True)]
            dstate.append(dstart)
            dweights.append(dw)
        dys = dxs
        dstates.append(dstate)
        dlayers.append(dweights)
    return dys, dstates[::-1], dlayers[::-1]


# -------------------------------------------------------------------------------------------- loss


def cross_entropy(hs, targets, W, b):
    """The nats of each target, -log softmax(W h_t + b)[target_t]."""
    nats = []
    for h, target in zip(hs, targets, strict=True):
        z = W @ h + b
        nats.append(-np.log(np.exp(z[target]) / np.exp(z).sum()))
    return nats


def cross_entropy_backward(hs, targets, W, b, scale=1.0):
    """Gradients of scale times the sum of the nats: of each h_t, of W and of b."""
    dhs, dW, db = [], np.zeros_like(W), np.zeros_like(b)
    for h, target in zip(hs, targets, strict=True):
        z = W @ h + b
        dz = np.exp(z) / np.exp(z).sum()
        dz[target] -= 1
        dz *= scale
        dW += np.outer(dz, h)
        db += dz
        dhs.append(W.T @ dz)
    return dhs, dW, db
