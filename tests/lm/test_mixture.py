"""Mixtures against sums of probabilities worked out plainly."""

import math
from typing import Any

import numpy as np
import pytest

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError
from rnncli.generation.beam import beam
from rnncli.generation.sampling import generate, stream_one
from rnncli.generation.text import read_prefix
from rnncli.lm.mixture import Mixture, fitted_weights, mixed_nats, with_others
from rnncli.lm.network import Network
from rnncli.nn import Config, Model, Params
from rnncli.nn.heads import linear
from rnncli.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["The cat sat on the mat.", "A dog ran; the cat did not."], "char")


def model_of(seed: int, **options: Any) -> Model:
    model = Model.initial(Config(len(TOKENIZER), **{"hidden": 14, "embed": 6, **options}), seed)
    linear.weights(model.params, model.config)[0][:] *= 6
    return model


ONE, TWO = model_of(1), model_of(2, cell="gru", hidden=9, embed=0)
THREE = model_of(3, layers=2, tied=True, embed=14)
MIX = [(TWO, 0.3), (THREE, 0.25)]
MIXED = with_others(Network(ONE), [(Network(model), weight) for model, weight in MIX])


def plainly(ids: list[int]) -> list[float]:
    """The distribution after `ids`: each model alone, in float64, its softmax times its share."""
    total = [0.0] * len(TOKENIZER)
    for model, share in [(ONE, 0.45), *MIX]:
        exact = Model(model.config, Params(model.params.shapes, np.float64, model.params.flat))
        state = exact.zero_state(1)
        for token in ids:
            z, state = exact.step(np.array([token]), state)
        e = [math.exp(v) for v in z[:, 0].tolist()]
        total = [t + share * v / sum(e) for t, v in zip(total, e, strict=True)]
    return total


def test_a_mixture_is_the_sum_of_shares_of_probability() -> None:
    reader, ids = MIXED, read_prefix(TOKENIZER, "The cat").ids
    z, states = reader.read(ids, reader.start())
    np.testing.assert_allclose(np.exp(z[0]), plainly(ids), rtol=2e-5)
    exact, _ = reader.precise.read(ids, reader.precise.start())
    np.testing.assert_allclose(np.exp(exact[0]), plainly(ids), rtol=1e-12)
    every = np.concatenate([z for z, _ in reader.every(ids, reader.start())], axis=1)
    for k in range(len(ids)):
        np.testing.assert_allclose(np.exp(every[:, k]), plainly(ids[: k + 1]), rtol=2e-5)
    both = reader.join([states, reader.start(), states])
    again = reader.take(both, np.array([2, 0]))
    for one, two in zip(again, states, strict=True):
        for k in range(2):
            np.testing.assert_array_equal(one.h[..., k], two.h[..., 0])


def test_draws_and_log_probabilities_are_those_of_the_mixture() -> None:
    n, ids = 8_000, read_prefix(TOKENIZER, "The ").ids
    p = np.array(plainly(ids))
    p[[TOKENIZER.unk, TOKENIZER.bos]] = 0
    samples = list(generate(MIXED, TOKENIZER, "The ", num=n, length=1, batch=5000))
    for sample in samples[:50]:
        expected = math.log(plainly(ids)[sample.ids[0]])
        assert sample.logprob == pytest.approx(expected, abs=1e-5)
    seen = np.bincount([sample.ids[0] for sample in samples], minlength=len(p))
    expected = n * p / p.sum()
    kept = expected > 5
    chi = ((seen - expected)[kept] ** 2 / expected[kept]).sum()
    df = int(kept.sum()) - 1
    assert df > 5
    assert chi < df + 6 * math.sqrt(2 * df) + 12


def test_a_text_of_a_mixture_does_not_depend_on_how_many_are_written() -> None:
    options: dict[str, Any] = {"length": 30, "filters": Filters(temperature=0.9)}
    texts = [
        [s.text for s in generate(MIXED, TOKENIZER, "A ", num=40, batch=b, **options)]
        for b in (1, 7, 40)
    ]
    assert texts[0] == texts[1] == texts[2]
    assert "".join(stream_one(MIXED, TOKENIZER, "A ", **options)) == texts[0][0]


def test_a_beam_searches_the_mixture() -> None:
    (best,) = beam(MIXED, TOKENIZER, "The", width=1, length=6)
    greedy = next(generate(MIXED, TOKENIZER, "The", length=6, filters=Filters(temperature=0)))
    assert best.ids == greedy.ids
    ids = read_prefix(TOKENIZER, "The").ids
    for k, token in enumerate(best.ids):
        expected = math.log(plainly(ids + best.ids[:k])[token])
        assert best.token_logprobs[k] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5), (-0.1,), (0.0,), (math.nan,)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="shares"):
        with_others(Network(ONE), [(Network(TWO), share) for share in shares])


def test_models_of_different_vocabularies_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="one vocabulary"):
        Mixture([Network(ONE), Network(Model.initial(Config(5)))], [0.5, 0.5])
    with pytest.raises(ConfigError, match="together 1"):
        Mixture([Network(ONE), Network(TWO)], [0.5, 0.4])


def test_the_nats_of_a_mixture_are_those_of_the_mean_probability() -> None:
    a, b = -np.log([0.5, 0.1, np.nan]), -np.log([0.1, 0.3, np.nan])
    np.testing.assert_allclose(np.exp(-mixed_nats([a, b], [0.25, 0.75])), [0.2, 0.25, np.nan])
    assert mixed_nats([a, b], [1, 0]) is a
    assert mixed_nats([a, b], [0, 1]) is b


def test_the_weight_of_a_mixture_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    a, b = -np.log(rng.beta(1, 3, 500)), -np.log(rng.beta(1, 4, 500))
    a[::50] = b[::50] = np.nan
    costs = {w: np.nansum(mixed_nats([a, b], [w, 1 - w])) for w in np.arange(0.01, 1, 0.01)}
    best = min(costs, key=lambda w: costs[w])
    weight, rest = fitted_weights([a, b])
    assert weight + rest == 1
    assert weight == pytest.approx(best, abs=0.011)
    assert np.nansum(mixed_nats([a, b], [weight, rest])) <= costs[best] + 1e-6
    assert fitted_weights([a, a + 1])[0] > 0.999


def test_the_weights_of_three_are_the_best_of_a_grid() -> None:
    rng = np.random.default_rng(1)
    nats = [-np.log(rng.beta(1, b, 400)) for b in (3, 4, 3.5)]
    nats[0][::50] = nats[1][1::50] = np.nan
    steps = np.arange(0, 1.0001, 0.02)
    costs = {
        (a, b): np.nansum(mixed_nats(nats, [a, b, max(0.0, 1 - a - b)]))
        for a in steps for b in steps if a + b <= 1 + 1e-9
    }  # fmt: skip
    best = min(costs, key=lambda pair: costs[pair])
    weights = fitted_weights(nats)
    assert min(weights) > 0.02
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert weights[:2] == pytest.approx(best, abs=0.021)
    assert np.nansum(mixed_nats(nats, weights)) <= costs[best] + 1e-6
