"""`rnncli.evaluate`: the score of a language model on a split of a data file, or on texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rnncli.data.dataset import Dataset
from rnncli.errors import DataError
from rnncli.lm.language_model import LanguageModel
from rnncli.nn.threads import one_blas_thread
from rnncli.score.scoring import Score, score_split, score_texts


@one_blas_thread()
def evaluate(
    language: LanguageModel, data: str | Path | Dataset | Iterable[str], split: str = "test"
) -> Score:
    """The score of a language model on a split of a data file, or on texts.

    A str or a Path is the path of a data file; texts come as any other iterable of strings.
    """
    if isinstance(data, (str, Path)):
        data = Dataset.open(data)
    if not isinstance(data, Dataset):
        total: Score | None = None
        for score in score_texts(
            language.model, language.tokenizer, data, carried=language.carried
        ):
            total = score if total is None else total + score
        if total is None or not total.tokens:
            raise DataError("there is no text to score.")
        return total
    part = data.split_for(language.tokenizer, split)
    return score_split(language.model, language.tokenizer, part, carried=language.carried)
