"""A row of figures for each line, document or token of a text.

Rows are made as the text comes: memory does not grow with their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rnncli.score.score import Score
from rnncli.score.scoring import ScoredText, score
from rnncli.score.sources import Data, Scorer, Text
from rnncli.text.tokenizer import Tokenizer

Row = dict[str, Any]


def rows(source: Text | Data, scorer: Scorer, per: str, base: float = math.e) -> Iterator[Row]:
    """Yield the rows of a source, `per` line, document or token; logarithms are to the `base`.

    To a model of running text all lines are one document.
    """
    tokenizer, unit, total = scorer.tokenizer, math.log(base), Score()
    one = per == "document" and tokenizer.is_stream
    for number, part in source.parts(scorer):
        if per == "token":
            names = source.names(tokenizer, part)
            yield from _tokens(tokenizer, part, names, {source.place: number}, unit)
            continue
        figures = score(tokenizer, part)
        if one:
            total += figures
        elif per == "line" or part.units:
            yield {source.place: number, **_figures(figures, unit)}
    if one:
        yield {source.place: 1, **_figures(total, unit)}


def _tokens(
    tokenizer: Tokenizer, part: ScoredText, names: list[str], place: Row, unit: float
) -> Iterator[Row]:
    for token, nats, name in zip(part.ids.tolist(), part.nats.tolist(), names, strict=True):
        if not math.isnan(nats):
            yield {
                **place,
                "token": tokenizer.pretokenizer.row.spelled(name),
                "logprob": 0 - nats / unit,
                "oov": token == tokenizer.unk,
            }


def _figures(score: Score, unit: float) -> Row:
    return {"logprob": 0 - score.nats / unit, "tokens": score.tokens, "oov": score.oov,
            "perplexity": score.perplexity}  # fmt: skip
