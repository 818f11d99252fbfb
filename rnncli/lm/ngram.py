"""Interpolated modified Kneser-Ney n-grams (Chen and Goodman 1998): what a network must beat.

The model is counted on the ids of a split: its perplexity is over the same tokens as a network's.
The n-grams of a length are one sorted array of keys: the number of the first k - 1 tokens, times V,
plus the last token. A lookup is a binary search, done for all positions of a text together. <s> is
never predicted. Counting takes about 100 bytes a training token. Nothing here knows of networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError, DataError
from rnncli.lm.predictor import Predictor, State, Surprise, firsts

Array = NDArray[Any]

ORDERS = range(1, 6)
FALLBACK = (0.5, 1.0, 1.5)  # discounts where the text is too small to have any


class _Level(NamedTuple):
    """The n-grams of one length, and what is left to the shorter ones after each context."""

    keys: Array  # (grams,) sorted
    discounted: Array  # (grams,) count less discount
    totals: Array  # (contexts,) sum of the counts after a context; 0 if it was never one
    left: Array  # (contexts,) sum of the discounts


class KneserNey(Predictor):
    """An n-gram model of the given order, 1 to 5, over `V` tokens.

    Its state is the last ids of each text, (B, order - 1), -1 where there is none yet.
    """

    carried = False

    def __init__(self, order: int, V: int, bos: int | None, levels: list[_Level]) -> None:
        self.order, self.bos, self._levels = order, bos, levels
        self._V, self._width = V, max(1, order - 1)
        self._never = np.flatnonzero(np.arange(V) == bos)  # none where there is no <s>

    @property
    def V(self) -> int:
        return self._V

    def start(self, B: int = 1) -> State:
        return np.full((B, self._width), -1)

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        state = np.column_stack([state[:, 1:], ids])
        state[ids == self.bos, :-1] = -1  # no n-gram spans two units
        rows = [self.distribution([i for i in row if i >= 0]) for row in state.tolist()]
        with np.errstate(divide="ignore"):
            return np.log(rows), state

    def take(self, state: State, texts: Array) -> State:
        return state[texts]

    def join(self, states: Sequence[State]) -> State:
        return np.concatenate(states)

    @classmethod
    def train(cls, ids: Array, starts: Array, V: int, bos: int | None, order: int = 5) -> KneserNey:
        """Count the n-grams of the units of `ids` (n,) that begin at `starts`; none spans two.

        Shorter n-grams count the different tokens before them, and their places where nothing is.
        """
        if order not in ORDERS:
            raise ConfigError(f"order must be 1 to {ORDERS[-1]}, not {order}.")
        ids = np.asarray(ids, np.int64)
        place = _places(len(ids), starts)
        if not (place > 0).any():
            raise DataError("there is no token to count: a unit needs two tokens or more.")
        tables, grams = [], [np.zeros(len(ids), np.int64)]  # grams[k]: that of length k ending here
        firsts, raws = [], []
        for k in range(1, order + 1):
            before = np.concatenate([[0], grams[k - 1][:-1]])
            here = place >= max(1, k - 1)  # predicted, and with k - 1 tokens before it
            keys, first, gram, raw = np.unique(
                before[here] * V + ids[here],
                return_index=True, return_inverse=True, return_counts=True,
            )  # fmt: skip
            ends = np.full(len(ids), -1)
            ends[here] = gram
            if k == 1:  # a context of one token is that token, <s> too
                keys, ends = np.arange(V), ids
                raw = np.bincount(ids[here], minlength=V)
            tables.append(keys)
            grams.append(ends)
            firsts.append(np.flatnonzero(here)[first])
            raws.append(raw)
        levels = []
        for k in range(1, order + 1):
            counts = raws[k - 1]
            if k < order:
                size = len(tables[k - 1])
                counts = np.bincount(grams[k][firsts[k]], minlength=size)
                counts += np.bincount(grams[k][place == k - 1], minlength=size) if k > 1 else 0
            contexts = 1 if k == 1 else len(tables[k - 2])
            levels.append(_level(tables[k - 1], counts, contexts, V))
        return cls(order, V, bos, levels)

    def distribution(self, context: list[int] | tuple[int, ...]) -> Array:
        """Return the probability of every token (V,) after a context; its last ids alone matter."""
        p = np.full(self.V, 1 / (self.V - len(self._never)))
        p[self._never] = 0
        for k in range(1, self.order + 1):
            level, gram = self._levels[k - 1], 0
            if k - 1 > len(context):
                break
            for length, token in enumerate(context[len(context) - k + 1 :]):
                keys = self._levels[length].keys
                gram = int(_find(keys, np.array([gram * self.V + token]))[0]) if gram >= 0 else -1
            if gram < 0 or not level.totals[gram]:
                break
            p *= level.left[gram] / level.totals[gram]
            a, b = np.searchsorted(level.keys, [gram * self.V, (gram + 1) * self.V])
            p[level.keys[a:b] % self.V] += level.discounted[a:b] / level.totals[gram]
        return p

    def nats(
        self, ids: Array, starts: Array, after: State | None = None, end: int | None = None
    ) -> Surprise:
        ids, starts = np.asarray(ids, np.int64), np.asarray(starts, np.int64)
        unpredicted, before = firsts(len(ids), starts, after), 0
        if len(ids) and starts[0] > 0:  # the unit that goes on, with what of it was read before
            known = self.start()[0] if after is None else after[0]
            known = known[known >= 0]
            before = len(known)
            ids, starts = np.concatenate([known, ids]), np.concatenate([[0], starts + before])
        place = _places(len(ids), starts)
        wanted = [ids] if end is None else [ids, np.full(len(ids), end)]
        each, *ends = (p[before:] for p in self._probabilities(ids, place, wanted))
        with np.errstate(divide="ignore"):
            nats = -np.log(each)
        for figures in (nats, *ends):
            figures[unpredicted] = np.nan
        state = self.start()
        if len(ids):
            last = ids[max(len(ids) - self._width, len(ids) - 1 - int(place[-1])) :]
            state[0, self._width - len(last) :] = last
        return Surprise(nats, ends[0] if ends else None, state)

    def _probabilities(self, ids: Array, place: Array, wanted: list[Array]) -> list[Array]:
        """Return the probability of each wanted token (n,) after the ids before its place.

        `place` is how many ids of its unit are before each of `ids` (n,).
        """
        uniform = 1 / (self.V - len(self._never))
        out = [np.full(len(ids), uniform) for _ in wanted]
        gram = np.zeros(len(ids), np.int64)  # the number of the context
        for k, level in enumerate(self._levels, 1):
            before = np.concatenate([[0], gram[:-1]])
            before[place < k - 1] = -1
            known = before >= 0
            known[known] = level.totals[before[known]] > 0
            total = level.totals[before[known]]
            for p, tokens in zip(out, wanted, strict=True):
                found = _find(level.keys, np.where(before < 0, -1, before * self.V + tokens))
                gram = found if tokens is ids else gram
                p[known] *= level.left[before[known]] / total
                seen = known & (found >= 0)
                p[seen] += level.discounted[found[seen]] / level.totals[before[seen]]
        return out


def _places(n: int, starts: Array) -> Array:
    """Return how many ids of its unit are before each of n ids: starts [0, 2, 5] -> 0 1 0 1 2."""
    starts = np.asarray(starts, np.int64)
    return np.asarray(np.arange(n) - np.repeat(starts[:-1], np.diff(starts)))


def _find(keys: Array, wanted: Array) -> Array:
    """Find each wanted key among sorted keys: [2, 5], [5, 3] -> [1, -1]."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def _level(keys: Array, counts: Array, contexts: int, V: int) -> _Level:
    """Discount the counts of n-grams, 1, 2 and 3 or more each by its own (equation 26)."""
    discounts = np.array([0, *_discounts(counts)])[np.minimum(counts, 3)]
    context = keys // V
    return _Level(
        keys,
        counts - discounts,
        np.bincount(context, counts, contexts),
        np.bincount(context, discounts, contexts),
    )


def _discounts(counts: Array) -> tuple[float, ...]:
    """Return D1, D2 and D3+, by how many n-grams have the counts 1 to 4."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].tolist()
    if not (n1 and n2 and n3):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < k for k, d in enumerate(found, 1)) else FALLBACK
