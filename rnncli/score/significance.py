"""Is the difference of two models more than chance? The paired bootstrap over documents."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.data.dataset import Split
from rnncli.seeds import Purpose, rng

Array = NDArray[Any]

BLOCK = 256  # tokens of a stream that are drawn together in a resample


class Difference(NamedTuple):
    """How much more A costs than B, and the interval that holds 95 % of resamples."""

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether it is more than chance: zero is outside the interval."""
        return not self.low <= 0 <= self.high


def compare(a: Array, b: Array, starts: Array) -> Difference:
    """Return how many nats a token A costs more than B, by their nats (n,) and documents."""
    amounts = np.add.reduceat(np.nan_to_num(a - b), starts[:-1])  # (documents,)
    return bootstrap(amounts, np.add.reduceat(~np.isnan(a), starts[:-1], dtype=np.float64))


def bootstrap(amounts: Array, sizes: Array, resamples: int = 2000, seed: int = 0) -> Difference:
    """Return the sum of amounts (documents,) over that of sizes, and its interval.

    The interval is that of the paired bootstrap: documents are drawn with replacement (Koehn 2004).
    """
    draws, documents, means = rng(seed, Purpose.RESAMPLE), len(sizes), []
    for _ in range(resamples):
        drawn = draws.integers(documents, size=documents)
        means.append(amounts[drawn].sum() / max(1.0, sizes[drawn].sum()))
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(amounts.sum() / sizes.sum()), float(low), float(high))


def document_starts(split: Split) -> Array:
    """Return where each document begins, and the end; a stream is cut into blocks of `BLOCK` ids.

    Example: units at [0, 2, 4, 7, 10] from rows [3, 3, 5, 9] -> [0, 4, 7, 10].
    """
    if len(split.rows):
        first = np.flatnonzero(np.diff(split.rows, prepend=-1))
        return np.append(split.starts[first], split.starts[-1])
    return np.append(np.arange(0, split.starts[-1], BLOCK), split.starts[-1])
