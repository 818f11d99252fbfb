"""The n-gram model against numbers worked by hand and against plain dictionaries."""

import itertools
import math
from collections import Counter, defaultdict
from fractions import Fraction as F

import numpy as np
import pytest

from rnncli.errors import ConfigError, DataError
from rnncli.lm.ngram import KneserNey

BOS, EOS = 1, 2


def joined(units: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(itertools.chain(*units)), np.uint16), np.cumsum([0, *map(len, units)])


def random_units(seed: int, units: int, V: int, marked: bool = True) -> list[list[int]]:
    """Units in which what follows depends on what was before, so that n-grams come again."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(units):
        text = [int(rng.integers(3, V))]
        for _ in range(int(rng.integers(12))):
            step = int(rng.choice([1, 1, 1, 2, 5]))
            text.append(3 + (text[-1] * 3 + step) % (V - 3))
        out.append([BOS, *text, EOS] if marked else text)
    return out


class Plainly:
    """The definition, with dictionaries and recursion; n-grams are tuples."""

    def __init__(self, units: list[list[int]], V: int, bos: int | None, order: int) -> None:
        self.V, self.bos, self.order = V, bos, order
        occurrences = [Counter() for _ in range(order + 1)]
        starts = [Counter() for _ in range(order + 1)]
        for unit in units:
            for i in range(1, len(unit)):
                for k in range(1, min(order, i + 1) + 1):
                    gram = tuple(unit[i + 1 - k : i + 1])
                    occurrences[k][gram] += 1
                    starts[k][gram] += k == i + 1
        self.counts, self.discounts = [{}], [()]
        for k in range(1, order + 1):
            if k == order:
                counts = dict(occurrences[k])
            else:
                counts = {gram: starts[k][gram] for gram in occurrences[k]}
                for longer in occurrences[k + 1]:
                    counts[longer[1:]] += 1
            n = Counter(counts.values())
            d = (0.5, 1.0, 1.5)
            if n[1] and n[2] and n[3]:
                y = n[1] / (n[1] + 2 * n[2])
                found = tuple(j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))
                if all(0 < x < j for j, x in enumerate(found, 1)):
                    d = found
            self.counts.append(counts)
            self.discounts.append((0, *d))
        self.after = defaultdict(list)
        for counts in self.counts:
            for gram, c in counts.items():
                self.after[len(gram), gram[:-1]].append(c)

    def p(self, word: int, context: tuple[int, ...]) -> float:
        k = len(context) + 1
        shorter = self.p(word, context[1:]) if context else float(word != self.bos) / (
            self.V - (self.bos is not None))  # fmt: skip
        counts, d = self.after[k, context], self.discounts[k]
        if not counts:
            return shorter
        c = self.counts[k].get((*context, word), 0)
        left = sum(d[min(x, 3)] for x in counts)
        return (c - d[min(c, 3)]) / sum(counts) + left / sum(counts) * shorter


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("marked", [True, False], ids=["documents", "stream"])
def test_vectors_say_what_dictionaries_say(order: int, marked: bool) -> None:
    V, bos = 11, BOS if marked else None
    units = random_units(0, 150, V, marked)
    model = KneserNey.train(*joined(units), V, bos, order)
    plain = Plainly(units, V, bos, order)
    unseen = random_units(9, 30, V, marked)
    ids, starts = joined(unseen)
    nats = model.nats(ids, starts).nats
    expected = []
    for unit in unseen:
        expected.append(math.nan)
        for i in range(1, len(unit)):
            expected.append(-math.log(plain.p(unit[i], tuple(unit[max(0, i + 1 - order) : i]))))
    np.testing.assert_allclose(nats, expected, rtol=1e-10)
    assert np.isnan(nats).sum() == len(unseen)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_after_every_context_sum_to_one(order: int) -> None:
    V, units = 11, random_units(1, 60, 11)
    model = KneserNey.train(*joined(units), V, BOS, order)
    seen = {tuple(u[i : i + n]) for u in units for n in range(order) for i in range(len(u) - n)}
    rng = np.random.default_rng(0)
    never = {tuple(rng.integers(V, size=order - 1).tolist()) for _ in range(300)}
    assert len(seen) > 4 * order
    assert never - seen
    for context in seen | never:
        p = model.distribution(context)
        assert p.sum() == pytest.approx(1, abs=1e-9), context
        assert p[BOS] == 0
        assert (np.delete(p, BOS) > 0).all()


def test_the_distribution_and_the_nats_agree() -> None:
    V, units = 11, random_units(2, 80, 11)
    model = KneserNey.train(*joined(units), V, BOS, 4)
    unit = [BOS, 3, 7, 10, 4, 4, 8, EOS]
    nats = model.nats(np.array(unit), np.array([0, len(unit)])).nats
    for i in range(1, len(unit)):
        assert nats[i] == pytest.approx(-math.log(model.distribution(unit[:i])[unit[i]]), abs=1e-12)


def test_a_bigram_model_worked_by_hand() -> None:
    """Units "a b" and "a a" and "b": too little text, so the discounts are 1/2, 1 and 3/2.

    Bigrams: <s>a 2, <s>b 1, ab 1, aa 1, b</s> 2, a</s> 1. Different tokens before a: <s> a = 2,
    before b: a <s> = 2, before </s>: b a = 2, so 6 in all, each less 1; 3 left over; V - 1 = 5.
    """
    a, b = 3, 4
    units = [[BOS, a, b, EOS], [BOS, a, a, EOS], [BOS, b, EOS]]
    model = KneserNey.train(*joined(units), 6, BOS, 2)
    short = {w: F(1, 6) + F(3, 6) * F(1, 5) for w in (a, b, EOS)}
    rare = F(3, 6) * F(1, 5)
    assert sum(short.values()) + 2 * rare == 1
    # after <s>: a 2 - 1, b 1 - 1/2, of 3; 3/2 left.  After a: a, b, </s> 1 - 1/2 each, of 3; 3/2.
    # After b: </s> 2 - 1, of 2; 1 left.
    expected = {
        (BOS, a): F(1, 3) + F(1, 2) * short[a], (BOS, b): F(1, 6) + F(1, 2) * short[b],
        (BOS, EOS): F(1, 2) * short[EOS], (BOS, 0): F(1, 2) * rare,
        (a, a): F(1, 6) + F(1, 2) * short[a], (a, EOS): F(1, 6) + F(1, 2) * short[EOS],
        (a, 5): F(1, 2) * rare, (b, EOS): F(1, 2) + F(1, 2) * short[EOS],
        (b, a): F(1, 2) * short[a], (5, a): short[a], (5, 5): rare,
    }  # fmt: skip
    for (context, word), p in expected.items():
        assert model.distribution([context])[word] == pytest.approx(float(p), abs=1e-12)


def test_discounts_follow_the_counts_of_counts() -> None:
    """Unigrams seen 1 x 6, 2 x 3, 3 x 2, 4 x 1 times: y = 1/2, D = 1/2, 1, 2."""
    counts = [1] * 6 + [2] * 3 + [3] * 2 + [4]
    ids = [BOS, *(3 + w for w, c in enumerate(counts) for _ in range(c))]
    V = 3 + len(counts) + 1
    model = KneserNey.train(np.array(ids), np.array([0, len(ids)]), V, BOS, 1)
    p, total = model.distribution([]), 22
    left = F(6 * F(1, 2) + 3 * 1 + 2 * 2 + 1 * 2, total)
    base = left / (V - 1)
    for word, kept in ((3, F(1, 2)), (9, F(1)), (12, F(1)), (14, F(2)), (V - 1, F(0))):
        assert p[word] == pytest.approx(float(kept / total + base), abs=1e-12)


def test_a_bigram_model_finds_what_follows_what() -> None:
    train, test = joined(random_units(3, 3000, 40)), joined(random_units(4, 200, 40))
    unigram, bigram = (
        np.nanmean(KneserNey.train(*train, 40, BOS, order).nats(*test).nats) for order in (1, 2)
    )
    assert unigram > 3
    assert bigram < unigram / 2


def test_senseless_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="order must be 1 to 5"):
        KneserNey.train(*joined([[1, 3, 2]]), 5, BOS, 6)
    with pytest.raises(DataError, match="no token to count"):
        KneserNey.train(np.array([3, 4]), np.array([0, 1, 2]), 5, None, 2)
