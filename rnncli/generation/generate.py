"""`rnncli.generate`: texts that a language model writes."""

from __future__ import annotations

from typing import Any

from rnncli.generation import sampling
from rnncli.generation.filters import Filters
from rnncli.generation.text import Sample
from rnncli.lm.language_model import LanguageModel


def generate(language: LanguageModel, prefix: str = "", **options: Any) -> list[Sample]:
    """Return texts that the model writes after `prefix`; options of `sampling.generate`.

    Those of `Filters` (temperature, top_k, ...) may stand among them.
    """
    names = Filters.__dataclass_fields__
    filters = Filters(**{k: options.pop(k) for k in list(options) if k in names})
    model, tokenizer = language.model, language.tokenizer
    return list(sampling.generate(model, tokenizer, prefix, filters=filters, **options))
