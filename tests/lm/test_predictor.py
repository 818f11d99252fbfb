"""Every kind of predictor: steps, reading and scoring say the same, and probabilities sum to 1."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rnncli.generation.sampling import SampleOptions, Sampler
from rnncli.lm.mixture import Mixture
from rnncli.lm.network import Network
from rnncli.lm.ngram import KneserNey
from rnncli.lm.predictor import Predictor, Unigram
from rnncli.nn import Config, Model
from rnncli.text.tokenizer import Tokenizer

V, BOS, EOS = 9, 1, 2
UNITS = [[1, 4, 5, 6, 2], [1, 7, 2], [1, 4, 5, 8, 4, 5, 6, 2], [1, 2], [1, 3, 3, 6, 2]]
IDS = np.array([i for unit in UNITS for i in unit])
STARTS = np.cumsum([0, *map(len, UNITS)])


def network(cell: str = "lstm", carried: bool = False, **options: Any) -> Network:
    model = Model.initial(Config(V, cell, **{"hidden": 8, "embed": 4, **options}), 3)
    model.params["head.W"][:] *= 5
    return Network(model, carried)


def counts(order: int = 3) -> KneserNey:
    return KneserNey.train(np.tile(IDS, 3), np.arange(0, 3 * len(IDS) + 1, len(IDS)), V, BOS, order)


FIXED = Unigram(np.array([1, 0, 4, 2, 1, 1, 3, 0.5, 2]))
KINDS: dict[str, Predictor] = {
    "lstm": network(),
    "gru": network("gru", layers=2),
    "kn1": counts(1),
    "kn2": counts(2),
    "kn5": counts(5),
    "fixed": FIXED,
    "two": Mixture([network(), counts()], [0.6, 0.4]),
    "three": Mixture([network(), network("gru"), FIXED], [0.5, 0.2, 0.3]),
    "alone": Mixture([network("gru"), FIXED], [1, 0]),
}


def log_p(z: Any) -> list[float]:
    """The log-probabilities of one row of logits."""
    most = max(z)
    total = math.log(math.fsum(math.exp(v - most) for v in z)) + most
    return [v - total for v in z]


def stepwise(predictor: Predictor, unit: list[int]) -> list[list[float]]:
    """The log-probabilities after each id but the last, one step at a time."""
    state, rows = predictor.start(), []
    for token in unit[:-1]:
        z, state = predictor.step(np.array([token]), state)
        assert z.shape == (1, V)
        rows.append(log_p(z[0].astype(float).tolist()))
    return rows


@pytest.mark.parametrize("name", KINDS)
def test_steps_reading_and_scoring_say_the_same(name: str) -> None:
    predictor = KINDS[name]
    found = predictor.nats(IDS, STARTS, None, EOS)
    assert found.ends is not None
    assert (found.nats.dtype, found.ends.dtype) == (np.float64, np.float64)
    assert np.flatnonzero(np.isnan(found.nats)).tolist() == STARTS[:-1].tolist()
    for (a, b), unit in zip(pairwise(STARTS), UNITS, strict=True):
        rows = stepwise(predictor, unit)
        for row in rows:
            assert math.fsum(map(math.exp, row)) == pytest.approx(1, abs=1e-6)
        expected = [-row[y] for row, y in zip(rows, unit[1:], strict=True)]
        np.testing.assert_allclose(found.nats[a + 1 : b], expected, rtol=2e-5)
        ends = [math.exp(row[EOS]) for row in rows]
        np.testing.assert_allclose(found.ends[a + 1 : b], ends, rtol=2e-5)
        for window in (1, 2, 100):
            every = [z for z, _ in predictor.every(unit[:-1], predictor.start(), window)]
            columns = np.concatenate(every, axis=1).T.astype(float).tolist()
            np.testing.assert_allclose([log_p(z) for z in columns], rows, rtol=2e-5)
        z, _ = predictor.read(unit[:-1], predictor.start())
        np.testing.assert_allclose(log_p(z[0].astype(float).tolist()), rows[-1], rtol=2e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_precise_twin_rounds_and_nothing_else(name: str) -> None:
    predictor = KINDS[name]
    exact = predictor.precise.nats(IDS, STARTS).nats
    np.testing.assert_allclose(predictor.nats(IDS, STARTS).nats, exact, rtol=2e-5)
    worst, error = 0.0, predictor.error
    for unit in UNITS:
        rows, twins = (stepwise(p, unit) for p in (predictor, predictor.precise))
        for row, twin in zip(rows, twins, strict=True):
            off = [a - b for a, b in zip(row, twin, strict=True) if a > -math.inf]
            worst = max(worst, max(off) - min(off))
    assert worst <= error


@pytest.mark.parametrize("name", KINDS)
def test_texts_side_by_side_are_as_alone(name: str) -> None:
    predictor = KINDS[name]
    alone = [predictor.read(unit[:2], predictor.start()) for unit in UNITS[:3]]
    state = predictor.join([after for _, after in alone])
    state = predictor.take(state, np.array([2, 0]))
    z, _ = predictor.step(np.array([5, 6]), state)
    for row, k, token in ((0, 2, 5), (1, 0, 6)):
        one, _ = predictor.step(np.array([token]), alone[k][1])
        np.testing.assert_allclose(z[row], one[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_text_in_pieces_costs_what_it_costs_as_one(name: str, size: int) -> None:
    predictor, n = KINDS[name], len(IDS)
    whole = predictor.nats(IDS, np.array([n]), None, EOS)
    nats, ends, after = [], [], None
    for at in range(0, n, size):
        piece = IDS[at : at + size]
        found = predictor.nats(piece, np.array([len(piece)]), after, EOS)
        after = found.after
        nats.append(found.nats)
        ends.append(found.ends)
    np.testing.assert_allclose(np.concatenate(nats), whole.nats, rtol=2e-5)
    np.testing.assert_allclose(np.concatenate(ends), whole.ends, rtol=2e-5)
    assert np.isnan(whole.nats).tolist() == [True, *[False] * (n - 1)]


def test_a_unit_that_goes_on_is_followed_by_fresh_ones() -> None:
    for predictor in KINDS.values():
        whole = predictor.nats(IDS, STARTS).nats
        first = predictor.nats(IDS[:3], np.array([3]))
        rest = predictor.nats(IDS[3:], STARTS[1:] - 3, first.after)
        np.testing.assert_allclose([*first.nats, *rest.nats], whole, rtol=2e-5)


@pytest.mark.parametrize("alone", [1, 2, 3, 2048])
@pytest.mark.parametrize("name", KINDS)
def test_units_may_be_cut_anywhere(name: str, alone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnncli.lm.network.ALONE", alone)
    predictor, whole = KINDS[name], KINDS[name].nats(IDS, STARTS, None, EOS)
    for cut in range(1, len(IDS)):
        inside = [start for start in STARTS.tolist() if start < cut]
        first = predictor.nats(IDS[:cut], np.array([*inside, cut]), None, EOS)
        rest = np.array([start - cut for start in STARTS.tolist() if start >= cut])
        second = predictor.nats(IDS[cut:], rest, first.after, EOS)
        np.testing.assert_allclose([*first.nats, *second.nats], whole.nats, rtol=2e-5)
        assert first.ends is not None
        assert second.ends is not None
        np.testing.assert_allclose([*first.ends, *second.ends], whole.ends, rtol=2e-5)


def test_a_carried_network_reads_all_units_as_one_text() -> None:
    fresh, carried = network(), network(carried=True)
    expected = fresh.nats(IDS, np.array([len(IDS)])).nats
    np.testing.assert_array_equal(carried.nats(IDS, STARTS).nats, expected)
    mixture = Mixture([carried, counts()], [0.5, 0.5])
    assert mixture.carried
    parts = [np.exp(-p.nats(IDS, STARTS).nats) for p in (carried, counts())]
    np.testing.assert_allclose(np.exp(-mixture.nats(IDS, STARTS).nats), sum(parts) / 2, rtol=1e-12)


def test_fixed_frequencies_are_what_they_are() -> None:
    z, _ = FIXED.step(np.array([3, 4]), FIXED.start(2))
    assert np.exp(z).tolist() == [pytest.approx([x / 14.5 for x in
        (1, 0, 4, 2, 1, 1, 3, 0.5, 2)])] * 2  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_text_is_the_same_if_every_token_is_decided_in_float64(order):
    """A state may be an array, or a zero: only `is None` says that there is none."""
    tokenizer = Tokenizer.train(["abcab cab", "bca abc"], "char")
    units = [tokenizer.wrap(tokenizer.encode(text)) for text in ("abcab cab", "bca abc")]
    ids, starts = np.concatenate(units), np.cumsum([0, *map(len, units)])
    predictor = KneserNey.train(ids, starts, len(tokenizer), tokenizer.bos, order)
    texts = []
    for error in (0.0, 1.0):  # how far a weight may be off: 1 leaves every choice open
        sampler = Sampler(predictor, tokenizer, SampleOptions.of(length=30, seed=5))
        sampler.chooser.error = error
        start = sampler.start("a")
        texts.append([text.text for text in sampler.texts([(start, k) for k in range(8)])])
    assert texts[0] == texts[1]
    assert max(map(len, texts[0])) > 2
