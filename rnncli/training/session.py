"""Settings -> run -> session: what a training needs before its first step, and `train` itself.

`fresh` makes a run of settings, `begin` makes a session of a run; `train` joins both for a library
user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.data.batches import BatchPlan, Guarded, Lanes, Sentences
from rnncli.data.dataset import Dataset, Split
from rnncli.errors import ConfigError, DataError
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.network import GROUP, STEPS, Network
from rnncli.nn.model import Model
from rnncli.nn.threads import cores, one_blas_thread
from rnncli.nn.transfer import carried_over, match
from rnncli.parallel.mpi import Comm
from rnncli.parallel.processes import WorkerPool
from rnncli.score.score import Score
from rnncli.score.scoring import score_plan
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import checkpoint
from rnncli.training.loop import Event, TrainRun, make_plan
from rnncli.training.loop import train as steps
from rnncli.training.settings import settings_for, settings_from
from rnncli.training.shards import ShardedPlan
from rnncli.training.step import gather_state


@dataclass
class Session:
    """A training run with all that it needs: what `rnncli train` holds while it works."""

    language: LanguageModel
    run: TrainRun
    plan: Guarded
    validate: Callable[[Model], float] | None
    comm: Comm = field(default_factory=Comm)

    def best(self) -> LanguageModel:
        """Return the language model as it would be saved now."""
        return replace(self.language, model=self.run.result, history=self.run.history)

    def finish(
        self,
        output: str | Path | None = None,
        threads: int | None = None,
        on_report: Callable[[Event], None] | None = None,
    ) -> LanguageModel:
        """Train to the end, save, and return the best language model."""
        processes = threads or cores()
        events = steps(self.run, self.plan, self.validate, comm=self.comm, processes=processes)
        for event in events:
            if on_report:
                on_report(event)
        if output is not None:
            self.save(output)
        return self.best()

    def save(self, path: str | Path) -> None:
        """Write the best model and the run: rank 0 does, and all take part."""
        run = self.run
        if run.state is not None:
            run.state = gather_state(run.state, run.recipe.shards, self.comm)
        if self.comm.rank == 0:
            checkpoint.save(path, self.best(), run)


def fresh(
    dataset: Dataset,
    config: Config,
    recipe: Recipe,
    ranks: int = 1,
    start: LanguageModel | None = None,
) -> TrainRun:
    """Make a run that has not begun, for a number of ranks to share.

    `start` is the model to begin with; each token of the data finds its rows there by name.
    """
    if start is None:
        model = Model.initial(config, recipe.seed)
    else:
        old, new = start.tokenizer, dataset.tokenizer
        if old.pretokenizer.level != new.pretokenizer.level:
            raise DataError(
                f"{dataset.path}: tokens of level {new.pretokenizer.level}, but those of the model "
                f"to begin with are of level {old.pretokenizer.level}."
            )
        rows = match(old.vocabulary.tokens, new.vocabulary.tokens).rows
        model = Model(config, carried_over(start.model, rows).params)
    run = TrainRun.start(model, recipe.shared_by(ranks))
    run.ranks, run.parent = ranks, "" if start is None else start.fingerprint
    return run


def begin(dataset: Dataset, run: TrainRun, comm: Comm | None = None, processes: int = 1) -> Session:
    """Make the session of a run, alone or among ranks; `processes` share each validation."""
    comm, recipe = comm or Comm(), run.recipe
    tokenizer, train_split = dataset.tokenizer, dataset.splits["train"]
    plan = Guarded(make_plan(recipe, train_split.ids, train_split.starts), dataset.still)
    if run.batch >= plan.length(run.epoch):  # which says if there is too little text
        raise ConfigError("the run was made with other batches. Start again with --overwrite.")
    data = {"hash": dataset.fingerprint, "inputs": dataset.header.get("inputs", [])}
    if data["hash"] != comm.bcast(data["hash"]):
        raise DataError(f"{dataset.path}: rank {comm.rank} reads other data than rank 0 does.")
    if run.parent:
        data["from"] = run.parent
    carried = not tokenizer.is_stream and recipe.batching == "consecutive"
    valid, validate = dataset.splits.get("valid"), None
    if valid is not None and len(valid.ids) > 1:
        validate = validator(tokenizer, valid, recipe, comm, processes, dataset.still)
    language = LanguageModel(run.result, tokenizer, carried, data, run.history)
    return Session(language, run, plan, validate, comm)


def validator(
    tokenizer: Tokenizer,
    valid: Split,
    recipe: Recipe,
    comm: Comm | None = None,
    processes: int = 1,
    still: Callable[[], None] = lambda: None,
) -> Callable[[Model], float]:
    """Make the function that judges a model while it is trained: the mean nats a token of a split.

    The split is cut into as many shards as a batch, so that the sum depends on them alone. `still`
    raises once the split's file is not what it was.
    """
    comm = comm or Comm()
    held: BatchPlan = Sentences(valid.ids, valid.starts, GROUP, STEPS, seed=0, shuffle=False)
    if tokenizer.is_stream or recipe.batching == "consecutive":
        held = Lanes(valid.ids, max(1, min(recipe.batch, len(valid.ids) // 512)))
    held = Guarded(held, still)
    mine = range(comm.rank, recipe.shards, comm.size)

    def validate(model: Model) -> float:
        def shard(k: int) -> Score:
            return score_plan(Network(model), tokenizer, ShardedPlan(held, k, recipe.shards))

        # A fork has the model of this moment.
        with WorkerPool(shard, min(processes, len(mine))) as pool:
            score = sum(pool.map(mine), Score())
        return comm.total(score.nats) / comm.total(score.tokens)

    return validate


def train(
    data: str | Path | Dataset,
    *,
    preset: str | None = None,
    start: LanguageModel | None = None,
    output: str | Path | None = None,
    threads: int | None = None,
    on_report: Callable[[Event], None] | None = None,
    **settings: Any,
) -> LanguageModel:
    """Train a language model on a data file; settings are the fields of `Config` and `Recipe`.

    `start` is a model to begin with, whose network it then is. `output` is a model file to write at
    the end, the run with it: the very bytes that `rnncli train` writes. `threads` share the work on
    this machine (None: its cores), and do not change the result.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    if start is None:
        config, recipe = settings_for(dataset.tokenizer, preset, settings)
    else:
        config, recipe = settings_from(start, dataset.tokenizer, preset, settings)
    with one_blas_thread():
        run = fresh(dataset, config, recipe, start=start)
        session = begin(dataset, run, processes=threads or cores())
        return session.finish(output, threads, on_report)
