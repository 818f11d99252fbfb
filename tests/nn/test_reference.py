"""The engine equals the plain loops of reference.py; and those are right by numeric derivatives.

Sizes are tiny and all different, so that a transposed axis cannot pass.
"""

from itertools import product

import numpy as np
import pytest
import reference
from networks import CELLS, H, K, V, cells, close, random_params, random_state
from numeric import assert_gradients

from rnncli.nn import Batch, Config, Model, Packed, Steps, pack, pad, unpack
from rnncli.nn.heads import linear
from rnncli.nn.inputs.input import Source
from rnncli.nn.layout import DIRECTIONS
from rnncli.nn.stack import stack_backward, stack_forward

D = 4
LENGTHS = (2, 5, 3)  # out of order on purpose
DENSE = (5, 5, 5)

GATES = {"lstm": "ifog", "gru": "rzn", "gru-before": "rzn"}


def options(config):
    return {"activation": config.activation} if config.cell == "rnn" else {}


def textbook(config, params, one_hot=False):
    """The engine's stacked matrices, taken apart into the reference's weights: layers[l][s]."""
    layers = []
    for layer, s in product(range(config.layers), range(config.directions)):
        w = params.under(f"rnn.{layer}.{DIRECTIONS[s]}")
        Wx = w["Wx"].T if one_hot and layer == 0 else w["Wx"]
        if config.cell == "rnn":
            ours = {"W": Wx, "U": w["Wh"], "b": w["bh" if config.layer_norm else "b"]}
        else:
            ours = {}
            for k, gate in enumerate(GATES[config.cell]):
                rows = slice(k * config.hidden, (k + 1) * config.hidden)
                ours |= {
                    f"W_{gate}": Wx[rows],
                    f"U_{gate}": w["Wh"][rows],
                    f"b_{gate}": w["b"][rows],
                }
        if config.cell == "gru":
            ours["a_n"] = w["bn"]
        if config.proj:
            ours["R"] = w["Wp"]
        norms = {"gx": "gain_x", "gh": "gain_h", "gc": "gain_c", "bc": "b_c"}
        ours |= {norms[name]: value for name, value in w.items() if name in norms}
        if s == 0:
            layers.append([])
        layers[layer].append(ours)
    return layers


def of_sequence(state, config, j):
    """Column j of an engine state, as the reference's states[l][s]."""
    flat = [
        {"h": h[:, j]} if state.c is None else {"h": h[:, j], "c": state.c[k][:, j]}
        for k, h in enumerate(state.h)
    ]
    return [flat[k : k + config.directions] for k in range(0, len(flat), config.directions)]


