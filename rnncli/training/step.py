"""One training step: the gradient of a batch, clipped, and the update of the parameters.

A batch is cut into a fixed number of shards; their gradients are added in order, so the result
depends on the shards and never on how many processes compute them. Parameters, gradients and slots
lie in memory that the processes share. Of `comm.size` ranks each computes every size-th shard, and
the ranks' sums are added. Knows no plans, schedules or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.nn.layout import matrices as matrices_of
from rnncli.nn.model import Model
from rnncli.nn.optim import PIECE, RULES, UpdatePart, UpdateStep, add_and_norm, update, update_parts
from rnncli.nn.packed import Batch
from rnncli.nn.params import Params
from rnncli.nn.stack import State
from rnncli.nn.threads import keep_memory
from rnncli.parallel.mpi import Comm
from rnncli.parallel.processes import WorkerPool, shared, shared_zeros
from rnncli.seeds import Purpose, rng
from rnncli.training.shards import shard_of

Array = NDArray[Any]

WORTH = 1 << 19  # parameters from which on an update is cut into parts


class ShardGradient(NamedTuple):
    """A task: the gradient of one shard of a batch, put into this rank's array for it."""

    shard: int
    batch: Batch
    before: State | None  # what its sequences carry from the batch before
    scale: float
    seed: tuple[int, int] | None  # (of the run, step) for dropout


class SumPart(NamedTuple):
    """A task: add the gradients of all shards in a part of the parameters."""

    part: slice


class Update(NamedTuple):
    """A task: clip, weigh and apply the gradient in a part of the parameters."""

    part: UpdatePart
    factor: float  # of clipping by norm
    weight: float
    rate: float
    step: int


Task = ShardGradient | SumPart | Update


class Stepper:
    """A model and the slots of its update rule, and the worker pool that computes on them.

    The steps change the model and `slots`. For several processes both lie in memory that these
    share: `slots` of the stepper are the arrays to keep, those it was given are copied.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        slots: Mapping[str, Array],
        *,
        processes: int = 1,
        comm: Comm | None = None,
    ) -> None:
        keep_memory()
        self.model, self.slots, layout = model, dict(slots), model.params
        if processes > 1:
            layout.move(shared)
            self.slots = {name: shared(slot) for name, slot in slots.items()}
        self.recipe, self.comm = recipe, comm or Comm()
        self.shards = min(recipe.shards, recipe.batch)  # of all ranks; `grads` are of this one's
        mine = max(1, len(self._mine(self.shards)))
        zeros = shared_zeros if processes > 1 else np.zeros_like
        self.grads = [layout.like(zeros(layout.flat)) for _ in range(mine)]
        self.pool = WorkerPool(self._do, min(processes, mine))
        pieces = -(-len(layout.flat) // PIECE)
        count = self.pool.size if len(layout.flat) >= WORTH else 1
        ends = [PIECE * (pieces * k // count) for k in range(count)]
        self.parts = [slice(a, b) for a, b in zip(ends, [*ends[1:], None], strict=True)]
        self.rule = RULES[recipe.optimizer]
        matrices = matrices_of(model.config) if self.rule.matrix else []
        self.updates = update_parts(
            len(layout.flat), matrices, self.pool.size if matrices else count
        )

    def gradient(
        self, work: Batch, carried: State | None, scale: float, seed: tuple[int, int] | None = None
    ) -> tuple[float, State]:
        """Return the summed nats of a batch and its last state; the gradient of each shard is kept.

        Sequences go on from `carried` as the batch says, the others from a fresh state. `seed`
        (of the run, step) names the random numbers of each shard's dropout; None means no dropout.
        Both results are those of this rank's shards alone: the state of the others' is zero.
        """
        shards = min(self.shards, work.steps.B)
        mine = self._mine(shards)
        jobs: list[Task] = []
        for k in mine:
            part = shard_of(work, k, shards)
            before = carried.take(slice(k, None, shards)) if part.carried and carried else None
            jobs.append(ShardGradient(k, part, before, scale, seed))
        answers = self.pool.map(jobs)
        for grad in self.grads[len(mine) :]:
            grad.flat[:] = 0
        if shards == self.comm.size == 1:
            last = answers[0][1]
        else:
            last = self.model.zero_state(work.steps.B)
            for k, (_, state) in zip(mine, answers, strict=True):
                last.h[..., k::shards] = state.h
                if last.c is not None:
                    last.c[..., k::shards] = state.c
        return sum(nats for nats, _ in answers), last

    def reduce(self) -> float:
        """Add the gradients of all shards and ranks into the first; return its norm."""
        sums = self.pool.map([SumPart(part) for part in self.parts])
        if self.comm.size > 1:
            self.comm.allreduce(self.grads[0].flat)
            sums = [add_and_norm(self.grads[0].flat)]
        norm = math.sqrt(sum(value for part in sums for value in part))
        return self.comm.bcast(norm)  # another kind of processor may round another way

    def apply(self, norm: float, rate: float, step: int, weight: float = 1.0) -> None:
        """Clip the gradient, which has this norm, weigh it, and take step `step` (from 1)."""
        clip = self.recipe.clip
        factor = clip / norm if self.recipe.clip_by == "norm" and 0 < clip < norm else 1.0
        self.pool.map([Update(part, factor, weight, rate, step) for part in self.updates])
        if self.rule.matrix and self.comm.size > 1:  # products round in many ways
            self.model.params.flat[:] = self.comm.bcast(self.model.params.flat)

    def close(self) -> None:
        """End the worker pool."""
        self.pool.close()

    def _mine(self, shards: int) -> range:
        """Return the shards that this rank computes."""
        return range(self.comm.rank, shards, self.comm.size)

    def _do(self, task: Task) -> Any:
        """Do a task in whichever process of the pool takes it."""
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for such numbers
            if isinstance(task, ShardGradient):
                return self._gradient(task)
            if isinstance(task, SumPart):
                first, *others = (grad.flat[task.part] for grad in self.grads)
                return add_and_norm(first, others)
            return self._update(task)

    def _gradient(self, task: ShardGradient) -> tuple[float, State]:
        grad: Params = self.grads[task.shard // self.comm.size]
        state = self.model.state_from(task.before, task.batch.carried, task.batch.steps.B)
        drop = None
        if task.seed is not None:
            drop = rng(task.seed[0], Purpose.DROPOUT, task.seed[1], task.shard)
        out = self.model.gradients(task.batch, state, grad, rng=drop, scale=task.scale)
        return float(np.sum(out.nats, dtype=np.float64)), out.state

    def _update(self, task: Update) -> None:
        recipe = self.recipe
        limit = recipe.clip * task.weight if recipe.clip_by == "element" else 0.0
        at = UpdateStep(task.step, task.rate, task.factor * task.weight, limit)
        update(recipe, self.model.params.flat, self.grads[0].flat, self.slots, at, task.part)


def gather_state(state: State, shards: int, comm: Comm) -> State:
    """Join the state of all sequences of a batch, of which each rank has those of its shards."""
    if comm.size == 1:
        return state
    mine = np.arange(state.h.shape[-1]) % shards % comm.size == comm.rank

    def gathered(part: Array) -> Array:
        part = np.where(mine, part, part.dtype.type(0))
        comm.allreduce(part)
        return part

    return State(gathered(state.h), None if state.c is None else gathered(state.c))
