"""What a recurrent cell is, and what the cells share.

A cell takes `a` (G*H, N), what the input adds to its gates at every step (Wx x + b, made by the
stack in one matmul), and owns the recurrence: nothing outside its file computes the next state from
the last. Arrays are feature-major on purpose: the gates of one step are a contiguous (G*H, n)
block, so that one matmul fills them, one tanh covers them all (sigmoid(x) = tanh(x/2)/2 + 1/2), and
each gate is a contiguous run of it. Gates are stacked sigmoids first: lstm i f o | g, gru r z | n.

A carry (P, B) holds the state of every sequence; a step reads and writes the n columns alive, so
ragged, dense and reversed sequences are one code. Shape letters: see `rnncli.nn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.ops import layer_norm_forward
from rnncli.nn.packed import Steps
from rnncli.nn.params import Spec

Array = NDArray[Any]
Weights = Mapping[str, Array]
State = tuple[Array, ...]  # (h,) or (h, c): h (P, B), c (H, B)
Cache = Any  # whatever a forward leaves to its own backward


class Cell(NamedTuple):
    """One row of the table of cells.

    gates: a letter for each gate, in the order in which they are stacked.
    sigmoids: how many gates, from the first on, are sigmoids; the others are tanh.
    n_states: 1: the state is h; 2: it is h and c.
    series: what `plain` yields at every step, in the order in which it is computed.
    parameters: (H, P, config) -> the specs of a layer's parameters but for its input weights Wx.
    forward: (a, w, state, steps, reverse=) -> y (P, N), last state, cache.
    backward: (dy, dstate, cache, dw) -> da, dstate of the first; weight gradients are put into dw.
    plain: the same forward from a fresh state in the plain form of the equations, to look at.
    step: one step of the forward for generating, where there is one; see `step` in `lstm.py`.
    step_needs: the settings that `step` is for, where it is not for all.
    settings: the names of settings that `forward` takes as keywords.
    torch_gates: the gates in PyTorch's order; empty if PyTorch has no such cell.
    """

    gates: str
    sigmoids: int
    n_states: int
    series: tuple[str, ...]
    parameters: Callable[[int, int, Config], dict[str, Spec]]
    forward: Callable[..., tuple[Array, State, Cache]]
    backward: Callable[[Array, State, Cache, Weights], tuple[Array, State]]
    plain: Callable[[Array, Weights, Config], Iterator[State]]
    step: Callable[[Array, Array, Weights, State, State], None] | None = None
    step_needs: Mapping[str, Any] = {}
    settings: tuple[str, ...] = ()
    torch_gates: str = ""


def walk(steps: Steps, reverse: bool) -> list[tuple[int, slice, int]]:
    """List every step with its columns and their number, in the order of the recurrence.

    Example: sizes (2, 1), reversed -> [(1, slice(2, 3), 1), (0, slice(0, 2), 2)]
    """
    path = [(t, steps.columns[t], n) for t, n in enumerate(steps.sizes)]
    return path[::-1] if reverse else path


def step_blocks(rows: int, steps: Steps, like: Array) -> list[Array]:
    """Allocate a contiguous (rows, n) block for each step, all in one piece of memory."""
    flat = np.empty(rows * steps.N, like.dtype)
    return [flat[rows * s.start : rows * s.stop].reshape(rows, -1) for s in steps.columns]


def clear(dw: Weights, *names: str) -> None:
    """Zero the gradients that are added up step by step, where there are such."""
    for name in names:
        if name in dw:
            dw[name][:] = 0


# Of the type of the gates: an array as the factor takes half the time of a number.
HALF = {np.dtype(kind): np.array(0.5, kind) for kind in (np.float32, np.float64)}


def tanh_gates(gates: Array, sigmoids: int) -> None:
    """Take tanh of all rows and turn it into the sigmoid on the first `sigmoids`, in place."""
    s, half = gates[:sigmoids], HALF[gates.dtype]
    s *= half
    np.tanh(gates, out=gates)
    s *= half
    s += half


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), in a form that cannot overflow."""
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


def normed(x: Array, w: Weights, gain: str, rows: slice = slice(None)) -> Array:
    """Return LN(x) of a vector x (F,) where the layer has that gain, else x itself."""
    return layer_norm_forward(x[:, None], w[gain][rows])[0][:, 0] if gain in w else x