def assert_same_weights(config, grads, totals, one_hot=False):
    for ours, theirs in zip(textbook(config, grads, one_hot), totals, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.keys() == b.keys()
            for name in a:
                close(a[name], b[name])


def added(totals, part):
    if totals is None:
        return part
    return [
        [{n: a[n] + b[n] for n in a} for a, b in zip(one, two, strict=True)]
        for one, two in zip(totals, part, strict=True)
    ]


# ------------------------------------------------------------------- the reference is itself right


@cells
@pytest.mark.parametrize("directions", [1, 2])
def test_the_reference_gradients_are_the_numeric_ones(cell, directions):
    rng = np.random.default_rng(3)
    config = Config(
        inputs=D, head="values", outputs=K, hidden=H, layers=2, bidirectional=directions == 2,
        **CELLS[cell],
    )  # fmt: skip
    layers = textbook(config, random_params(config, rng))
    xs = list(rng.standard_normal((4, D)))
    states = of_sequence(random_state(config, 1, rng), config, 0)
    into = list(rng.standard_normal((4, config.width)))
    end = of_sequence(random_state(config, 1, rng), config, 0)
    W, b, targets = rng.standard_normal((V, config.width)), rng.standard_normal(V), [3, 0, 3, 8]

    def loss():
        ys, after, _ = reference.stack(config.cell, xs, states, layers, **options(config))
        total = sum(y @ d for y, d in zip(ys, into, strict=True))
        for (n, s), name in product(np.ndindex(2, directions), states[0][0]):
            total += after[n][s][name] @ end[n][s][name]
        return total + 0.3 * sum(reference.cross_entropy(ys, targets, W, b))

    ys, _, tapes = reference.stack(config.cell, xs, states, layers, **options(config))
    dys, dW, db = reference.cross_entropy_backward(ys, targets, W, b, scale=0.3)
    dys = [a + d for a, d in zip(dys, into, strict=True)]
    dxs, dstates, dlayers = reference.stack_backward(
        config.cell, dys, end, layers, tapes, **options(config)
    )
    arrays = {"W": W, "b": b} | {f"x{t}": x for t, x in enumerate(xs)}
    gradients = {"W": dW, "b": db} | {f"x{t}": dx for t, dx in enumerate(dxs)}
    for n, s in np.ndindex(2, directions):
        arrays |= {f"{n}.{s}.{k}": a for k, a in (states[n][s] | layers[n][s]).items()}
        gradients |= {f"{n}.{s}.{k}": a for k, a in (dstates[n][s] | dlayers[n][s]).items()}
    assert_gradients(loss, arrays, gradients, every=0, entries=0, directions=1)


# ------------------------------------------------------------------ the engine equals the reference


@cells
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("lengths", [LENGTHS, DENSE, (1, 1, 4)], ids=str)
def test_a_stack_equals_the_loops_forward_and_in_every_gradient(cell, layers, directions, lengths):
    rng = np.random.default_rng(layers * 10 + directions)
    config = Config(
        inputs=D, head="values", outputs=K, hidden=H, layers=layers, bidirectional=directions == 2,
        **CELLS[cell],
    )  # fmt: skip
    params, B = random_params(config, rng), len(lengths)
    sequences = [rng.standard_normal((n, D)) for n in lengths]
    packed = pack(pad(sequences), lengths)
    state, dafter = random_state(config, B, rng), random_state(config, B, rng)
    dy = rng.standard_normal((config.width, packed.steps.N))

    y, after, cache = stack_forward(params, config, Source(packed.data), state, packed.steps)
    grads = params.like()
    dx, dstate = stack_backward(dy, dafter, config, cache, grads)
    y, dy, dx = (unpack(Packed(a, packed.steps, packed.order))[0] for a in (y, dy, dx))

    weights, totals = textbook(config, params), None
    for j, b in enumerate(packed.order):
        n = lengths[b]
        ys, end, tapes = reference.stack(
            config.cell,
            list(sequences[b]),
            of_sequence(state, config, j),
            weights,
            **options(config),
        )
        dxs, dstart, dweights = reference.stack_backward(
            config.cell, list(dy[:n, b]), of_sequence(dafter, config, j), weights, tapes,
            **options(config),
        )  # fmt: skip
        close(y[:n, b], ys)
        close(dx[:n, b], dxs)
        for ours, theirs in ((after, end), (dstate, dstart)):
            for one, two in zip(of_sequence(ours, config, j), theirs, strict=True):
                for a, e in zip(one, two, strict=True):
                    assert a.keys() == e.keys()
                    for name in a:
                        close(a[name], e[name])
        totals = added(totals, dweights)
    assert_same_weights(config, grads, totals)


@cells
@pytest.mark.parametrize("embed", ["one-hot", "embedded", "tied"])
@pytest.mark.parametrize("lengths", [LENGTHS, DENSE], ids=str)
@pytest.mark.parametrize("vocabulary", [V, 300])
def test_a_language_model_equals_the_loops(cell, embed, lengths, vocabulary):
    rng = np.random.default_rng(len(cell))
    width = CELLS[cell].get("proj", H)
    config = Config(
        inputs=vocabulary, hidden=H, layers=2, tied=embed == "tied",
        embed={"one-hot": 0, "embedded": D, "tied": width}[embed], **CELLS[cell],
    )  # fmt: skip
    model = Model(config, random_params(config, rng))
    ids = [rng.integers(0, vocabulary, n) for n in lengths]
    targets = [rng.integers(0, vocabulary, n) for n in lengths]
    x, y = pack(pad(ids), lengths), pack(pad(targets), lengths)
    state = random_state(config, len(lengths), rng)
    grads = model.params.like()
    found = model.gradients(Batch(x.data, y.data, x.steps), state, grads)
    nats = unpack(Packed(found.nats, x.steps, x.order))[0]

    table = model.params["embed.W"] if config.embed else np.eye(vocabulary)
    weights = textbook(config, model.params, one_hot=not config.embed)
    W, b = linear.weights(model.params, config)
    totals, dtable, dW, db = None, np.zeros_like(table), np.zeros_like(W), np.zeros_like(b)
    for j, k in enumerate(x.order):
        n = lengths[k]
        hs, end, tapes = reference.stack(
            config.cell,
            list(table[ids[k]]),
            of_sequence(state, config, j),
            weights,
            **options(config),
        )
        close(nats[:n, k], reference.cross_entropy(hs, targets[k], W, b))
        dhs, dW_part, db_part = reference.cross_entropy_backward(
            hs, targets[k], W, b, scale=1 / x.steps.N
        )
        nothing = [[{name: np.zeros_like(a) for name, a in e.items()} for e in es] for es in end]
        dxs, dstart, dweights = reference.stack_backward(
            config.cell, dhs, nothing, weights, tapes, **options(config)
        )
        for ours, theirs in ((found.state, end), (found.dstate, dstart)):
            for one, two in zip(of_sequence(ours, config, j), theirs, strict=True):
                for name in one[0]:
                    close(one[0][name], two[0][name])
        dW += dW_part
        db += db_part
        totals = added(totals, dweights)
        for token, dx in zip(ids[k], dxs, strict=True):
            dtable[token] += dx
    assert_same_weights(config, grads, totals, one_hot=not config.embed)
    close(grads["head.b"], db)
    if embed == "tied":
        close(grads["embed.W"], dtable + dW)
    else:
        close(grads["head.W"], dW)
    if embed == "embedded":
        close(grads["embed.W"], dtable)


@cells
def test_sampling_step_by_step_gives_the_loops_probabilities(cell):
    rng = np.random.default_rng(2)
    config = Config(inputs=V, embed=D, hidden=H, layers=2, **CELLS[cell])
    model = Model(config, random_params(config, rng))
    ids, state = rng.integers(0, V, 5), random_state(config, 1, rng)
    weights, (W, b) = textbook(config, model.params), linear.weights(model.params, config)
    hs, _, _ = reference.stack(
        config.cell, list(model.params["embed.W"][ids]), of_sequence(state, config, 0), weights,
        **options(config),
    )  # fmt: skip
    for token, h in zip(ids, hs, strict=True):
        scores, state = model.step(np.array([token]), state)
        close(scores[:, 0], W @ h + b)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh"])
def test_a_tagger_that_reads_the_last_step_equals_the_loops(cell):
    rng = np.random.default_rng(5)
    config = Config(
        inputs=V, embed=D, hidden=H, bidirectional=True, head="tags", outputs=K, last_only=True,
        **CELLS[cell],
    )  # fmt: skip
    model = Model(config, random_params(config, rng))
    ids = [rng.integers(0, V, n) for n in LENGTHS]
    x = pack(pad(ids), LENGTHS)
    tags = np.array([6, 0, 3])[x.order]
    state, grads = model.zero_state(len(LENGTHS)), model.params.like()
    found = model.gradients(Batch(x.data, tags, x.steps), state, grads)
    weights, (W, b) = textbook(config, model.params), linear.weights(model.params, config)
    dW = np.zeros_like(W)
    for j, k in enumerate(x.order):
        xs = list(model.params["embed.W"][ids[k]])
        hs, _, _ = reference.stack(
            config.cell, xs, of_sequence(state, config, j), weights, **options(config)
        )
        close(found.nats[j], reference.cross_entropy(hs[-1:], tags[j : j + 1], W, b)[0])
        dW += reference.cross_entropy_backward(hs[-1:], tags[j : j + 1], W, b, scale=1 / 3)[1]
    close(grads["head.W"], dW)


@cells
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_a_layer_normalised_layer_equals_the_loops(cell, both, monkeypatch):
    rng = np.random.default_rng(6)
    config = Config(
        inputs=D, head="values", outputs=K, hidden=H, bidirectional=both, layer_norm=True,
        **CELLS[cell],
    )  # fmt: skip
    params = random_params(config, rng)
    sequences = [rng.standard_normal((n, D)) for n in LENGTHS]
    packed, state = pack(pad(sequences), LENGTHS), random_state(config, 3, rng)
    y, after, _ = stack_forward(params, config, Source(packed.data), state, packed.steps)
    y, _ = unpack(Packed(y, packed.steps, packed.order))
    monkeypatch.setitem(reference.CELLS, config.cell, (reference.NORMALISED[config.cell], None))
    for j, b in enumerate(packed.order):
        ys, end, _ = reference.stack(
            config.cell,
            list(sequences[b]),
            of_sequence(state, config, j),
            textbook(config, params),
            **options(config),
        )
        close(y[: LENGTHS[b], b], ys)
        for ours, theirs in zip(of_sequence(after, config, j)[0], end[0], strict=True):
            for name in ours:
                close(ours[name], theirs[name])


@cells
def test_a_residual_stack_adds_each_layers_input_where_the_widths_agree(cell):
    rng = np.random.default_rng(7)
    config = Config(
        inputs=D, head="values", outputs=K, hidden=H, layers=3, residual=True, **CELLS[cell]
    )
    params, state = random_params(config, rng), random_state(config, 1, rng)
    xs = list(rng.standard_normal((5, D)))
    x = np.ascontiguousarray(np.transpose(xs))
    y, _, _ = stack_forward(params, config, Source(x), state, Steps.dense(5, 1))
    for k, (layer, start) in enumerate(
        zip(textbook(config, params), of_sequence(state, config, 0), strict=True)
    ):
        ys, _, _ = reference.stack(config.cell, xs, [start], [layer], **options(config))
        xs = [a + b for a, b in zip(ys, xs, strict=True)] if k else ys
    close(y.T, xs)


def test_dense_steps_are_ragged_steps_of_one_length():
    assert Steps.dense(5, 3).sizes == Steps.of_lengths(DENSE).sizes == (3, 3, 3, 3, 3)
