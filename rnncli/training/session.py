"""A training run with all that it needs: its settings, the `Session`, and what validates.

`train` is the whole of `rnncli train` as one call. The command line makes a `Session` itself, to
show how it goes and to save meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnncli.config.settings import Config, Recipe
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
from rnncli.training import checkpoint, presets
from rnncli.training.loop import Event, TrainRun, make_plan
from rnncli.training.loop import train as steps
from rnncli.training.shards import ShardedPlan
from rnncli.training.step import gather_state

LIMITS = (  # may change on a resume
    "epochs", "max_steps", "max_time", "patience", "valid_every", "on_divergence", "retries",
)  # fmt: skip
REGULARISERS = (  # of the network, but not of its parameters: may change when it learns on
    "dropout", "dropout_in", "dropout_out", "dropout_embed", "dropout_weight", "variational",
    "activation_reg", "temporal_reg",
)  # fmt: skip


@dataclass
class Session:
    """A training run with all that it needs: what `rnncli train` holds while it works."""

    language: LanguageModel
    run: TrainRun
    plan: Guarded
    validate: Callable[[Model], float] | None
    comm: Comm = field(default_factory=Comm)

    def best(self) -> LanguageModel:
        """The language model as it would be saved now."""
        self.language.model, self.language.history = self.run.result, self.run.history
        return self.language

    def save(self, path: str | Path) -> None:
        """Write the best model and the run: rank 0 does, and all take part."""
        run = self.run
        if run.state is not None:
            run.state = gather_state(run.state, run.recipe.shards, self.comm)
        if self.comm.rank == 0:
            checkpoint.save(path, self.best(), run)


OF_THE_RULE = (  # settings of a preset that are for its optimizer, and for no other
    "lr", "momentum", "decay", "rho", "beta1", "beta2", "epsilon", "weight_decay",
)  # fmt: skip
LONG = 300  # seconds from which on a wider network learns more characters than a fast one


def settings_for(
    tokenizer: Tokenizer, preset: str | None = None, given: Mapping[str, Any] | None = None
) -> tuple[Config, Recipe]:
    """Configuration and recipe: the settings given, over the preset's, over the plain defaults.

    Without a preset the defaults are those for words or for characters, as the tokenizer has it,
    and there fitted to the time that is given. The rate of one optimizer is none for another.
    """
    given = given or {}
    row = tokenizer.pretokenizer.row
    default = row.long_preset if (given.get("max_time") or 0) >= LONG else row.preset
    own = presets.load(preset or default).settings
    if given.get("optimizer") not in (None, own.get("optimizer")):
        own = {key: value for key, value in own.items() if key not in OF_THE_RULE}
    values = {**own, **given}
    if values.get("tied") and not own.get("tied") and "embed" not in given:
        values.pop("embed", None)  # the preset's width was for an embedding of its own
    if values.get("tied") and "embed" not in values:  # as wide as the output it shares
        widths = (values.get("proj"), values.get("top"), values.get("hidden"), Config(1).hidden)
        values["embed"] = next(filter(None, widths))
    for key in values:
        if key not in presets.NETWORK | presets.TRAINING:
            raise ConfigError(f'there is no setting "{key}".')
    network = {k: v for k, v in values.items() if k in presets.NETWORK}
    recipe = {k: v for k, v in values.items() if k in presets.TRAINING}
    return Config.from_json({"inputs": len(tokenizer), **network}), Recipe.from_json(recipe)


def settings_from(
    start: LanguageModel, tokenizer: Tokenizer, preset: str | None, given: Mapping[str, Any]
) -> tuple[Config, Recipe]:
    """The same for a training that begins with a model: its network; of the preset the recipe.

    Of the network the regularisers alone may be given anew.
    """
    old = start.model.config.to_json()
    network = {key: value for key, value in given.items() if key in old}
    for key, value in network.items():
        if key not in REGULARISERS and old[key] != value:
            raise ConfigError(f"the model to begin with has {key} {old[key]}, not {value}. Leave "
                              "the option out.")  # fmt: skip
    rest = {key: value for key, value in given.items() if key not in old}
    _, recipe = settings_for(tokenizer, preset, rest)
    return Config.from_json({**old, **network, "inputs": len(tokenizer)}), recipe


def fresh(
    dataset: Dataset,
    config: Config,
    recipe: Recipe,
    ranks: int = 1,
    start: LanguageModel | None = None,
) -> TrainRun:
    """A run that has not begun, for a number of ranks to share.

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


def begin(
    dataset: Dataset,
    config: Config,
    recipe: Recipe,
    run: TrainRun | None = None,
    comm: Comm | None = None,
    start: LanguageModel | None = None,
    processes: int = 1,
) -> Session:
    """A session that starts at the beginning, or goes on with `run`, alone or with other ranks.

    `start` is the model to begin with; `processes` share each validation.
    """
    comm = comm or Comm()
    tokenizer, train_split = dataset.tokenizer, dataset.splits["train"]
    plan = Guarded(make_plan(recipe, train_split.ids, train_split.starts), dataset.still)
    length = plan.length(0 if run is None else run.epoch)  # says now if there is too little text
    if run is not None and run.batch >= length:
        raise ConfigError("the run was made with other batches. Begin anew with --overwrite.")
    data = {"hash": dataset.fingerprint, "inputs": dataset.header.get("inputs", [])}
    if data["hash"] != comm.bcast(data["hash"]):
        raise DataError(f"{dataset.path}: rank {comm.rank} reads other data than rank 0 does.")
    if run is None:
        run = fresh(dataset, config, recipe, comm.size, start)
    if run.parent:
        data["from"] = run.parent
    carried = not tokenizer.is_stream and recipe.batching == "consecutive"
    valid = dataset.splits.get("valid")
    some = valid is not None and len(valid.ids) > 1
    validate = None
    if valid is not None and some:
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
    """What judges a model while it is trained: the mean nats a token of a split.

    It is cut into as many shards as a batch, so that the sum depends on them alone. `still` raises
    once the split's file is not what it was.
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

        with WorkerPool(
            shard, min(processes, len(mine))
        ) as pool:  # a fork has the model of this moment
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
    processes = threads or cores()
    with one_blas_thread():
        session = begin(dataset, config, recipe, start=start, processes=processes)
        for report in steps(session.run, session.plan, session.validate, processes=processes):
            if on_report:
                on_report(report)
        if output is not None:
            session.save(output)
    return session.best()
