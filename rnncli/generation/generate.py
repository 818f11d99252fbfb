"""`rnncli.generate`: texts that a language model writes."""

from __future__ import annotations

from typing import Any

from rnncli.generation import sampling
from rnncli.generation.text import Sample
from rnncli.lm.language_model import LanguageModel


def generate(
    language: LanguageModel, prefix: str = "", *, threads: int = 1, **options: Any
) -> list[Sample]:
    """Return texts that the model writes after `prefix`; options of `sampling.generate`.

    Those of `Filters` (temperature, top_k, ...) and `Constraints` (length, ...) are among them.
    """
    predictor = language.predictor(threads)
    drawn = sampling.generate(predictor, language.tokenizer, prefix, threads=threads, **options)
    return list(drawn)
