"""The distribution of the next token after filters, and one draw from it: pure functions of logits.

Everything is in float64. Knows no model and no text: ids, logits (V,) and a number in [0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError

Array = NDArray[Any]

BLOCK = 128  # tokens whose weights are summed together in a draw

LEAST = float(np.finfo(np.float32).min)
HEAD = 256  # tokens that are sorted first


@dataclass(frozen=True)
class Filters:
    """What is done to the model's distribution before a token is drawn.

    Applied in the order: banned, repetition, no_repeat, temperature, top_k, top_p, min_p, typical.
    Each filter leaves one token or more; of equal tokens the one with the lower id goes first.
    """

    temperature: float = 1.0  # 0 takes the most probable token
    top_k: int = 0  # the k most probable tokens; 0 for all
    top_p: float = 1.0  # the fewest tokens that together have this mass (Holtzman et al. 2020)
    min_p: float = 0.0  # tokens at least this times as probable as the first
    typical: float = 1.0  # the most typical tokens that have this mass (Meister et al. 2023)
    repetition: float = 1.0  # logits of tokens already written: / if positive, * if negative
    no_repeat: int = 0  # no n-gram of this length is written twice
    banned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, sound, wanted in (
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("typical", 0 < self.typical <= 1, "above 0 and at most 1"),
            ("repetition", 0 < self.repetition < math.inf, "above 0"),
            ("no_repeat", self.no_repeat >= 0, "0 or more"),
        ):
            if not sound:
                raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)}.")

    @cached_property
    def _bans(self) -> Array:
        """The banned ids, in order, each once."""
        return np.unique(np.asarray(self.banned, np.int64))


PLAIN = Filters()


def probabilities(logits: Array, filters: Filters, written: Sequence[int] = ()) -> Array:
    """The distribution (V,) that `next_token` draws from, in float64.

    `written` holds the ids so far, which only `repetition` and `no_repeat` look at.
    """
    weights = weigh(np.asarray(logits, np.float64)[None], filters, [written])[0]
    return np.asarray(weights / weights.sum())


def next_token(
    logits: Array, u: float, filters: Filters = PLAIN, written: Sequence[int] = ()
) -> int:
    """The id at which the cumulative distribution passes `u`, a number in [0, 1)."""
    sums = np.cumsum(weigh(np.asarray(logits, np.float64)[None], filters, [written])[0])
    return passed(sums, u)


def passed(sums: Array, u: float) -> int:
    """The first id whose running sum (V,) is above the share `u` of the whole."""
    return int(sums.searchsorted(u * sums[-1], "right"))  # u < 1: below V, however it is rounded


class Drawn(NamedTuple):
    """The token that each of B numbers falls on, from `low` to `high` of `whole`: (B,) each."""

    ids: Array  # the last is as good as any where `whole` is 0
    low: Array
    high: Array
    whole: Array


def draw(weights: Array, u: Array) -> Drawn:
    """What `passed` finds for each row of weights (B, V), without summing up the whole of it.

    The sums of blocks say in which block a number in u (B,) falls; only that is gone through.
    """
    B, V = weights.shape
    if B == 1:  # a search goes faster alone than as a comparison of arrays
        return _draw_one(weights[0], float(u[0]))
    every = np.arange(B)
    sums = np.add.reduceat(weights, np.arange(0, V, BLOCK), axis=1, dtype=np.float64)
    sums = sums.cumsum(axis=1)  # (B, blocks)
    whole = sums[:, -1]
    wanted = u * whole  # u < 1: below the whole, however it is rounded
    block = np.minimum((sums <= wanted[:, None]).sum(axis=1), sums.shape[1] - 1)
    before = np.where(block, sums[every, block - 1], 0.0)
    columns = block[:, None] * BLOCK + np.arange(min(BLOCK, V))  # (B, BLOCK)
    inside = np.where(columns < V, weights[every[:, None], np.minimum(columns, V - 1)], 0)
    sums = inside.cumsum(axis=1, dtype=np.float64) + before[:, None]
    at = (sums <= wanted[:, None]).sum(axis=1)
    # A block may sum up to a little less one by one: then it is the last that weighs anything.
    last = inside.shape[1] - 1 - (inside[:, ::-1] > 0).argmax(axis=1)
    at = np.minimum(at, last)
    high = sums[every, at]
    return Drawn(columns[every, at], high - inside[every, at], high, whole)


def _draw_one(row: Array, u: float) -> Drawn:
    """The same for one row (V,)."""
    start, before, wanted = 0, 0.0, None
    if len(row) > BLOCK:
        blocks = np.add.reduceat(row, np.arange(0, len(row), BLOCK), dtype=np.float64).cumsum()
        whole = float(blocks[-1])
        wanted = u * whole
        block = min(int(blocks.searchsorted(wanted, "right")), len(blocks) - 1)
        start, before = block * BLOCK, float(blocks[block - 1]) if block else 0.0
    inside = row[start : start + BLOCK]
    sums = inside.cumsum(dtype=np.float64)
    if wanted is None:
        whole = float(sums[-1])
        wanted = u * whole
    at = int(sums.searchsorted(wanted - before, "right"))
    if at == len(inside):
        at = int(np.flatnonzero(inside)[-1]) if inside.any() else 0
    high = float(sums[at]) + before
    low = high - float(inside[at])
    return Drawn(np.array([start + at]), np.array([low]), np.array([high]), np.array([whole]))


def weigh(
    z: Array,
    filters: Filters,
    written: Sequence[Sequence[int]],
    barred: Sequence[Array | Sequence[int]] = (),
) -> Array:
    """Logits (B, V) of B texts -> what each token weighs after all filters.

    `barred` holds what is banned in each text beside what is in all of them; if that is every
    token, all weights are 0.
    """
    f = filters
    if f.banned or f.repetition != 1 or f.no_repeat or len(barred):
        z = z.copy()
    if f.banned:
        if not 0 <= f._bans[0] <= f._bans[-1] < z.shape[1] or len(f._bans) == z.shape[1]:
            raise ConfigError("banned tokens must be ids of the vocabulary, and not all of them.")
        z[:, f._bans] = -np.inf
    for row, ids in zip(z, barred, strict=bool(barred)):
        row[np.asarray(ids, np.int64)] = -np.inf
    if f.repetition != 1:
        for row, ids in zip(z, written, strict=True):
            seen = np.asarray(ids, np.int64)
            row[seen] = np.where(row[seen] > 0, row[seen] / f.repetition, row[seen] * f.repetition)
    if f.no_repeat:
        for row, ids in zip(z, written, strict=True):
            again = _followers(ids, f.no_repeat)
            rest = row.copy()
            rest[again] = -np.inf
            if rest.max() > -np.inf:
                row[:] = rest
    if f.temperature == 0:
        p = np.zeros_like(z)
        p[np.arange(len(z)), z.argmax(axis=1)] = z.max(axis=1) > -np.inf
        return p
    z = np.asarray(z - np.maximum(z.max(axis=1, keepdims=True), LEAST))
    if f.temperature != 1:
        z /= f.temperature
    p = np.exp(z)
    if 0 < f.top_k < z.shape[1]:
        for row in p:
            _keep(row, f.top_k, np.partition(row, -f.top_k)[-f.top_k])
    if f.top_p < 1:
        for row in p:
            falling = np.sort(row)[::-1]
            count = _count(falling, f.top_p)
            _keep(row, count, falling[count - 1])
    if f.min_p:
        p[p < f.min_p * p.max(axis=1, keepdims=True)] = 0
    if f.typical < 1:
        for row in p:
            _typical(row, f.typical)
    return p


def _count(weights: Array, mass: float) -> int:
    """How many of these weights, from the first on, have `mass` of their sum."""
    sums = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(sums, mass * sums[-1])) + 1


def _keep(row: Array, count: int, least: float) -> None:
    """Zero all of `row` but its `count` highest entries, the lowest of which is `least`."""
    drop = row < least
    spare = len(row) - int(np.count_nonzero(drop)) - count
    if spare:
        drop[np.flatnonzero(row == least)[-spare:]] = True
    row[drop] = 0


def _typical(row: Array, mass: float) -> None:
    """Keep the tokens whose surprise is nearest the entropy, until they have `mass`."""
    ids = np.flatnonzero(row)
    if not len(ids):
        return
    p = row[ids] / row[ids].sum()
    surprise = -np.log(p)
    value = -np.abs(surprise - p @ surprise)
    nearest, count = np.arange(len(ids)), HEAD
    while count < len(ids):  # sort no more of the vocabulary than is needed
        head = np.flatnonzero(value >= np.partition(value, -count)[-count])
        if p[head].sum() > mass:
            nearest = head
            break
        count *= 4
    nearest = nearest[np.argsort(-value[nearest], kind="stable")]
    kept = nearest[: int(np.searchsorted(np.cumsum(p[nearest], dtype=np.float64), mass)) + 1]
    weights = row[ids[kept]]
    row[:] = 0
    row[ids[kept]] = weights


def _followers(ids: Sequence[int], n: int) -> Array:
    """The tokens that would complete an n-gram that is already in `ids`."""
    text = np.asarray(ids, np.int64)
    starts = len(text) - n + 1  # n-grams in the text
    if starts < 1:
        return text[:0]
    same = np.ones(starts, bool)
    for k in range(n - 1):
        same &= text[k : k + starts] == text[len(text) - n + 1 + k]
    return text[n - 1 :][same]
