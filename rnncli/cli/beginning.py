"""What `rnncli train` begins with: a new run, one that goes on, or one that begins with a model."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rnncli.cli.common import clock, note
from rnncli.errors import ConfigError, shown

if TYPE_CHECKING:
    from rnncli.data.dataset import Dataset
    from rnncli.lm.language_model import LanguageModel
    from rnncli.training.loop import TrainRun
    from rnncli.training.session import Session


def run_for(
    dataset: Dataset, output: str, preset: str | None, origin: LanguageModel | None,
    given: dict[str, Any], resume: bool, overwrite: bool, ranks: int, quiet: bool,
) -> TrainRun | None:  # fmt: skip
    """A new run, or the one that the output file holds; None when that one is complete."""
    from rnncli.nn.transfer import match
    from rnncli.training import session as api

    if not os.path.lexists(output):
        if resume:
            note(f"{output}: nothing to resume yet; starting.", quiet)
    elif resume:
        return _resumed(dataset, output, preset, origin, given, ranks, quiet)
    elif not overwrite and os.path.exists(output):
        _guard(output)
    if origin is None:
        config, recipe = api.settings_for(dataset.tokenizer, preset, given)
        return api.fresh(dataset, config, recipe, ranks)
    config, recipe = api.settings_from(origin, dataset.tokenizer, preset, given)
    run = api.fresh(dataset, config, recipe, ranks, origin)
    found = match(origin.tokenizer.vocabulary.tokens, dataset.tokenizer.vocabulary.tokens)
    note(f"--from: {found.kept:,} tokens go on, {found.new:,} are new and begin as the mean, "
         f"{found.lost:,} are left out.", quiet)  # fmt: skip
    return run


def _guard(output: str) -> None:
    """Refuse to train over a file that is there: a model is not lost to a slip."""
    from rnncli.errors import ArtefactError
    from rnncli.training import checkpoint

    try:
        _, run = checkpoint.resume(output)
    except ArtefactError:
        raise ConfigError(
            f"{output} is there already. Write to another name, or replace it with --overwrite."
        ) from None
    kind = "a finished model" if run.finished else "an unfinished run"
    more = " and a larger limit" if run.finished else ""
    raise ConfigError(
        f"{output} holds {kind} ({run.step:,} steps). Go on with --resume{more}, begin with it by "
        f"--from {output} and another -o, or replace it with --overwrite."
    )


def _resumed(
    dataset: Dataset, output: str, preset: str | None, origin: LanguageModel | None,
    given: dict[str, Any], ranks: int, quiet: bool,
) -> TrainRun | None:  # fmt: skip
    from rnncli.training import checkpoint, presets
    from rnncli.training import session as api
    from rnncli.training.loop import platform_name

    language, run = checkpoint.resume(output)
    if language.data.get("hash") != dataset.fingerprint:
        raise ConfigError(f"{output} was trained on other data than {dataset.path}.")
    named = presets.load(preset).settings if preset else {}
    if origin is not None:
        if run.parent != origin.fingerprint:
            raise ConfigError(f"{output} was not begun with the model of --from.")
        named = {key: value for key, value in named.items() if key not in presets.NETWORK}
    wanted = {**named, **given}
    if "shards" in wanted:
        wanted["shards"] = replace(run.recipe, shards=wanted["shards"]).shared_by(run.ranks).shards
    old = {**language.model.config.to_json(), **run.recipe.to_json()}
    for key, value in wanted.items():
        if key not in api.LIMITS and old[key] != value:
            raise ConfigError(
                f"{output} was begun with {key} {old[key]}, not {value}. Leave the option out, or "
                "begin anew with --overwrite instead of --resume."
            )
    limits = {key: wanted[key] for key in api.LIMITS if key in wanted}
    recipe = replace(run.recipe, **limits)
    if run.finished and recipe == run.recipe:
        note(f"{output}: complete ({run.finished}); nothing to do. A larger --epochs, --max-steps "
             "or --max-time goes on.", quiet)  # fmt: skip
        return None
    if recipe.max_time and run.recipe.max_time:  # the clock's share of a longer or shorter run
        run.progress = min(1.0, run.progress * run.recipe.max_time / recipe.max_time)
    note(f"{output}: going on after step {run.step:,}.", quiet)
    if run.ranks != ranks:
        note(f"{output}: begun with {run.ranks} ranks, going on with {ranks}: the same up to "
             "rounding, not to the bit.", quiet)  # fmt: skip
    if run.machine != (here := platform_name()):
        note(f"{output}: begun with {shown(run.machine)}; this is {here}: rounding may differ "
             "from that of a run that stayed there.", quiet)  # fmt: skip
    run.recipe, run.ranks, run.machine = recipe.shared_by(ranks), ranks, here
    return run


def described(session: Session) -> str:
    """What is trained, in two lines."""
    from rnncli.training.loop import total_steps

    config, recipe = session.language.model.config, session.run.recipe
    source = f"embedding {config.embed}" if config.embed else "one-hot"
    layers = f"{config.layers} layer{'s' if config.layers > 1 else ''} of {config.hidden}"
    layers += f", the top one of {config.top}" if config.top else ""
    total = total_steps(recipe, session.plan)
    length = session.plan.length(session.run.epoch)
    until = f"{total:,} steps" if total else ""
    ranks = f", {session.comm.size} ranks" if session.comm.size > 1 else ""
    if recipe.max_time:
        until += (" or " if until else "") + clock(recipe.max_time)
    return (
        f"{config.cell}, {source}, {layers}, {config.inputs:,} tokens: "
        f"{session.run.model.params.flat.size:,} parameters\n"
        f"{recipe.optimizer} {recipe.rate:g} {recipe.schedule}, batch {recipe.batch} x "
        f"{recipe.bptt}{ranks}, {length:,} steps an epoch, until {until}"
    )
