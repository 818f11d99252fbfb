"""How well a model predicts: `Score`, and the ways to come by one.

Every token after the first of a unit is predicted, </s> too, <s> never. Sums are in float64, in
nats. Knows no files; a split is anything with `ids`, `starts`, `chars` and `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rnncli.data.batches import ALONE, BatchPlan, Lanes, Sentences
from rnncli.nn import Batch, Model, State, Steps
from rnncli.text.tokenizer import Tokenizer
from rnncli.version import __version__

Array = NDArray[Any]

GROUP, WINDOW = 64, 64  # sequences and steps that are scored together
POOL = 4096  # units or texts that are sorted by length together
LETTERS = 1 << 22  # characters of such a pool of texts


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
    def bits_per_token(self) -> float:
        """The same in bits."""
        return self.nats_per_token / math.log(2)

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

    def perplexity_open(self, unseen: int) -> float:
        """The perplexity if the probability of <unk> is shared alike by `unseen` words."""
        return _exp(self.nats + self.oov * math.log(unseen), self.tokens)

    def to_json(self) -> dict[str, float | int | None]:
        """All figures by name; None where one is undefined or not finite."""
        names = (
            "nats_per_token", "bits_per_token", "perplexity", "perplexity_excluding_oov",
            "bits_per_char", "bits_per_byte", "tokens", "oov", "chars", "bytes", "units", "nats",
        )  # fmt: skip
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
    vocabulary = f"{len(tokenizer)}:{tokenizer.vocabulary.fingerprint[:8]}"
    return f"ppl|tok:{tokenizer.signature}|vocab:{vocabulary}|rnncli:{__version__}"


def score_plan(
    model: Model,
    tokenizer: Tokenizer,
    plan: BatchPlan,
    chars: int = 0,
    bytes: int = 0,
    units: int = 0,
) -> Score:
    """The score of all batches of a plan's first epoch, the state carried as each batch says."""
    total = Score(chars=chars, bytes=bytes, units=units)
    for work, nats in _predictions(model, plan.batches(0)):
        total += score_ids(tokenizer, work.y, nats)
    return total


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
    total = Score(chars=split.chars, bytes=split.bytes, units=units)
    for ids, nats in _pools(model, split):
        total += score_ids(tokenizer, ids, nats)
    return total


def token_nats(model: Model, tokenizer: Tokenizer, split: Split, *, carried: bool) -> Array:
    """The nats of each id of a split as `score_split` counts them: (n,), nan where none counts."""
    nats = np.full(len(split.ids), np.nan)
    if carried or tokenizer.bos is None:
        parts = [part for _, part in _predictions(model, Lanes(split.ids, 1).batches(0))]
        nats[1:] = np.concatenate(parts)
        if tokenizer.bos is not None:
            nats[split.ids == tokenizer.bos] = np.nan
    else:
        nats[:] = np.concatenate([part for _, part in _pools(model, split)])
    return nats


def score_nats(tokenizer: Tokenizer, split: Split, nats: Array) -> Score:
    """The score of a split by the nats of each of its ids (n,), nan where none counts."""
    return score_ids(tokenizer, split.ids, nats) + Score(
        chars=split.chars, bytes=split.bytes, units=len(split.starts) - 1
    )


def score_ids(tokenizer: Tokenizer, ids: Array, nats: Array) -> Score:
    """The score of ids (n,) whose nats are not nan; <s> is not counted."""
    told = ~np.isnan(nats)
    if tokenizer.bos is not None:
        told &= ids != tokenizer.bos
    unknown = told & (ids == tokenizer.unk)
    return Score(
        float(nats[told].sum()), int(told.sum()), int(unknown.sum()), float(nats[unknown].sum())
    )


class ScoredText(NamedTuple):
    """A text with the nats of each of its ids (n,), nan where none counts: as it was scored."""

    text: str
    units: int
    ids: Array
    nats: Array


