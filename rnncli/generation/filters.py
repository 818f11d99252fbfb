"""The distribution of the next token after filters, and one draw from it: pure functions of logits.

Weights have the precision of the logits, their running sums are float64. Nothing here knows of
models and text: it takes ids, logits (B, V), and two numbers in [0, 1) a draw.
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
CACHED = 1 << 16  # weights that are computed together: they stay in the cache

ONES = {np.dtype(kind): np.ones(BLOCK, kind) for kind in (np.float32, np.float64)}
LEAST = float(np.finfo(np.float32).min)
COLDEST = 1e-30  # of temperatures, for float32
HEAD = 256  # tokens that are sorted first


PLAIN = Filters()


class Drawn(NamedTuple):
    """The tokens that B draws fall on: (B,) each."""

    ids: Array  # any where `total` is 0
    ambiguous: Array  # whether weights that are a little off might have led to another
    total: Array  # the sum of the weights


def draw(weights: Array, u: Array, error: float = 0.0) -> Drawn:
    """Draw a token of each row of weights (B, V), by two numbers in [0, 1) each, u (B, 2).

    This is inverse-transform sampling, twice: the first number falls on a block of tokens, the
    second on one of them. So only one block is searched, and an error of the weights moves few
    boundaries, where in one pass it would move thousands. `error` is how far two weights of a row
    may be off between them, as a share of them.
    """
    B, V = weights.shape
    if V <= BLOCK:
        return Drawn(*_inverse(weights.cumsum(axis=1, dtype=np.float64), u[:, 1], error))
    sums = block_sums(weights).cumsum(axis=1, dtype=np.float64)
    block, first, total = _inverse(sums, u[:, 0], error)
    columns = block[:, None] * BLOCK + np.arange(BLOCK)
    inside = weights[np.arange(B)[:, None], np.minimum(columns, V - 1)]
    inside[columns >= V] = 0
    at, second, _ = _inverse(inside.cumsum(axis=1, dtype=np.float64), u[:, 1], error)
    return Drawn(block * BLOCK + at, first | second, total)


def _inverse(sums: Array, u: Array, error: float) -> tuple[Array, Array, Array]:
    """Sample by inverse transform: the first index whose running sum exceeds u * the total.

    sums (B, n), u (B,) -> the index, whether weights that are off by `error` could change it, and
    the total: (B,) each.

    Example: sums [[1, 3, 4]], u [0.5] -> [1], as 3 is the first sum above 2.
    """
    total = sums[:, -1]
    # Weights off by e between them move a share c of the total by c (1 - c) e at the most.
    wanted, margin = u * total, error * u * (1 - u) * total
    # u < 1: below the total, however it is rounded; of nothing, the last.
    at = np.minimum((sums <= wanted[:, None]).sum(axis=1), sums.shape[1] - 1)
    every = np.arange(len(sums))
    low = np.where(at, sums[every, at - 1], 0)
    return at, (wanted - margin < low) | (wanted + margin >= sums[every, at]), total


def draw_one(
    row: Array, first: float, second: float, error: float = 0.0
) -> tuple[int, bool, float]:
    """Draw for one row of weights (V,): the id, whether it is ambiguous, and the total.

    It is the twin of `draw`, to the same token: a text that is written alone takes plain numbers,
    which are several times as fast as arrays of one.
    """
    start, near, total = 0, False, None
    if len(row) > BLOCK:
        block, near, total = _inverse_one(block_sums(row), first, error)
        start = block * BLOCK
        row = row[start : start + BLOCK]
    at, ambiguous, mass = _inverse_one(row, second, error)
    return start + at, near or ambiguous, mass if total is None else total


def _inverse_one(weights: Array, u: float, error: float) -> tuple[int, bool, float]:
    """Do what `_inverse` does, for the weights (n,) of one row."""
    sums = np.add.accumulate(weights.astype(np.float64))
    last = len(sums) - 1
    total = sums.item(last)
    wanted, margin = u * total, error * u * (1 - u) * total
    at = min(int(sums.searchsorted(wanted, "right")), last)
    low = sums.item(at - 1) if at else 0.0
    return at, wanted - margin < low or wanted + margin >= sums.item(at), total


def block_sums(weights: Array) -> Array:
    """Sum blocks of BLOCK columns, the last of what is left: (..., V) -> (..., blocks)."""
    *rows, V = weights.shape
    full, ones = V // BLOCK, ONES[weights.dtype]  # a product takes a third of the time of a sum
    sums: Array = np.empty((*rows, -(-V // BLOCK)), weights.dtype)
    blocks = weights[..., : full * BLOCK].reshape(*rows, full, BLOCK)
    np.matmul(blocks, ones, out=sums[..., :full])
    if full < sums.shape[-1]:
        sums[..., full] = weights[..., full * BLOCK :] @ ones[: V - full * BLOCK]
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
    """Turn logits (B, V) of B texts into what each token weighs after all filters, put into `out`.

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
    """Return how many of these weights, from the first on, have `mass` of their sum."""
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
    """Return the tokens that would repeat an n-gram of `ids`: [7, 8, 9, 7, 8], 3 -> [9]."""
    text = np.asarray(ids, np.int64)
    starts = len(text) - n + 1  # n-grams in the text
    if starts < 1:
        return text[:0]
    same = np.ones(starts, bool)
    for k in range(n - 1):
        same &= text[k : k + starts] == text[len(text) - n + 1 + k]
    return text[n - 1 :][same]
