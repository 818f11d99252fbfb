"""The training loop: truncated BPTT, clipping, an update, validation, early stopping.

`train` is a generator: it takes one step, yields a `Report`, and whoever called it prints, saves or
stops. A `TrainRun` is all that a resume needs. Shuffling and dropout draw from streams named by
(seed, purpose, step), so there is no generator state to save. Knows no files and no terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.batches import Consecutive, Plan, Random, Sentences, Work, stream
from rnncli.config import Recipe
from rnncli.errors import DivergenceError
from rnncli.nn.model import Batch, Gradient, Model
from rnncli.nn.optim import RULES, clip_elements, clip_norm, schedule, update
from rnncli.nn.params import Params
from rnncli.nn.stack import State
from rnncli.parallel import Comm, Crew, Serial, share

Array = NDArray[Any]

DROPOUT, RESET = 4, 5  # what a random stream is for; batches.py has the others
AUTO_TOKENS, AUTO_EPOCHS = 12_000_000, 40  # without a limit: so many tokens, at most so many epochs
VALID_EVERY = 1000  # steps between validations at most, where an epoch is longer


def make_plan(recipe: Recipe, ids: Array, starts: Array) -> Plan:
    """The batches that a recipe asks for: ids (n,), starts (units + 1,)."""
    batching = recipe.batching
    if batching == "auto":
        batching = "sentences" if len(starts) > 2 else "consecutive"
    if batching == "sentences":
        return Sentences(ids, starts, recipe.batch, recipe.bptt, recipe.seed)
    if batching == "random":
        return Random(ids, recipe.batch, recipe.bptt, recipe.seed)
    return Consecutive(
        ids, recipe.batch, recipe.bptt, recipe.seed, random_lengths=recipe.random_bptt
    )


@dataclass
class TrainRun:
    """A run between two steps: everything that the next step depends on."""

    model: Model
    recipe: Recipe
    slots: dict[str, Array] = field(default_factory=dict)  # (M,) each
    state: State | None = None  # carried hidden state
    step: int = 0  # steps taken
    epoch: int = 0  # of the next batch
    batch: int = 0  # number of the next batch in its epoch
    progress: float = 0.0  # share of the run that is done
    rate_factor: float = 1.0  # of the schedules that watch the loss
    averaged: int = 0  # asgd: steps in the average
    best: Array | None = None  # (M,) parameters of the best validation
    best_nats: float = math.inf
    stale: int = 0  # validations since the best
    epoch_nats: float = 0.0  # of the epoch so far
    epoch_tokens: int = 0
    last_epoch_nats: float = math.inf  # mean of the epoch before
    tokens: int = 0  # trained on, in all
    finished: str = ""  # why the run ended by itself
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, model: Model, recipe: Recipe) -> TrainRun:
        """A run that has not begun."""
        slots = {name: np.zeros_like(model.params.flat) for name in RULES[recipe.rule].slots}
        return cls(model, recipe, slots)

    @property
    def candidate(self) -> Array:
        """The parameters to judge now: the average once asgd averages, else the current ones."""
        return self.slots["average"] if self.averaged else self.model.params.flat

    @property
    def result(self) -> Model:
        """The best model so far; before the first validation, the current one."""
        flat = self.candidate if self.best is None else self.best
        return Model(self.model.config, self.model.params.like(flat))


class Report(NamedTuple):
    """One line of progress."""

    kind: Literal["step", "valid", "epoch", "end"]
    step: int
    epoch: int
    progress: float
    nats: float  # step: mean loss of the batch; epoch: of the epoch; valid: of the validation
    tokens: int = 0  # step: targets in the batch
    norm: float = 0.0  # step: of the gradient before clipping
    rate: float = 0.0  # step: learning rate
    better: bool = False  # valid: the best so far
    reason: str = ""  # end: why


def train(
    run: TrainRun,
    plan: Plan,
    validate: Callable[[Model], float] | None = None,
    *,
    comm: Comm | None = None,
    threads: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Report]:
    """Train until the recipe's limits, the patience, or the caller has had enough.

    `run` is whole at every yield. `validate` gives the mean nats a token of a model on held-out
    text; without it the last model counts as the best. Raises DivergenceError when a loss or a
    gradient is not finite, with the parameters of the step before still in `run`.
    """
    recipe, comm = run.recipe, comm or Serial()
    total = total_steps(recipe, plan)
    begun, done = clock(), run.progress
    grads = [run.model.params.like() for _ in range(min(recipe.shards, recipe.batch))]
    crew = Crew(min(threads, recipe.shards))
    every = recipe.valid_every or min(plan.length(0), VALID_EVERY)
    run.finished = ""

    def advance() -> float:
        """The share of the run that is done, by steps or by the clock, whichever is further."""
        share = run.step / total if total else 0.0
        if recipe.max_time:
            share = max(share, done + (clock() - begun) / recipe.max_time)
        return min(1.0, share)

    def judge() -> Report:
        nats = _validate(run, validate)
        return Report("valid", run.step, run.epoch, run.progress, nats, better=run.stale == 0)

    def judged() -> bool:
        return bool(run.history) and run.history[-1]["step"] == run.step

    def owed() -> Iterator[Report]:
        """What follows the last step and was not done yet: a run may be saved at any yield."""
        if validate and run.step and run.step % every == 0 and not judged():
            yield judge()
        if run.batch == 0 and run.epoch_tokens:
            yield _end_epoch(run)

    yield from owed()
    reason = _ended(run, total)
    while not reason:
        length = plan.length(run.epoch)
        for work in plan.batches(run.epoch, run.batch):
            report = _step(run, work, grads, crew, comm)
            run.batch += 1
            if run.batch == length:
                run.epoch, run.batch = run.epoch + 1, 0
            run.progress = advance()
            yield report
            yield from owed()
            reason = _ended(run, total)
            if reason:
                break
    if validate and not judged():
        yield judge()
    elif not validate:
        run.best = run.candidate.copy()
    run.finished = reason
    yield Report("end", run.step, run.epoch, run.progress, run.best_nats, reason=reason)


def total_steps(recipe: Recipe, plan: Plan) -> int | None:
    """How many steps a run takes; None when only the clock ends it.

    Without any limit a run takes about 12 million tokens, at most 40 epochs and at least one.
    """
    length = plan.length(0)
    epochs = recipe.epochs
    if epochs is None and recipe.max_steps is None and recipe.max_time is None:
        tokens = length * recipe.batch * recipe.bptt
        epochs = max(1, min(AUTO_EPOCHS, round(AUTO_TOKENS / tokens)))
    limits = [epochs * length] if epochs else []
    if recipe.max_steps:
        limits.append(recipe.max_steps)
    return min(limits) if limits else None


def _ended(run: TrainRun, total: int | None) -> str:
    recipe = run.recipe
    if total and run.step >= total:
        return f"{run.step} steps"
    if recipe.max_time and run.progress >= 1:
        return "time"
    if recipe.patience and run.stale >= recipe.patience:
        return f"no gain in {run.stale} validations"
    return ""


def _step(run: TrainRun, work: Work, grads: list[Params], crew: Crew, comm: Comm) -> Report:
    """One update: gradient of the batch, clip, rule."""
    model, recipe = run.model, run.recipe
    targets = len(work.y)
    scale = {"mean": 1 / targets, "time": 1 / work.steps.B, "sum": 1.0}[recipe.loss]
    nats, state = batch_gradient(
        model, work, _carried(run), grads, scale, crew=crew, seed=(recipe.seed, run.step)
    )
    flat = grads[0].flat
    comm.add(flat)
    nats = comm.total(nats) / targets
    clip = clip_norm if recipe.clip_by == "norm" else clip_elements
    norm = clip(flat, recipe.clip)
    if not (math.isfinite(nats) and math.isfinite(norm)):
        raise DivergenceError(
            f"the loss is no longer finite at step {run.step + 1} (loss {nats}, gradient norm "
            f"{norm}). Use a smaller --lr or --clip."
        )
    rate = recipe.rate * run.rate_factor * schedule(recipe, run.progress, run.epoch)
    if recipe.random_bptt:
        rate *= work.steps.T / recipe.bptt
    run.step += 1
    update(recipe.rule, model.params.flat, flat, run.slots, rate, run.step, recipe)
    if run.averaged:
        run.averaged += 1
        run.slots["average"] += (model.params.flat - run.slots["average"]) / run.averaged
    run.state = state
    run.tokens += targets
    run.epoch_nats += nats * targets
    run.epoch_tokens += targets
    return Report("step", run.step, run.epoch, run.progress, nats, targets, norm, rate)


def _carried(run: TrainRun) -> State | None:
    """The carried state; with `reset`, some streams begin anew, as each text does at its start."""
    state, rate = run.state, run.recipe.reset
    if state is None or not rate:
        return state
    keep = stream(run.recipe.seed, RESET, run.step).random(state.h.shape[-1]) >= rate
    return State(state.h * keep, None if state.c is None else state.c * keep)


def batch_gradient(
    model: Model,
    work: Work,
    carried: State | None,
    grads: list[Params],
    scale: float,
    *,
    crew: Crew,
    seed: tuple[int, int] | None = None,
) -> tuple[float, State]:
    """The summed nats of a batch and its last state; its gradient is left in `grads[0]`.

    The batch is cut into as many shards as there are `grads`, which the crew runs side by side.
    Each sequence goes on from `carried` as the batch says, the others from a fresh state. `seed`
    (run, step) names the stream of each shard's dropout; None means no dropout.
    """
    shards = min(len(grads), work.steps.B)

    def run(k: int) -> Gradient:
        part, grad = share(work, k, shards), grads[k]
        grad.flat[:] = 0
        state = model.zero_state(part.steps.B)
        if part.carried and carried is not None:
            n = part.carried
            state.h[..., :n] = carried.h[..., k::shards][..., :n]
            if state.c is not None and carried.c is not None:
                state.c[..., :n] = carried.c[..., k::shards][..., :n]
        rng = None if seed is None else stream(seed[0], DROPOUT, seed[1], k)
        batch = Batch(part.x, part.y, part.steps)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for such numbers
            return model.gradients(batch, state, grad, rng=rng, scale=scale)

    parts = crew.map(run, shards)
    for grad in grads[1:shards]:
        grads[0].flat += grad.flat
    last = parts[0].state
    if shards > 1:
        last = model.zero_state(work.steps.B)
        for k, part in enumerate(parts):
            last.h[..., k::shards] = part.state.h
            if last.c is not None:
                last.c[..., k::shards] = part.state.c
    return sum(float(np.sum(part.nats, dtype=np.float64)) for part in parts), last


def _validate(run: TrainRun, validate: Callable[[Model], float] | None) -> float:
    """Judge the candidate; keep it if it is the best; let the schedule and asgd know."""
    assert validate is not None
    recipe, flat = run.recipe, run.candidate
    with np.errstate(over="ignore", invalid="ignore"):
        nats = validate(Model(run.model.config, run.model.params.like(flat)))
    if not math.isfinite(nats):
        raise DivergenceError(
            f"the validation loss is no longer finite at step {run.step} ({nats}). Use a smaller "
            "--lr or --clip."
        )
    earlier = [row["valid"] for row in run.history]
    train_nats = run.epoch_nats / run.epoch_tokens if run.epoch_tokens else run.last_epoch_nats
    run.history.append({"step": run.step, "epoch": run.epoch, "train": train_nats, "valid": nats})
    if nats < run.best_nats:
        run.best, run.best_nats, run.stale = flat.copy(), nats, 0
    else:
        run.stale += 1
        if recipe.schedule == "divide-on-plateau":
            run.rate_factor *= recipe.factor
    past = earlier[: max(0, len(earlier) - recipe.trigger)]
    if recipe.optimizer == "asgd" and not run.averaged and past and nats > min(past):
        run.slots["average"], run.averaged = run.model.params.flat.copy(), 1
    return nats


def _end_epoch(run: TrainRun) -> Report:
    nats = run.epoch_nats / run.epoch_tokens
    if run.recipe.schedule == "halve-on-rise" and nats > run.last_epoch_nats:
        run.rate_factor *= run.recipe.factor
    run.last_epoch_nats, run.epoch_nats, run.epoch_tokens = nats, 0.0, 0
    return Report("epoch", run.step, run.epoch, run.progress, nats)
