"""The engine computes what PyTorch computes: against numbers frozen by make_torch_reference.py.

Outputs, last states, losses and each named gradient of cells and language models over ragged
batches, and ten updates of each rule. float64 throughout.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.convert.pytorch import from_torch, to_torch
from rnncli.nn import Batch, Model, Packed, Params, State, pack, shapes, unpack
from rnncli.nn.inputs.input import Source
from rnncli.nn.layout import matrices as matrices_of
from rnncli.nn.optim import RULES, UpdateStep, clip_norm, new_slots, update, update_parts
from rnncli.nn.stack import stack_backward, stack_forward

DATA = Path(__file__).parents[1] / "frozen"


def frozen(name):
    """case -> (settings, arrays)"""
    with np.load(DATA / f"torch_{name}.npz") as file:
        cases = {}
        for case, about in json.loads(bytes(file["manifest"]))["cases"].items():
            ends = np.cumsum([int(np.prod(shape)) for _, shape in about["arrays"]])
            parts = np.split(file[case], ends[:-1])
            cases[case] = (
                about["config"],
                {
                    name: part.reshape(shape)
                    for (name, shape), part in zip(about["arrays"], parts, strict=True)
                },
            )
    return cases


CELLS, MODELS, OPTIMIZERS = frozen("cells"), frozen("models"), frozen("optimizers")
START = OPTIMIZERS.pop("start")


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def parameters(config, arrays):
    """Params from the tensors of a case; a bare cell leaves the head at zero."""
    params = Params(shapes(config), np.float64)
    for name, value in from_torch(config, arrays).items():
        params[name][:] = value
    return params


def whole(padded, lengths):
    return pack(padded, lengths.astype(int).tolist())


def ours(arrays, h, c, order):
    """Two arrays (L*S, B, width) as a state (L*S, width, B) in packed order."""
    h, c = (arrays[n][:, order].swapaxes(1, 2) if n in arrays else None for n in (h, c))
    return State(h, c)


def same_state(state, expected):
    close(state.h, expected.h)
    assert (state.c is None) == (expected.c is None)
    if expected.c is not None:
        close(state.c, expected.c)


def check_cell(settings, arrays):
    config = Config(**settings)
    params = parameters(config, arrays)
    x = whole(arrays["x"], arrays["lengths"])
    state = ours(arrays, "h0", "c0", x.order)
    y, after, cache = stack_forward(params, config, Source(x.data), state, x.steps)
    close(unpack(Packed(y, x.steps, x.order))[0], arrays["y"])
    same_state(after, ours(arrays, "h_n", "c_n", x.order))
    parts = [part for part in (y, after.h, after.c) if part is not None]
    close(sum(float((part**2).sum()) for part in parts) / 2, arrays["loss"])

    grads = params.like()
    dx, dstate = stack_backward(y, after, config, cache, grads)
    close(unpack(Packed(dx, x.steps, x.order))[0], arrays["grad.x"])
    same_state(dstate, ours(arrays, "grad.h0", "grad.c0", x.order))
    same_gradients(config, grads, arrays)


def check_model(settings, arrays):
    config = Config(**settings)
    model = Model(config, parameters(config, arrays))
    x = whole(arrays["ids"].astype(int), arrays["lengths"])
    y = whole(arrays["targets"].astype(int), arrays["lengths"])
    state, grads = ours(arrays, "h0", "c0", x.order), model.params.like()
    batch = Batch(x.data, y.data, x.steps)
    found = model.gradients(batch, state, grads)
    close(unpack(Packed(found.nats, x.steps, x.order))[0], arrays["nats"])
    close(model.nats(batch, state)[0], found.nats)
    close(found.nats.mean(), arrays["loss"])
    same_state(found.state, ours(arrays, "h_n", "c_n", x.order))
    same_state(found.dstate, ours(arrays, "grad.h0", "grad.c0", x.order))
    same_gradients(config, grads, arrays)


def check_optimizer(start, end):
    (settings, first), (recipe, last) = start, end
    config, recipe = Config(**settings), Recipe(**recipe)
    model = Model(config, parameters(config, first))
    slots = new_slots(recipe, model.params.flat)
    matrices = matrices_of(config) if RULES[recipe.optimizer].matrix else []
    (share,) = update_parts(len(model.params.flat), matrices, 1)
    grads, losses, norms = model.params.like(), [], []
    for t, (ids, targets) in enumerate(first["batches"].astype(int), start=1):
        x, y = whole(ids, first["lengths"]), whole(targets, first["lengths"])
        found = model.gradients(Batch(x.data, y.data, x.steps), model.zero_state(x.steps.B), grads)
        losses.append(found.nats.mean())
        norms.append(clip_norm(grads.flat, recipe.clip))
        at = UpdateStep(t, recipe.rate)
        update(recipe, model.params.flat, grads.flat, slots, at, share)
    close(losses, last["losses"])
    close(norms, last["norms"])
    for name, value in from_torch(config, last).items():
        close(model.params[name], value)


def same_gradients(config, grads, arrays):
    theirs = {name[5:]: value.copy() for name, value in arrays.items() if name.startswith("grad.")}
    for name, value in theirs.items():
        if "bias_hh" in name:  # a sum's two terms have one gradient: count it once
            value[: 2 * config.hidden if config.cell == "gru" else None] = 0
    expected = from_torch(config, theirs)
    assert expected.keys() == {n for n in grads if n.startswith("rnn.") or config.head == "tokens"}
    for name, value in expected.items():
        close(grads[name], value)


@pytest.mark.parametrize("case", CELLS)
def test_cells_compute_what_torch_computes(case):
    check_cell(*CELLS[case])


@pytest.mark.parametrize("case", MODELS)
def test_language_models_compute_what_torch_computes(case):
    check_model(*MODELS[case])


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_ten_updates_go_where_torch_goes(case):
    check_optimizer(START, OPTIMIZERS[case])


def test_the_frozen_gradients_are_clipped_at_some_steps_and_not_at_others():
    for recipe, last in OPTIMIZERS.values():
        assert last["norms"].max() > recipe["clip"] > last["norms"].min()


def test_every_rule_is_among_the_frozen_ones():
    plain = {name for name, rule in RULES.items() if not rule.averaged}
    assert {recipe["optimizer"] for recipe, _ in OPTIMIZERS.values()} == plain


@pytest.mark.parametrize("cases", [CELLS, MODELS], ids=["cells", "models"])
def test_names_map_there_and_back(cases):
    for settings, arrays in cases.values():
        config = Config(**settings)
        params = from_torch(config, arrays)
        back = from_torch(config, to_torch(config, params))
        assert params.keys() == back.keys()
        for name, value in params.items():
            np.testing.assert_array_equal(value, back[name])


@pytest.mark.parametrize("cases", [CELLS, MODELS], ids=["cells", "models"])
def test_one_wrong_digit_would_be_seen(cases):
    check = check_cell if cases is CELLS else check_model
    settings, arrays = cases[next(reversed(cases))]
    checked = [n for n in arrays if n.startswith("grad.") and "bias_hh" not in n]
    for name in (*checked, "loss", "h_n"):
        value = arrays[name].copy()
        value.flat[-1] += 1e-8
        with pytest.raises(AssertionError):
            check(settings, {**arrays, name: value})
