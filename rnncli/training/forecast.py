"""What a training run will cost on this machine, before it starts: `forecast`.

Parameters and operations are counted. Time and memory are measured: some of the run's own steps
after a few that warm up, some validation, one save into a scratch folder; all on copies that are
thrown away. Nothing of the run itself changes.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.data.batches import BatchPlan, Sentences
from rnncli.data.dataset import Dataset
from rnncli.nn import cost
from rnncli.nn.model import Model
from rnncli.nn.optim import RULES
from rnncli.training.loop import TrainRun, make_plan, total_steps, train, valid_every
from rnncli.training.session import Session, validator

Array = NDArray[Any]

SECONDS = 4.0  # that steps are measured for; a quarter more warms up
BUSY = 0.7  # of a core is what a process has where nothing else runs, and more
FLOAT = 4  # bytes


class SplitPrefix(NamedTuple):
    """Some units of a split, as a split."""

    ids: Array
    starts: Array
    chars: int = 0
    bytes: int = 0


class Pace(NamedTuple):
    """Seconds of what a run is made of."""

    step: float
    valid: float  # validating and saving
    every: int  # steps between validations
    late: float = 0.0  # saves between validations, as a share of the time

    def seconds(self, steps: int) -> float:
        """Return the seconds that `steps` steps take, validations included."""
        return steps * self.step * (1 + self.late) + -(-steps // self.every) * self.valid

    def steps(self, seconds: float) -> int:
        """Return how many steps begin within `seconds`; one validation more may follow."""
        step = self.step * (1 + self.late)
        rounds, rest = divmod(seconds, self.every * step + self.valid)
        return int(rounds) * self.every + min(self.every, math.ceil(rest / step))


@dataclass(frozen=True)
class End:
    """Where a run ends."""

    steps: int
    epochs: float
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a run will cost; times in seconds, memory in bytes, at the peak and of all processes."""

    parameters: dict[str, int]  # by part
    flops_per_token: dict[str, int]  # by part
    memory: int  # measured
    processes: int
    tokens_per_second: float  # of the steps alone
    measured_steps: int
    epoch_tokens: int
    epoch_steps: int
    epoch_seconds: float  # with its validations and saves
    valid_every: int  # steps
    valid_seconds: float
    save_seconds: float
    end: End
    without_max_time: End | None  # None where there is no max_time
    hints: list[str]

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


def forecast(
    session: Session, dataset: Dataset, *, processes: int = 1, save_every: float = math.inf
) -> Forecast:
    """Make the forecast of a session that has not begun, or goes on.

    save_every: seconds after which the run is saved, whether or not it was validated.
    """
    run, config, recipe = session.run, session.language.model.config, session.run.recipe
    split = dataset.splits["train"]
    probe = _steps(run, session.plan, processes, SECONDS)
    valid = _validation(session, dataset, probe.rate, processes)
    save = _save(session)
    length = session.plan.length(run.epoch)
    apart = len(split.starts) - 1 if isinstance(session.plan.plan, Sentences) else 1
    tokens = len(split.ids) - apart  # the first of a unit is not predicted
    every = valid_every(recipe, session.plan) or length
    step = tokens / length / probe.rate
    pause = valid + save if session.validate else 0.0
    late = save / save_every if not session.validate or every * step > save_every else 0.0
    pace = Pace(step, pause, every, late)
    seconds = recipe.max_time and recipe.max_time * (1 - run.progress)
    own = _end(recipe, session, pace, seconds)
    found = Forecast(
        parameters=cost.parameters(config),
        flops_per_token=cost.flops(config),
        memory=_peak() + probe.memory - probe.copied,
        processes=probe.processes,
        tokens_per_second=probe.rate,
        measured_steps=probe.steps,
        epoch_tokens=tokens,
        epoch_steps=length,
        epoch_seconds=length * step * (1 + late) + length / every * pause,
        valid_every=every,
        valid_seconds=valid,
        save_seconds=save,
        end=own,
        without_max_time=_end(replace(recipe, max_time=None), session, pace, None)
        if recipe.max_time
        else None,
        hints=[],
    )
    found.hints.extend(_hints(found, probe.busy, session, dataset, processes))
    return found


def _longest(plan: BatchPlan, bptt: int) -> int:
    """Return the steps of the longest batch."""
    if not isinstance(plan, Sentences):
        return bptt
    return min(bptt, int(np.diff(np.asarray(plan.starts, np.int64)).max()) - 1)


# --------------------------------------------------------------------------------------- measured


class Probe(NamedTuple):
    """What some steps of a run took."""

    rate: float  # tokens a second
    steps: int
    processes: int
    memory: int  # of the other processes: as much as this one needed for its share of a batch
    copied: int  # bytes of what the run itself has already
    busy: float  # the share of the time in which this process computed


