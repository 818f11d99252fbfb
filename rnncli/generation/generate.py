"""`rnncli.generate`: texts that a language model writes."""

from __future__ import annotations

from collections.abc import Sequence

from rnncli.config.settings import spelled
from rnncli.config.writing import Constraints, Filters
from rnncli.generation import sampling
from rnncli.generation.text import Sample
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.mixture import with_others


@spelled
def generate(
    language: LanguageModel,
    prefix: str | Sequence[str] = "",
    *,
    num: int = 1,
    seed: int = 0,
    temperature: float = Filters.temperature,
    top_k: int = Filters.top_k,
    top_p: float = Filters.top_p,
    min_p: float = Filters.min_p,
    typical: float = Filters.typical,
    repetition: float = Filters.repetition,
    no_repeat: int = Filters.no_repeat,
    length: int | None = Constraints.length,
    min_length: int = Constraints.min_length,
    stop_at_end: bool = Constraints.stop_at_end,
    stop: Sequence[str] = Constraints.stop,
    stop_regex: str = Constraints.stop_regex,
    allow_unk: bool = Constraints.allow_unk,
    ban: Sequence[str] = Constraints.ban,
    match: str = Constraints.match,
    must_include: Sequence[str] = Constraints.must_include,
    tries: int = Constraints.tries,
    mix: Sequence[tuple[LanguageModel, float]] = (),
    batch: int = 64,
    threads: int = 1,
) -> list[Sample]:
    """Write texts after a prefix, or `num` after each of several.

    The settings are those of `Filters` and `Constraints`, which explain them; the same seed gives
    the same texts, those of `rnncli sample`. `batch` texts are written at a time; `threads` share
    the work of large models. `mix` has other models over the same vocabulary, each with its share.
    """
    for other, _ in mix:
        language.tokenizer.require(other.tokenizer, "a model of mix")
    others = [(other.predictor(threads), share) for other, share in mix]
    drawn = sampling.generate(
        with_others(language.predictor(threads), others), language.tokenizer, prefix, num=num,
        filters=Filters(temperature, top_k, top_p, min_p, typical, repetition, no_repeat),
        constraints=Constraints(
            length, min_length, stop_at_end, allow_unk, ban, stop, stop_regex, match, must_include,
            tries,
        ),
        seed=seed, batch=batch, threads=threads,
    )  # fmt: skip
    return list(drawn)
