"""How well a model predicts: `Score`, and the ways to come by one.

Every token after the first of a unit is predicted, </s> too, <s> never. Sums are in float64, in
nats. Knows no files; a split is anything with `ids`, `starts`, `chars` and `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import rnncli
from rnncli.batches import Plan, Sentences, Work
from rnncli.errors import DataError
from rnncli.nn import Batch, Model, State, Steps
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]

GROUP, WINDOW = 64, 64  # sequences and steps that are scored together
ALONE = 2048  # steps at a time of a single sequence
POOL = 4096  # units or texts that are sorted by length together


class Split(Protocol):
    """Token ids of whole units one after another, and how long their text was."""

    @property
    def ids(self) -> Array: ...  # (n,)
    @property
    def starts(self) -> Array: ...  # (units + 1,)
    @property
    def chars(self) -> int: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Score:
    """The summed surprise of a model at some text, and what to divide it by."""

    nats: float = 0.0
    tokens: int = 0  # predicted, unknown ones too
    oov: int = 0  # unknown ones among them
    oov_nats: float = 0.0
    chars: int = 0  # of the original text
    bytes: int = 0
    units: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def nats_per_token(self) -> float:
        """The mean surprise; nan without a token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise, <unk> being a token like any other; nan without a token."""
        return _exp(self.nats, self.tokens)

    @property
    def perplexity_excluding_oov(self) -> float:
        """The same over known tokens only: unknown ones leave both the sum and the count."""
        return _exp(self.nats - self.oov_nats, self.tokens - self.oov)

    @property
    def bits_per_char(self) -> float | None:
        """Bits a character of the original text; </s> costs bits and counts as no character.

        The first token of a stream is not predicted, but its characters count.
        """
        return self.nats / math.log(2) / self.chars if self.chars else None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits a byte of the original text in UTF-8."""
        return self.nats / math.log(2) / self.bytes if self.bytes else None

    def to_json(self) -> dict[str, float | int | None]:
        """All figures by name; None where one is undefined or not finite."""
        names = ("nats_per_token", "perplexity", "perplexity_excluding_oov", "bits_per_char",
                 "bits_per_byte", "tokens", "oov", "chars", "bytes", "units", "nats")  # fmt: skip
        values = {name: getattr(self, name) for name in names}
        return {n: v if v is None or math.isfinite(v) else None for n, v in values.items()}

    def kenlm(self) -> str:
        """Four lines in the form that KenLM's query prints."""
        return (
            f"Perplexity including OOVs:\t{self.perplexity:g}\n"
            f"Perplexity excluding OOVs:\t{self.perplexity_excluding_oov:g}\n"
            f"OOVs:\t{self.oov}\n"
            f"Tokens:\t{self.tokens}"
        )


def _exp(nats: float, tokens: int) -> float:
    try:
        return math.exp(nats / tokens) if tokens else math.nan
    except OverflowError:
        return math.inf


def signature(tokenizer: Tokenizer) -> str:
    """The settings that a figure depends on, in one line: only like can be compared with like."""
    vocabulary = f"{len(tokenizer)}:{tokenizer.vocabulary.hash[:8]}"
    return f"ppl|tok:{tokenizer.signature}|vocab:{vocabulary}|rnncli:{rnncli.__version__}"


def score_plan(
    model: Model, tokenizer: Tokenizer, plan: Plan, chars: int = 0, bytes: int = 0, units: int = 0
) -> Score:
    """The score of all batches of a plan's first epoch, the state carried as each batch says."""
    table = np.zeros((1, 4))
    for work, nats in _predictions(model, plan.batches(0)):
        _tally(table, tokenizer, 0, work.y, nats)
    return _score(table[0], chars, bytes, units)


def score_split(
    model: Model, tokenizer: Tokenizer, split: Split, *, carried: bool, lanes: int | None = None
) -> Score:
    """The score of a split, each unit from a fresh state unless `carried` or the data is a stream.

    A state that is carried goes through the split in one pass, in order. With `lanes`, as many
    equal parts go side by side from fresh states: faster, and approximate where they join.
    """
    units = len(split.starts) - 1
    if carried or tokenizer.bos is None:
        plan = Lanes(split.ids, lanes or 1)
        return score_plan(model, tokenizer, plan, split.chars, split.bytes, units)
    table = sum((t.sum(axis=0) for t in _unit_tables(model, tokenizer, split)), np.zeros(4))
    return _score(table, split.chars, split.bytes, units)


def score_texts(
    model: Model, tokenizer: Tokenizer, texts: Iterable[str], *, carried: bool = False
) -> Iterator[Score]:
    """One score a text, in order; a blank text has no token and the score of nothing.

    Each text is cut into units by the tokenizer's rule, each from a fresh state. With `carried`,
    the state goes on from unit to unit and from text to text. A stream model does not predict the
    first token after a fresh state.
    """
    if carried:
        yield from _carried_texts(model, tokenizer, texts)
        return
    source = iter(texts)
    while pool := list(islice(source, POOL)):
        parts = [_units(tokenizer, text) for text in pool]
        table = np.zeros((len(pool), 4))
        units = list(chain.from_iterable(parts))
        if units:
            ids, starts = np.concatenate(units), np.cumsum([0, *map(len, units)])
            owner = np.repeat(np.arange(len(pool)), [len(part) for part in parts])
            np.add.at(table, owner, _unit_table(model, tokenizer, ids, starts))
        for text, part, row in zip(pool, parts, table, strict=True):
            yield _score(row, len(text), len(text.encode()), len(part))


