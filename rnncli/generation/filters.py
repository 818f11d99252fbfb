"""The distribution of the next token after filters, and one draw from it: pure functions of logits.

Weights have the precision of the logits, their running sums are float64. Knows no model and no
text: ids, logits (B, V), and two numbers in [0, 1) a draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError

Array = NDArray[Any]

BLOCK = 128  # tokens of which a draw first takes them all
CACHED = 1 << 16  # weights that are worked out together: they stay in the cache

ONES = {np.dtype(kind): np.ones(BLOCK, kind) for kind in (np.float32, np.float64)}
LEAST = float(np.finfo(np.float32).min)
COLDEST = 1e-30  # of temperatures, for float32
HEAD = 256  # tokens that are sorted first


PLAIN = Filters()


class Drawn(NamedTuple):
    """The tokens that B draws fall on: (B,) each."""

    ids: Array  # any where `whole` is 0
    near: Array  # whether weights that are a little off might have led to another
    whole: Array  # the sum of the weights


def draw(weights: Array, u: Array, error: float = 0.0) -> Drawn:
    """A token of each row of weights (B, V), by two numbers in [0, 1) each, u (B, 2).

    The first says in which block of tokens, the second which of them: only one block is gone
    through, and an error of the weights moves few boundaries, of which one would move thousands.
    `error` is how far two weights of a row may be off between them, as a share of them.
    """
    B, V = weights.shape
    if V <= BLOCK:
        return Drawn(*_fallen(weights.cumsum(axis=1, dtype=np.float64), u[:, 1], error))
    block, near, whole = _fallen(
        block_sums(weights).cumsum(axis=1, dtype=np.float64), u[:, 0], error
    )
    columns = block[:, None] * BLOCK + np.arange(BLOCK)
    inside = weights[np.arange(B)[:, None], np.minimum(columns, V - 1)]
    inside[columns >= V] = 0
    at, close, _ = _fallen(inside.cumsum(axis=1, dtype=np.float64), u[:, 1], error)
    return Drawn(block * BLOCK + at, near | close, whole)


def _fallen(sums: Array, u: Array, error: float) -> tuple[Array, Array, Array]:
    """Draw by inverse transform: the first index whose running sum exceeds u * the whole.

    sums (B, n), u (B,) -> the index, whether weights that are off by `error` could change it, and
    the whole sum: (B,) each.
    """
    whole = sums[:, -1]
    # Weights off by e between them move a share c of the whole by c (1 - c) e at the most.
    wanted, margin = u * whole, error * u * (1 - u) * whole
    # u < 1: below the whole, however it is rounded; of nothing, the last.
    at = np.minimum((sums <= wanted[:, None]).sum(axis=1), sums.shape[1] - 1)
    every = np.arange(len(sums))
    low = np.where(at, sums[every, at - 1], 0)
    return at, (wanted - margin < low) | (wanted + margin >= sums[every, at]), whole


def draw_one(
    row: Array, first: float, second: float, error: float = 0.0
) -> tuple[int, bool, float]:
    """`draw` for one row (V,): the id, whether it was near another, and the sum of the weights."""
    start, near, whole = 0, False, None
    if len(row) > BLOCK:
        block, near, whole = _fallen_one(block_sums(row), first, error)
        start = block * BLOCK
        row = row[start : start + BLOCK]
    at, close, mass = _fallen_one(row, second, error)
    return start + at, near or close, mass if whole is None else whole


def _fallen_one(weights: Array, u: float, error: float) -> tuple[int, bool, float]:
    """`_fallen` for the weights (n,) of one row; plain numbers are faster than arrays of one."""
    sums = np.add.accumulate(weights.astype(np.float64))
    last = len(sums) - 1
    whole = sums.item(last)
    wanted, margin = u * whole, error * u * (1 - u) * whole
    at = min(int(sums.searchsorted(wanted, "right")), last)
    low = sums.item(at - 1) if at else 0.0
    return at, wanted - margin < low or wanted + margin >= sums.item(at), whole


def block_sums(weights: Array) -> Array:
    """The sums of blocks of BLOCK columns, the last of what is left: (..., V) -> (..., blocks)."""
    *lead, V = weights.shape
    whole, ones = V // BLOCK, ONES[weights.dtype]  # a product takes a third of the time of a sum
    sums: Array = np.empty((*lead, -(-V // BLOCK)), weights.dtype)
    blocks = weights[..., : whole * BLOCK].reshape(*lead, whole, BLOCK)
    np.matmul(blocks, ones, out=sums[..., :whole])
    if whole < sums.shape[-1]:
        sums[..., whole] = weights[..., whole * BLOCK :] @ ones[: V - whole * BLOCK]
    return sums


@lru_cache(maxsize=16)
def _sorted(banned: tuple[int, ...]) -> Array:
    """Return the banned ids in order, each once."""
    return np.array(sorted(set(banned)), np.int64)


def weigh(
    z: Array,
    filters: Filters,
    written: Sequence[Sequence[int]],
    barred: Sequence[Array | Sequence[int]] = (),
    out: Array | None = None,
) -> Array:
    """Logits (B, V) of B texts -> what each token weighs after all filters; put into `out`.

    `barred` holds what is banned in each text beside what is in all of them; if that is every
    token, all weights are 0.
    """
    f, V = filters, z.shape[1]
    bans = _sorted(f.banned)
    if f.banned and (bans[0] < 0 or bans[-1] >= V or len(bans) == V):
        raise ConfigError("banned tokens must be ids of the vocabulary, and not all of them.")
    if len(z) == 1 and out is None:  # a vector goes faster than an array of one row
        row = np.array(z[0])
        _weigh(row, f, written, barred)
        return row.reshape(1, -1)
    out, size = np.empty_like(z) if out is None else out, max(1, CACHED // V)
    for start in range(0, len(z), size):
        some = slice(start, start + size)
        out[some] = z[some]
        _weigh(out[some], f, written[some], barred[some])
    return out


def _weigh(
    p: Array, f: Filters, written: Sequence[Sequence[int]], barred: Sequence[Array | Sequence[int]]
) -> None:
    """Turn logits (n, V), or (V,) of one text, into weights, in place."""
    rows = [p] if p.ndim == 1 else p
    if f.banned:
        p.T[_sorted(f.banned)] = -np.inf
    for row, ids in zip(rows, barred, strict=False):  # none at all, or of each
        row[np.asarray(ids, np.int64)] = -np.inf
    if f.repetition != 1:
        for row, ids in zip(rows, written, strict=True):
            seen = np.asarray(ids, np.int64)
            row[seen] = np.where(row[seen] > 0, row[seen] / f.repetition, row[seen] * f.repetition)
    if f.no_repeat:
        for row, ids in zip(rows, written, strict=True):
            again = _followers(ids, f.no_repeat)
            rest = row.copy()
            rest[again] = -np.inf
            if rest.max() > -np.inf:
                row[:] = rest
    if f.temperature == 0:
        for row in rows:
            best = row.argmax()
            some = row[best] > -np.inf
            row[:] = 0
            row[best] = some
        return
    if p.ndim == 1:
        np.subtract(p, max(p[p.argmax()], LEAST), out=p)
    else:
        p -= np.maximum(p.max(axis=1, keepdims=True), LEAST)
    if f.temperature != 1:
        p /= max(f.temperature, COLDEST)
    np.exp(p, out=p)
    if 0 < f.top_k < p.shape[-1]:
        for row in rows:
            _keep(row, f.top_k, np.partition(row, -f.top_k)[-f.top_k])
    if f.top_p < 1:
        for row in rows:
            falling = np.sort(row)[::-1]
            count = _count(falling, f.top_p)
            _keep(row, count, falling[count - 1])
    if f.min_p:
        p[p < f.min_p * p.max(axis=-1, keepdims=True)] = 0
    if f.typical < 1:
        for row in rows:
            _typical(row, f.typical)


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
