"""What `rnncli eval` scores: lines of a text, or a split of a data file.

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
from rnncli.score.baselines import Difference, bootstrap, compare, document_starts
from rnncli.score.scoring import Score, ScoredText, score_nats, score_told, text_nats, token_nats
from rnncli.score.surprisal import Unit, split_units, text_tokens, text_units
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import session


class Contest(NamedTuple):
    """Two models on one text."""

    scores: tuple[Score, Score]
    difference: Difference  # in nats a token, or in bits a byte if the vocabularies differ
    parts: str  # what was drawn anew, and how many


class Text:
    """A text file; each line is a document, or goes on with the running text."""

    place = "line"

    def __init__(self, path: str, encoding: str) -> None:
        self.path = path
        self.encoding = ReadOptions(encoding=encoding).encoding  # or a ConfigError
        self.name = "standard input" if path == "-" else Path(path).name

    def _lines(self) -> Iterator[str]:
        return text_lines(self.path, self.encoding)

    def _told(self, language: LanguageModel, lines: Iterable[str]) -> Iterator[ScoredText]:
        stream = language.tokenizer.bos is None
        texts = (line if stream else line.removesuffix("\n") for line in lines)
        carried = stream or language.carried
        return text_nats(language.model, language.tokenizer, texts, carried=carried)

    def parts(self, language: LanguageModel) -> Iterator[tuple[int, ScoredText]]:
        """Every line, blank ones too, numbered from 1."""
        return enumerate(self._told(language, self._lines()), 1)

    def names(self, tokenizer: Tokenizer, part: ScoredText) -> list[str]:
        """The tokens of a part, unknown ones as they stand in the text."""
        return text_tokens(tokenizer, part.text)

    def score(self, language: LanguageModel) -> Score:
        """The score of the whole."""
        total = Score()
        for _, part in self.parts(language):
            total += score_told(language.tokenizer, part)
        return self._sound(total)

    def _sound(self, score: Score) -> Score:
        if not score.tokens:
            raise DataError(f"{self.path}: there is no text to score.")
        return score

    def unseen(self, language: LanguageModel) -> int | None:
        """A text does not say how many words there are that it does not hold."""
        return None

    def truth(self, language: LanguageModel) -> float | None:
        """The nats a token of the distribution that the text was drawn from, if it is known."""
        return None

    def units(self, language: LanguageModel) -> Iterator[Unit]:
        """All units, an empty one for a blank line."""
        tokenizer = language.tokenizer
        for line in self._lines():
            text = line if tokenizer.bos is None else line.removesuffix("\n")
            yield from text_units(tokenizer, text) or [Unit(np.empty(0, np.uint32), [])]

    def contest(self, first: LanguageModel, second: LanguageModel) -> Contest:
        """Line by line; only bytes are the same for models that cut the text in other ways."""
        alike = first.tokenizer.fingerprint == second.tokenizer.fingerprint
        totals, amounts, sizes = [Score(), Score()], [], []
        told = (
            self._told(m, lines)
            for m, lines in zip((first, second), tee(self._lines()), strict=True)
        )
        for pair in zip(*told, strict=True):
            a, b = map(score_told, (first.tokenizer, second.tokenizer), pair)
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

    def __init__(self, path: str, split: str) -> None:
        self.dataset, self.split = Dataset.open(path), split
        self.name = f"{Path(path).name}, split {split}"

    def part(self, language: LanguageModel, split: str = "") -> Split:
        """The split, or another of the same file."""
        found = self.dataset.split_for(language.tokenizer, split or self.split)
        if len(found.ids) < 2:
            where = f"in its split {split or self.split}"
            raise DataError(f"{self.dataset.path}: there is nothing to predict {where}.")
        return found

    def nats(self, language: LanguageModel, split: str = "") -> np.ndarray:
        """The nats of each id of the split, or of another."""
        part = self.part(language, split)
        return token_nats(language.model, language.tokenizer, part, carried=language.carried)

    def parts(self, language: LanguageModel) -> Iterator[tuple[int, ScoredText]]:
        """Every document, by its number in the input, from 1."""
        split, nats = self.part(language), self.nats(language)
        if not len(split.rows):
            yield 1, ScoredText("", 1, np.asarray(split.ids), nats)
            return
        numbers = np.unique(split.rows) + 1
        for number, (a, b) in zip(numbers.tolist(), pairwise(document_starts(split)), strict=True):
            yield number, ScoredText("", 1, np.asarray(split.ids[a:b]), nats[a:b])

    def names(self, tokenizer: Tokenizer, part: ScoredText) -> list[str]:
        """The tokens of a part."""
        return [tokenizer.token(token) for token in part.ids.tolist()]

    def score(self, language: LanguageModel) -> Score:
        """The score of the whole."""
        self.part(language)
        return session.evaluate(language, self.dataset, self.split)

    def unseen(self, language: LanguageModel) -> int | None:
        """How many words of the corpus have no id."""
        return self.dataset.unseen

    def truth(self, language: LanguageModel) -> float | None:
        """The nats a token of the distribution that the text was drawn from, if it is known."""
        from rnncli.score.known_entropy import known_entropy

        return known_entropy(language.tokenizer, self.part(language).ids)

    def units(self, language: LanguageModel) -> Iterator[Unit]:
        """All units."""
        return split_units(language.tokenizer, self.part(language))

    def contest(self, first: LanguageModel, second: LanguageModel) -> Contest:
        """Document by document."""
        if first.tokenizer.fingerprint != second.tokenizer.fingerprint:
            raise DataError(
                "the vocabularies of the two models differ, and no data file has both. Compare "
                "them on the text itself: --text."
            )
        split, tokenizer = self.part(first), first.tokenizer
        a, b = self.nats(first), self.nats(second)
        starts = document_starts(split)
        scores = score_nats(tokenizer, split, a), score_nats(tokenizer, split, b)
        noun = "documents" if len(split.rows) else "blocks of 256 tokens"
        return Contest(scores, compare(a, b, starts), f"{len(starts) - 1:,} {noun}")
