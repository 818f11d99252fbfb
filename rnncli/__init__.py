"""Recurrent language models in NumPy: train, write, score.

The engine is `rnncli.nn`.

The names below are imported when they are first used, so that `import rnncli` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnncli.version import __version__ as __version__

if TYPE_CHECKING:
    from rnncli.config.settings import Config, Recipe
    from rnncli.data.dataset import Dataset
    from rnncli.generation.generate import generate
    from rnncli.lm.language_model import LanguageModel, load
    from rnncli.nn.model import Model
    from rnncli.score.evaluate import evaluate
    from rnncli.text.tokenizer import Tokenizer
    from rnncli.training.checkpoint import save
    from rnncli.training.session import train

_PLACES = {
    "Config": "config.settings",
    "Dataset": "data.dataset",
    "LanguageModel": "lm.language_model",
    "Model": "nn.model",
    "Recipe": "config.settings",
    "Tokenizer": "text.tokenizer",
    "evaluate": "score.evaluate",
    "generate": "generation.generate",
    "load": "lm.language_model",
    "save": "training.checkpoint",
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
