"""A language model: a network with its vocabulary and pre-tokenizer, and the file that holds it.

A model file is an .npz: a header of JSON, and the parameters by name. `rnncli.files` knows its
bytes and checks them; this module knows what its members mean. `rnncli.training.checkpoint` adds
the run that `--resume` goes on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.config.settings import Settings
from rnncli.errors import ArtefactError, ConfigError, DivergenceError
from rnncli.files import artefact as artefacts
from rnncli.lm.network import Network
from rnncli.nn.layout import shapes
from rnncli.nn.model import Model
from rnncli.nn.params import Params
from rnncli.text.tokenizer import Tokenizer
from rnncli.version import __version__

Array = NDArray[Any]
S = TypeVar("S", bound=Settings)

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

    def predictor(self, threads: int = 1) -> Network:
        """Return the network as what writes and scores text; threads share its largest products."""
        return Network(self.model, self.carried, threads)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of vocabulary and parameters: it tells one language model from another."""
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        digest.update(np.ascontiguousarray(self.model.params.flat).data)
        return digest.hexdigest()


def save(path: str | Path, language: LanguageModel) -> None:
    """Write a model file, whole or not at all.

    Parameters that are not finite are a DivergenceError: the file that was there stays.
    """
    require_finite(language.model)
    artefacts.write(path, "model", to_header(language), to_arrays(language))


def require_finite(model: Model) -> None:
    """Raise a DivergenceError unless all parameters are finite numbers."""
    if not np.isfinite(model.params.flat).all():
        raise DivergenceError("the parameters are no longer finite. Use a smaller --lr.")


def to_arrays(language: LanguageModel) -> dict[str, Array]:
    """Return the arrays of a model file by name: the vocabulary and the parameters."""
    return {**language.tokenizer.to_arrays(), **language.model.params}


def to_header(language: LanguageModel) -> dict[str, Any]:
    """Return the header of a model file: all that is not an array."""
    return {
        "writer": f"rnncli {__version__}",
        "tokenizer": language.tokenizer.to_header(),
        "config": language.model.config.to_json(),
        "carried": language.carried,
        "data": language.data,
        "history": language.history,
    }


def load(path: str | Path) -> LanguageModel:
    """Read a language model; raise an ArtefactError that names the file when anything is wrong."""
    return language_of(artefacts.read(path, "model"))


def language_of(artefact: artefacts.Artefact) -> LanguageModel:
    """Return the language model of a model file that was read already."""
    return from_parts(artefact.header, artefact.arrays, artefact.path)


def from_parts(header: Mapping[str, Any], arrays: Mapping[str, Array], where: str) -> LanguageModel:
    """Return the language model of a header and of arrays: vocabulary and parameters by name.

    Raises ArtefactError, naming `where`, when anything does not fit.
    """
    tokenizer = Tokenizer.from_artefact(header, arrays, where)
    config = settings_of(Config, header.get("config"), where)
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


def settings_of(kind: type[S], values: Any, where: str) -> S:
    """Return the settings that a header holds; raise an ArtefactError that names `where`."""
    if not isinstance(values, dict):
        raise ArtefactError(f"{where}: damaged: the {kind.__name__.lower()} is missing.")
    try:
        return kind.from_json(values)
    except ConfigError as error:
        raise ArtefactError(f"{where}: damaged: {error}") from None


def _is_row(row: Any) -> bool:
    """Return whether this is a line of the history."""
    return isinstance(row, dict) and any(
        all(type(row.get(name)) is kind for name, kind in kinds.items()) for kinds in ROWS
    )
