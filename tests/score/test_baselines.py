"""Baselines, mixtures and the difference of two models, against plain sums and known statistics."""

import math

import numpy as np
import pytest
from test_scoring import DOCUMENTS, STREAM, TEXTS, Units, split_of, unigram

from rnncli.lm.ngram import KneserNey
from rnncli.score.baselines import (
    BASELINES,
    baseline,
    bootstrap,
    compare,
    document_starts,
    mixed_nats,
    mixing_weight,
    uniform_nats,
    unigram_nats,
)
from rnncli.score.scoring import score_nats, token_nats


def test_baselines_are_what_a_network_of_biases_says() -> None:
    split = split_of(DOCUMENTS, TEXTS)
    V = len(DOCUMENTS)
    uniform = score_nats(DOCUMENTS, split, uniform_nats(DOCUMENTS, split))
    assert uniform.perplexity == pytest.approx(V - 1)
    counts = dict(zip(DOCUMENTS.vocabulary.tokens, DOCUMENTS.vocabulary.counts, strict=True))
    assert (counts["the"], counts["</s>"], counts["<unk>"]) == (2, 3, 0)
    total = sum(counts.values()) - counts["<s>"] + V - 1
    model = unigram(DOCUMENTS, {t: (c + 1) / total if t != "<s>" else 1e-9
                                for t, c in counts.items() if t != "?"})  # fmt: skip
    expected = token_nats(model, DOCUMENTS, split, carried=False)
    np.testing.assert_allclose(unigram_nats(DOCUMENTS, split), expected, rtol=1e-5)


def test_a_mixture_is_the_mean_of_probabilities() -> None:
    a, b = -np.log([0.5, 0.1, np.nan]), -np.log([0.1, 0.3, np.nan])
    np.testing.assert_allclose(np.exp(-mixed_nats(a, b, 0.25)), [0.2, 0.25, np.nan])
    assert mixed_nats(a, b, 1) is a
    assert mixed_nats(a, b, 0) is b


def test_the_weight_of_a_mixture_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    a, b = -np.log(rng.beta(1, 3, 500)), -np.log(rng.beta(1, 4, 500))
    a[::50] = b[::50] = np.nan
    costs = {w: np.nansum(mixed_nats(a, b, w)) for w in np.arange(0.01, 1, 0.01)}
    best = min(costs, key=lambda w: costs[w])
    weight = mixing_weight(a, b)
    assert weight == pytest.approx(best, abs=0.011)
    assert np.nansum(mixed_nats(a, b, weight)) <= costs[best] + 1e-6
    assert mixing_weight(a, a + 1) > 0.999


def test_the_bootstrap_knows_noise_from_a_difference() -> None:
    rng, starts = np.random.default_rng(0), np.arange(0, 4001, 10)
    b = rng.exponential(3, 4000)
    b[starts[:-1]] = np.nan
    noise = compare(b + rng.normal(0, 1, 4000), b, starts)
    assert noise.low < 0 < noise.high
    real = compare(b + rng.normal(0.2, 1, 4000), b, starts)
    assert 0 < real.low < real.mean < real.high
    # 3,600 tokens of standard deviation 1: the interval is 2 * 1.96 / 60 wide
    assert real.high - real.low == pytest.approx(2 * 1.96 / 60, rel=0.1)
    uneven = np.concatenate([[0], np.sort(rng.choice(4000, 60, replace=False)), [4000]])
    assert compare(b + 1, b, np.unique(uneven)) == pytest.approx((1, 1, 1))


def test_units_are_resampled_whole() -> None:
    """What differs alike within a unit is one observation, however long the unit is."""
    rng, starts = np.random.default_rng(1), np.arange(0, 4001, 100)
    shift = np.repeat(rng.normal(0, 1, 40), 100)
    found = compare(shift, np.zeros(4000), starts)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(40), rel=0.35)


# --- baselines by name ---


def test_every_baseline_by_its_name() -> None:
    train, split = split_of(DOCUMENTS, TEXTS * 3), split_of(DOCUMENTS, TEXTS[:2])
    found = {name: baseline(name, DOCUMENTS, train)(split) for name in BASELINES}
    np.testing.assert_array_equal(found["uniform"], uniform_nats(DOCUMENTS, split))
    np.testing.assert_array_equal(found["unigram"], unigram_nats(DOCUMENTS, split))
    for order in (2, 5):
        model = KneserNey.train(train.ids, train.starts, len(DOCUMENTS), DOCUMENTS.bos, order)
        np.testing.assert_array_equal(found[f"kn{order}"], model.nats(split.ids, split.starts))
    means = [np.nanmean(found[name]) for name in ("uniform", "kn2", "kn5")]
    assert means == sorted(means, reverse=True)


# --- the difference of two models ---


def test_a_document_of_several_sentences_is_drawn_as_one() -> None:
    split = Units(np.arange(10), np.array([0, 2, 4, 7, 10]), 0, 0)
    split.rows = np.array([3, 3, 5, 9])  # type: ignore[attr-defined]
    assert document_starts(split).tolist() == [0, 4, 7, 10]
    stream = Units(np.arange(600), np.array([0, 600]), 0, 0)
    stream.rows = np.empty(0, np.int64)  # type: ignore[attr-defined]
    assert document_starts(stream).tolist() == [0, 256, 512, 600]


def test_a_difference_is_certain_when_no_difference_is_outside_the_interval() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 30, 400)
    noise = rng.normal(0, 1, 400) * sizes
    shifted = bootstrap(noise + 0.5 * sizes, sizes)
    assert shifted.certain
    assert shifted.mean == pytest.approx((noise + 0.5 * sizes).sum() / sizes.sum())
    centred = bootstrap(noise - noise.sum() / len(noise), sizes)
    assert not centred.certain
    assert bootstrap(np.zeros(5), np.ones(5)) == (0, 0, 0)
    assert not bootstrap(np.zeros(5), np.ones(5)).certain


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    rng, inside = np.random.default_rng(3), 0
    for _ in range(200):
        sizes = rng.integers(5, 20, 80).astype(float)
        found = bootstrap(rng.normal(0.1, 1, 80) * sizes, sizes, resamples=200)
        inside += found.low <= 0.1 <= found.high
    assert 178 <= inside <= 199  # 190 expected, standard deviation 3; a little low for 80 documents


def test_a_stream_has_no_interval_of_its_own_but_that_of_its_blocks() -> None:
    split = split_of(STREAM, TEXTS * 60)
    split.rows = np.empty(0, np.int64)  # type: ignore[attr-defined]
    starts = document_starts(split)
    nats = uniform_nats(STREAM, split)
    assert compare(nats + 1, nats, starts) == pytest.approx((1, 1, 1))
