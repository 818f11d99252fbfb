"""What holds for recurrent networks whatever their numbers: carried state, order, learning."""

import math

import numpy as np
import pytest
from networks import (
    CELLS,
    DENSE,
    INPUTS,
    RAGGED,
    B,
    E,
    H,
    K,
    T,
    V,
    cells,
    close,
    drawn,
    language_model,
    random_configuration,
)

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.nn import Batch, Model, Packed, Params, State, Steps, pack, pad, shapes, unpack
from rnncli.nn.cells import table as engine
from rnncli.nn.heads.softmax import token_gradients, token_nats
from rnncli.nn.inputs.input import Source, dropped
from rnncli.nn.layout import matrices as matrices_of
from rnncli.nn.ops import add_gather_backward, gather_forward, log_softmax, top
from rnncli.nn.optim import (
    UpdateStep,
    clip_norm,
    muon,
    new_slots,
    orthogonalised,
    update,
    update_parts,
)
from rnncli.nn.stack import stack_backward, stack_forward


@pytest.mark.parametrize("block", [1, 2, 4, 8, 9, 100, None])
@pytest.mark.parametrize("size", [1, 500], ids=["small", "large"])
def test_head_blocks_never_change_the_answer_however_large_the_logits(block, size):
    rng = np.random.default_rng(11)
    x, W, b = rng.standard_normal((H, 6)), size * rng.standard_normal((V, H)), np.arange(V) / 7
    y, weight = rng.integers(0, V, 6), rng.random(6)
    dW, db = np.zeros_like(W), np.zeros_like(b)
    nats, dx = token_gradients(x, W, b, y, weight, dW, db, block)
    z = W @ x + b[:, None]
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    d = weight * (p - np.eye(V)[y].T)
    exact = z.max(axis=0) + np.log(np.exp(z - z.max(axis=0)).sum(axis=0)) - z[y, np.arange(6)]
    close(nats, exact)
    close(token_nats(x, W, b, y, block), exact)
    close(dx, W.T @ d)
    close(dW, d @ x.T)
    close(db, d.sum(axis=1))


