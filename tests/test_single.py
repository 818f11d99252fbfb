"""A token at a time gives what the whole network gives, whatever the network."""

import numpy as np
import pytest
from networks import CELLS, INPUTS, V, language_model, random_params, random_state

from rnncli.nn import Model, Steps, single
from rnncli.nn.single import Single

cells = pytest.mark.parametrize("cell", CELLS)


def same(config, rng, count=3):
    model = Model(config, random_params(config, rng))
    read, state = Single(model), random_state(config, count, rng)
    plain = state
    for _ in range(4):
        ids = rng.integers(0, V, count)
        logits, state = read(ids, state)
        wanted, plain = model.predict(ids, plain, Steps((count,)))
        np.testing.assert_allclose(logits, wanted, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state.h, plain.h, rtol=1e-12, atol=1e-12)
        if plain.c is not None:
            np.testing.assert_allclose(state.c, plain.c, rtol=1e-12, atol=1e-12)
    return read


@cells
@pytest.mark.parametrize("how", INPUTS)
@pytest.mark.parametrize("table", [0, single.TABLE], ids=["no-table", "table"])
def test_one_token_at_a_time_is_the_network_itself(cell, how, table, monkeypatch):
    monkeypatch.setattr(single, "TABLE", table)
    read = same(language_model(cell, how), np.random.default_rng(1))
    assert read.short == (cell in ("lstm", "gru", "rnn-tanh"))


@cells
@pytest.mark.parametrize(
    "settings",
    [{"layers": 2}, {"layers": 3, "residual": True}, {"layers": 2, "top": 4}, {"layer_norm": True}],
    ids=lambda settings: "-".join(settings),
)
def test_deep_residual_narrow_and_normalised_networks_too(cell, settings):
    if "proj" in CELLS[cell]:  # one width for all layers
        settings = {k: v for k, v in settings.items() if k != "top"}
    same(language_model(cell, **settings), np.random.default_rng(2), count=1)


def test_a_step_leaves_the_state_that_it_was_given():
    rng = np.random.default_rng(3)
    config = language_model("lstm", layers=2)
    read = Single(Model(config, random_params(config, rng)))
    state = random_state(config, 2, rng)
    h, c = state.h.copy(), state.c.copy()
    read(np.array([1, 2]), state)
    np.testing.assert_array_equal(state.h, h)
    np.testing.assert_array_equal(state.c, c)
