"""A mixture of predictors: the weighted mean of their probabilities, and weights that fit best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.lm.predictor import WINDOW, Predictor, State, Surprise

Array = NDArray[Any]

CLIP = 700.0  # nats by which two predictors may differ before exp overflows


class Mixture(Predictor):
    """Predictors over one vocabulary, each with its weight: p = sum of weight * p of each.

    The weights add up to 1. Logits are the logarithm of the mixture. It is `carried` where one of
    its predictors is.
    """

    def __init__(self, predictors: Sequence[Predictor], weights: Sequence[float]) -> None:
        if not all(0 <= w <= 1 for w in weights) or abs(math.fsum(weights) - 1) > 1e-9:
            raise ConfigError("the weights of a mixture must be 0 or more, and together 1.")
        if len({predictor.V for predictor in predictors}) > 1:
            raise ConfigError("the models of a mixture must have one vocabulary.")
        self.predictors, self.weights = list(predictors), list(weights)
        self.carried = any(predictor.carried for predictor in predictors)
        self.error = 2 * max(predictor.error for predictor in predictors)  # each log p is off

    @property
    def V(self) -> int:
        return self.predictors[0].V

    @cached_property
    def precise(self) -> Mixture:
        return Mixture([predictor.precise for predictor in self.predictors], self.weights)

    def start(self, B: int = 1) -> State:
        return tuple(predictor.start(B) for predictor in self.predictors)

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        pairs = [p.step(ids, s) for p, s in zip(self.predictors, state, strict=True)]
        return self._mixed([z for z, _ in pairs], 1), tuple(after for _, after in pairs)

    def take(self, state: State, texts: Array) -> State:
        return tuple(p.take(s, texts) for p, s in zip(self.predictors, state, strict=True))

    def join(self, states: Sequence[State]) -> State:
        several = zip(self.predictors, zip(*states, strict=True), strict=True)
        return tuple(predictor.join(each) for predictor, each in several)

    def read(self, ids: Sequence[int] | Array, state: State) -> tuple[Array, State]:
        pairs = [p.read(ids, s) for p, s in zip(self.predictors, state, strict=True)]
        return self._mixed([z for z, _ in pairs], 1), tuple(after for _, after in pairs)

    def every(
        self, ids: Sequence[int] | Array, state: State, window: int = WINDOW
    ) -> Iterator[tuple[Array, State]]:
        readers = [p.every(ids, s, window) for p, s in zip(self.predictors, state, strict=True)]
        for pairs in zip(*readers, strict=True):
            yield self._mixed([z for z, _ in pairs], 0), tuple(after for _, after in pairs)

    def nats(
        self, ids: Array, starts: Array, after: State | None = None, end: int | None = None
    ) -> Surprise:
        befores = after or [None] * len(self.predictors)
        each = [
            predictor.nats(ids, starts, before, end)
            for predictor, before in zip(self.predictors, befores, strict=True)
        ]
        nats = mixed_nats([s.nats for s in each], self.weights)
        ends = [w * s.ends for w, s in zip(self.weights, each, strict=True) if s.ends is not None]
        total = np.sum(ends, axis=0) if ends else None
        return Surprise(nats, total, tuple(s.after for s in each))

    def _mixed(self, zs: Sequence[Array], axis: int) -> Array:
        """Return the logarithm of the mixture of several softmaxes over an axis of logits."""
        p = np.zeros(zs[0].shape)
        for z, weight in zip(zs, self.weights, strict=True):
            e = np.exp(z - z.max(axis, keepdims=True), dtype=np.float64)
            p += e * (weight / e.sum(axis, keepdims=True))
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)


def with_others(first: Predictor, others: Sequence[tuple[Predictor, float]]) -> Predictor:
    """Mix a predictor with others that have their weights; the rest of the weight is its own.

    Example: first, [(b, 0.3), (c, 0.2)] -> 0.5 first + 0.3 b + 0.2 c; without others -> first.
    """
    if not others:
        return first
    weights = [1 - math.fsum(weight for _, weight in others), *(weight for _, weight in others)]
    if not all(0 < weight <= 1 for weight in weights):
        raise ConfigError("the shares of a mixture must be above 0, and together below 1.")
    return Mixture([first, *(other for other, _ in others)], weights)


def mixed_nats(nats: Sequence[Array], weights: Sequence[float]) -> Array:
    """Return the nats (n,) of a mixture from those of its parts; nan where one of them is nan."""
    logs = [math.log(w) if w else -math.inf for w in weights]
    if weights[-1] and 0 < (others := math.fsum(weights[:-1])) < 1:
        logs[-1] = math.log1p(-others)  # the last weight is what is left
    parts = [log - each for log, each in zip(logs, nats, strict=True) if log > -math.inf]
    if len(parts) == 1:
        return nats[logs.index(0.0)]
    with np.errstate(invalid="ignore"):  # nan in, nan out
        total = np.logaddexp(parts[0], parts[1])
        for part in parts[2:]:
            total = np.logaddexp(total, part)
    return -total


def fitted_weights(nats: Sequence[Array], tolerance: float = 1e-6) -> list[float]:
    """Return the weights at which a mixture of predictors costs least on held-out text.

    `nats` has what each id of that text cost each of the predictors, (n,) each, nan where none is
    predicted. By expectation maximisation from equal weights (Dempster et al. 1977), until no
    weight moves by more than `tolerance`.
    """
    known = ~np.isnan(np.sum(nats, axis=0))
    last = nats[-1][known]
    gains = [np.exp(np.clip(last - each[known], -CLIP, CLIP)) for each in nats[:-1]]
    weights = [1 / len(nats)] * len(gains)  # of all but the last, which has the rest
    step = 1.0
    while step > tolerance and all(0 < weight < 1 for weight in weights):
        shares = [weight * gain for weight, gain in zip(weights, gains, strict=True)]
        total = sum(shares[1:], shares[0])  # p of the mixture, as a multiple of the last one's p
        total = total + 1
        for weight in weights:
            total = total - weight
        moved = [float((share / total).mean()) for share in shares]
        step = max(abs(new - old) for new, old in zip(moved, weights, strict=True))
        weights = moved
    return [*weights, 1 - math.fsum(weights)]
