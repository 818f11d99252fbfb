"""Checkpoints: model files that hold, beside the best model so far, the run that goes on.

The members `run.*` and the header's part `run` are what `--resume` needs; without them the file is
that of a plain language model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.errors import ArtefactError
from rnncli.files import artefact as artefacts
from rnncli.lm import language_model
from rnncli.lm.language_model import (
    LanguageModel,
    language_of,
    require_finite,
    settings_of,
    to_arrays,
    to_header,
)
from rnncli.nn.model import Model
from rnncli.nn.optim import RULES
from rnncli.nn.stack import State
from rnncli.training.loop import TrainRun

Array = NDArray[Any]

COUNTERS = {
    "step": int, "epoch": int, "batch": int, "progress": float, "rate_factor": float,
    "rollbacks": int, "since": int, "averaged": int, "best_nats": float, "stale": int,
    "epoch_nats": float, "epoch_tokens": int, "last_epoch_nats": float, "tokens": int,
    "finished": str, "ranks": int, "machine": str,
}  # fmt: skip
EARLIER = {"ranks": 1, "rollbacks": 0, "since": 0, "machine": ""}  # for files that lack them


def save(path: str | Path, language: LanguageModel, run: TrainRun | None = None) -> None:
    """Write a model file, whole or not at all; with `run`, one from which training can go on.

    Parameters that are not finite are a DivergenceError: the file that was there stays.
    """
    if run is None:
        language_model.save(path, language)
        return
    require_finite(language.model)
    require_finite(run.model)
    header, arrays = to_header(language), to_arrays(language)
    header["history"] = run.history
    state = {name: _plain(getattr(run, name)) for name in COUNTERS}
    header["run"] = {"recipe": run.recipe.to_json(), **state}
    arrays["run.params"] = run.model.params.flat
    arrays.update({f"run.slot.{name}": slot for name, slot in run.slots.items()})
    if run.good is not None:
        arrays["run.good"] = run.good
    if run.state is not None:
        arrays["run.state.h"] = run.state.h
        if run.state.c is not None:
            arrays["run.state.c"] = run.state.c
    artefacts.write(path, "model", header, arrays)


def resume(path: str | Path) -> tuple[LanguageModel, TrainRun]:
    """Read a language model and the run that wrote it, which goes on between the same two steps."""
    artefact = artefacts.read(path, "model")
    language = language_of(artefact)
    return language, run_of(artefact, language)


def run_of(artefact: artefacts.Artefact, language: LanguageModel) -> TrainRun:
    """Return the run of a model file that was read already; `language` is its language model."""
    where, arrays = artefact.path, artefact.arrays
    header = artefact.header.get("run")
    if not isinstance(header, dict):
        raise ArtefactError(f"{where}: a model without its run: there is nothing to resume.")
    header = {**EARLIER, **header}
    parent = language.data.get("from", "")
    if not isinstance(parent, str):
        raise ArtefactError(f"{where}: damaged: data is not as it should be.")
    values: dict[str, Any] = {"history": language.history, "parent": parent}
    for name, kind in COUNTERS.items():
        value = header.get(name)
        value = math.inf if kind is float and value is None else value
        if type(value) is not kind or (isinstance(value, (int, float)) and value < 0):
            raise ArtefactError(f"{where}: damaged: run.{name} is not as it should be.")
        values[name] = value
    recipe = settings_of(Recipe, header.get("recipe"), where)
    model = language.model
    vector = _flat(arrays, "run.params", model, where)
    run = TrainRun(Model(model.config, model.params.like(vector)), recipe, **values)
    names = [*RULES[recipe.optimizer].slots, *(["average"] if run.averaged else [])]
    run.slots = {name: _flat(arrays, f"run.slot.{name}", model, where) for name in names}
    if math.isfinite(run.best_nats):
        run.best = model.params.flat
    if "run.good" in arrays:
        run.good = _flat(arrays, "run.good", model, where)
    if run.since > run.step:
        raise ArtefactError(f"{where}: damaged: run.since is not as it should be.")
    if "run.state.h" in arrays:
        h, c = arrays["run.state.h"], arrays.get("run.state.c")
        like = model.zero_state(h.shape[-1] if h.ndim else 0)
        if _kind(h) != _kind(like.h) or _kind(c) != _kind(like.c):
            raise ArtefactError(f"{where}: damaged: the carried state is not that of the model.")
        run.state = State(h, c)
    return run


def _kind(array: Array | None) -> tuple[Any, ...] | None:
    return None if array is None else (array.shape, array.dtype)


def _flat(arrays: Mapping[str, Array], name: str, model: Model, where: str) -> Array:
    like = model.params.flat
    if name not in arrays or arrays[name].shape != like.shape or arrays[name].dtype != like.dtype:
        raise ArtefactError(f"{where}: damaged: {name} is missing or has another size.")
    return arrays[name]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: infinity is null."""
    return None if isinstance(value, float) and math.isinf(value) else value
