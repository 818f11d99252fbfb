"""What a model is compared with: predictors that only count."""

from __future__ import annotations

import numpy as np

from rnncli.data.dataset import Split
from rnncli.lm.ngram import KneserNey
from rnncli.lm.predictor import Predictor, Unigram
from rnncli.text.tokenizer import Tokenizer

BASELINES = ("uniform", "unigram", "kn2", "kn3", "kn4", "kn5")


def baseline(name: str, tokenizer: Tokenizer, train: Split) -> Predictor:
    """Return one of `BASELINES`: alike for all tokens, by frequency, or counted on a split.

    `unigram` takes the frequencies of the vocabulary, one added to each. <s> never comes.
    """
    if name.startswith("kn"):
        order = int(name.removeprefix("kn"))
        return KneserNey.train(train.ids, train.starts, len(tokenizer), tokenizer.bos, order)
    weights = tokenizer.vocabulary.counts + 1.0 if name == "unigram" else np.ones(len(tokenizer))
    if not tokenizer.is_stream:
        weights[tokenizer.bos] = 0
    return Unigram(weights)