def _steps(run: TrainRun, plan: BatchPlan, processes: int, seconds: float) -> Probe:
    """Take steps of a copy of the run; those that warm memory and caches up do not count."""
    recipe = replace(run.recipe, epochs=None, max_steps=1 << 60, max_time=None, patience=0)
    params = run.model.params
    model = Model(run.model.config, params.like(params.flat.copy()))
    slots = {name: slot.copy() for name, slot in run.slots.items()}
    copy = replace(run, model=model, slots=slots, recipe=recipe, history=list(run.history))
    pool = min(processes, recipe.shards, recipe.batch)
    pool = pool if sys.platform.startswith("linux") else 1
    before = _resident()
    reports = train(copy, plan, processes=processes)
    begun, warm, steps, tokens = time.perf_counter(), 0, 0, 0
    for report in reports:
        now = time.perf_counter()
        if report.kind != "step":
            continue
        if warm < 3 or (not steps and now - begun < seconds / 4):
            warm += 1
            start, worked = now, time.process_time()
            continue
        steps, tokens = steps + 1, tokens + report.tokens
        if now - start >= seconds and steps >= 3:
            break
    rate, busy = tokens / (now - start), (time.process_time() - worked) / (now - start)
    reports.close()
    vector, copies = FLOAT * len(params.flat), 1 + len(RULES[recipe.optimizer].slots)
    grown = _peak() - before - vector * (copies + min(recipe.shards, recipe.batch))
    return Probe(rate, steps, pool, (pool - 1) * max(0, grown), vector * copies, busy)


def _validation(session: Session, dataset: Dataset, rate: float, processes: int) -> float:
    """Seconds of a validation, from as much of it as takes a second or two."""
    if session.validate is None:
        return 0.0
    valid, recipe = dataset.splits["valid"], session.run.recipe
    most = max(512 * recipe.batch, int(rate * SECONDS / 2))
    part: Any = valid
    if len(valid.ids) > most:
        if len(valid.starts) > 2:
            units = max(1, int(np.searchsorted(valid.starts, most)))
            part = SplitPrefix(valid.ids[: int(valid.starts[units])], valid.starts[: units + 1])
        else:
            part = SplitPrefix(valid.ids[:most], np.array([0, most]))
    judge = validator(dataset.tokenizer, part, recipe, processes=processes)
    start = time.perf_counter()
    judge(session.run.model)
    return (time.perf_counter() - start) * len(valid.ids) / len(part.ids)


def _save(session: Session) -> float:
    """Seconds of a save."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        session.save(Path(folder) / "model.npz")
        return time.perf_counter() - start


def _peak() -> int:
    """Bytes of this process that were resident at the most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _resident() -> int:
    """Bytes that are resident now; where the system does not tell, at the most so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak()


# ----------------------------------------------------------------------------------------- judged


def _end(recipe: Recipe, session: Session, pace: Pace, seconds: float | None) -> End:
    """Where the run ends, by its limits or after `seconds` from now, whichever is first."""
    run = session.run
    total = total_steps(recipe, session.plan)
    steps = max(0, total - run.step) if total else 0
    if seconds is not None:
        timed = pace.steps(seconds)
        steps = min(steps, timed) if total else timed
    done = run.epoch + run.batch / session.plan.length(run.epoch)
    epochs = done + steps / session.plan.length(run.epoch)
    return End(run.step + steps, epochs, pace.seconds(steps))


def _hints(
    found: Forecast, busy: float, session: Session, dataset: Dataset, processes: int
) -> list[str]:
    """Which settings waste time."""
    recipe, config = session.run.recipe, session.language.model.config
    hints: list[str] = []
    share = found.flops_per_token["output"] / sum(found.flops_per_token.values())
    if share > 2 / 3:
        hints.append(
            f"the output layer, one row for each of {config.classes:,} tokens, is {share:.0%} of "
            "the arithmetic: a smaller vocabulary (rnncli tokenize --vocab-size) or a narrower "
            "top layer (--top, --proj) is faster."
        )
    shards = min(recipe.shards, recipe.batch)
    if processes > shards:
        hints.append(f"{shards} of {processes} threads have work: --shards {processes}.")
    pause = found.valid_seconds + found.save_seconds
    interval = found.epoch_seconds / found.epoch_steps * found.valid_every
    if session.validate and pause > interval / 10:
        steps = found.epoch_tokens / found.epoch_steps / found.tokens_per_second
        power = 10 ** math.ceil(math.log10(20 * pause / steps))  # the next of 1, 2, 5, 10, 20, ...
        rarer = next(n for n in (power // 5, power // 2, power) if n * steps >= 20 * pause)
        hints.append(
            f"validating and saving is {pause / interval:.0%} of the time: --valid-every "
            f"{rarer} makes it less than 5%."
        )
    longest = _longest(session.plan.plan, recipe.bptt)
    if 2 * longest <= recipe.bptt:
        hints.append(
            f"no unit is longer than {longest} steps: --bptt {recipe.bptt} changes nothing."
        )
    if found.end.epochs < 1:
        hints.append(
            f"the run sees {found.end.epochs:.0%} of the training text: a smaller network or a "
            "longer --max-time sees more."
        )
    if busy < BUSY:
        hints.append(
            f"other programs keep this machine busy: a process of this one had {busy:.0%} of a "
            "core. When they end it is faster."
        )
        return hints  # what follows compares times
    twice = replace(recipe, batch=2 * recipe.batch)
    model = Model(config, session.run.model.params)
    split = dataset.splits["train"]
    plan = make_plan(twice, split.ids, split.starts)
    rate = _steps(TrainRun.start(model, twice), plan, processes, SECONDS / 3).rate
    if rate > 1.3 * found.tokens_per_second:
        hints.append(
            f"batch {recipe.batch} is small: --batch {twice.batch} does "
            f"{rate / found.tokens_per_second:.1f} times the tokens a second, in half the updates."
        )
    return hints
