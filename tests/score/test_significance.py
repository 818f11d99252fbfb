"""The difference of two models against known statistics."""

import math

import numpy as np
import pytest
from test_scoring import STREAM, TEXTS, Units, split_of

from rnncli.score.significance import bootstrap, compare, document_starts


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
    nats = np.ones(len(split.ids))
    assert compare(nats + 1, nats, starts) == pytest.approx((1, 1, 1))
