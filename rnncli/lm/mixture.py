"""What texts are written with: a model, or several whose probabilities are mixed.

A `Mixture` runs its models side by side over the same ids. Knows no text and no randomness.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.nn import Model, Params, State, Steps
from rnncli.nn.incremental import Single
from rnncli.nn.threads import Threads

Array = NDArray[Any]
States: TypeAlias = tuple[State, ...]  # one of each model

WINDOW = 1024  # steps that are run through a model together


class Mixture:
    """Models over one vocabulary, each with its share: p = sum of share * p of the model.

    Of one model the logits are its own; of several, the logarithm of the mixture.
    """

    def __init__(
        self, model: Model, mix: Sequence[tuple[Model, float]] = (), threads: int = 1
    ) -> None:
        self.models = [model, *(other for other, _ in mix)]
        self.shares = [1 - math.fsum(share for _, share in mix), *(share for _, share in mix)]
        if not all(0 < share <= 1 for share in self.shares):
            raise ConfigError("the shares of a mixture must be above 0, and together below 1.")
        if len({model.config.classes for model in self.models}) > 1:
            raise ConfigError("the models of a mixture must have one vocabulary.")
        self.threads = Threads(threads)
        self._single = [Single(model, self.threads) for model in self.models]

    @cached_property
    def precise(self) -> Mixture:
        """The same in float64."""
        models = [
            Model(m.config, Params(m.params.shapes, np.float64, m.params.flat)) for m in self.models
        ]
        return Mixture(models[0], list(zip(models[1:], self.shares[1:], strict=True)))

    def start(self, B: int = 1) -> States:
        """The states of B texts that have not begun."""
        return tuple(model.zero_state(B) for model in self.models)

    def step(self, ids: Array, states: States) -> tuple[Array, States]:
        """The next token (B,) of each of B texts: the logits after it (B, V), and the states."""
        if len(states) == 1:
            z, state = self._single[0](ids, states[0])
            return z, (state,)
        told = [read(ids, state) for read, state in zip(self._single, states, strict=True)]
        return self._mixed([z for z, _ in told], 1), tuple(state for _, state in told)

    def read(self, ids: Sequence[int], states: States) -> tuple[Array, States]:
        """Run one text's ids through: the logits after the last (1, V), and the states."""
        for start in range(0, len(ids), WINDOW):
            window = np.asarray(ids[start : start + WINDOW])
            steps = Steps.dense(len(window), 1)
            read = [m.features(window, s, steps) for m, s in zip(self.models, states, strict=True)]
            states = tuple(state for _, state in read)
        zs = [
            model.logits(np.ascontiguousarray(top[:, -1:])).T
            for model, (top, _) in zip(self.models, read, strict=True)
        ]
        return self._mixed(zs, 1), states

    def every(self, ids: Sequence[int], states: States) -> Iterator[Array]:
        """The logits after each of one text's ids, some steps at a time: (V, T)."""
        for start in range(0, len(ids), WINDOW):
            window = np.asarray(ids[start : start + WINDOW])
            steps = Steps.dense(len(window), 1)
            read = [m.predict(window, s, steps) for m, s in zip(self.models, states, strict=True)]
            states = tuple(state for _, state in read)
            yield self._mixed([z for z, _ in read], 0)

    def _mixed(self, zs: list[Array], axis: int) -> Array:
        """The logarithm of the mixture of several softmaxes over an axis of logits."""
        if len(zs) == 1:
            return zs[0]
        p = np.zeros(zs[0].shape)
        for z, share in zip(zs, self.shares, strict=True):
            e = np.exp(z - z.max(axis, keepdims=True), dtype=np.float64)
            p += e * (share / e.sum(axis, keepdims=True))
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)


def take(states: States, texts: Array) -> States:
    """The states of some of the texts."""
    return tuple(state.take(texts) for state in states)


def joined(parts: Sequence[States]) -> States:
    """The states of texts side by side."""
    out = []
    for several in zip(*parts, strict=True):
        c = [state.c for state in several if state.c is not None]
        h = np.concatenate([state.h for state in several], axis=-1)
        out.append(State(h, np.concatenate(c, axis=-1) if c else None))
    return tuple(out)
