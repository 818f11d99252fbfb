"""PyTorch's names and layout of parameters, and ours: the one place that knows both.

PyTorch stacks the gates i f g o and r z n and keeps two biases, which only the gru's candidate
needs; ours are i f o g and r z n with one bias `b`, and `bn` for that candidate. A network is named
as in `encoder` (embedding), `rnn`, `decoder` (output layer). Cells: lstm, gru (reset after), rnn.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rnncli.config import Config

Array = NDArray[np.float64]

BLOCKS = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,)}  # its own inverse
SUFFIXES = {"fwd": "", "bwd": "_reverse"}


def from_torch(
    config: Config, theirs: Mapping[str, Array], *, gradients: bool = False
) -> dict[str, Array]:
    """Our parameters from a state dict, or our gradients from its gradients.

    Two biases that are added have the same gradient: one of the two is ours.
    """
    H, ours = config.hidden, {}
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = _reordered(config.cell, theirs[f"rnn.weight_ih{end}"])
        ours[name + "Wx"] = Wx.T if _one_hot(config, layer) else Wx
        ours[name + "Wh"] = _reordered(config.cell, theirs[f"rnn.weight_hh{end}"])
        b = _reordered(config.cell, theirs[f"rnn.bias_ih{end}"])
        b_h = _reordered(config.cell, theirs[f"rnn.bias_hh{end}"])
        added = 2 * H if config.cell == "gru" else len(b)
        if not gradients:
            b[:added] += b_h[:added]
        ours[name + "b"] = b
        if config.cell == "gru":
            ours[name + "bn"] = b_h[2 * H :]
        if config.proj:
            ours[name + "Wp"] = theirs[f"rnn.weight_hr{end}"]
    if config.embed:
        ours["embed.W"] = theirs["encoder.weight"]
    if "decoder.bias" in theirs:
        ours["head.b"] = theirs["decoder.bias"]
        if not config.tied:
            ours["head.W"] = theirs["decoder.weight"]
    return ours


def to_torch(config: Config, ours: Mapping[str, Array]) -> dict[str, Array]:
    """A state dict from our parameters: its second bias is zero but for the gru's candidate."""
    H, theirs = config.hidden, {}
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = ours[name + "Wx"].T if _one_hot(config, layer) else ours[name + "Wx"]
        theirs[f"rnn.weight_ih{end}"] = _reordered(config.cell, Wx)
        theirs[f"rnn.weight_hh{end}"] = _reordered(config.cell, ours[name + "Wh"])
        theirs[f"rnn.bias_ih{end}"] = _reordered(config.cell, ours[name + "b"])
        theirs[f"rnn.bias_hh{end}"] = np.zeros_like(ours[name + "b"])
        if config.cell == "gru":
            theirs[f"rnn.bias_hh{end}"][2 * H :] = ours[name + "bn"]
        if config.proj:
            theirs[f"rnn.weight_hr{end}"] = ours[name + "Wp"]
    if config.embed:
        theirs["encoder.weight"] = ours["embed.W"]
    if "head.b" in ours:
        theirs["decoder.weight"] = ours["embed.W" if config.tied else "head.W"]
        theirs["decoder.bias"] = ours["head.b"]
    return theirs


def _places(config: Config) -> list[tuple[int, str]]:
    directions = list(SUFFIXES)[: config.directions]
    return [(layer, direction) for layer in range(config.layers) for direction in directions]


def _one_hot(config: Config, layer: int) -> bool:
    return layer == 0 and not config.embed and config.head != "values"


def _reordered(cell: str, stacked: Array) -> Array:
    blocks = np.split(stacked, len(BLOCKS[cell]))
    return np.concatenate([blocks[k] for k in BLOCKS[cell]])
