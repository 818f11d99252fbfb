"""A token at a time gives what the whole network gives, whatever the network."""

import numpy as np
import pytest
from networks import CELLS, INPUTS, V, language_model, random_params, random_state

from rnncli.nn import Config, Model, State, Steps, products
from rnncli.nn.incremental import Single
from rnncli.nn.inputs import embedding
from rnncli.nn.threads import Threads

cells = pytest.mark.parametrize("cell", CELLS)


def same(config, rng, count=3, threads=None):
    model = Model(config, random_params(config, rng))
    read, state = Single(model, threads), random_state(config, count, rng)
    plain = state
    for _ in range(4):
        ids = rng.integers(0, V, count)
        logits, state = read(ids, state)
        wanted, plain = model.predict(ids, plain, Steps((count,)))
        np.testing.assert_allclose(logits.T, wanted, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state.h, plain.h, rtol=1e-12, atol=1e-12)
        if plain.c is not None:
            np.testing.assert_allclose(state.c, plain.c, rtol=1e-12, atol=1e-12)
    return read


@cells
@pytest.mark.parametrize("how", INPUTS)
@pytest.mark.parametrize("table", [0, embedding.TABLE], ids=["no-table", "table"])
def test_one_token_at_a_time_is_the_network_itself(cell, how, table, monkeypatch):
    monkeypatch.setattr(embedding, "TABLE", table)
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


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_large_matrices_in_pieces_are_the_network_itself(cell, count, monkeypatch):
    monkeypatch.setattr(products, "LARGE", 0)
    for size in (1, 3):
        same(language_model(cell, layers=2), np.random.default_rng(4), count, Threads(size))


@pytest.mark.parametrize("count", [1, 5])
def test_the_number_of_threads_changes_no_bit(count):
    rng = np.random.default_rng(5)
    model = Model.initial(Config(50_001, cell="lstm", hidden=48, embed=48))  # pieces not all alike
    state = State(*rng.standard_normal((2, 1, 48, count)).astype(np.float32))
    ids = rng.integers(0, 50_001, count)
    (one, _), (two, _) = (Single(model, Threads(size))(ids, state) for size in (1, 2))
    np.testing.assert_array_equal(one, two)
    plain, _ = model.predict(ids, state, Steps((count,)))
    np.testing.assert_allclose(one.T, plain, rtol=1e-5, atol=1e-5)


def test_an_error_in_a_piece_is_not_lost():
    def broken(k):
        if k == 5:
            raise ArithmeticError(k)

    for size in (1, 2):
        with pytest.raises(ArithmeticError):
            Threads(size).run(broken, 8)
