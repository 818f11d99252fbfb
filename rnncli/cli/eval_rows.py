"""`rnncli eval --per`: a row a line, a document or a token, as text or as JSON.

Rows are made and written as the text comes: memory does not grow with their number.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from rnncli.cli.sources import Data, Text
from rnncli.cli.terminal import json_line
from rnncli.errors import shown
from rnncli.lm.language_model import LanguageModel
from rnncli.score.scoring import Score, ScoredText, score_told

Row = dict[str, Any]


def rows(source: Text | Data, language: LanguageModel, per: str, base: float) -> Iterator[Row]:
    """The rows of a source; to a model of running text all lines are one document."""
    unit, total = math.log(base), Score()
    whole = per == "document" and language.tokenizer.bos is None
    for number, part in source.parts(language):
        if per == "token":
            yield from _tokens(source, language, part, {source.place: number}, unit)
            continue
        score = score_told(language.tokenizer, part)
        if whole:
            total += score
        elif per == "line" or part.units:
            yield {source.place: number, **_figures(score, unit)}
    if whole:
        yield {source.place: 1, **_figures(total, unit)}


def _tokens(
    source: Text | Data, language: LanguageModel, part: ScoredText, place: Row, unit: float
) -> Iterator[Row]:
    tokenizer = language.tokenizer
    names = source.names(tokenizer, part)
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


def write(found: Iterable[Row], per: str, as_json: bool) -> None:
    """Print each row on a line: JSON, or the values with tabs between them.

    The row of a line is known by its place: its number stands in the JSON alone.
    """
    hidden = {"perplexity", "line"} if per == "line" else {"perplexity"}
    for row in found:
        sys.stdout.write((_json(row) if as_json else _tsv(row, hidden)) + "\n")


def _json(row: Row) -> str:
    odd = [name for name, value in row.items() if value != value or value in (math.inf, -math.inf)]
    return json_line({**row, **dict.fromkeys(odd)})


def _tsv(row: Row, hidden: Collection[str]) -> str:
    return "\t".join(_cell(value) for name, value in row.items() if name not in hidden)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.12g}" if isinstance(value, float) else shown(value, 1 << 20)
