"""What a model is compared with: baselines, mixtures with them, and another model.

All of it works on the nats of each id of a split, (n,), nan where none counts. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rnncli.lm.ngram import KneserNey
from rnncli.score.scoring import Split
from rnncli.seeds import Purpose, rng
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

BASELINES = ("uniform", "unigram", "kn2", "kn3", "kn4", "kn5")
BLOCK = 256  # tokens of a stream that are drawn together in a resample


class Documents(Split, Protocol):
    """A split that knows which units are of one document."""

    @property
    def rows(self) -> Array: ...  # (units,), ascending; none for a stream


def baseline(name: str, tokenizer: Tokenizer, train: Split) -> Callable[[Split], Array]:
    """One of `BASELINES`, counted on a training split: what each id of another costs (n,)."""
    if name == "uniform":
        return partial(uniform_nats, tokenizer)
    if name == "unigram":
        return partial(unigram_nats, tokenizer)
    order = int(name.removeprefix("kn"))
    model = KneserNey.train(train.ids, train.starts, len(tokenizer), tokenizer.bos, order)
    return lambda split: model.nats(split.ids, split.starts)


def uniform_nats(tokenizer: Tokenizer, split: Split) -> Array:
    """What each id costs (n,) when every token but <s> is as probable as any other."""
    return _by_token(tokenizer, split, np.ones(len(tokenizer)))


def unigram_nats(tokenizer: Tokenizer, split: Split) -> Array:
    """What each id costs (n,) by its frequency in the training text, one added to each count."""
    return _by_token(tokenizer, split, tokenizer.vocabulary.counts + 1.0)


def _by_token(tokenizer: Tokenizer, split: Split, weights: Array) -> Array:
    told = np.arange(len(weights)) != tokenizer.bos
    nats = np.log(weights[told].sum()) - np.log(weights)  # (V,)
    each = nats[split.ids]
    each[split.starts[:-1]] = np.nan
    return np.asarray(each)


def mixed_nats(a: Array, b: Array, weight: float) -> Array:
    """The nats of the mixture weight * A + (1 - weight) * B, from those of A and B (n,)."""
    if weight in (0, 1):
        return a if weight else b
    with np.errstate(invalid="ignore"):  # nan in, nan out
        return np.asarray(-np.logaddexp(math.log(weight) - a, math.log1p(-weight) - b))


def mixing_weight(a: Array, b: Array, tolerance: float = 1e-6) -> float:
    """The weight of A at which its mixture with B costs least, by EM (Dempster et al. 1977)."""
    told = ~np.isnan(a)
    gain, weight, step = np.exp(np.clip(b[told] - a[told], -700, 700)), 0.5, 1.0  # p_A / p_B
    while step > tolerance and 0 < weight < 1:
        share = weight * gain / (weight * gain + 1 - weight)
        weight, step = float(share.mean()), abs(float(share.mean()) - weight)
    return weight


class Difference(NamedTuple):
    """How much more A costs than B, and the interval that holds 95 % of resamples."""

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether it is more than chance: no difference is outside the interval."""
        return not self.low <= 0 <= self.high


def compare(a: Array, b: Array, starts: Array) -> Difference:
    """How many nats a token A costs more than B, from their nats (n,) of documents at `starts`."""
    amounts = np.add.reduceat(np.nan_to_num(a - b), starts[:-1])  # (documents,)
    return bootstrap(amounts, np.add.reduceat(~np.isnan(a), starts[:-1], dtype=np.float64))


def bootstrap(amounts: Array, sizes: Array, resamples: int = 2000, seed: int = 0) -> Difference:
    """The sum of amounts (documents,) over that of sizes, documents drawn anew (Koehn 2004)."""
    draws, documents, means = rng(seed, Purpose.RESAMPLE), len(sizes), []
    for _ in range(resamples):
        drawn = draws.integers(documents, size=documents)
        means.append(amounts[drawn].sum() / max(1.0, sizes[drawn].sum()))
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(amounts.sum() / sizes.sum()), float(low), float(high))


def document_starts(split: Documents) -> Array:
    """Where each document begins, and the end; a stream is cut into blocks of `BLOCK` tokens."""
    if len(split.rows):
        first = np.flatnonzero(np.diff(split.rows, prepend=-1))
        return np.append(split.starts[first], split.starts[-1])
    return np.append(np.arange(0, split.starts[-1], BLOCK), split.starts[-1])
