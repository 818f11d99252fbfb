"""How a training begins: with a new run, with the run of a model file, or with another model.

Each function returns the run and notes for the reader; the command line prints them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rnncli.config.recipe import Recipe, Running
from rnncli.config.settings import nearest, seconds
from rnncli.data.dataset import Dataset
from rnncli.errors import ArtefactError, ConfigError, shown
from rnncli.lm import language_model
from rnncli.lm.language_model import LanguageModel
from rnncli.nn.threads import cores, one_blas_thread
from rnncli.nn.transfer import match
from rnncli.training import checkpoint, recipes
from rnncli.training.loop import Event, TrainRun, platform_name
from rnncli.training.session import begin, fresh
from rnncli.training.settings import LIMITS, settings_for, settings_from


class Beginning(NamedTuple):
    """A run that can begin or go on, and what its owner should know of it."""

    run: TrainRun
    notes: list[str]
    complete: bool = False  # there is nothing left to do


def beginning(
    dataset: Dataset, output: str, running: Running, given: Mapping[str, Any], ranks: int = 1
) -> Beginning:
    """Make the run that the options ask for: the one of the output file, or a new one."""
    origin = language_model.load(running.start) if running.start else None
    if running.resume and os.path.lexists(output):
        return resumed_run(output, dataset, given, running.preset, origin, ranks)
    if os.path.exists(output) and not (running.overwrite or running.plan):
        guard(output)
    found = new_run(dataset, given, running.preset, origin, ranks)
    if running.resume:
        found.notes.insert(0, f"{output}: nothing to resume yet; starting.")
    return found


def new_run(
    dataset: Dataset,
    given: Mapping[str, Any],
    preset: str | None = None,
    origin: LanguageModel | None = None,
    ranks: int = 1,
) -> Beginning:
    """Make a run that has not begun; `origin` is the model to begin with."""
    if origin is None:
        config, recipe = settings_for(dataset.tokenizer, preset, given)
        return Beginning(fresh(dataset, config, recipe, ranks), [])
    config, recipe = settings_from(origin, dataset.tokenizer, preset, given)
    run = fresh(dataset, config, recipe, ranks, origin)
    found = match(origin.tokenizer.vocabulary.tokens, dataset.tokenizer.vocabulary.tokens)
    return Beginning(run, [
        f"--from: {found.kept:,} tokens go on, {found.new:,} are new and begin as the mean, "
        f"{found.lost:,} are left out."
    ])  # fmt: skip


def guard(output: str) -> None:
    """Refuse to train over a file that is there: a model is not lost to a slip."""
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


def resumed_run(
    path: str | Path,
    dataset: Dataset,
    given: Mapping[str, Any],
    preset: str | None = None,
    origin: LanguageModel | None = None,
    ranks: int = 1,
) -> Beginning:
    """Read the run of a model file, with the limits that are given for it now.

    ConfigError where the data, the model it began with, or another setting is not that of the run.
    """
    language, run = checkpoint.resume(path)
    if language.data.get("hash") != dataset.fingerprint:
        raise ConfigError(f"{path} was trained on other data than {dataset.path}.")
    if origin is not None and run.parent != origin.fingerprint:
        raise ConfigError(f"{path} was not begun with the model of --from.")
    recipe = _limited(path, language, run, _wanted(run, given, preset, origin is not None))
    if run.finished and recipe == run.recipe:
        done = (f"{path}: complete ({run.finished}); nothing to do. A larger --epochs, --max-steps "
                "or --max-time goes on.")  # fmt: skip
        return Beginning(run, [done], complete=True)
    notes = [f"{path}: going on after step {run.step:,}."]
    if run.ranks != ranks:
        notes.append(
            f"{path}: begun with {run.ranks} ranks, going on with {ranks}: the same up to "
            "rounding, not to the bit."
        )
    here = platform_name()
    if run.machine != here:
        notes.append(
            f"{path}: begun with {shown(run.machine)}; this is {here}: rounding may differ from "
            "that of a run that stayed there."
        )
    progress = run.progress
    if recipe.max_time and run.recipe.max_time:  # the clock's share of a longer or shorter run
        progress = min(1.0, progress * run.recipe.max_time / recipe.max_time)
    shared = recipe.shared_by(ranks)
    run = replace(run, recipe=shared, ranks=ranks, machine=here, progress=progress)
    return Beginning(run, notes)


def _wanted(
    run: TrainRun, given: Mapping[str, Any], preset: str | None, begun: bool
) -> dict[str, Any]:
    """Join what preset and options ask for; a run `begun` with a model has that model's network."""
    named = recipes.load(preset).settings if preset else {}
    if begun:
        named = {key: value for key, value in named.items() if key not in recipes.NETWORK}
    wanted = {**named, **given}
    if "shards" in wanted:
        wanted["shards"] = replace(run.recipe, shards=wanted["shards"]).shared_by(run.ranks).shards
    return wanted


def _limited(
    path: str | Path, language: LanguageModel, run: TrainRun, wanted: Mapping[str, Any]
) -> Recipe:
    """Return the recipe with the limits that are wanted; nothing else may change in a run."""
    old = {**language.model.config.to_json(), **run.recipe.to_json()}
    for key, value in wanted.items():
        if key not in LIMITS and old[key] != value:
            raise ConfigError(
                f"{path} was begun with {key} {old[key]}, not {value}. Leave the option out, or "
                "start again with --overwrite instead of --resume."
            )
    return replace(run.recipe, **{key: wanted[key] for key in LIMITS if key in wanted})


def resume(
    path: str | Path,
    data: str | Path | Dataset,
    *,
    output: str | Path | None = None,
    threads: int | None = None,
    on_report: Callable[[Event], None] | None = None,
    **limits: Any,
) -> LanguageModel:
    """Go on with the training that a model file holds, to larger limits if they are given.

    `limits` are settings of the recipe that may change: epochs, max_steps, max_time, patience,
    valid_every, on_divergence, retries. The result is written to `output`, or to `path` again: the
    very bytes that `rnncli train --resume` writes. A run that is complete comes back as it is.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    for name in limits.keys() - set(LIMITS):
        hint = nearest(name, LIMITS) or f" A run can change {', '.join(LIMITS)}."
        raise ConfigError(f'"{shown(name)}" is no limit of a run.{hint}')
    if limits.get("max_time") is not None:
        limits["max_time"] = seconds(limits["max_time"])
    with one_blas_thread():
        run, _, complete = resumed_run(path, dataset, limits)
        session = begin(dataset, run, processes=threads or cores())
        return session.best() if complete else session.finish(output or path, threads, on_report)
