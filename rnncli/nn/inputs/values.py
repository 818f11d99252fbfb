"""Real values (D, N) as input, with dropout: no parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncli.config.network import Config
from rnncli.nn.inputs.input import Array, Input, Source, dropped
from rnncli.nn.packed import Steps
from rnncli.nn.params import Params


def forward(
    params: Params, config: Config, x: Array, steps: Steps, rng: np.random.Generator | None
) -> tuple[Source, Any]:
    """Drop entries of x (D, N)."""
    x, mask = dropped(x, config.input_dropout, steps, rng, config.variational)
    return Source(x), mask


def add_backward(dx: Array, x: Array, cache: Any, grads: Params) -> Array:
    """Return dx (D, N) from before the dropout; there is no parameter to add to."""
    return dx if cache is None else np.asarray(dx * cache)


INPUT = Input(
    width=lambda config: config.inputs,
    parameters=lambda config: {},
    forward=forward,
    add_backward=add_backward,
    clear=lambda config, grads: None,
    vectors=lambda params, x: x,
)
