"""Three mistakes that lessons on the lstm are known to make, written out, and that ours are not.

`taught` is such a lesson in plain loops. Each of its mistakes can be put right by itself:
products: the weights' gradients are elementwise products where outer products belong;
forget: the error of the cell is carried to the step before without the forget gate;
hidden: the error that the next step has of the hidden state is never added.
Only the output layer's gradient is right in all of them, which is why the loss still falls.
"""

import numpy as np
import pytest
from reference import sigmoid

from rnncli.nn import Batch, Config, Model, Steps

T, H, V = 6, 4, 7  # the embedding is H wide: an elementwise product fits only then
MISTAKES = ("products", "forget", "hidden")
OUTPUT = ("head.W", "head.b")


def taught(params, ids, targets, mistakes):
    """Gradients of the mean nats of an lstm over embedded ids, without that of the embedding."""
    p = dict(params.items())
    Wx, Wh, b = (p[f"rnn.0.fwd.{name}"] for name in ("Wx", "Wh", "b"))
    h, c, tape = np.zeros(H), np.zeros(H), []
    for x in p["embed.W"][ids]:
        i, f, o, g = np.split(Wx @ x + Wh @ h + b, 4)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        before, c = c, f * c + i * g
        tape.append((x, h, before, c, i, f, o, g))
        h = o * np.tanh(c)

    def product(error, value):
        if "products" in mistakes:
            return np.tile(error * value, (H, 1))
        return np.outer(error, value)

    grads = {name: np.zeros_like(value) for name, value in p.items() if name != "embed.W"}
    dh_next, dc_next = np.zeros(H), np.zeros(H)
    for (x, h, before, c, i, f, o, g), target in zip(tape[::-1], targets[::-1], strict=True):
        out = o * np.tanh(c)
        z = np.exp(p["head.W"] @ out + p["head.b"])
        dz = (z / z.sum() - np.eye(V)[target]) / T
        grads["head.W"] += np.outer(dz, out)
        grads["head.b"] += dz
        dh = p["head.W"].T @ dz
        if "hidden" not in mistakes:
            dh = dh + dh_next
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next
        gates = (
            dc * g * i * (1 - i),
            dc * before * f * (1 - f),
            dh * np.tanh(c) * o * (1 - o),
            dc * i * (1 - g**2),
        )
        for k, error in enumerate(gates):
            rows = slice(k * H, (k + 1) * H)
            grads["rnn.0.fwd.Wx"][rows] += product(error, x)
            grads["rnn.0.fwd.Wh"][rows] += product(error, h)
            grads["rnn.0.fwd.b"][rows] += error
        dh_next = Wh.T @ np.concatenate(gates)
        dc_next = dc if "forget" in mistakes else dc * f
    return grads


@pytest.fixture(scope="module")
def lesson():
    """A network, a text, and the gradient as differences of the loss have it."""
    model = Model.initial(Config(V, embed=H, hidden=H), 5, np.float64)
    rng = np.random.default_rng(5)
    model.params.flat[:] = rng.standard_normal(model.params.flat.shape)
    ids = rng.integers(V, size=T + 1)
    batch = Batch(ids[:-1], ids[1:], Steps.dense(T, 1))

    def loss():
        return model.nats(batch, model.zero_state(1))[0].mean()

    numeric = {}
    for name, values in model.params.items():
        numeric[name] = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            value = values[place]
            values[place] = value + 1e-5
            above = loss()
            values[place] = value - 1e-5
            numeric[name][place] = (above - loss()) / 2e-5
            values[place] = value
    return model, batch, numeric


def error(found, numeric):
    return np.linalg.norm(found - numeric) / np.linalg.norm(numeric)


def test_our_gradients_are_the_numeric_ones(lesson):
    model, batch, numeric = lesson
    grads = model.params.like()
    model.gradients(batch, model.zero_state(1), grads)
    for name in numeric:
        assert error(grads[name], numeric[name]) < 1e-8, name


def test_the_lesson_without_its_mistakes_is_right(lesson):
    model, batch, numeric = lesson
    found = taught(model.params, batch.x, batch.y, ())
    for name in found:
        assert error(found[name], numeric[name]) < 1e-8, name


@pytest.mark.parametrize(
    "mistakes", [*zip(MISTAKES, strict=True), MISTAKES], ids=[*MISTAKES, "all"]
)
def test_each_mistake_spoils_the_weights_of_the_gates_and_leaves_the_output_layer(lesson, mistakes):
    model, batch, numeric = lesson
    found = taught(model.params, batch.x, batch.y, mistakes)
    for name in OUTPUT:
        assert error(found[name], numeric[name]) < 1e-8
    for name in ("rnn.0.fwd.Wx", "rnn.0.fwd.Wh"):
        assert error(found[name], numeric[name]) > 0.05, name
