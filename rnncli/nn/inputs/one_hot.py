"""Ids without an embedding: a token's vector is one 1 among zeros, and never exists.

Wx of the first layer is (V, G*H): a token picks its row, so that there is nothing to multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnncli.config.network import Config
from rnncli.nn.inputs.input import Array, Input, Source
from rnncli.nn.packed import Steps
from rnncli.nn.params import Params


def forward(
    params: Params, config: Config, x: Array, steps: Steps, rng: np.random.Generator | None
) -> tuple[Source, Any]:
    """Hand the ids x (N,) on as they are."""
    return Source(ids=x), None


def token_gates(params: Params, w: Mapping[str, Array]) -> Callable[[Array], Array]:
    """Return a function that picks the rows of Wx (V, G*H) and adds the bias."""
    Wx, b = w["Wx"], w["b"]
    return lambda ids: np.asarray(Wx[ids].T + (b[:, None] if ids.ndim else b))


INPUT = Input(
    width=lambda config: config.inputs,
    parameters=lambda config: {},
    forward=forward,
    add_backward=lambda dx, x, cache, grads: None,
    clear=lambda config, grads: None,
    vectors=lambda params, x: None,
    token_gates=token_gates,
)
