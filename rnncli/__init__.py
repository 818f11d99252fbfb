"""Recurrent language models in NumPy: train, write, score. See `rnncli.api` and `rnncli.nn`.

The names below are imported when they are first used, so that `import rnncli` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rnncli.api import evaluate, generate, load, save, train
    from rnncli.checkpoint import LanguageModel
    from rnncli.config import Config, Recipe
    from rnncli.dataset import Dataset
    from rnncli.nn.model import Model
    from rnncli.tokenizer import Tokenizer

_PLACES = {
    "Config": "config", "Dataset": "dataset", "LanguageModel": "checkpoint", "Model": "nn.model",
    "Recipe": "config", "Tokenizer": "tokenizer", "evaluate": "api", "generate": "api",
    "load": "api", "save": "api", "train": "api",
}  # fmt: skip

__all__ = [
    "Config", "Dataset", "LanguageModel", "Model", "Recipe", "Tokenizer", "evaluate", "generate",
    "load", "save", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'rnncli' has no attribute {name!r}")
    return getattr(import_module(f"rnncli.{_PLACES[name]}"), name)
