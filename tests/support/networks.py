"""Small networks to test: every kind of cell; sizes all different, so that no swapped axis passes.

Weights are lively, states and batches random; all from a generator or a seed that is given.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rnncli.config.network import Config
from rnncli.nn import Batch, Model, Params, State, Steps, shapes

T, B, E, H, P, V, K = 5, 3, 4, 6, 2, 9, 7
RAGGED, DENSE = Steps.of_lengths((5, 2, 4)), Steps.dense(T, B)

CELLS: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm"},
    "lstm-projected": {"cell": "lstm", "proj": P},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru-before"},
    "rnn-tanh": {"cell": "rnn", "activation": "tanh"},
    "rnn-relu": {"cell": "rnn", "activation": "relu"},
    "rnn-identity": {"cell": "rnn", "activation": "identity"},
}
INPUTS = {"one-hot": 0, "embedded": E, "tied": None}
cells = pytest.mark.parametrize("cell", CELLS)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def language_model(cell, how="embedded", **settings):
    width = CELLS[cell].get("proj", H)
    embed = width if how == "tied" else INPUTS[how]
    settings = {"inputs": V, "hidden": H, "embed": embed, "tied": how == "tied"} | settings
    return Config(**CELLS[cell], **settings)


def random_params(config, rng):
    params = Params(shapes(config), np.float64)
    params.flat[:] = 0.5 * rng.standard_normal(params.flat.shape)
    for name, value in params.items():
        if name.rsplit(".", 1)[1] in ("gh", "gx", "gc"):
            value += 1
    return params


def random_state(config, count, rng):
    k = config.layers * config.directions
    rows = max(config.hidden, config.top)
    c = rng.standard_normal((k, rows, count)) if config.cell == "lstm" else None
    return State(rng.standard_normal((k, config.state_width, count)), c)


def drawn(config, steps, rng):
    """A float64 model, a batch and a first state."""
    model = Model(config, random_params(config, rng))
    count = steps.B if config.last_only else steps.N
    if config.head == "values":
        x = rng.standard_normal((config.inputs, steps.N))
        y = rng.standard_normal((config.outputs, count))
    else:
        x = rng.integers(0, config.inputs, steps.N)
        y = rng.integers(0, config.classes, count)
    return model, Batch(x, y, steps), random_state(config, steps.B, rng)


def random_configuration(seed, head=None):
    """Any options that may stand together, over a random ragged batch."""
    rng = np.random.default_rng([seed, 271828])

    def sometimes(value, otherwise):
        return value if rng.random() < 0.4 else otherwise

    def rate():
        return sometimes(float(rng.uniform(0.1, 0.6)), 0.0)

    cell = dict(CELLS[list(CELLS)[seed % len(CELLS)]])
    head = head or ("tokens", "tags", "values")[rng.integers(3)]
    hidden = int(rng.integers(4, 8))
    if "proj" in cell:
        cell["proj"] = int(rng.integers(1, hidden))
    both = head != "tokens" and bool(rng.integers(2))
    width = cell.get("proj", hidden) * (2 if both else 1)
    tied = head == "tokens" and bool(rng.integers(2))
    ids = head != "values"
    embed = width if tied else (0, int(rng.integers(1, 6)), width)[rng.integers(3)]
    inputs = (3, 9, 30, 300)[rng.integers(4)] if ids else sometimes(width, int(rng.integers(1, 6)))
    config = Config(
        **cell,
        hidden=hidden,
        layers=int(rng.integers(1, 4)),
        head=head,
        inputs=inputs,
        outputs=0 if head == "tokens" else int(rng.integers(1, 6)),
        embed=embed if ids else 0,
        tied=tied,
        bidirectional=both,
        last_only=head != "tokens" and bool(rng.integers(2)),
        residual=bool(rng.integers(2)),
        layer_norm=sometimes(True, False),
        dropout=rate(),
        dropout_in=sometimes(None, rate()),
        dropout_out=sometimes(None, rate()),
        dropout_embed=rate() if ids and embed else 0.0,
        dropout_weight=rate(),
        variational=bool(rng.integers(2)),
        activation_reg=sometimes(0.7, 0.0),
        temporal_reg=sometimes(0.9, 0.0),
    )
    if config.layers > 1 and not config.proj and not config.residual:
        top = sometimes(int(rng.integers(2, 10)), 0)
        config = replace(config, top=top, embed=top if tied and top else config.embed)
    steps = Steps.of_lengths(rng.integers(1, 6, rng.integers(1, 5)).tolist())
    scale = sometimes(float(rng.uniform(0.01, 0.5)), None)
    return config, steps, {"scale": scale, "block": sometimes(int(rng.integers(1, 10)), None)}
