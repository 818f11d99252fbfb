"""The training loop: truncated BPTT, clipping, an update, validation, early stopping.

`train` is a generator: it takes one step, yields an `Event`, and whoever called it prints, saves or
stops. A `TrainRun` is all that a resume needs. Shuffling and dropout draw from streams named by
(seed, purpose, step), so there is no generator state to save. Knows no files and no terminal.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.data.batches import BatchPlan, Consecutive, Random, Sentences
from rnncli.errors import DivergenceError
from rnncli.nn.model import Model
from rnncli.nn.optim import RULES, new_slots
from rnncli.nn.packed import Batch
from rnncli.nn.schedules import SCHEDULES, schedule
from rnncli.nn.stack import State
from rnncli.parallel.mpi import Comm
from rnncli.seeds import Purpose, rng
from rnncli.training.step import Stepper

Array = NDArray[Any]

# Default length of a run: epochs of about AUTO_TOKENS tokens together (as if all batches were
# full), at most AUTO_EPOCHS of them, or more where AUTO_STEPS steps take more.
AUTO_TOKENS, AUTO_EPOCHS, AUTO_STEPS = 12_000_000, 40, 1000
VALID_EVERY = 1000  # steps between validations at most, where an epoch is longer


def make_plan(recipe: Recipe, ids: Array, starts: Array) -> BatchPlan:
    """Make the batches that a recipe asks for: ids (n,), starts (units + 1,)."""
    batching = recipe.batching
    if batching == "auto":
        batching = "mixed" if recipe.loss == "token" else "sentences"  # older runs go on so
        batching = batching if len(starts) > 2 else "consecutive"
    if batching in ("sentences", "mixed"):
        mixed = batching == "mixed"
        return Sentences(ids, starts, recipe.batch, recipe.bptt, recipe.seed, mixed=mixed)
    if batching == "random":
        return Random(ids, recipe.batch, recipe.bptt, recipe.seed)
    return Consecutive(
        ids, recipe.batch, recipe.bptt, recipe.seed, random_lengths=recipe.random_bptt
    )


def platform_name() -> str:
    """Name what rounding depends on here: NumPy, and the kind of processor."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return f"NumPy {np.__version__}, {platform.machine()}, {' '.join(found[-1:])}"


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
    rate_factor: float = 1.0  # of the schedules that watch the loss, and of rollbacks
    rollbacks: int = 0
    since: int = 0  # step after which the optimizer began
    averaged: int = 0  # asgd: steps in the average
    best: Array | None = None  # (M,) parameters of the best validation
    best_nats: float = math.inf
    good: Array | None = None  # (M,) what a rollback goes back to where there is no best yet
    stale: int = 0  # validations since the best
    epoch_nats: float = 0.0  # of the epoch so far
    epoch_tokens: int = 0
    last_epoch_nats: float = math.inf  # mean of the epoch before
    tokens: int = 0  # trained on, in all
    finished: str = ""  # why the run ended by itself
    ranks: int = 1  # that compute it
    parent: str = ""  # the identity of the model that it began with
    machine: str = field(default_factory=platform_name)
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, model: Model, recipe: Recipe) -> TrainRun:
        """Make a run that has not begun."""
        return cls(model, recipe, new_slots(recipe, model.params.flat))

    @property
    def rule_slots(self) -> dict[str, Array]:
        """Return the slots of the update rule; asgd has its average beside them."""
        return {name: self.slots[name] for name in RULES[self.recipe.optimizer].slots}

    @property
    def candidate(self) -> Array:
        """The parameters to judge now: the average once asgd averages, else the current ones."""
        return self.slots["average"] if self.averaged else self.model.params.flat

    @property
    def result(self) -> Model:
        """The best model so far; before the first validation, the current one."""
        flat = self.candidate if self.best is None else self.best
        return Model(self.model.config, self.model.params.like(flat))