def _carried_texts(model: Model, tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[Score]:
    state, last = None, np.empty(0, np.uint32)
    for text in texts:
        units = _units(tokenizer, text)
        ids = np.concatenate([last, *units])
        table = np.zeros((1, 4))
        for at in range(0, len(ids) - 1, ALONE):
            y = ids[at + 1 : at + 1 + ALONE].astype(np.int64)
            x = ids[at : at + len(y)].astype(np.int64)
            work = Work(x, y, Steps.dense(len(y), 1), 0 if state is None else 1)
            nats, state = _nats(model, work, state)
            _tally(table, tokenizer, 0, y, nats)
        last = ids[-1:]
        yield _score(table[0], len(text), len(text.encode()), len(units))


def _units(tokenizer: Tokenizer, text: str) -> list[Array]:
    """The ids of a text's units, <s> and </s> around each where the rule has them."""
    ids = [tokenizer.encode(unit) for unit in tokenizer.rule.units(text)]
    if tokenizer.bos is None or tokenizer.eos is None:
        return [unit for unit in ids if len(unit)]
    bos, eos = np.array([[tokenizer.bos], [tokenizer.eos]], np.uint32)
    return [np.concatenate([bos, unit, eos]) for unit in ids]


@dataclass(frozen=True)
class Lanes:
    """A plan of `B` parts of one stream side by side, of equal length within one token.

    Unlike `batches.Consecutive` it leaves no token over at the end.
    """

    ids: Array  # (n,)
    B: int

    def _lanes(self) -> tuple[Array, Array, int]:
        """The first id and the number of predictions of each lane, longest first; their window."""
        predicted = len(self.ids) - 1
        if predicted < 1:
            raise DataError("there is no token to predict: the text needs two tokens or more.")
        B = max(1, min(self.B, predicted))
        lengths = predicted // B + (np.arange(B) < predicted % B)
        return np.cumsum(lengths) - lengths, lengths, max(WINDOW, ALONE // B)

    def length(self, epoch: int) -> int:
        _, lengths, T = self._lanes()
        return -(-int(lengths[0]) // T)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Work]:
        firsts, lengths, T = self._lanes()
        for k in range(start, self.length(epoch)):
            alive = int(np.count_nonzero(lengths > k * T))
            steps = Steps.of_lengths(np.minimum(lengths[:alive] - k * T, T).tolist())
            at = np.concatenate([firsts[:n] + k * T + t for t, n in enumerate(steps.sizes)])
            x, y = self.ids[at].astype(np.int64), self.ids[at + 1].astype(np.int64)
            yield Work(x, y, steps, alive if k else 0)


def _unit_tables(model: Model, tokenizer: Tokenizer, split: Split) -> Iterator[Array]:
    """What `_unit_table` says of a pool of units at a time."""
    for first in range(0, len(split.starts) - 1, POOL):
        bounds = np.asarray(split.starts[first : first + POOL + 1], np.int64)
        ids = np.asarray(split.ids[bounds[0] : bounds[-1]])
        yield _unit_table(model, tokenizer, ids, bounds - bounds[0])


def _unit_table(model: Model, tokenizer: Tokenizer, ids: Array, starts: Array) -> Array:
    """Nats, tokens, unknown tokens and their nats of each unit from a fresh state: (units, 4)."""
    table = np.zeros((len(starts) - 1, 4))
    unit = np.repeat(np.arange(len(table)), np.diff(starts))
    places = Sentences(np.arange(len(ids)), starts, GROUP, WINDOW, seed=0, shuffle=False)
    owners: list[Array] = []

    def works() -> Iterator[Work]:
        for work in places.batches(0):
            owners.append(unit[work.x])
            yield work._replace(x=ids[work.x].astype(np.int64), y=ids[work.y].astype(np.int64))

    for work, nats in _predictions(model, works()):
        _tally(table, tokenizer, owners.pop(), work.y, nats)
    return table


def _tally(table: Array, tokenizer: Tokenizer, row: Array | int, y: Array, nats: Array) -> None:
    """Add predictions to the rows of a table: nats, tokens, unknown tokens, their nats."""
    told = np.ones(len(y)) if tokenizer.bos is None else (y != tokenizer.bos).astype(np.float64)
    unknown = (y == tokenizer.unk).astype(np.float64)
    columns = np.stack([nats * told, told, unknown, nats * unknown], axis=1)  # (N, 4)
    np.add.at(table, np.broadcast_to(row, len(y)), columns)


def _score(row: Array, chars: int, bytes: int, units: int) -> Score:
    nats, tokens, oov, oov_nats = row.tolist()
    return Score(nats, round(tokens), round(oov), oov_nats, chars, bytes, units)


def _predictions(model: Model, works: Iterable[Work]) -> Iterator[tuple[Work, Array]]:
    """Each batch with the nats of its targets in float64, the state carried as it says."""
    state: State | None = None
    for work in works:
        nats, state = _nats(model, work, state)
        yield work, nats


def _nats(model: Model, work: Work, before: State | None) -> tuple[Array, State]:
    """The nats of a batch's targets in float64, and the state after it."""
    state = model.zero_state(work.steps.B)
    if work.carried:
        assert before is not None  # the first batch carries nothing on
        state.h[..., : work.carried] = before.h[..., : work.carried]
        if state.c is not None and before.c is not None:
            state.c[..., : work.carried] = before.c[..., : work.carried]
    nats, state = model.nats(Batch(work.x, work.y, work.steps), state)
    return nats.astype(np.float64), state