def test_log_softmax_is_the_logarithm_of_shares_however_large_the_logits():
    z = np.random.default_rng(0).standard_normal((4, 7)) * 3
    e = np.exp(z)
    close(log_softmax(z, axis=0), np.log(e / e.sum(axis=0)))
    close(log_softmax(z + 1e4, axis=1), np.log(e / e.sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("k", [0, 1, 3, 12, 50])
def test_the_highest_values_are_those_of_a_sort_and_of_equal_ones_the_first(k):
    rng = np.random.default_rng(k)
    for values in (rng.standard_normal(12), rng.integers(0, 3, 12).astype(float)):
        wanted = [i for _, i in sorted((-value, i) for i, value in enumerate(values))][:k]
        assert top(values, k).tolist() == wanted


@pytest.mark.parametrize("tied", [True, False])
def test_one_more_row_of_the_head_is_the_probability_of_a_token(tied):
    config = Config(V, hidden=H, embed=H, tied=tied)
    model, rng = Model.initial(config, 3, np.float64), np.random.default_rng(4)
    x, y = rng.integers(0, V, (2, T * B))
    batch, state = Batch(x, y, DENSE), model.zero_state(B)
    nats, logprob, after = model.nats_and_logprob(batch, 2, state)
    exact, other = model.nats(batch, state)
    np.testing.assert_array_equal(nats, exact)
    np.testing.assert_array_equal(after.h, other.h)
    always = Batch(x, np.full(T * B, 2), DENSE)
    close(logprob, -model.nats(always, state)[0])


def real_stack(cell, seed=0, both=False, layers=2, steps=DENSE):
    """A bare stack of layers over a real input of width E."""
    config = Config(
        **CELLS[cell],
        hidden=H,
        layers=layers,
        bidirectional=both,
        head="values",
        inputs=E,
        outputs=K,
    )
    return config, *drawn(config, steps, np.random.default_rng(seed))


@cells
def test_three_chunks_with_carried_state_are_one_pass_forward_and_backward(cell):
    config, model, batch, state = real_stack(cell)
    dy = np.random.default_rng(9).standard_normal((config.width, T * B))
    dend = State(*(None if part is None else part[..., ::-1].copy() for part in state))
    whole, grads, total = model.params.like(), model.params.like(), 0
    y, after, cache = stack_forward(model.params, config, Source(batch.x), state, DENSE)
    dx, dstate = stack_backward(dy, dend, config, cache, whole)

    chunks, carried = [], state
    for first, last in ((0, 2), (2, 3), (3, 5)):
        columns, steps = slice(first * B, last * B), Steps.dense(last - first, B)
        x = batch.x[:, columns]
        y_part, carried, cache = stack_forward(model.params, config, Source(x), carried, steps)
        close(y_part, y[:, columns])
        chunks.append((columns, cache))
    close(carried.h, after.h)
    for columns, cache in reversed(chunks):
        dx_part, dend = stack_backward(dy[:, columns], dend, config, cache, grads)
        close(dx_part, dx[:, columns])
        total = total + grads.flat
    close(dend.h, dstate.h)
    if state.c is not None:
        close(carried.c, after.c)
        close(dend.c, dstate.c)
    close(total, whole.flat)


@cells
def test_permuting_the_batch_permutes_the_result(cell):
    rng = np.random.default_rng(1)
    model, batch, state = drawn(language_model(cell, layers=2), DENSE, rng)
    order = np.array([2, 0, 1])

    def permuted(columns):
        return np.ascontiguousarray(columns.reshape(T, B)[:, order].ravel())

    grads, again = model.params.like(), model.params.like()
    found = model.gradients(batch, state, grads)
    other = Batch(permuted(batch.x), permuted(batch.y), DENSE)
    moved = model.gradients(other, state.take(order), again)
    close(moved.nats, permuted(found.nats))
    close(moved.state.h, found.state.h[..., order])
    close(moved.dstate.h, found.dstate.h[..., order])
    close(again.flat, grads.flat)


@cells
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_padding_never_changes_the_answer(cell, both):
    config, model, _, state = real_stack(cell, both=both)
    rng, lengths = np.random.default_rng(2), (3, 5, 1)
    padded = pad([rng.standard_normal((n, E)) for n in lengths])
    padded[3:, 0], padded[1:, 2] = 1e30, np.nan
    packed = pack(padded, lengths)
    y, after, _ = stack_forward(model.params, config, Source(packed.data), state, packed.steps)
    y, _ = unpack(Packed(y, packed.steps, packed.order))
    for j, b in enumerate(packed.order):
        n, one = lengths[b], state.take(slice(j, j + 1))
        x = np.ascontiguousarray(padded[:n, b].T)
        alone, end, _ = stack_forward(model.params, config, Source(x), one, Steps.dense(n, 1))
        close(y[:n, b], alone.T)
        close(after.h[..., j], end.h[..., 0])


@pytest.mark.parametrize("seed", range(60))
def test_the_answer_does_not_depend_on_how_many_tokens_are_run_at_once(seed):
    config, _, _ = random_configuration(seed, head="tokens")
    steps = Steps.dense(6, 5)
    model, batch, state = drawn(config, steps, np.random.default_rng(seed))
    nats, after = model.nats(batch, state)
    for columns in steps.columns:
        scores, state = model.step(batch.x[columns], state)
        chosen = scores[batch.y[columns], np.arange(5)]
        close(np.log(np.exp(scores).sum(axis=0)) - chosen, nats[columns])
    close(state.h, after.h)


@cells
def test_a_layer_can_be_used_twice_before_either_backward(cell):
    config, model, batch, state = real_stack(cell)
    rng = np.random.default_rng(4)
    uses = [(batch.x, state), (rng.standard_normal((E, RAGGED.N)), state.zeros())]
    steps = [DENSE, RAGGED]
    together, apart = [model.params.like() for _ in uses], model.params.like()
    dys = [rng.standard_normal((config.width, s.N)) for s in steps]

    def forward(k):
        return stack_forward(model.params, config, Source(uses[k][0]), uses[k][1], steps[k])

    caches = [forward(k)[2] for k in (0, 1)]
    both = [stack_backward(dys[k], state.zeros(), config, caches[k], together[k]) for k in (0, 1)]
    for k in (1, 0):
        dx, _ = stack_backward(dys[k], state.zeros(), config, forward(k)[2], apart)
        np.testing.assert_array_equal(dx, both[k][0])
        np.testing.assert_array_equal(apart.flat, together[k].flat)


@cells
def test_a_cache_can_be_used_for_two_backward_passes(cell):
    config, model, batch, state = real_stack(cell)
    y, after, cache = stack_forward(model.params, config, Source(batch.x), state, DENSE)
    first, second = model.params.like(), model.params.like()
    one, _ = stack_backward(y, after, config, cache, first)
    two, _ = stack_backward(y, after, config, cache, second)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(first.flat, second.flat)


@cells
def test_a_reversed_input_swaps_the_directions(cell):
    config, model, batch, state = real_stack(cell, both=True, layers=1)
    other = Model(config, model.params.like())
    for name, value in model.params.items():
        swapped = name.replace("fwd", "bwd") if "fwd" in name else name.replace("bwd", "fwd")
        other.params[swapped][:] = value
    backwards = np.ascontiguousarray(batch.x.reshape(E, T, B)[:, ::-1].reshape(E, T * B))
    swap = State(*(None if part is None else part[::-1].copy() for part in state))
    y, after = model.features(batch.x, state, DENSE)
    mirrored, end = other.features(backwards, swap, DENSE)
    halves = mirrored.reshape(2, config.state_width, T, B)[::-1, :, ::-1]
    close(halves.reshape(y.shape), y)
    close(end.h[::-1], after.h)


@pytest.mark.parametrize("vocabulary", [3, 40, 300, 1000])
@pytest.mark.parametrize("count", [1, 7, 50, 400])
def test_a_token_that_occurs_often_gets_the_sum_of_its_gradients(vocabulary, count):
    rng = np.random.default_rng(count)
    ids = np.minimum(rng.geometric(0.2, count) - 1, vocabulary - 1)  # a few tokens take most
    table, dout = rng.standard_normal((vocabulary, E)), rng.standard_normal((E, count))
    np.testing.assert_array_equal(gather_forward(table, ids).T, [table[i] for i in ids])
    expected = table.copy()
    for token, column in zip(ids, dout.T, strict=True):
        expected[token] += column
    add_gather_backward(dout, ids, table)
    close(table, expected)


@cells
def test_a_state_taken_from_another_is_a_copy(cell):
    _, _, _, state = real_stack(cell)
    for part, taken in zip(state, state.take(slice(0, 2)), strict=True):
        if part is not None:
            np.testing.assert_array_equal(taken, part[..., :2])
            assert not np.shares_memory(taken, part)


@cells
@pytest.mark.parametrize("how", INPUTS)
@pytest.mark.parametrize("settings", [{}, {"layers": 2, "layer_norm": True}], ids=["one", "two"])
def test_gradients_replace_what_was_there(cell, how, settings):
    model, batch, state = drawn(
        language_model(cell, how, **settings), RAGGED, np.random.default_rng(6)
    )
    grads, again = model.params.like(), model.params.like()
    again.flat[:] = np.nan
    model.gradients(batch, state, grads)
    model.gradients(batch, state, again)
    np.testing.assert_array_equal(grads.flat, again.flat)


@pytest.mark.parametrize("seed", range(40))
def test_gradients_replace_what_was_there_with_any_options(seed):
    config, steps, _ = random_configuration(seed)
    model, batch, state = drawn(config, steps, np.random.default_rng(seed))
    grads, again = model.params.like(), model.params.like()
    again.flat[:] = np.nan
    for into in (grads, again):
        model.gradients(batch, state, into, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(grads.flat, again.flat)


@cells
def test_a_step_leaves_parameters_state_and_batch_as_they_were(cell):
    config = language_model(cell, layers=2, dropout=0.3, dropout_weight=0.3, dropout_embed=0.3)
    model, batch, state = drawn(config, RAGGED, np.random.default_rng(7))
    arrays = [model.params.flat, batch.x, batch.y, *(part for part in state if part is not None)]
    before = [array.copy() for array in arrays]
    model.gradients(batch, state, model.params.like(), rng=np.random.default_rng(0))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@cells
def test_without_a_generator_there_is_no_dropout(cell):
    dull = language_model(cell, layers=2)
    lively = language_model(cell, layers=2, dropout=0.5, dropout_weight=0.5, dropout_embed=0.5)
    model, batch, state = drawn(dull, RAGGED, np.random.default_rng(8))
    other = Model(lively, model.params)
    grads, again = model.params.like(), model.params.like()
    found, same = model.gradients(batch, state, grads), other.gradients(batch, state, again)
    np.testing.assert_array_equal(found.nats, same.nats)
    close(again.flat, grads.flat)
    with_masks = other.gradients(batch, state, again, rng=np.random.default_rng(0))
    assert not np.allclose(with_masks.nats, found.nats)


def test_variational_dropout_has_one_mask_a_sequence_and_keeps_the_mean():
    rng, steps = np.random.default_rng(0), Steps.of_lengths((40, 30, 20))
    x = np.ones((500, steps.N))
    out, mask = dropped(x, 0.3, steps, rng, variational=True)
    np.testing.assert_array_equal(out, mask)
    for columns, n in zip(steps.columns, steps.sizes, strict=True):
        np.testing.assert_array_equal(out[:, columns], out[:, :n])
    out, _ = dropped(x, 0.3, steps, rng, variational=False)
    assert set(np.unique(out)) == {0.0, 1 / 0.7}
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert not np.array_equal(out[:, :3], out[:, 3:6])


def test_ar_and_tar_are_the_mean_squares_of_their_definitions():
    config = language_model("lstm", activation_reg=2.0, temporal_reg=3.0)
    model, batch, state = drawn(config, RAGGED, np.random.default_rng(3))
    found = model.gradients(batch, state, model.params.like())
    top, _ = model.features(batch.x, state, RAGGED)
    sequences = unpack(Packed(top, RAGGED, np.arange(B)))[0]  # (T, B, H)
    values, changes = [], []
    for b, n in enumerate(RAGGED.lengths):
        values += list(sequences[:n, b])
        changes += [sequences[t, b] - sequences[t - 1, b] for t in range(1, n)]
    expected = 2 * np.mean(np.square(values)) + 3 * np.mean(np.square(changes))
    assert found.penalty == pytest.approx(expected, rel=1e-12)


@cells
@pytest.mark.parametrize("how", INPUTS)
def test_float32_stays_float32_and_agrees_with_float64(cell, how):
    config = language_model(cell, how, layers=2)
    model, batch, state = drawn(config, RAGGED, np.random.default_rng(2))
    single = Model(config, Params(model.params.shapes, np.float32, model.params.flat))
    half = State(*(None if part is None else part.astype(np.float32) for part in state))
    grads, small = model.params.like(), single.params.like()
    found, rough = model.gradients(batch, state, grads), single.gradients(batch, half, small)
    assert {a.dtype for a in (small.flat, rough.nats, rough.state.h, rough.dstate.h)} == {
        np.dtype(np.float32)
    }
    np.testing.assert_allclose(rough.nats, found.nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(small.flat, grads.flat, rtol=1e-3, atol=1e-5)


@cells
@pytest.mark.parametrize("init", ["default", "uniform", "normal", "glorot"])
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalised"])
def test_biases_start_at_zero_but_the_forget_gates_and_gains_at_one(cell, init, layer_norm):
    config = language_model(
        cell, inputs=50, layers=2, init=init, forget_bias=1.5, layer_norm=layer_norm
    )
    for name, value in Model.initial(config, seed=1).params.items():
        kind = name.rsplit(".", 1)[1]
        expected = np.zeros(value.shape)
        if kind in ("gh", "gx", "gc"):
            expected += 1
        elif kind == "b" and name.startswith("rnn") and config.cell == "lstm":
            expected[H : 2 * H] = 1.5
        if value.ndim == 1:
            np.testing.assert_array_equal(value, expected, err_msg=name)
        else:
            assert value.std() > 0, name


@cells
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell):
    params = Model.initial(language_model(cell, layers=2), seed=1, dtype=np.float64).params
    for layer in range(2):
        for block in np.split(params[f"rnn.{layer}.fwd.Wh"], len(params["rnn.1.fwd.Wh"]) // H):
            close(block.T @ block, np.eye(block.shape[1]))


@pytest.mark.parametrize("init", ["default", "fan", "uniform", "normal", "glorot"])
def test_the_start_has_the_spread_that_it_says(init):
    sizes = {"inputs": 300, "hidden": 64, "embed": 32, "layers": 2}
    params = Model.initial(Config(**sizes, init=init, init_scale=0.05), seed=3).params
    limits = {  # half-width of a uniform distribution, or the standard deviation of a normal one
        "default": {"embed.W": 0.1, "rnn.0.fwd.Wx": (6 / (256 + 32)) ** 0.5, "head.W": 1 / 8},
        "fan": {"embed.W": 1.0, "rnn.0.fwd.Wx": 1 / 8, "rnn.1.fwd.Wh": 1 / 8, "head.W": 1 / 8},
        "uniform": dict.fromkeys(("embed.W", "rnn.0.fwd.Wx", "rnn.1.fwd.Wh", "head.W"), 0.05),
        "normal": dict.fromkeys(("embed.W", "rnn.0.fwd.Wx", "rnn.1.fwd.Wh", "head.W"), 0.05),
        "glorot": {"embed.W": (6 / 332) ** 0.5, "rnn.1.fwd.Wh": (6 / 320) ** 0.5},
    }
    for name, limit in limits[init].items():
        normal = init == "normal" or (init == "fan" and name == "embed.W")
        assert params[name].std() == pytest.approx(limit if normal else limit / 3**0.5, rel=0.04)
        assert (np.abs(params[name]).max() > limit) == normal


def test_a_one_hot_input_starts_as_wide_as_an_embedding_and_a_real_one_by_its_fan():
    one_hot = Model.initial(Config(inputs=600, hidden=64, proj=32, layers=1), seed=3).params
    real = Model.initial(
        Config(inputs=600, hidden=64, layers=1, head="values", outputs=1), seed=3
    ).params
    fan = (6 / (600 + 256)) ** 0.5
    for value, limit in (
        (one_hot["rnn.0.fwd.Wx"], 1 / 8),
        (one_hot["rnn.0.fwd.Wp"], (6 / (32 + 64)) ** 0.5),
        (real["rnn.0.fwd.Wx"], fan),
    ):
        assert value.std() == pytest.approx(limit / 3**0.5, rel=0.03)


def test_the_same_seed_starts_the_same_network_in_either_precision():
    config = language_model("gru")
    double, single = (Model.initial(config, 5, dtype) for dtype in (np.float64, np.float32))
    np.testing.assert_array_equal(double.params.flat.astype(np.float32), single.params.flat)
    assert not np.array_equal(double.params.flat, Model.initial(config, 6, np.float64).params.flat)


@cells
@pytest.mark.parametrize("how", ["one-hot", "embedded"])
def test_the_first_loss_is_ln_v(cell, how):
    config = language_model(cell, how, inputs=500, hidden=64)
    model = Model.initial(config, seed=1)
    rng, steps = np.random.default_rng(0), Steps.dense(20, 16)
    x, y = rng.integers(0, 500, (2, steps.N))
    nats, _ = model.nats(Batch(x, y, steps), model.zero_state(16))
    assert nats.mean() == pytest.approx(math.log(500), rel=0.01)


@cells
def test_one_batch_can_be_learned_by_heart(cell):
    config = language_model(cell, hidden=24, embed=8)
    model, steps = Model.initial(config, seed=2, dtype=np.float64), Steps.dense(8, 4)
    rng = np.random.default_rng(5)
    x = rng.integers(0, V, (8, 4))
    x[0] = np.arange(4)  # sequences that begin alike could not be told apart
    batch = Batch(x.ravel(), rng.integers(0, V, steps.N), steps)
    recipe, state = Recipe(lr=0.03), model.zero_state(4)
    slots = new_slots(recipe, model.params.flat)
    grads = model.params.like()
    for t in range(1, 301):
        model.gradients(batch, state, grads)
        clip_norm(grads.flat, recipe.clip)
        update(recipe, model.params.flat, grads.flat, slots, UpdateStep(t, recipe.rate))
    assert model.nats(batch, state)[0].mean() < 0.02


def quintic(lengths):
    """Five steps of the iteration on singular values, which it leaves their directions."""
    for _ in range(5):
        lengths = 3.4445 * lengths - 4.7750 * lengths**3 + 2.0315 * lengths**5
    return lengths


@pytest.mark.parametrize("shape", [(6, 6), (12, 4), (4, 12), (1, 5), (1, 1)])
@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_orthogonalised_keeps_directions_and_makes_all_lengths_alike(shape, size):
    g = size * np.random.default_rng(3).standard_normal(shape)
    u, s, v = np.linalg.svd(g, full_matrices=False)
    s = quintic(s / np.linalg.norm(s))
    np.testing.assert_allclose(u.T @ orthogonalised(g) @ v.T, np.diag(s), rtol=0, atol=1e-10)
    u, _, v = np.linalg.svd(np.linspace(-1, 1, 9 * 7).reshape(9, 7) ** 3 + np.eye(9, 7))
    s = np.linalg.svd(orthogonalised(u[:, :7] * np.geomspace(1, 1 / 300, 7) @ v))[1]
    assert np.all((s > 0.65) & (s < 1.25))


def test_what_is_zero_stays_zero_when_made_orthogonal():
    np.testing.assert_array_equal(orthogonalised(np.zeros((3, 2))), np.zeros((3, 2)))


def test_a_step_of_muon_worked_by_hand():
    """The gradient is twice a rotation: its singular values are alike."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    length = quintic(1 / math.sqrt(2))  # of each after division by the norm
    p, mean = np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 2))
    muon(p, 2 * turn, mean, 0.5, Recipe(optimizer="muon", weight_decay=0.1))
    close(mean, 0.05 * 2 * turn)  # momentum 0.95
    close(p, 0.95 * np.array([[1, 2], [3, 4]]) - 0.5 * 0.2 * math.sqrt(2) * length * turn)


@pytest.mark.parametrize(
    ("settings", "turned"),
    [
        ({"cell": "lstm", "embed": 5}, ["rnn.0.fwd.Wx", "rnn.0.fwd.Wh"]),
        ({"cell": "gru"}, ["rnn.0.fwd.Wh"]),
        ({"cell": "gru", "layers": 2, "top": 4},
         ["rnn.0.fwd.Wh", "rnn.1.fwd.Wx", "rnn.1.fwd.Wh"]),
        ({"cell": "lstm", "embed": 5, "proj": 3},
         ["rnn.0.fwd.Wx", "rnn.0.fwd.Wh", "rnn.0.fwd.Wp"]),
        ({"cell": "rnn", "embed": 6, "tied": True}, ["rnn.0.fwd.Wx", "rnn.0.fwd.Wh"]),
        ({"cell": "rnn", "embed": 2, "inputs": 6}, ["rnn.0.fwd.Wx", "rnn.0.fwd.Wh", "head.W"]),
    ],
)  # fmt: skip
def test_muon_turns_the_weights_between_layers_gate_by_gate(settings, turned):
    config = Config(**{"inputs": 9, "hidden": 6, **settings})
    model = Model(config, Params(shapes(config), np.float64))
    for k, (place, shape) in enumerate(matrices_of(config), 1):
        assert shape[0] in (config.hidden, config.top, config.proj, config.inputs)
        assert not model.params.flat[place].any()  # no element is in two
        model.params.flat[place] = np.full(shape, k).ravel()
    assert [name for name, value in model.params.items() if value.any()] == turned
    for name in turned:
        value = model.params[name]
        assert value.all()
        gates = 1 if name.endswith(("Wp", "head.W")) else len(engine.CELLS[config.cell].gates)
        assert [len(np.unique(gate)) for gate in np.split(value, gates)] == [1] * gates
        assert len(np.unique(value)) == gates


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_hold_every_parameter_once(count, monkeypatch):
    monkeypatch.setattr("rnncli.nn.optim.PIECE", 16)
    config = Config(9, hidden=6, embed=5, layers=2)
    model = Model(config, Params(shapes(config), np.float64))
    size = len(model.params.flat)
    for matrices in ([], matrices_of(config)):
        held = np.zeros(size, int)
        for share in update_parts(size, matrices, count):
            for place in [*share.runs, *(place for place, _ in share.matrices)]:
                held[place] += 1
        assert (held == 1).all()
