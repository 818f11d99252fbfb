"""What an input is: from ids (N,), or values (D, N), to what enters the first recurrent layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.ops import dropout_mask
from rnncli.nn.packed import Steps
from rnncli.nn.params import Params, Spec

Array = NDArray[Any]


class Source(NamedTuple):
    """What enters the first layer: values, or ids with or without an embedding.

    With `ids` alone the rows of Wx (V, G*H) are gathered: the one-hot input never exists.
    With `embed` (V, E) too, a vocabulary smaller than the batch is multiplied by Wx once, and the
    rows of that product are gathered: the same sums in fewer operations.
    """

    x: Array | None = None  # (D, N)
    ids: Array | None = None  # (N,)
    embed: Array | None = None  # (V, E)


def dropped(
    x: Array, rate: float, steps: Steps, rng: np.random.Generator | None, variational: bool
) -> tuple[Array, Array | None]:
    """Drop entries of x (D, N): the result, and the mask that its gradient is multiplied by."""
    if rng is None or rate == 0:
        return x, None
    if variational:  # Gal and Ghahramani 2016
        mask = dropout_mask(rng, rate, (len(x), steps.B), x.dtype)
        mask = np.concatenate([mask[:, :n] for n in steps.sizes], axis=1)
    else:
        mask = dropout_mask(rng, rate, x.shape, x.dtype)
    return x * mask, mask


class Input(NamedTuple):
    """One row of the table of inputs.

    width: config -> D, the width of what enters the first layer.
    parameters: config -> the specs of its own parameters.
    forward: (params, config, x, steps, rng) -> the source of the first layer, and a cache; `rng`
        None means no dropout.
    add_backward: (dx, x, cache, grads) -> the gradient of a real input, None for ids. dx (D, N) is
        that of the source. The gradient of a parameter is added: a tied output layer shares it.
    clear: (config, grads) zeroes the gradients that are added to, before the stack runs backward.
    vectors: (params, x) -> the input of the first layer without dropout, (D, N); None for one-hot.
    token_gates: (params, w) -> a function from tokens (B,), or one (), to what they add to the
        gates of the first layer, whose weights are w: (G*H, B) or (G*H,). None for values.
    """

    width: Callable[[Config], int]
    parameters: Callable[[Config], dict[str, Spec]]
    forward: Callable[
        [Params, Config, Array, Steps, np.random.Generator | None], tuple[Source, Any]
    ]
    add_backward: Callable[[Array, Array, Any, Params], Array | None]
    clear: Callable[[Config, Params], None]
    vectors: Callable[[Params, Array], Array | None]
    token_gates: Callable[[Params, Mapping[str, Array]], Callable[[Array], Array]] | None = None
