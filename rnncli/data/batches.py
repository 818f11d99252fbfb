"""Cuts token ids into batches, each a function of the data, the seed, the epoch and its number.

There are three ways to cut a corpus for training: `Consecutive` (B long streams side by side, the
state carried from batch to batch), `Random` (windows in random order, each from a fresh state) and
`Sentences` (whole units, packed, of like lengths or mixed). `Lanes` is for scoring. Nothing is
kept between batches, and nothing here knows of models.

A batch holds x (N,), the ids that are read, and y (N,), the ids to predict, packed step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnncli.data.mapped import blocks, released
from rnncli.errors import DataError
from rnncli.nn.packed import Batch, Steps
from rnncli.seeds import Purpose, rng

Array = NDArray[Any]

LANE_STEPS, ALONE = 64, 2048  # steps at a time: ALONE shared by the lanes, LANE_STEPS at least
POOL = 1 << 16  # units that are sorted by length together


class BatchPlan(Protocol):
    """Says how a corpus is cut into batches."""

    def length(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""

    def targets(self, epoch: int) -> int:
        """Return the number of tokens that all batches of an epoch predict together."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start` on."""


@dataclass(frozen=True)
class Consecutive:
    """B columns, each a stretch of the corpus; batch k is steps k*T to (k+1)*T of all of them.

    Each epoch cuts the corpus at another random offset, T at most (`offset`). With
    `random_lengths` the windows vary as in Merity et al. 2018, section 5: normal around T,
    sometimes T/2.

    Example: ids 0 to 6, B 2, T 2, no offset -> x [0 1] and [3 4], y [1 2] and [4 5]; then step 3
    """

    ids: Array  # (n,)
    B: int
    T: int
    seed: int
    offset: bool = True
    random_lengths: bool = False

    def _cut(self, epoch: int) -> tuple[int, int, int]:
        """Return where the first column starts, the number of columns, and their length."""
        n = len(self.ids)
        if n < 2:
            raise DataError("the training split needs two tokens or more")
        B = max(1, min(self.B, (n - 1) // 2))
        spare = min(self.T, (n - 1) // B - 1)
        start = int(rng(self.seed, Purpose.OFFSET, epoch).integers(spare + 1)) if self.offset else 0
        return start, B, (n - 1 - start) // B

    def _windows(self, epoch: int) -> Array:
        """Return the first step of each window, and the end of the last."""
        _, _, length = self._cut(epoch)
        if not self.random_lengths:
            return np.append(np.arange(0, length, self.T), length)
        lengths, ends = rng(self.seed, Purpose.LENGTHS, epoch), [0]
        while ends[-1] < length:
            mean = self.T if lengths.random() < 0.95 else self.T / 2
            ends.append(min(length, ends[-1] + max(5, int(lengths.normal(mean, 5)))))
        return np.asarray(ends)

    def length(self, epoch: int) -> int:
        return len(self._windows(epoch)) - 1

    def targets(self, epoch: int) -> int:
        _, B, length = self._cut(epoch)
        return B * length

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        first, B, length = self._cut(epoch)
        rows = self.ids[first : first + B * length + 1]
        x, y = rows[:-1].reshape(B, length), rows[1:].reshape(B, length)
        windows = self._windows(epoch)
        for k in range(start, len(windows) - 1):
            a, b = int(windows[k]), int(windows[k + 1])
            steps = Steps.dense(b - a, B)
            yield Batch(_columns(x[:, a:b]), _columns(y[:, a:b]), steps, B if k else 0)


@dataclass(frozen=True)
class Random:
    """Cuts windows of T steps that do not overlap, in random order, each from a fresh state."""

    ids: Array  # (n,)
    B: int
    T: int
    seed: int

    def _starts(self, epoch: int) -> Array:
        """Return the first id of each window, in the order of the epoch."""
        n = len(self.ids)
        if n < 2:
            raise DataError("the training split needs two tokens or more")
        T = min(self.T, n - 1)
        offset = int(rng(self.seed, Purpose.OFFSET, epoch).integers(min(T, n - T)))
        starts = np.arange(offset, n - T, T)
        rng(self.seed, Purpose.ORDER, epoch).shuffle(starts)
        return starts

    def length(self, epoch: int) -> int:
        return -(-len(self._starts(epoch)) // self.B)

    def targets(self, epoch: int) -> int:
        return len(self._starts(epoch)) * min(self.T, len(self.ids) - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        starts, T = self._starts(epoch), min(self.T, len(self.ids) - 1)
        for k in range(start * self.B, len(starts), self.B):
            windows = np.stack([self.ids[s : s + T + 1] for s in starts[k : k + self.B]])
            steps = Steps.dense(T, len(windows))
            yield Batch(_columns(windows[:, :-1]), _columns(windows[:, 1:]), steps, 0)


@dataclass(frozen=True)
class Sentences:
    """Takes whole units, B together, packed: no padding, each from a fresh state.

    A group longer than T steps is run through in windows of T, its state carried on. The units of a
    group have like lengths, or with `mixed` only as many windows: then each batch holds short texts
    and long ones, as the data does, and how often a text ends is learnt in far fewer steps. Units
    are shuffled and sorted within pools, so that memory does not grow with the corpus.
    `shuffle` False keeps pools and groups in the order of the data, for validation.
    """

    ids: Array  # (n,)
    starts: Array  # (units + 1,)
    B: int
    T: int
    seed: int
    shuffle: bool = True
    mixed: bool = False

    def _groups(self, epoch: int) -> Iterator[tuple[Array, Array]]:
        """Yield first ids and lengths (in predicted tokens) of each group, longest unit first."""
        units = len(self.starts) - 1
        if units < 1:
            raise DataError("the training split holds no unit")
        pools = np.arange(0, units, POOL)
        if self.shuffle:
            rng(self.seed, Purpose.ORDER, epoch).shuffle(pools)
        for pool in pools.tolist():
            bounds = np.array(self.starts[pool : pool + POOL + 1], np.int64)
            released(self.starts)
            lengths = np.diff(bounds) - 1
            draws = rng(self.seed, Purpose.ORDER, epoch, pool)
            draw = draws.permutation(len(lengths)) if self.shuffle else np.arange(len(lengths))
            alike = -(-lengths // self.T) if self.mixed else lengths
            order = draw[np.argsort(-alike[draw], kind="stable")]
            order = order[lengths[order] > 0]
            groups = np.arange(0, len(order), self.B)
            if self.shuffle:
                draws.shuffle(groups)
            for g in groups.tolist():
                members = order[g : g + self.B]
                members = members[np.argsort(-lengths[members], kind="stable")]
                yield bounds[members], lengths[members]

    def length(self, epoch: int) -> int:
        return sum(-(-int(lengths[0]) // self.T) for _, lengths in self._groups(epoch))

    def targets(self, epoch: int) -> int:
        bounds = blocks(self.starts, overlap=1)
        return sum(int(np.maximum(np.diff(part) - 1, 0).sum()) for part in bounds)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        k = 0
        for firsts, lengths in self._groups(epoch):
            windows = -(-int(lengths[0]) // self.T)
            for window in range(max(0, start - k), windows):
                alive = int(np.count_nonzero(lengths > window * self.T))
                begin = firsts[:alive] + window * self.T
                left = np.minimum(lengths[:alive] - window * self.T, self.T)
                steps = Steps.of_lengths(left.tolist())
                at = np.concatenate([begin[:n] + t for t, n in enumerate(steps.sizes)])
                x, y = np.asarray(self.ids[at], np.int64), np.asarray(self.ids[at + 1], np.int64)
                yield Batch(x, y, steps, alive if window else 0)
            k += windows


@dataclass(frozen=True)
class Lanes:
    """Cuts a stream into `B` lanes side by side, of equal length within one token.

    Unlike `Consecutive` it leaves no token over at the end.

    Example: 8 ids predict 7; 2 lanes predict 4 and 3 of them
    """

    ids: Array  # (n,)
    B: int

    def _lanes(self) -> tuple[Array, Array, int]:
        """Return first id and number of predictions of each lane, longest first; their window."""
        predicted = len(self.ids) - 1
        if predicted < 1:
            raise DataError("there is no token to predict: the text needs two tokens or more.")
        B = max(1, min(self.B, predicted))
        lengths = predicted // B + (np.arange(B) < predicted % B)
        return np.cumsum(lengths) - lengths, lengths, max(LANE_STEPS, ALONE // B)

    def length(self, epoch: int) -> int:
        _, lengths, T = self._lanes()
        return -(-int(lengths[0]) // T)

    def targets(self, epoch: int) -> int:
        return len(self.ids) - 1

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        firsts, lengths, T = self._lanes()
        for k in range(start, self.length(epoch)):
            alive = int(np.count_nonzero(lengths > k * T))
            steps = Steps.of_lengths(np.minimum(lengths[:alive] - k * T, T).tolist())
            at = np.concatenate([firsts[:n] + k * T + t for t, n in enumerate(steps.sizes)])
            x, y = self.ids[at].astype(np.int64), self.ids[at + 1].astype(np.int64)
            yield Batch(x, y, steps, alive if k else 0)


@dataclass(frozen=True)
class Guarded:
    """A plan over a mapped file that somebody may change: `still` raises once that has happened.

    It is asked before a batch is read and after, so that no batch comes from what was changed. The
    length of an epoch is a sort of all units: it is worked out once.
    """

    plan: BatchPlan
    still: Callable[[], None]
    lengths: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def length(self, epoch: int) -> int:
        self.still()
        if epoch not in self.lengths:
            self.lengths[epoch] = self.plan.length(epoch)
        return self.lengths[epoch]

    def targets(self, epoch: int) -> int:
        self.still()
        return self.plan.targets(epoch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        self.still()
        for batch in self.plan.batches(epoch, start):
            self.still()
            yield batch
            self.still()


def _columns(rows: Array) -> Array:
    """Return (B, T) rows of ids as (N,) packed columns, step by step.

    Example: [[1, 2], [3, 4]] -> [1, 3, 2, 4]
    """
    return np.asarray(rows.T, np.int64).reshape(-1)
