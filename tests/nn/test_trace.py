"""The plain forward that shows gates is the engine's forward, and the gates obey the equations."""

import numpy as np
import pytest
from networks import CELLS, INPUTS, V, cells, close, language_model, random_params

from rnncli.config.network import Config
from rnncli.errors import ConfigError
from rnncli.nn import Model, Steps
from rnncli.nn.cells import table as engine
from rnncli.nn.trace import SIGMOIDS, trace

IDS = np.random.default_rng(5).integers(0, V, 23)


def traced(config, seed=0):
    model = Model(config, random_params(config, np.random.default_rng(seed)))
    return model, trace(model, IDS)


@cells
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("how", INPUTS)
def test_h_and_c_are_the_engines(cell, how, layer_norm):
    model, layers = traced(language_model(cell, how, layers=2, layer_norm=layer_norm))
    state = model.zero_state(1)
    for t, number in enumerate(IDS):
        top, state = model.features(np.array([number]), state, Steps.dense(1, 1))
        close(layers[-1]["h"][:, t], top[:, 0])
        for k, layer in enumerate(layers):
            close(layer["h"][:, t], state.h[k, :, 0])
            if state.c is not None:
                close(layer["c"][:, t], state.c[k, :, 0])


@cells
def test_residuals_and_a_top_layer_of_another_width(cell):
    for settings in ({"layers": 3, "residual": True}, {"layers": 2, "top": 9}):
        if "top" in settings and CELLS[cell].get("proj"):
            continue
        model, layers = traced(language_model(cell, **settings))
        top, _ = model.features(IDS, model.zero_state(1), Steps.dense(len(IDS), 1))
        added = layers if "residual" in settings else layers[-1:]
        close(sum(layer["h"] for layer in added), top)


def test_single_precision_stays_within_a_millionth():
    model = Model.initial(Config(V, cell="lstm", hidden=32, embed=8, layers=2), seed=1)
    top, _ = model.features(IDS, model.zero_state(1), Steps.dense(len(IDS), 1))
    found = trace(model, IDS)[-1]["h"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, top, rtol=0, atol=1e-6)


@cells
def test_the_gates_make_the_states_that_are_shown(cell):
    """c and h of each step, put together by hand from the gates and the step before."""
    _, layers = traced(language_model(cell))
    (s,) = layers
    kind = CELLS[cell]["cell"]
    assert tuple(s) == engine.CELLS[kind].series
    for name in SIGMOIDS & set(s):
        assert 0 < s[name].min() < s[name].max() < 1
    before = {name: np.pad(s[name], ((0, 0), (1, 0)))[:, :-1] for name in ("c", "h") if name in s}
    if kind == "lstm":
        close(s["c"], s["f"] * before["c"] + s["i"] * s["g"])
        if "proj" not in CELLS[cell]:
            close(s["h"], s["o"] * np.tanh(s["c"]))
    elif kind.startswith("gru"):
        close(s["h"], (1 - s["z"]) * s["n"] + s["z"] * before["h"])


def test_a_trace_is_for_language_models():
    model = Model.initial(Config(V, hidden=4, head="tags", outputs=3))
    with pytest.raises(ConfigError, match="head tags"):
        trace(model, IDS)
