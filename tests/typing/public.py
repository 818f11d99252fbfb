"""What a user writes, as mypy sees it: every line is checked with the package, none is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

import rnncli


def learn(data: Path) -> rnncli.LanguageModel:
    """Train, go on, save and load."""
    language = rnncli.train(data, preset="words", hidden=64, max_time="60s")
    assert_type(language, rnncli.LanguageModel)
    assert_type(rnncli.resume("model.npz", data, max_steps=100), rnncli.LanguageModel)
    rnncli.save("model.npz", language)
    rnncli.train(data, presett="words", thread="two")  # settings are checked when it runs
    rnncli.train(data, threads="two")  # type: ignore[arg-type]
    return rnncli.load("model.npz")


def write(language: rnncli.LanguageModel) -> Sequence[str]:
    """Write texts."""
    samples = rnncli.generate(language, "The", num=3, temperature=0.8, stop=["."])
    rnncli.generate(language, temprature=0.8)  # type: ignore[call-arg]
    rnncli.generate(language, temperature="hot")  # type: ignore[arg-type]
    return [sample.text for sample in samples]


def score(language: rnncli.LanguageModel, dataset: rnncli.Dataset) -> float:
    """Score a split and texts."""
    assert_type(rnncli.evaluate(language, dataset), rnncli.Score)
    try:
        return rnncli.evaluate(language, ["a text", "another"]).perplexity
    except (rnncli.DataError, rnncli.ConfigError) as error:
        raise rnncli.RnncliError(str(error)) from error


def settings() -> tuple[rnncli.Config, rnncli.Recipe, rnncli.Filters, rnncli.Constraints]:
    """Make settings."""
    rnncli.Config(50, hiden=3)  # type: ignore[call-arg]
    return rnncli.Config(50), rnncli.Recipe(lr=0.1), rnncli.Filters(0.8), rnncli.Constraints(9)
