"""The diagnostics tell sound networks from unsound ones; the gradient by lag is the numeric one."""

import math

import numpy as np
import pytest
from networks import CELLS as NETWORKS

from rnncli.config.network import Config
from rnncli.errors import ConfigError
from rnncli.lm import language_model
from rnncli.nn import Model, State, gradient_by_lag
from rnncli.nn.cells.table import CELLS
from rnncli.training.check import check, made_up

CELL_NAMES = ("rnn", "gru", "gru-before", "lstm")


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("embed", [0, 3])
def test_the_norm_at_a_lag_is_that_of_the_numeric_gradient(cell, embed):
    model = Model.initial(Config(inputs=7, cell=cell, hidden=4, layers=2, embed=embed), 1, float)
    ids, lag, B = np.random.default_rng(2).integers(7, size=(9, 3)), 5, 3
    state = model.zero_state(B)
    for x in ids[: 8 - lag]:
        _, state = model.step(x, state)

    def loss(h):
        after = State(h, state.c)
        for x in ids[8 - lag : 8]:
            logits, after = model.step(x, after)
        picked = logits[ids[8], np.arange(B)]
        return float(np.mean(np.log(np.exp(logits).sum(axis=0)) - picked))

    slope = np.zeros_like(state.h)
    for place in np.ndindex(state.h.shape):
        nudge = np.zeros_like(state.h)
        nudge[place] = 1e-5
        slope[place] = (loss(state.h + nudge) - loss(state.h - nudge)) / 2e-5
    assert gradient_by_lag(model, ids)[lag] == pytest.approx(np.linalg.norm(slope), rel=1e-6)


def test_one_text_is_a_batch_of_one():
    model = Model.initial(Config(inputs=7, hidden=4), 1)
    ids = np.random.default_rng(2).integers(7, size=6)
    assert gradient_by_lag(model, ids).tolist() == gradient_by_lag(model, ids[:, None]).tolist()


def test_the_gradient_by_lag_refuses_what_has_no_lags():
    tagger = Model.initial(Config(inputs=7, hidden=4, head="tags", outputs=2), 1)
    with pytest.raises(ConfigError, match="head tags"):
        gradient_by_lag(tagger, np.arange(5))
    with pytest.raises(ConfigError, match="two ids"):
        gradient_by_lag(Model.initial(Config(inputs=7, hidden=4), 1), np.arange(1))


SOUND = {
    "one-hot lstm": Config(30, hidden=24),
    "deep gru with dropout": Config(30, cell="gru", hidden=24, layers=2, embed=9, dropout=0.3),
    "relu rnn": Config(30, cell="rnn", activation="relu", hidden=32, init="fan"),
    "tied, projected, all dropouts and penalties": Config(
        30, hidden=20, proj=12, embed=12, tied=True, layers=2, dropout=0.2, dropout_embed=0.1,
        dropout_weight=0.3, variational=True, activation_reg=2.0, temporal_reg=1.0,
    ),
    "normalised": Config(30, cell="gru-before", hidden=24, embed=8, layer_norm=True),
    "normalised rnn, residual": Config(
        50, cell="rnn", hidden=32, layers=3, layer_norm=True, residual=True
    ),
    "plain rnn, one-hot": Config(50, cell="rnn", hidden=32, layers=2),
    "no activation": Config(50, cell="rnn", activation="identity", hidden=32, embed=16, layers=2),
    "deep and tied": Config(
        300, cell="gru-before", hidden=32, layers=3, top=20, embed=20, tied=True
    ),
    "two tokens": Config(2, hidden=24),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_configuration_passes_in_everything(name):
    config = SOUND[name]
    findings = list(check(config))
    assert all(f.passed for f in findings), findings
    looked_at = [f.name for f in findings]
    parameters = Model.initial(config).params
    assert looked_at[: len(parameters)] == [f"gradient of {key}" for key in parameters]
    states = ["gradient of state.h", "gradient of state.c"][: 2 if config.cell == "lstm" else 1]
    assert looked_at[len(parameters) :] == [
        *states, "first loss", "one batch by heart", "model file",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", NETWORKS)
@pytest.mark.parametrize("embed", [{}, {"embed": 8}, {"embed": 16, "tied": True}])
def test_every_kind_of_network_passes(cell, embed):
    width = {"proj": 16, "hidden": 32} if cell == "lstm-projected" else {"hidden": 16}
    for layer_norm in (False, True):
        config = Config(40, **NETWORKS[cell] | width | embed, layers=2, layer_norm=layer_norm)
        assert not failures(config), config


def failures(config):
    return {finding.name for finding in check(config) if not finding.passed}


def test_a_gradient_that_is_wrong_by_a_thousandth_is_found(monkeypatch):
    sound = CELLS["gru"]

    def wrong(dy, dstate, cache, dw):
        da, before = sound.backward(dy, dstate, cache, dw)
        return da * 1.001, before

    monkeypatch.setitem(CELLS, "gru", sound._replace(backward=wrong))
    found = {"gradient of rnn.0.fwd.Wx", "gradient of rnn.0.fwd.b", "gradient of embed.W"}
    assert failures(Config(30, cell="gru", hidden=24, embed=5)) == found


def test_a_network_that_starts_out_with_opinions_is_found():
    assert "first loss" in failures(Config(30, hidden=24, init="uniform", init_scale=2.0))


def test_a_network_too_small_for_one_batch_is_found():
    assert "one batch by heart" in failures(Config(30, hidden=1))


def test_a_model_file_that_changes_a_parameter_is_found(monkeypatch):
    load = language_model.load

    def altered(path):
        language = load(path)
        language.model.params.flat[-1] += 1e-3
        return language

    monkeypatch.setattr(language_model, "load", altered)
    assert failures(Config(30, hidden=24)) == {"model file"}


def test_a_check_is_for_language_models():
    with pytest.raises(ConfigError, match="head tags"):
        list(check(Config(30, hidden=4, head="tags", outputs=3)))


@pytest.mark.parametrize("V", [2, 3, 257])
def test_a_made_up_vocabulary_has_the_size_asked_for(V):
    tokenizer = made_up(V)
    assert len(tokenizer) == V
    assert tokenizer.decode(tokenizer.encode("w1")) == "w1"


def test_there_is_no_vocabulary_of_one():
    with pytest.raises(ConfigError, match="2 tokens"):
        made_up(1)


def test_the_first_loss_is_measured_against_ln_v():
    found = {f.name: f for f in check(Config(30, hidden=24))}["first loss"]
    assert f"ln 30 = {math.log(30):.4f}" in found.detail
