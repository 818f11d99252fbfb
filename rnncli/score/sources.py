"""Text to score: lines of a text file, or a split of a data file.

Both give the score of the whole, its parts one after another, the units to paint, and how two
models differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnncli.config.reading import ReadOptions
from rnncli.data.dataset import Dataset, Split
from rnncli.errors import DataError
from rnncli.files.lines import text_lines
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.predictor import Predictor
from rnncli.score.known_entropy import known_entropy
from rnncli.score.score import Score
from rnncli.score.scoring import ScoredText, score, score_split, text_nats, whole_split
from rnncli.score.significance import Difference, bootstrap, compare, document_starts
from rnncli.score.surprisal import Unit, split_units, text_tokens, text_units
from rnncli.text.tokenizer import Tokenizer


class Scorer(NamedTuple):
    """A predictor with the tokenizer that makes its input."""

    predictor: Predictor
    tokenizer: Tokenizer

    @classmethod
    def of(cls, language: LanguageModel) -> Scorer:
        """Return the scorer of a language model."""
        return cls(language.predictor(), language.tokenizer)


class Contest(NamedTuple):
    """Two models on one text."""

    scores: tuple[Score, Score]
    difference: Difference  # in nats a token, or in bits a byte if the vocabularies differ
    parts: str  # what was drawn with replacement, and how many


class Text:
    """A text file; each line is a document, or goes on with the running text."""

    place = "line"

    def __init__(self, path: str, encoding: str = "utf-8") -> None:
        self.path = path
        self.encoding = ReadOptions(encoding=encoding).encoding  # or a ConfigError
        self.name = "standard input" if path == "-" else Path(path).name

    def _lines(self) -> Iterator[str]:
        return text_lines(self.path, self.encoding)

    def _scored(self, scorer: Scorer, lines: Iterable[str]) -> Iterator[ScoredText]:
        predictor, tokenizer = scorer
        texts = (line if tokenizer.is_stream else line.removesuffix("\n") for line in lines)
        return text_nats(predictor, tokenizer, texts, joined=True)

    def parts(self, scorer: Scorer) -> Iterator[tuple[int, ScoredText]]:
        """Yield every line, blank ones too, numbered from 1."""
        return enumerate(self._scored(scorer, self._lines()), 1)

    def names(self, tokenizer: Tokenizer, part: ScoredText) -> list[str]:
        """Return the tokens of a part, unknown ones as they stand in the text."""
        return text_tokens(tokenizer, part.text)

    def score(self, scorer: Scorer) -> Score:
        """Return the score of the whole."""
        scores = (score(scorer.tokenizer, part) for _, part in self.parts(scorer))
        return self._sound(sum(scores, Score()))

    def _sound(self, score: Score) -> Score:
        if not score.tokens:
            raise DataError(f"{self.path}: there is no text to score.")
        return score

    def unseen(self, tokenizer: Tokenizer) -> int | None:
        """Return None: a text does not say how many words there are that it does not hold."""
        return None

    def truth(self, tokenizer: Tokenizer) -> float | None:
        """Return None: of a text the true entropy is not known."""
        return None

    def units(self, tokenizer: Tokenizer) -> Iterator[Unit]:
        """Yield all units, an empty one for a blank line."""
        for line in self._lines():
            text = line if tokenizer.is_stream else line.removesuffix("\n")
            yield from text_units(tokenizer, text) or [Unit(np.empty(0, np.uint32), [])]

    def contest(self, first: Scorer, second: Scorer) -> Contest:
        """Compare line by line; models that cut the text differently have only bytes in common."""
        alike = first.tokenizer.fingerprint == second.tokenizer.fingerprint
        totals, amounts, sizes = [Score(), Score()], [], []
        scored = (
            self._scored(one, lines)
            for one, lines in zip((first, second), tee(self._lines()), strict=True)
        )
        for pair in zip(*scored, strict=True):
            a, b = map(score, (first.tokenizer, second.tokenizer), pair)
            size = max(a.bytes, b.bytes)  # a line end is a byte to a model of running text
            totals = [totals[0] + replace(a, bytes=size), totals[1] + replace(b, bytes=size)]
            if a.tokens or b.tokens:
                amounts.append(a.nats - b.nats if alike else (a.nats - b.nats) / np.log(2))
                sizes.append(a.tokens if alike else size)
        scores = self._sound(totals[0]), self._sound(totals[1])
        difference = bootstrap(np.array(amounts), np.array(sizes))
        return Contest(scores, difference, f"{len(sizes):,} lines")


class Data:
    """A split of a data file."""

    place = "document"

    def __init__(self, path: str | Path, split: str = "test") -> None:
        self.dataset, self.split = Dataset.open(path), split
        self.name = f"{Path(path).name}, split {split}"

    def part(self, tokenizer: Tokenizer, split: str = "") -> Split:
        """Return the split, or another of the same file."""
        found = self.dataset.split_for(tokenizer, split or self.split)
        if len(found.ids) < 2:
            where = f"in its split {split or self.split}"
            raise DataError(f"{self.dataset.path}: there is nothing to predict {where}.")
        return found

    def scored(self, scorer: Scorer, split: str = "") -> ScoredText:
        """Score the split as one piece, or another of the same file."""
        return whole_split(*scorer, self.part(scorer.tokenizer, split))

    def parts(self, scorer: Scorer) -> Iterator[tuple[int, ScoredText]]:
        """Yield every document, by its number in the input, from 1."""
        split, whole = self.part(scorer.tokenizer), self.scored(scorer)
        if not len(split.rows):
            yield 1, ScoredText(whole.ids, whole.nats, whole.ends, 1)
            return
        numbers = np.unique(split.rows) + 1
        for number, (a, b) in zip(numbers.tolist(), pairwise(document_starts(split)), strict=True):
            ends = None if whole.ends is None else whole.ends[a:b]
            yield number, ScoredText(whole.ids[a:b], whole.nats[a:b], ends, 1)

    def names(self, tokenizer: Tokenizer, part: ScoredText) -> list[str]:
        """Return the tokens of a part."""
        return [tokenizer.token(token) for token in part.ids.tolist()]

    def score(self, scorer: Scorer) -> Score:
        """Return the score of the whole."""
        return score_split(*scorer, self.part(scorer.tokenizer))

    def unseen(self, tokenizer: Tokenizer) -> int | None:
        """Return how many words of the corpus have no id, if the file says so."""
        return self.dataset.unseen

    def truth(self, tokenizer: Tokenizer) -> float | None:
        """Return the nats a token of the distribution that the text was drawn from, if known."""
        return known_entropy(tokenizer, self.part(tokenizer).ids)

    def units(self, tokenizer: Tokenizer) -> Iterator[Unit]:
        """Yield all units."""
        return split_units(tokenizer, self.part(tokenizer))

    def contest(self, first: Scorer, second: Scorer) -> Contest:
        """Compare document by document."""
        if first.tokenizer.fingerprint != second.tokenizer.fingerprint:
            raise DataError(
                "the vocabularies of the two models differ, and no data file has both. Compare "
                "them on the text itself: --text."
            )
        split, tokenizer = self.part(first.tokenizer), first.tokenizer
        a, b = self.scored(first), self.scored(second)
        starts = document_starts(split)
        noun = "documents" if len(split.rows) else "blocks of 256 tokens"
        difference = compare(a.nats, b.nats, starts)
        scores = score(tokenizer, a), score(tokenizer, b)
        return Contest(scores, difference, f"{len(starts) - 1:,} {noun}")