class Event(NamedTuple):
    """One line of progress."""

    kind: Literal["step", "valid", "epoch", "rollback", "end"]
    step: int
    epoch: int
    progress: float
    nats: float  # mean loss of the batch, the epoch, the validation; rollback: of the best so far
    tokens: int = 0  # step: targets in the batch
    norm: float = 0.0  # step: of the gradient before clipping
    rate: float = 0.0  # step: learning rate; rollback: what it is multiplied by from now on
    better: bool = False  # valid: the best so far
    reason: str = ""  # end, rollback: why


def train(
    run: TrainRun,
    plan: BatchPlan,
    validate: Callable[[Model], float] | None = None,
    *,
    comm: Comm | None = None,
    processes: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Event, None, None]:
    """Train until the recipe's limits, the patience, or the caller has had enough.

    `run` is whole at every yield; among several ranks, once `gather_state` has been called.
    `validate` gives the mean nats a token of a model on held-out text; without it the last model
    counts as the best. `processes` share the work of each step on this machine, and do not change
    the result; the ranks of `comm` share it with other machines, and change its rounding.

    When a loss, a gradient or a parameter is not finite, the run goes back to the last good
    parameters; the batch is passed over, the optimizer starts afresh, the rate is halved (Chowdhery
    et al. 2022, section 5.1, skip batches too). After the recipe's last retry, and with
    `on_divergence` "stop" at once, this is a DivergenceError; `run` has the good parameters then.
    """
    course = _Course(run, plan, validate, comm, processes, clock)
    try:
        yield from course.follow_up()
        while not course.reason():
            yield from course.epoch()
        yield from course.conclude()
    finally:
        course.stepper.close()


class _Course:
    """A run on its way: its phases are an epoch, what follows a step, and the end."""

    def __init__(
        self,
        run: TrainRun,
        plan: BatchPlan,
        validate: Callable[[Model], float] | None,
        comm: Comm | None,
        processes: int,
        clock: Callable[[], float],
    ) -> None:
        self.run, self.plan, self.validate, self.clock = run, plan, validate, clock
        self.total, self.every = total_steps(run.recipe, plan), valid_every(run.recipe, plan)
        self.begun, self.done = clock(), run.progress
        self.stepper = Stepper(
            run.model, run.recipe, run.rule_slots, processes=processes, comm=comm
        )
        run.slots.update(self.stepper.slots)
        run.finished = ""
        if run.best is None and run.good is None:
            run.good = run.model.params.flat.copy()

    def epoch(self) -> Iterator[Event]:
        """Take the steps that are left of the epoch, or those until the run ends."""
        run, plan = self.run, self.plan
        length = plan.length(run.epoch)
        usual = plan.targets(run.epoch) / length
        for work in plan.batches(run.epoch, run.batch):
            try:
                event = _step(run, work, self.stepper, usual, self._due())
            except DivergenceError as error:
                event = _roll_back(run, run.step + 1, error)
            run.step, run.batch = run.step + 1, run.batch + 1
            if run.batch == length:
                run.epoch, run.batch = run.epoch + 1, 0
            run.progress = self._progress()
            yield event
            yield from self.follow_up()
            if self.reason():
                return

    def follow_up(self) -> Iterator[Event]:
        """Do what follows the last step and was not done yet: a run may be saved at any yield."""
        run = self.run
        if run.step and self._due() and not self._judged():
            yield from self._judge()
        if run.batch == 0 and run.epoch_tokens:
            yield _end_epoch(run)

    def conclude(self) -> Iterator[Event]:
        """Validate for the last time; without validation the last model is the best."""
        run = self.run
        reason = self.reason()
        if not self.validate:
            run.best = run.candidate.copy()
        elif not self._judged():
            yield from self._judge()
        run.finished = reason
        yield Event("end", run.step, run.epoch, run.progress, run.best_nats, reason=reason)

    def reason(self) -> str:
        """Say why the run ends now, or nothing."""
        run, recipe = self.run, self.run.recipe
        if self.total and run.step >= self.total:
            return f"{run.step} steps"
        if recipe.max_time and run.progress >= 1:
            return "time"
        if recipe.patience and run.stale >= recipe.patience:
            return f"no gain in {run.stale} validations"
        return ""

    def _progress(self) -> float:
        """Return the share of the run that is done, by steps or by the clock, the greater one."""
        share = self.run.step / self.total if self.total else 0.0
        if self.run.recipe.max_time:
            passed = self.stepper.comm.bcast(self.clock() - self.begun)
            share = max(share, self.done + passed / self.run.recipe.max_time)
        return min(1.0, share)

    def _due(self) -> bool:
        """Say whether a validation follows this step."""
        return self.run.step % self.every == 0 if self.every else self.run.batch == 0

    def _judged(self) -> bool:
        """Say whether the last step was validated."""
        return bool(self.run.history) and self.run.history[-1]["step"] == self.run.step

    def _judge(self) -> Iterator[Event]:
        """Validate, if there is a way to; a loss that is not finite is a rollback."""
        run = self.run
        if self.validate is None:
            return
        try:
            nats = _validate(run, self.validate)
        except DivergenceError as error:
            yield _roll_back(run, run.step, error)
        else:
            yield Event("valid", run.step, run.epoch, run.progress, nats, better=run.stale == 0)


