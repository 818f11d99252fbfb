"""Every gradient of every kind of network is the numeric one, in every combination of options."""

import numpy as np
import pytest
from networks import (
    DENSE,
    INPUTS,
    RAGGED,
    cells,
    drawn,
    language_model,
    random_configuration,
)
from numeric import assert_gradients

from rnncli.nn import Model, shapes


def random_parts(config):
    """Whether two forward passes differ, or the loss has more terms than the nats."""
    return any(
        value
        for name, value in config.to_json().items()
        if "dropout" in name or name in ("activation_reg", "temporal_reg")
    )


def assert_right(
    config, steps, seed, *, scale=None, block=None, whole=False, every=0, entries=0, directions=1
):
    """Numeric against exact gradients of all parameters, of the first state and of a real input.

    Without dropout the loss comes from `Model.nats`, which shares no code with the gradient's.
    `whole` nudges all parameters at once: quicker, but a failure does not say which is wrong.
    """
    rng = np.random.default_rng(seed)
    model, batch, state = drawn(config, steps, rng)
    unused, grads = model.params.like(), model.params.like()
    count = len(batch.y.T)

    def gradients(into):
        masks = np.random.default_rng(seed + 1)
        return model.gradients(batch, state, into, rng=masks, scale=scale, block=block)

    def loss():
        weight = 1 / count if scale is None else scale
        if random_parts(config):
            found = gradients(unused)
            return weight * (found.nats.sum() + count * found.penalty)
        return weight * model.nats(batch, state)[0].sum()

    found = gradients(grads)
    if whole:
        arrays, exact = {"parameters": model.params.flat}, {"parameters": grads.flat}
    else:
        arrays, exact = dict(model.params), dict(grads)
    arrays["h0"], exact["h0"] = state.h, found.dstate.h
    if state.c is not None:
        arrays["c0"], exact["c0"] = state.c, found.dstate.c
    if config.head == "values":
        arrays["x"], exact["x"] = batch.x, found.dx
    assert_gradients(
        loss, arrays, exact, seed=seed, every=every, entries=entries, directions=directions
    )


@cells
def test_every_single_entry_of_a_language_model_has_its_numeric_gradient(cell):
    config = language_model(cell, inputs=5, embed=2, hidden=3)
    assert_right(config, RAGGED, seed=1, every=1000, directions=0)


@cells
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("how", INPUTS)
@pytest.mark.parametrize("steps", [RAGGED, DENSE], ids=["packed", "dense"])
def test_language_models_have_their_numeric_gradients(cell, layers, how, steps):
    config = language_model(cell, how, layers=layers)
    assert_right(config, steps, seed=layers)


@cells
@pytest.mark.parametrize("how", INPUTS)
def test_dropout_has_its_numeric_gradients(cell, how):
    config = language_model(cell, how, layers=2, dropout=0.4, dropout_weight=0.3)
    assert_right(config, RAGGED, seed=4)


@pytest.mark.parametrize("block", [1, 2, 4, 8, 9, 100])
@pytest.mark.parametrize("how", ["embedded", "tied"])
def test_head_blocks_of_any_size_have_their_numeric_gradients(block, how):
    config = language_model("gru", how)
    assert_right(config, RAGGED, seed=5, block=block)


@pytest.mark.parametrize("seed", range(210))
def test_options_in_any_combination_have_their_numeric_gradients(seed):
    config, steps, how = random_configuration(seed)
    assert_right(config, steps, seed, whole=True, **how)


@pytest.mark.parametrize(
    "name", shapes(language_model("lstm-projected", layers=2, layer_norm=True))
)
def test_an_error_of_a_thousandth_in_any_gradient_is_found_even_among_all(name, monkeypatch):
    config = language_model("lstm-projected", layers=2, layer_norm=True)
    assert_right(config, RAGGED, seed=12, whole=True)
    right = Model.gradients

    def wrong(self, batch, state, grads, **options):
        found = right(self, batch, state, grads, **options)
        grads[name][...] *= 1.001
        return found

    monkeypatch.setattr(Model, "gradients", wrong)
    for whole in (False, True):
        with pytest.raises(AssertionError, match="parameters" if whole else name):
            assert_right(config, RAGGED, seed=12, whole=whole)


def test_the_random_configurations_reach_every_value_of_every_option():
    drawn_configs = [random_configuration(seed)[0] for seed in range(210)]
    same_everywhere = {"init", "init_scale", "forget_bias"}
    for name in drawn_configs[0].to_json().keys() - same_everywhere:
        values = {getattr(config, name) for config in drawn_configs}
        assert len(values) > 1, name
    assert {c.cell for c in drawn_configs} == {"lstm", "gru", "gru-before", "rnn"}
    assert {c.head for c in drawn_configs} == {"tokens", "tags", "values"}
