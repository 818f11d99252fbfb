"""Recurrent language models in NumPy: train, write, score.

`train` makes a `LanguageModel` of a data file, `load` and `save` read and write it, `generate`
writes text with it, `evaluate` scores it, `resume` goes on with its training. `rnncli.nn` is the
engine. All that goes wrong by a mistake of the caller is a `RnncliError`.

The names below are imported when they are first used, so that `import rnncli` costs nothing.
"""

import os as _os
from importlib import import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from rnncli.version import __version__ as __version__

if TYPE_CHECKING:
    from rnncli.config.network import Config as Config
    from rnncli.config.recipe import Recipe as Recipe
    from rnncli.config.writing import Constraints as Constraints
    from rnncli.config.writing import Filters as Filters
    from rnncli.data.dataset import Dataset as Dataset
    from rnncli.errors import ArtefactError as ArtefactError
    from rnncli.errors import ChangedError as ChangedError
    from rnncli.errors import ConfigError as ConfigError
    from rnncli.errors import DataError as DataError
    from rnncli.errors import DivergenceError as DivergenceError
    from rnncli.errors import MissingExtra as MissingExtra
    from rnncli.errors import RnncliError as RnncliError
    from rnncli.generation.generate import generate as generate
    from rnncli.lm.language_model import LanguageModel as LanguageModel
    from rnncli.lm.language_model import load as load
    from rnncli.nn.model import Model as Model
    from rnncli.score.evaluate import evaluate as evaluate
    from rnncli.score.score import Score as Score
    from rnncli.text.tokenizer import Tokenizer as Tokenizer
    from rnncli.training.checkpoint import save as save
    from rnncli.training.resume import resume as resume
    from rnncli.training.session import train as train

_PLACES = {  # each name, and the module that it is imported from
    "ArtefactError": "errors",
    "ChangedError": "errors",
    "Config": "config.network",
    "ConfigError": "errors",
    "Constraints": "config.writing",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "DivergenceError": "errors",
    "Filters": "config.writing",
    "LanguageModel": "lm.language_model",
    "MissingExtra": "errors",
    "Model": "nn.model",
    "Recipe": "config.recipe",
    "RnncliError": "errors",
    "Score": "score.score",
    "Tokenizer": "text.tokenizer",
    "evaluate": "score.evaluate",
    "generate": "generation.generate",
    "load": "lm.language_model",
    "resume": "training.resume",
    "save": "training.checkpoint",
    "train": "training.session",
}

__all__ = [*_PLACES]


def _rooms() -> list[str]:
    """List the modules and packages of rnncli."""
    folder = _os.path.dirname(__file__)
    names = [name for name in _os.listdir(folder) if not name.startswith("_")]
    packages = [name for name in names if _os.path.isfile(f"{folder}/{name}/__init__.py")]
    return sorted([*packages, *(name[:-3] for name in names if name.endswith(".py"))])


def __getattr__(name: str) -> _Any:
    if name in _PLACES:
        return getattr(import_module(f"rnncli.{_PLACES[name]}"), name)
    if not name.startswith("_") and name in _rooms():
        return import_module(f"rnncli.{name}")
    raise AttributeError(f"module 'rnncli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_PLACES, *_rooms()])
