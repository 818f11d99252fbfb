"""A recurrent network as a predictor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.data.batches import ALONE, Sentences
from rnncli.lm.predictor import WINDOW, Predictor, Surprise
from rnncli.nn import Batch, Model, Params, State, Steps
from rnncli.nn.incremental import Single
from rnncli.nn.threads import Threads

Array = NDArray[Any]

GROUP, STEPS = 64, 64  # units and steps that are scored together
SLACK = 2.0**-17  # how far float32 may put two logits apart that are equal in float64


class ScoredBatch(NamedTuple):
    """A batch with the nats of its targets (N,), and the probability of the end in each place."""

    batch: Batch
    nats: Array
    ends: Array | None


class _Past(NamedTuple):
    """What scoring goes on from: ids that are not read yet, and the state before them."""

    state: State | None  # None: fresh
    ids: Array  # the last id, or a whole unit that was scored beside others


class Network(Predictor):
    """A network over token ids: `model` must not change while it predicts.

    `carried`: it was trained with the state carried from unit to unit. `threads` share the matrix
    products of a large network's steps; they change no bit.
    """

    def __init__(self, model: Model, carried: bool = False, threads: int = 1) -> None:
        self.model, self.carried, self.threads = model, carried, threads
        self.error = SLACK

    @property
    def V(self) -> int:
        return self.model.config.classes

    @cached_property
    def precise(self) -> Network:
        model = self.model
        params = Params(model.params.shapes, np.float64, model.params.flat)
        return Network(Model(model.config, params), self.carried, self.threads)

    @cached_property
    def _step(self) -> Single:
        return Single(self.model, Threads(self.threads))

    def start(self, B: int = 1) -> State:
        return self.model.zero_state(B)

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        return self._step(ids, state)

    def take(self, state: State, texts: Array) -> State:
        return state.take(texts)

    def join(self, states: Sequence[State]) -> State:
        c = [state.c for state in states if state.c is not None]
        h = np.concatenate([state.h for state in states], axis=-1)
        return State(h, np.concatenate(c, axis=-1) if c else None)

    def every(
        self, ids: Sequence[int] | Array, state: State, window: int = WINDOW
    ) -> Iterator[tuple[Array, State]]:
        for x in _windows(ids, window):
            z, state = self.model.predict(x, state, Steps.dense(len(x), 1))
            yield z, state

    def read(self, ids: Sequence[int] | Array, state: State) -> tuple[Array, State]:
        for x in _windows(ids, WINDOW):
            top, state = self.model.features(x, state, Steps.dense(len(x), 1))
        return self.model.logits(np.ascontiguousarray(top[:, -1:])).T, state

    def nats(
        self, ids: Array, starts: Array, after: Any = None, end: int | None = None
    ) -> Surprise:
        begun = len(ids) if self.carried else int(starts[0])  # ids before it go on
        nats, ends = np.full((2, len(ids)), np.nan)
        if begun:
            after = self._go_on(ids[:begun], after, end, nats, ends)
        if begun < len(ids):
            self._fresh(ids, np.asarray(starts), end, nats, ends)
            after = _Past(None, ids[starts[-2] :])
        return Surprise(nats, None if end is None else ends, after)

    def _go_on(
        self, ids: Array, after: _Past | None, end: int | None, nats: Array, ends: Array
    ) -> _Past:
        """Score one text from a state on, ALONE steps at a time."""
        state, unread = after or _Past(None, ids[:0])
        known, ids = len(unread), np.concatenate([unread, ids]).astype(np.int64)
        for at in range(1, len(ids), ALONE):
            y = ids[at : at + ALONE]
            x, carried = ids[at - 1 : at - 1 + len(y)], int(state is not None)
            scored, state = self._scored(Batch(x, y, Steps.dense(len(y), 1), carried), state, end)
            skip = max(0, known - at)  # ids that were scored before
            place = slice(at + skip - known, at - known + len(y))
            if skip < len(y):
                nats[place] = scored.nats[skip:]
                ends[place] = np.nan if scored.ends is None else scored.ends[skip:]
        return _Past(state, ids[-1:])

    def _fresh(self, ids: Array, starts: Array, end: int | None, nats: Array, ends: Array) -> None:
        """Score units from fresh states, GROUP of like length side by side."""
        plan = Sentences(np.arange(len(ids)), starts, GROUP, STEPS, seed=0, shuffle=False)
        places: list[Array] = []

        def batches() -> Iterator[Batch]:
            for batch in plan.batches(0):
                places.append(batch.y)
                x, y = (np.asarray(ids[at], np.int64) for at in (batch.x, batch.y))
                yield batch._replace(x=x, y=y)

        for scored in self.scored(batches(), end):
            place = places.pop()
            nats[place] = scored.nats
            ends[place] = np.nan if scored.ends is None else scored.ends

    def scored(self, batches: Iterable[Batch], end: int | None = None) -> Iterator[ScoredBatch]:
        """Score batches one after another, the state carried as each of them says."""
        state: State | None = None
        for batch in batches:
            scored, state = self._scored(batch, state, end)
            yield scored

    def _scored(
        self, batch: Batch, before: State | None, end: int | None
    ) -> tuple[ScoredBatch, State]:
        """Score a batch; what is no number counts as infinite nats."""
        state = self.model.state_from(before, batch.carried, batch.steps.B)
        if end is None:
            nats, after = self.model.nats(batch, state)
            ends = None
        else:
            nats, logp, after = self.model.nats_and_logprob(batch, end, state)
            ends = np.exp(logp.astype(np.float64))
        nats = np.where(np.isnan(nats), np.inf, nats.astype(np.float64))
        return ScoredBatch(batch, nats, ends), after


def _windows(ids: Sequence[int] | Array, window: int) -> Iterator[Array]:
    """Cut ids: 5 ids and a window of 2 -> arrays of 2, 2 and 1."""
    for at in range(0, len(ids), window):
        yield np.asarray(ids[at : at + window])
