"""The library in a few verbs: `train`, `evaluate`, `generate`, on what `load` and `save` carry.

The command line is a client of this module. Everything here is put together from the rooms below;
nothing is computed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli import presets
from rnncli.batches import Plan
from rnncli.checkpoint import LanguageModel, load, resume, save
from rnncli.config import Config, Recipe
from rnncli.dataset import Dataset
from rnncli.errors import ConfigError, DataError
from rnncli.evaluation import Score, Split, score_split, score_texts
from rnncli.nn.model import Model
from rnncli.sampling import Filters, Sample
from rnncli.sampling import generate as draw
from rnncli.tokenizer import Tokenizer
from rnncli.training import Report, TrainRun, make_plan
from rnncli.training import train as steps

__all__ = [
    "Session", "begin", "evaluate", "generate", "load", "resume", "save", "settings_for", "train",
]  # fmt: skip

LIMITS = ("epochs", "max_steps", "max_time", "patience", "valid_every")  # may change on a resume


@dataclass
class Session:
    """A training run with all that it needs: what `rnncli train` holds while it works."""

    language: LanguageModel
    run: TrainRun
    plan: Plan
    validate: Callable[[Model], float] | None

    def best(self) -> LanguageModel:
        """The language model as it would be saved now."""
        self.language.model, self.language.history = self.run.result, self.run.history
        return self.language

    def save(self, path: str | Path) -> None:
        """Write the best model and the run."""
        save(path, self.best(), self.run)


def settings_for(
    tokenizer: Tokenizer, preset: str | None = None, given: Mapping[str, Any] | None = None
) -> tuple[Config, Recipe]:
    """Configuration and recipe: the settings given, over the preset's, over the plain defaults.

    Without a preset the defaults are those for words or for characters, as the tokenizer has it.
    """
    default = "words" if tokenizer.rule.level == "word" else "characters"
    own, given = presets.load(preset or default).settings, given or {}
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


def begin(dataset: Dataset, config: Config, recipe: Recipe, run: TrainRun | None = None) -> Session:
    """A session that starts at the beginning, or goes on with `run`."""
    tokenizer, train_split = dataset.tokenizer, dataset.splits["train"]
    plan = make_plan(recipe, train_split.ids, train_split.starts)
    length = plan.length(0 if run is None else run.epoch)  # says now if there is too little text
    if run is not None and run.batch >= length:
        raise ConfigError("the run was made with other batches. Begin anew with --overwrite.")
    if run is None:
        run = TrainRun.start(Model.initial(config, recipe.seed), recipe)
    carried = tokenizer.bos is not None and recipe.batching == "consecutive"
    valid = dataset.splits.get("valid")
    some = valid is not None and len(valid.ids) > 1
    validate = validator(tokenizer, valid, recipe) if valid is not None and some else None
    language = LanguageModel(run.result, tokenizer, carried, fingerprint(dataset), run.history)
    return Session(language, run, plan, validate)


def validator(tokenizer: Tokenizer, valid: Split, recipe: Recipe) -> Callable[[Model], float]:
    """What judges a model while it is trained: the mean nats a token of a split."""
    carried = tokenizer.bos is None or recipe.batching == "consecutive"
    lanes = max(1, min(recipe.batch, len(valid.ids) // 512)) if carried else None

    def validate(model: Model) -> float:
        return score_split(model, tokenizer, valid, carried=carried, lanes=lanes).nats_per_token

    return validate


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """What tells one training text from another: vocabulary and training ids."""
    digest = hashlib.sha256(dataset.tokenizer.hash.encode())
    ids = dataset.splits["train"].ids
    for start in range(0, len(ids), 1 << 20):
        digest.update(ids[start : start + (1 << 20)].tobytes())
    return {"hash": digest.hexdigest(), "inputs": dataset.header.get("inputs", [])}


def train(
    data: str | Path | Dataset,
    *,
    preset: str | None = None,
    on_report: Callable[[Report], None] | None = None,
    **settings: Any,
) -> LanguageModel:
    """Train a language model on a data file; settings are the fields of `Config` and `Recipe`."""
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    session = begin(dataset, *settings_for(dataset.tokenizer, preset, settings))
    for report in steps(session.run, session.plan, session.validate):
        if on_report:
            on_report(report)
    return session.best()


def evaluate(
    language: LanguageModel, data: str | Path | Dataset | Iterable[str], split: str = "test"
) -> Score:
    """The score of a language model on a split of a data file, or on texts.

    A str or a Path is the path of a data file; texts come as any other iterable of strings.
    """
    if isinstance(data, (str, Path)):
        data = Dataset.open(data)
    if not isinstance(data, Dataset):
        total: Score | None = None
        for score in score_texts(
            language.model, language.tokenizer, data, carried=language.carried
        ):
            total = score if total is None else total + score
        if total is None or not total.tokens:
            raise DataError("there is no text to score.")
        return total
    if data.tokenizer.hash != language.tokenizer.hash:
        raise DataError(
            f"{data.path}: its vocabulary ({data.tokenizer.hash[:12]}) is not the model's "
            f"({language.tokenizer.hash[:12]}). Tokenize with --vocab and the model's data file."
        )
    if split not in data.splits:
        raise DataError(
            f'{data.path}: there is no split "{split}" (it has {", ".join(data.splits)}).'
        )
    part = data.splits[split]
    return score_split(language.model, language.tokenizer, part, carried=language.carried)


def generate(language: LanguageModel, prefix: str = "", **options: Any) -> list[Sample]:
    """Texts that the model writes after `prefix`; options of `sampling.generate`.

    Those of `Filters` (temperature, top_k, ...) may stand among them.
    """
    names = Filters.__dataclass_fields__
    filters = Filters(**{k: options.pop(k) for k in list(options) if k in names})
    return list(draw(language.model, language.tokenizer, prefix, filters=filters, **options))
