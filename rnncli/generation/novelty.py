"""What a model copies: the longest run of tokens that a text shares with the training text.

`Training` finds it in a text that is written, by a suffix array (Manber and Myers 1993), which is
made by sorting on prefixes of doubling length. It takes 64 bytes a training token while it is made,
16 after. `Guard` keeps a text from copying, token by token: 32 bytes while it is made, 12 after.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError

Array = NDArray[Any]

MASK = (1 << 64) - 1
MULTIPLIER = 0x9E3779B97F4A7C15  # odd, and far from a round number


class Copy(NamedTuple):
    """A run of tokens that stands in the training text too."""

    length: int  # tokens
    start: int  # of the run in the text, in tokens
    position: int  # of the run in the training ids
    row: int | None  # of the input that the training unit came from; None for a stream


class Training:
    """The training ids (n,) of units that begin at `starts`, from the input's `rows`."""

    def __init__(self, ids: Array, starts: Array, rows: Array) -> None:
        self._ids = np.asarray(ids, np.int64)
        self._starts, self._rows = np.asarray(starts), np.asarray(rows)
        self._order = suffix_array(self._ids)

    def longest(self, text: Sequence[int]) -> Copy:
        """Find the longest run of `text` that is in the training ids; the first of equal ones."""
        best = Copy(0, 0, 0, None)
        for start in range(len(text)):
            if len(text) - start <= best.length:
                break
            length, position = self._match(text[start:])
            if length > best.length:
                best = Copy(length, start, position, self._row(position))
        return best

    def _match(self, text: Sequence[int]) -> tuple[int, int]:
        """Return how many tokens from the first on are in the training ids, and where."""
        low, high, length, n = 0, len(self._order), 0, len(self._ids)

        def token(suffix: int) -> int:
            at = suffix + length
            return int(self._ids[at]) if at < n else -1

        for wanted in text:
            first = bisect_left(self._order, wanted, low, high, key=token)
            last = bisect_right(self._order, wanted, first, high, key=token)
            if first == last:
                break
            low, high, length = first, last, length + 1
        return length, int(self._order[low]) if length else 0

    def _row(self, position: int) -> int | None:
        if not len(self._rows):
            return None
        return int(self._rows[np.searchsorted(self._starts, position, "right") - 1])


def suffix_array(ids: Array) -> Array:
    """Return where each suffix of ids (n,) begins, in order; of two alike the shorter goes first.

    Example: [2, 1, 2] -> [1, 2, 0]: the suffixes 1 2, 2 and 2 1 2.
    """
    n = len(ids)
    rank = np.unique(ids, return_inverse=True)[1] + 1  # 0 is the end
    width = 1  # tokens that the ranks tell apart
    while True:
        beyond = np.zeros(n, np.int64)
        beyond[: n - width] = rank[width:]
        key = rank * (n + 1) + beyond
        order = np.argsort(key, kind="stable")
        rank = np.empty(n, np.int64)
        rank[order] = np.cumsum(np.diff(key[order], prepend=-1) != 0)
        width *= 2
        if width >= n or rank[order[-1]] == n:
            return np.asarray(order)


class Guard:
    """Knows what may not follow `most` tokens in a row, as it would copy one more of ids (n,).

    The runs are known by 64-bit hashes: no copy is missed, and a false alarm in 10^11 training
    tokens is unlikely to come.
    """

    def __init__(self, ids: Array, most: int) -> None:
        if most < 1:
            raise ConfigError(f"max_copy must be 1 or more, not {most}.")
        self.most = most
        count = max(len(ids) - most, 0)
        hashes = np.zeros(count, np.uint64)
        for k in range(most):
            hashes *= np.uint64(MULTIPLIER)
            hashes += ids[k : k + count].astype(np.uint64) + np.uint64(1)
        followers = np.asarray(ids[most:], np.uint32)
        order = np.lexsort((followers, hashes))
        hashes, followers = hashes[order], followers[order]
        new = np.ones(count, bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (followers[1:] != followers[:-1])
        self._hashes, self._followers = hashes[new], followers[new]

    def after(self, text: Sequence[int]) -> Array:
        """Return the tokens that would complete a copied run, after the ids of a text."""
        if len(text) < self.most:
            return self._followers[:0]
        value = 0
        for token in text[-self.most :]:
            value = (value * MULTIPLIER + token + 1) & MASK
        first, last = (
            int(np.searchsorted(self._hashes, np.uint64(value), side)) for side in ("left", "right")
        )
        return self._followers[first:last]
