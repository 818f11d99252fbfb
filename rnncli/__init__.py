"""Recurrent language models in NumPy: train, write, score.

See `rnncli.training.session`, and the engine: `rnncli.nn`.

The names below are imported when they are first used, so that `import rnncli` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnncli.version import __version__ as __version__

if TYPE_CHECKING:
    from rnncli.config.network import Config
    from rnncli.config.recipe import Recipe
    from rnncli.data.dataset import Dataset
    from rnncli.lm.language_model import LanguageModel
    from rnncli.nn.model import Model
    from rnncli.text.tokenizer import Tokenizer
    from rnncli.training.session import evaluate, generate, load, save, train

_PLACES = {
    "Config": "config.network",
    "Dataset": "data.dataset",
    "LanguageModel": "lm.language_model",
    "Model": "nn.model",
    "Recipe": "config.recipe",
    "Tokenizer": "text.tokenizer",
    "evaluate": "training.session",
    "generate": "training.session",
    "load": "training.session",
    "save": "training.session",
    "train": "training.session",
}

__all__ = [
    "Config", "Dataset", "LanguageModel", "Model", "Recipe", "Tokenizer", "evaluate", "generate",
    "load", "save", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'rnncli' has no attribute {name!r}")
    return getattr(import_module(f"rnncli.{_PLACES[name]}"), name)
