"""`rnncli.generate`: texts that a language model writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncli.generation import sampling
from rnncli.generation.text import Sample
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.mixture import with_others


def generate(
    language: LanguageModel,
    prefix: str | Sequence[str] = "",
    *,
    threads: int = 1,
    mix: Sequence[tuple[LanguageModel, float]] = (),
    **options: Any,
) -> list[Sample]:
    """Return texts that a model writes after `prefix`; options of `sampling.generate`.

    Those of `Filters` (temperature, top_k, ...) and `Constraints` (length, ...) are among them.
    `mix` gives other models of the same vocabulary a share of each probability. `threads` share the
    work of large models, to the same text.
    """
    for other, _ in mix:
        language.tokenizer.require(other.tokenizer, "a model of mix")
    others = [(other.predictor(threads), share) for other, share in mix]
    predictor = with_others(language.predictor(threads), others)
    drawn = sampling.generate(predictor, language.tokenizer, prefix, threads=threads, **options)
    return list(drawn)
