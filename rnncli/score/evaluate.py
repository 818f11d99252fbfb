"""`rnncli.evaluate`: the score of a language model on a split of a data file, or on texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rnncli.data.dataset import Dataset
from rnncli.errors import DataError
from rnncli.lm.language_model import LanguageModel
from rnncli.nn.threads import one_blas_thread
from rnncli.score.score import Score
from rnncli.score.scoring import score_split, score_texts


@one_blas_thread()
def evaluate(
    language: LanguageModel, data: str | Path | Dataset | Iterable[str], split: str = "test"
) -> Score:
    """Return the score of a language model on a split of a data file, or on texts.

    A str or a Path is the path of a data file; texts come as any other iterable of strings.
    """
    predictor, tokenizer = language.predictor(), language.tokenizer
    if isinstance(data, (str, Path)):
        data = Dataset.open(data)
    if isinstance(data, Dataset):
        return score_split(predictor, tokenizer, data.split_for(tokenizer, split))
    total = sum(score_texts(predictor, tokenizer, data), Score())
    if not total.tokens:
        raise DataError("there is no text to score.")
    return total