def total_steps(recipe: Recipe, plan: BatchPlan) -> int | None:
    """Return how many steps a run takes; None when only the clock ends it.

    Without any limit a run takes about 12 million tokens, counted as if all batches were full, at
    least one epoch and at most 40, but more than that where they make fewer than 1000 steps.
    """
    length = plan.length(0)
    epochs = recipe.epochs
    if epochs is None and recipe.max_steps is None and recipe.max_time is None:
        tokens = length * recipe.batch * recipe.bptt
        most = max(AUTO_EPOCHS, -(-AUTO_STEPS // length))
        epochs = max(1, min(most, round(AUTO_TOKENS / tokens)))
    limits = [epochs * length] if epochs else []
    if recipe.max_steps:
        limits.append(recipe.max_steps)
    return min(limits) if limits else None


def valid_every(recipe: Recipe, plan: BatchPlan) -> int:
    """Return the steps between validations; 0 means the end of each epoch."""
    if recipe.valid_every is None:
        return min(plan.length(0), VALID_EVERY)
    return recipe.valid_every


def _step(run: TrainRun, work: Batch, stepper: Stepper, usual: float, keep: bool) -> Event:
    """Take one update: gradient of the batch, clip, rule.

    `usual` is the mean number of targets of a batch in this epoch. With the loss "token" a batch
    weighs targets / usual, so that every token of the epoch weighs the same; clipping comes before,
    so that a batch of many tokens loses no more by it than one of few. `keep` says that this is a
    place to go back to.
    """
    recipe, targets, step = run.recipe, len(work.y), run.step + 1
    scale = {"time": 1 / work.steps.B, "sum": 1.0}.get(recipe.loss, 1 / targets)
    weight = targets / usual if recipe.loss == "token" else 1.0
    nats, state = stepper.gradient(work, _carried(run), scale, (recipe.seed, run.step))
    nats = stepper.comm.total(nats) / targets
    norm = stepper.reduce()
    if not (math.isfinite(nats) and math.isfinite(norm)):
        raise DivergenceError(
            f"the loss is no longer finite at step {step} (loss {nats}, gradient norm {norm})."
        )
    if keep and run.good is not None:
        run.good = run.model.params.flat.copy()
    rate = recipe.rate * run.rate_factor * schedule(recipe, run.progress, run.epoch)
    if recipe.random_bptt and recipe.loss != "token":  # there a long window weighs more already
        rate *= work.steps.T / recipe.bptt
    stepper.apply(norm, rate, step - run.since, weight)
    if not np.isfinite(run.model.params.flat).all():
        raise DivergenceError(f"the parameters are no longer finite at step {step}.")
    if run.averaged:
        run.averaged += 1
        run.slots["average"] += (run.model.params.flat - run.slots["average"]) / run.averaged
    run.state = state
    run.tokens += targets
    run.epoch_nats += nats * targets
    run.epoch_tokens += targets
    return Event("step", step, run.epoch, run.progress, nats, targets, norm, rate)


def _roll_back(run: TrainRun, step: int, error: DivergenceError) -> Event:
    """Put back the last good parameters; go on from there, if the recipe lets it, or raise."""
    good = run.best if run.good is None else run.good
    assert good is not None
    run.model.params.flat[:] = good
    if run.recipe.on_divergence == "stop" or run.rollbacks >= run.recipe.retries:
        noun = "rollback" if run.rollbacks == 1 else "rollbacks"
        tried = f" {run.rollbacks} {noun} did not help." if run.rollbacks else ""
        raise DivergenceError(f"{error}{tried} Use a smaller --lr or --clip.") from None
    for slot in run.slots.values():
        slot[:] = 0
    run.slots.pop("average", None)
    run.averaged, run.state = 0, None
    run.rollbacks, run.since, run.rate_factor = run.rollbacks + 1, step, run.rate_factor / 2
    row = {"step": step, "epoch": run.epoch, "rollback": run.rollbacks}
    run.history.append({**row, "rate_factor": run.rate_factor})
    return Event("rollback", step, run.epoch, run.progress, run.best_nats, rate=run.rate_factor,
                  reason=str(error))  # fmt: skip


def _carried(run: TrainRun) -> State | None:
    """Return the carried state; with `reset`, some streams start from zero, as each text does."""
    state, rate = run.state, run.recipe.reset
    if state is None or not rate:
        return state
    drawn = rng(run.recipe.seed, Purpose.RESET, run.step).random(state.h.shape[-1])
    keep = drawn >= rate
    return State(state.h * keep, None if state.c is None else state.c * keep)


def _validate(run: TrainRun, validate: Callable[[Model], float] | None) -> float:
    """Judge the candidate; keep it if it is the best; let the schedule and asgd know."""
    assert validate is not None
    recipe, flat = run.recipe, run.candidate
    with np.errstate(over="ignore", invalid="ignore"):
        nats = validate(Model(run.model.config, run.model.params.like(flat)))
    if not math.isfinite(nats):
        raise DivergenceError(
            f"the validation loss is no longer finite at step {run.step} ({nats})."
        )
    earlier = [row["valid"] for row in run.history if "valid" in row]
    train_nats = run.epoch_nats / run.epoch_tokens if run.epoch_tokens else run.last_epoch_nats
    run.history.append({"step": run.step, "epoch": run.epoch, "train": train_nats, "valid": nats})
    if nats < run.best_nats:
        run.best, run.best_nats, run.stale, run.good = flat.copy(), nats, 0, None
    else:
        run.stale += 1
        watched = SCHEDULES[recipe.schedule].watches == "validation"
        if watched and run.stale % (recipe.wait + 1) == 0:
            run.rate_factor *= recipe.factor
    past = earlier[: max(0, len(earlier) - recipe.trigger)]
    if RULES[recipe.optimizer].averaged and not run.averaged and past and nats > min(past):
        run.slots["average"], run.averaged = run.model.params.flat.copy(), 1
    return nats


def _end_epoch(run: TrainRun) -> Event:
    nats = run.epoch_nats / run.epoch_tokens
    if SCHEDULES[run.recipe.schedule].watches == "training" and nats > run.last_epoch_nats:
        run.rate_factor *= run.recipe.factor
    run.last_epoch_nats, run.epoch_nats, run.epoch_tokens = nats, 0.0, 0
    return Event("epoch", run.step, run.epoch, run.progress, nats)
