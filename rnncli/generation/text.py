"""A text and what it is written after: the prefix as it was read, the text as it grows, the sample.

This is plain data; `rnncli.generation.sampling` writes.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.generation.pattern import Pattern
from rnncli.lm.predictor import State
from rnncli.text.levels import Decoder
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

AHEAD = 32  # random numbers that are drawn together


@dataclass
class Sample:
    """One text that a model wrote: the prefix is no part of it."""

    ids: list[int]  # all that was drawn, a closing </s> too
    text: str
    logprob: float  # nats, under the model's own distribution, without filters; NaN unscored
    token_logprobs: list[float]
    stopped: str  # "end" (</s>), "length", "stop" or "match"
    body: list[int] = field(default_factory=list)  # the ids that stand whole in `text`
    start: Start | None = field(default=None, repr=False, compare=False)  # what it follows

    def rescored(self, logprobs: Sequence[float]) -> Sample:
        """Return the sample with other log-probabilities of its tokens."""
        return replace(self, logprob=math.fsum(logprobs), token_logprobs=[*logprobs])


@dataclass(frozen=True)
class Prefix:
    """What a text is written after, as a model reads it."""

    text: str
    ids: list[int]  # one or more
    known: list[int]  # those that are text: not <s>, or what stands for it
    unknown: list[str]  # tokens that are read as <unk>


def read_prefix(tokenizer: Tokenizer, text: str) -> Prefix:
    """Cut the text before a sample into ids.

    A document starts at <s>; of several sentences the last is what a sentence model goes on from. A
    stream without a prefix goes on from the newline, or else the most frequent token.

    Example: "the zebra" -> ids [1, 5, 0], known [5, 0], unknown ["zebra"].
    """
    rule, vocabulary = tokenizer.pretokenizer, tokenizer.vocabulary
    part = (rule.units(text) or [""])[-1] if rule.unit == "sentence" else text
    known: list[int] = tokenizer.encode(part).tolist()
    unknown = []
    if tokenizer.unk in known:
        unknown = [token for token in rule.tokens(part) if token not in vocabulary.index]
    ids = tokenizer.wrap(np.array(known, np.uint32)).tolist()
    if not tokenizer.is_stream:
        ids.pop()  # the unit goes on: no </s>
    elif not ids:
        counts = vocabulary.counts.copy()
        counts[tokenizer.unk] = -1
        ids = [vocabulary.index.get("\n", int(counts.argmax()))]
    return Prefix(text, ids, known, unknown)


@dataclass
class Start:
    """A prefix that a predictor has read."""

    prefix: Prefix
    before: State  # after all ids but the last
    decoder: Decoder  # with all of it behind
    after_space: bool  # it ends in white space: the first piece of a text needs none
    logits: Array  # (1, V), after it
    state: State  # after all of it
    precise: State | None = None  # after all ids but the last, in float64

    @cached_property
    def name(self) -> int:
        """A number for the ids, in the names of the random streams of the texts after them."""
        return zlib.crc32(np.asarray(self.prefix.ids, "<u4").tobytes())


@dataclass
class Text:
    """A text that is being written: ids as they come, decoded when somebody looks."""

    start: Start
    rng: np.random.Generator
    decoder: Decoder
    after_space: bool
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: str = ""  # why the last id is the last
    precise: State | None = None  # float64, after `read` ids, the prefix's last and its own
    logits: Array = field(default_factory=lambda: np.zeros((1, 0)))  # (1, V) in float64, after them
    read: int = 0
    _numbers: list[tuple[float, float]] = field(default_factory=list)  # drawn ahead, last first
    _text: str = ""
    _ends: list[int] = field(default_factory=list)  # of each token in the text

    def numbers(self) -> tuple[float, float]:
        """Return the next two of the text's random numbers."""
        if not self._numbers:
            self._numbers = [(a, b) for a, b in self.rng.random((AHEAD, 2))[::-1].tolist()]
        return self._numbers.pop()

    def write(self, token: int, logprob: float) -> None:
        """Append a token."""
        self.ids.append(token)
        self.logprobs.append(logprob)

    @property
    def text(self) -> str:
        """The text of all ids, or what `cut` has left of it."""
        if len(self._ends) < len(self.ids):
            for token in self.ids[len(self._ends) :]:
                self.add(token)
                self._ends.append(len(self._text))
            if self.stopped in ("end", "length"):
                self._text += self.decoder.flush()
                self._ends[-1] = len(self._text)
        return self._text

    def add(self, token: int) -> None:
        """Append what a token adds to the text, and nothing else."""
        piece = self.decoder.feed(token)
        if self.after_space and piece:
            piece, self.after_space = piece.removeprefix(" "), False
        self._text += piece

    def cut(self, stop: Sequence[str], pattern: Pattern | None) -> None:
        """End the text before the first stop string or match that ends in what is new in it."""
        start = len(self._text)
        if len(self.text) == start:
            return
        found = [self._text.find(string, max(0, start - len(string) + 1)) for string in stop]
        if pattern is not None:
            at = pattern.find(self._text)
            found.append(-1 if at is None else at)
        cuts = [at for at in found if at >= 0]
        if cuts:
            self._text, self.stopped = self._text[: min(cuts)], "stop"

    @property
    def body(self) -> list[int]:
        """The ids that stand whole in the text, </s> not among them."""
        length = len(self.text)
        last = len(self.ids) - (self.stopped == "end")
        return self.ids[: min(last, bisect_right(self._ends, length))]

    def sample(self) -> Sample:
        logprob = math.fsum(self.logprobs)
        return Sample([*self.ids], self.text, logprob, [*self.logprobs], self.stopped, self.body,
                      self.start)  # fmt: skip
