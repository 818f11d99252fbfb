"""Model files: a language model (network, vocabulary, tokenising rule), and the run that goes on.

One .npz: the parameters by name are the best model so far; members `run.*` and the header's part
`run` are what `--resume` needs beside it. Bytes and checks of the container are `artefacts`' work;
this module knows what the members mean.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.config.settings import Settings
from rnncli.errors import ArtefactError, ConfigError, DivergenceError
from rnncli.files import artefact as artefacts
from rnncli.nn.layout import shapes
from rnncli.nn.model import Model
from rnncli.nn.optim import RULES
from rnncli.nn.params import Params
from rnncli.nn.stack import State
from rnncli.text.tokenizer import Tokenizer
from rnncli.version import __version__

if TYPE_CHECKING:
    from rnncli.training.loop import TrainRun

Array = NDArray[Any]
S = TypeVar("S", bound=Settings)

COUNTERS = {
    "step": int, "epoch": int, "batch": int, "progress": float, "rate_factor": float,
    "rollbacks": int, "since": int, "averaged": int, "best_nats": float, "stale": int,
    "epoch_nats": float, "epoch_tokens": int, "last_epoch_nats": float, "tokens": int,
    "finished": str, "ranks": int, "machine": str,
}  # fmt: skip
EARLIER = {"ranks": 1, "rollbacks": 0, "since": 0, "machine": ""}  # for files that lack them
ROWS = (  # of the history: a validation, a rollback
    {"step": int, "epoch": int, "train": float, "valid": float},
    {"step": int, "epoch": int, "rollback": int, "rate_factor": float},
)


@dataclass
class LanguageModel:
    """A network with the tokenizer that makes its input.

    carried: the network was trained with its state carried from unit to unit.
    data: what it was trained on: {"hash", "sources"}.
    """

    model: Model
    tokenizer: Tokenizer
    carried: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def __repr__(self) -> str:
        config, tokenizer = self.model.config, self.tokenizer
        layers = f"{config.layers} x {config.hidden}" if config.layers > 1 else f"{config.hidden}"
        return (
            f"<LanguageModel {config.cell} {layers}, {len(tokenizer):,} tokens "
            f"{tokenizer.signature}, {self.model.params.flat.size:,} parameters>"
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of vocabulary and parameters: it tells one language model from another."""
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        digest.update(np.ascontiguousarray(self.model.params.flat).data)
        return digest.hexdigest()


def save(path: str | Path, language: LanguageModel, run: TrainRun | None = None) -> None:
    """Write a model file, whole or not at all; with `run`, one from which training can go on.

    Parameters that are not finite are a DivergenceError: the file that was there stays.
    """
    for model in (language.model, language.model if run is None else run.model):
        if not np.isfinite(model.params.flat).all():
            raise DivergenceError("the parameters are no longer finite. Use a smaller --lr.")
    header = to_header(language)
    arrays: dict[str, Array] = dict(language.tokenizer.to_arrays())
    arrays.update(language.model.params)
    if run is not None:
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


def to_header(language: LanguageModel) -> dict[str, Any]:
    """All but the arrays: what the JSON of a file says of a language model."""
    return {
        "writer": f"rnncli {__version__}",
        "tokenizer": language.tokenizer.to_header(),
        "config": language.model.config.to_json(),
        "carried": language.carried,
        "data": language.data,
        "history": language.history,
    }


def load(path: str | Path) -> LanguageModel:
    """The language model of a file; raises ArtefactError naming it when anything does not fit."""
    return language_of(artefacts.read(path, "model"))


def resume(path: str | Path) -> tuple[LanguageModel, TrainRun]:
    """The language model of a file and the run that wrote it, between the same two steps."""
    artefact = artefacts.read(path, "model")
    language = language_of(artefact)
    return language, run_of(artefact, language)


def language_of(artefact: artefacts.Artefact) -> LanguageModel:
    """The language model of a model file that was read already."""
    return from_parts(artefact.header, artefact.arrays, artefact.path)


def run_of(artefact: artefacts.Artefact, language: LanguageModel) -> TrainRun:
    """The run of a model file that was read already; `language` is the language model in it."""
    from rnncli.training.loop import TrainRun  # not needed to read a model

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
    recipe = _settings(Recipe, header.get("recipe"), where)
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


def from_parts(header: Mapping[str, Any], arrays: Mapping[str, Array], where: str) -> LanguageModel:
    """The language model of a header and of arrays: vocabulary and parameters by their names.

    Raises ArtefactError, naming `where`, when anything does not fit.
    """
    tokenizer = Tokenizer.from_artefact(header, arrays, where)
    config = _settings(Config, header.get("config"), where)
    if config.inputs != len(tokenizer) or not config.is_language_model:
        raise ArtefactError(f"{where}: damaged: network and vocabulary do not belong together.")
    layout = shapes(config)
    dtype = next((arrays[name].dtype for name in layout if name in arrays), np.dtype(np.float32))
    for name, shape in layout.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ArtefactError(f"{where}: damaged: parameter {name} is missing or not {shape}.")
        if dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise ArtefactError(f"{where}: damaged: parameter {name} holds no finite numbers.")
    params = Params(layout, dtype)
    for name, values in params.items():
        values[:] = arrays[name]
    history, data = header.get("history"), header.get("data")
    if not (isinstance(data, dict) and isinstance(history, list) and all(map(_is_row, history))):
        raise ArtefactError(f"{where}: damaged: history or data is not as it should be.")
    carried = header.get("carried") is True
    return LanguageModel(Model(config, params), tokenizer, carried, data, history)


def _settings(kind: type[S], values: Any, where: str) -> S:
    if not isinstance(values, dict):
        raise ArtefactError(f"{where}: damaged: the {kind.__name__.lower()} is missing.")
    try:
        return kind.from_json(values)
    except ConfigError as error:
        raise ArtefactError(f"{where}: damaged: {error}") from None


def _is_row(row: Any) -> bool:
    """Whether this is a line of the history."""
    return isinstance(row, dict) and any(
        all(type(row.get(name)) is kind for name, kind in kinds.items()) for kinds in ROWS
    )


def _kind(array: Array | None) -> tuple[Any, ...] | None:
    return None if array is None else (array.shape, array.dtype)


def _flat(arrays: Mapping[str, Array], name: str, model: Model, where: str) -> Array:
    like = model.params.flat
    if name not in arrays or arrays[name].shape != like.shape or arrays[name].dtype != like.dtype:
        raise ArtefactError(f"{where}: damaged: {name} is missing or has another size.")
    return arrays[name]


def _plain(value: Any) -> Any:
    """JSON has no infinity: it is written as null."""
    return None if isinstance(value, float) and math.isinf(value) else value
