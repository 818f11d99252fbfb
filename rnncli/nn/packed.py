"""Ragged batches: which sequences are alive at each step, and nothing computed on padding.

Sequences are sorted longest first, so that those alive at step t are the first `sizes[t]`.
All steps stand side by side as the N columns of one (features, N) array; step t owns the columns
`columns[t]`. A dense batch is the case in which all B sequences live for T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True)
class Steps:
    """How many sequences are alive at each of T steps: positive, never growing."""

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = self.sizes
        if not sizes or min(sizes) < 1 or any(b > a for a, b in pairwise(sizes)):
            raise DataError("a batch needs one step or more, and sequences sorted longest first")

    @classmethod
    def dense(cls, T: int, B: int) -> Steps:
        """Make T steps of B sequences.

        Example: T 3, B 2 -> sizes (2, 2, 2)
        """
        return cls((B,) * T)

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> Steps:
        """Make the steps of sequences with these lengths (any order, each 1 or more).

        Example: lengths 3, 1 -> sizes (2, 1, 1)
        """
        if not lengths or min(lengths) < 1:
            raise DataError("every sequence in a batch needs one step or more")
        ends = np.bincount(np.asarray(lengths))  # (longest + 1,)
        alive = len(lengths) - np.cumsum(ends)[:-1]
        return cls(tuple(alive.tolist()))

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.sizes)

    @property
    def B(self) -> int:
        """The number of sequences."""
        return self.sizes[0]

    @cached_property
    def N(self) -> int:
        """The number of columns: all steps of all sequences."""
        return sum(self.sizes)

    @cached_property
    def columns(self) -> tuple[slice, ...]:
        """The columns that each step owns."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(slice(e - n, e) for e, n in zip(ends, self.sizes, strict=True))

    @cached_property
    def lengths(self) -> Array:
        """The length of each sequence, longest first: (B,)."""
        return np.bincount(np.asarray(self.sizes) - 1, minlength=self.B)[::-1].cumsum()[::-1]

    @cached_property
    def last(self) -> Array:
        """The column of each sequence's last step: (B,)."""
        starts = np.cumsum((0, *self.sizes[:-1]))
        return np.asarray(starts[self.lengths - 1] + np.arange(self.B))


class Batch(NamedTuple):
    """One step's work in packed columns: N = T * B of them if dense.

    The first `carried` sequences go on from the state after the batch before, the others begin.
    """

    x: Array  # (N,) ids, or (D, N) values
    y: Array  # (N,) ids; tags (N,) or (B,); values (K, N) or (K, B)
    steps: Steps
    carried: int = 0


class Packed(NamedTuple):
    """A ragged batch: column order[j] of the caller's batch is sequence j here."""

    data: Array  # (D, N) values, or (N,) ids
    steps: Steps
    order: Array  # (B,)


def pad(sequences: Sequence[Array], value: float = 0) -> Array:
    """Stack sequences (T_b, ...) as one (T, B, ...) array, short ones filled up with `value`."""
    if not sequences:
        raise DataError("there is no sequence to pad")
    first = np.asarray(sequences[0])
    out = np.full((max(map(len, sequences)), len(sequences), *first.shape[1:]), value, first.dtype)
    for b, sequence in enumerate(sequences):
        out[: len(sequence), b] = sequence
    return out


def pack(padded: Array, lengths: Sequence[int]) -> Packed:
    """Leave the padding out of a (T, B, D) array of values or a (T, B) array of ids.

    `lengths` may come in any order; sequences of one length keep their order.
    """
    sizes = np.asarray(lengths)
    if sizes.shape != padded.shape[1:2]:
        raise DataError(f"{padded.shape[1]} sequences, but {sizes.size} lengths")
    if sizes.size and sizes.max() > len(padded):
        raise DataError(f"a length of {sizes.max()} in a batch of {len(padded)} steps")
    steps = Steps.of_lengths(sizes.tolist())
    order = np.argsort(-sizes, kind="stable")
    rows = np.concatenate([padded[t, order[:n]] for t, n in enumerate(steps.sizes)])  # (N, ...)
    return Packed(np.ascontiguousarray(rows.T), steps, order)


def unpack(packed: Packed, value: float = 0) -> tuple[Array, Array]:
    """Undo `pack`: return the padded (T, B, ...) array and the lengths (B,), as they were."""
    data, steps, order = packed
    out = np.full((steps.T, steps.B, *data.shape[:-1]), value, data.dtype)
    for t, (columns, n) in enumerate(zip(steps.columns, steps.sizes, strict=True)):
        out[t, order[:n]] = data[..., columns].T
    lengths = np.empty(steps.B, np.int64)
    lengths[order] = steps.lengths
    return out, lengths
