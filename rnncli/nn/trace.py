"""What goes on inside: every gate, h and c of every layer while a text is read, step by step.

The engine's cells keep no more than a backward needs, in the layout that is fastest. This is the
same forward in the plain form of the equations, to look at; the tests hold one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.errors import ConfigError
from rnncli.nn.model import Model
from rnncli.nn.ops import layer_norm_forward

Array = NDArray[Any]
Weights = Mapping[str, Array]
SERIES = {  # what a cell has to show, in the order in which it is computed
    "lstm": ("i", "f", "o", "g", "c", "h"),
    "gru": ("r", "z", "n", "h"),
    "gru-before": ("r", "z", "n", "h"),
    "rnn": ("h",),
}
SIGMOIDS = frozenset("iforz")  # series between 0 and 1; g, n and (but for relu) h are in -1 to 1


def trace(model: Model, ids: Array) -> list[dict[str, Array]]:
    """Each layer's series by name over ids (T,), from a fresh state: (H, T), h (P, T).

    The names are those of `SERIES`. With `residual`, h is what the cell hands to its next step,
    before the layer's input is added. Raises ConfigError for another head than tokens.
    """
    config, params = model.config, model.params
    if config.head != "tokens":
        raise ConfigError(f"a trace is for language models, not for head {config.head}.")
    x = params["embed.W"][ids].T if config.embed else None  # (D, T)
    layers = []
    for layer in range(config.layers):
        w = params.under(f"rnn.{layer}.fwd")
        a = w["Wx"][ids].T if x is None else w["Wx"] @ x  # (G*H, T); one-hot Wx is (V, G*H)
        if "gx" in w:
            a = layer_norm_forward(a, w["gx"])[0]
        if "b" in w:
            a = a + w["b"][:, None]
        steps = list(_CELLS[config.cell](a, w, config))
        series = {name: np.stack(rows, axis=1) for name, rows in
                  zip(SERIES[config.cell], zip(*steps, strict=True), strict=True)}  # fmt: skip
        layers.append(series)
        x = series["h"] + x if config.residual and layer and x is not None else series["h"]
    return layers


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


def _normed(x: Array, w: Weights, gain: str, rows: slice = slice(None)) -> Array:
    """LN(x), x (F,), where the layer has that gain; else x itself."""
    return layer_norm_forward(x[:, None], w[gain][rows])[0][:, 0] if gain in w else x


def _rnn(a: Array, w: Weights, config: Config) -> Iterator[tuple[Array, ...]]:
    h = np.zeros(w["Wh"].shape[1], a.dtype)
    for column in a.T:
        z = _normed(column + w["Wh"] @ h, w, "gh")
        z = z + w["bh"] if "bh" in w else z
        if config.activation == "tanh":
            h = np.tanh(z)
        else:
            h = np.maximum(z, 0) if config.activation == "relu" else z
        yield (h,)


def _lstm(a: Array, w: Weights, config: Config) -> Iterator[tuple[Array, ...]]:
    H = len(a) // 4
    h, c = np.zeros(w["Wh"].shape[1], a.dtype), np.zeros(H, a.dtype)
    for column in a.T:
        z = column + _normed(w["Wh"] @ h, w, "gh")
        i, f, o = _sigmoid(z[: 3 * H]).reshape(3, H)
        g = np.tanh(z[3 * H :])
        c = f * c + i * g
        under = _normed(c, w, "gc") + w["bc"] if "gc" in w else c
        h = o * np.tanh(under)
        h = w["Wp"] @ h if "Wp" in w else h
        yield i, f, o, g, c, h


def _gru(a: Array, w: Weights, config: Config) -> Iterator[tuple[Array, ...]]:
    """Both forms: the reset gate after the recurrent matmul (gru), or before it."""
    H = len(a) // 3
    rz, candidate = slice(0, 2 * H), slice(2 * H, 3 * H)
    after = config.cell == "gru"
    h = np.zeros(H, a.dtype)
    for column in a.T:
        r, z = _sigmoid(column[rz] + _normed(w["Wh"][rz] @ h, w, "gh", rz)).reshape(2, H)
        recurrent = _normed(w["Wh"][candidate] @ (h if after else r * h), w, "gh", candidate)
        n = np.tanh(column[candidate] + (r * (recurrent + w["bn"]) if after else recurrent))
        h = (1 - z) * n + z * h
        yield r, z, n, h


_CELLS = {"rnn": _rnn, "lstm": _lstm, "gru": _gru, "gru-before": _gru}