def text_nats(
    model: Model, tokenizer: Tokenizer, texts: Iterable[str], *, carried: bool = False
) -> Iterator[ScoredText]:
    """The nats of each id of each text, in order, in memory that does not grow with their number.

    Each text is cut into units by the tokenizer's rule, each from a fresh state. With `carried`,
    the state goes on from unit to unit and from text to text. A stream model does not predict the
    first token after a fresh state.
    """
    state, last = None, np.empty(0, np.uint32)
    for pool in _pooled(texts):
        parts = [_units(tokenizer, text) for text in pool]
        lengths = [sum(map(len, part)) for part in parts]
        units = list(chain.from_iterable(parts))
        ids = np.concatenate([last, *units])
        if carried:
            nats, state = _onward(model, ids, state)
            ids, last = ids[len(last) :], ids[-1:]
            nats = nats[len(nats) - len(ids) :]
            nats[ids == tokenizer.bos] = np.nan
        else:
            nats = _fresh(model, ids, np.cumsum([0, *map(len, units)]))
        end = 0
        for text, part, length in zip(pool, parts, lengths, strict=True):
            begin, end = end, end + length
            yield ScoredText(text, len(part), ids[begin:end], nats[begin:end])


def score_texts(
    model: Model, tokenizer: Tokenizer, texts: Iterable[str], *, carried: bool = False
) -> Iterator[Score]:
    """One score a text, in order; a blank text has no token and the score of nothing."""
    for told in text_nats(model, tokenizer, texts, carried=carried):
        yield score_told(tokenizer, told)


def score_told(tokenizer: Tokenizer, told: ScoredText) -> Score:
    """The score of one text."""
    text = told.text
    size = len(text) if text.isascii() else len(text.encode())
    return score_ids(tokenizer, told.ids, told.nats) + Score(
        chars=len(text), bytes=size, units=told.units
    )


def _pooled(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists, each of `POOL` texts or about `LETTERS` characters at most."""
    pool: list[str] = []
    letters = 0
    for text in texts:
        pool.append(text)
        letters += len(text)
        if len(pool) >= POOL or letters >= LETTERS:
            yield pool
            pool, letters = [], 0
    if pool:
        yield pool


def _units(tokenizer: Tokenizer, text: str) -> list[Array]:
    """The ids of a text's units, <s> and </s> around each where the rule has them."""
    if tokenizer.bos is None or tokenizer.eos is None:
        ids = tokenizer.encode(text)
        return [ids] if len(ids) else []
    units = [tokenizer.encode(unit) for unit in tokenizer.pretokenizer.units(text)]
    bos, eos = np.array([[tokenizer.bos], [tokenizer.eos]], np.uint32)
    return [np.concatenate([bos, unit, eos]) for unit in units]


def _pools(model: Model, split: Split) -> Iterator[tuple[Array, Array]]:
    """The ids of a pool of units at a time, and their nats, each unit from a fresh state."""
    for first in range(0, len(split.starts) - 1, POOL):
        bounds = np.asarray(split.starts[first : first + POOL + 1], np.int64)
        ids = np.asarray(split.ids[bounds[0] : bounds[-1]])
        yield ids, _fresh(model, ids, bounds - bounds[0])


def _fresh(model: Model, ids: Array, starts: Array) -> Array:
    """The nats of each id (n,), each unit from a fresh state; nan for the first id of a unit."""
    nats = np.full(len(ids), np.nan)
    places: list[Array] = []
    if len(starts) < 2:
        return nats
    plan = Sentences(np.arange(len(ids)), starts, GROUP, WINDOW, seed=0, shuffle=False)

    def works() -> Iterator[Batch]:
        for work in plan.batches(0):
            places.append(work.y)
            yield work._replace(x=ids[work.x].astype(np.int64), y=ids[work.y].astype(np.int64))

    for _, part in _predictions(model, works()):
        nats[places.pop()] = part
    return nats


def _onward(model: Model, ids: Array, state: State | None) -> tuple[Array, State | None]:
    """The nats of each id (n,), nan for the first, from a state on; and the state after them."""
    nats = np.full(len(ids), np.nan)
    for at in range(1, len(ids), ALONE):
        y = ids[at : at + ALONE].astype(np.int64)
        x = ids[at - 1 : at - 1 + len(y)].astype(np.int64)
        work = Batch(x, y, Steps.dense(len(y), 1), 0 if state is None else 1)
        nats[at : at + len(y)], state = _nats(model, work, state)
    return nats, state


def _predictions(model: Model, works: Iterable[Batch]) -> Iterator[tuple[Batch, Array]]:
    """Each batch with the nats of its targets in float64, the state carried as it says."""
    state: State | None = None
    for work in works:
        nats, state = _nats(model, work, state)
        yield work, nats


def _nats(model: Model, work: Batch, before: State | None) -> tuple[Array, State]:
    """The nats of a batch's targets in float64, and the state after it."""
    state = model.state_from(before, work.carried, work.steps.B)
    nats, state = model.nats(work, state)
    return np.where(np.isnan(nats), np.inf, nats.astype(np.float64)), state
