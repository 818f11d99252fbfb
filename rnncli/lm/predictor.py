"""What predicts the next token: one protocol, and the simplest thing that keeps it.

Everything that writes or scores text takes a `Predictor`. A network (`rnncli.lm.network`), n-gram
counts (`rnncli.lm.ngram`), a mixture of several (`rnncli.lm.mixture`) and fixed frequencies
(`Unigram`, here) are its kinds. A predictor knows ids and no text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State: TypeAlias = Any  # what a predictor remembers of B texts; only the predictor looks inside

WINDOW = 1024  # ids of one text that are read together


class Surprise(NamedTuple):
    """What ids (n,) cost a predictor."""

    nats: Array  # (n,) float64: -log p of each id; nan where none is predicted
    ends: Array | None  # (n,) float64: the probability of the end in its place, if it was asked
    after: State  # what the ids that follow go on from


class Predictor(Protocol):
    """The distribution of the next of V tokens, after the ids of a text so far.

    `step` reads an id of each of B texts (incremental decoding); `read` and `every` read several
    ids of one text; `nats` scores many units together. Logits are log-probabilities, but for a
    constant that is added to a whole row. A kind derives from this class.
    """

    carried: bool  # a unit goes on from the state after the unit before
    error: float = 0.0  # how far two logits of a row may be off between them, as rounding goes

    @property
    @abstractmethod
    def V(self) -> int:
        """The number of tokens."""

    @property
    def precise(self) -> Predictor:
        """The same predictor in float64."""
        return self

    @abstractmethod
    def start(self, B: int = 1) -> State:
        """Return the state of B texts that have not begun."""

    @abstractmethod
    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """Read the next id (B,) of each text; return the logits after it (B, V), and the state."""

    @abstractmethod
    def take(self, state: State, texts: Array) -> State:
        """Return the state of some of the texts, by their places."""

    @abstractmethod
    def join(self, states: Sequence[State]) -> State:
        """Return one state of the texts of several, side by side."""

    @abstractmethod
    def nats(
        self, ids: Array, starts: Array, after: State | None = None, end: int | None = None
    ) -> Surprise:
        """Score ids (n,) of units that begin at `starts` (units + 1,), the end among them.

        Each unit is read from a fresh state, unless the predictor is `carried`: its first id is not
        predicted. Ids before starts[0] go on from what a call before left in `after`. With `end`,
        the probability of that id in each place is returned, too.
        """

    def every(
        self, ids: Sequence[int] | Array, state: State, window: int = WINDOW
    ) -> Iterator[tuple[Array, State]]:
        """Read one text, `window` ids at a time: the logits after each (V, T), and the state."""
        for at in range(0, len(ids), window):
            rows = []
            for token in ids[at : at + window]:
                z, state = self.step(np.array([token]), state)
                rows.append(z[0])
            yield np.stack(rows, axis=1), state

    def read(self, ids: Sequence[int] | Array, state: State) -> tuple[Array, State]:
        """Read one or more ids of one text: the logits after the last (1, V), and the state."""
        for z, after in self.every(ids, state):
            last = np.ascontiguousarray(z[:, -1:].T), after
        return last


class Unigram(Predictor):
    """The same distribution in every place: weights (V,), of which 0 is for what never comes."""

    carried = False

    def __init__(self, weights: Array) -> None:
        with np.errstate(divide="ignore"):
            self._nats = np.log(weights[weights > 0].sum()) - np.log(weights)

    @property
    def V(self) -> int:
        return len(self._nats)

    def start(self, B: int = 1) -> State:
        return B

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        return np.tile(-self._nats, (len(ids), 1)), state

    def take(self, state: State, texts: Array) -> State:
        return len(texts)

    def join(self, states: Sequence[State]) -> State:
        return sum(states)

    def nats(
        self, ids: Array, starts: Array, after: State | None = None, end: int | None = None
    ) -> Surprise:
        nats = self._nats[ids]
        ends = None if end is None else np.full(len(ids), np.exp(-self._nats[end]))
        for figures in (nats, ends):
            if figures is not None:
                figures[firsts(len(ids), starts, after)] = np.nan
        return Surprise(nats, ends, 1)


def firsts(n: int, starts: Array, after: State | None) -> Array:
    """Return the places of those of n ids that are not predicted: the first of each unit.

    Example: 5 ids, starts [0, 2, 5] -> [0, 2]; starts [5] -> [0], or [] with a state `after`.
    """
    first = np.asarray(starts[:-1], np.int64)
    goes_on = n > 0 and starts[0] > 0
    return np.concatenate([[0], first]).astype(np.int64) if goes_on and after is None else first
