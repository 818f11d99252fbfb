"""How well a model predicts: `Score`, and the ways to come by one.

Every token after the first of a unit is predicted, </s> too, <s> never. Sums are in float64, in
nats. Knows no files; a split is anything with `ids`, `starts`, `chars` and `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

import rnncli
from rnncli.batches import Plan, Sentences, Work, stream
from rnncli.errors import DataError
from rnncli.nn import Batch, Model, State, Steps
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]

GROUP, WINDOW = 64, 64  # sequences and steps that are scored together
ALONE = 2048  # steps at a time of a single sequence
RESAMPLE = 17  # what a random stream is for; see rnncli.batches
BLOCK = 256  # tokens of a stream that are drawn together in a resample
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

    def perplexity_open(self, unseen: int) -> float:
        """The perplexity if the probability of <unk> is shared alike by `unseen` words."""
        return _exp(self.nats + self.oov * math.log(unseen), self.tokens)

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
    total = Score(chars=chars, bytes=bytes, units=units)
    for work, nats in _predictions(model, plan.batches(0)):
        total += _score(tokenizer, work.y, nats)
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
        total += _score(tokenizer, ids, nats)
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
    return _score(tokenizer, split.ids, nats) + Score(
        chars=split.chars, bytes=split.bytes, units=len(split.starts) - 1
    )


def score_texts(
    model: Model, tokenizer: Tokenizer, texts: Iterable[str], *, carried: bool = False
) -> Iterator[Score]:
    """One score a text, in order; a blank text has no token and the score of nothing.

    Each text is cut into units by the tokenizer's rule, each from a fresh state. With `carried`,
    the state goes on from unit to unit and from text to text. A stream model does not predict the
    first token after a fresh state.
    """
    source = iter(texts)
    state, last = None, np.empty(0, np.uint32)
    while pool := list(islice(source, 1 if carried else POOL)):
        parts = [_units(tokenizer, text) for text in pool]
        lengths = [sum(map(len, part)) for part in parts]
        units = list(chain.from_iterable(parts))
        ids = np.concatenate([last, *units])
        if carried:
            nats, state = _onward(model, ids, state)
            ids, last = ids[len(last) :], ids[-1:]
            nats = nats[len(nats) - len(ids) :]
        else:
            nats = _fresh(model, ids, np.cumsum([0, *map(len, units)]))
        end = 0
        for text, part, length in zip(pool, parts, lengths, strict=True):
            begin, end = end, end + length
            score = _score(tokenizer, ids[begin:end], nats[begin:end])
            yield score + Score(chars=len(text), bytes=len(text.encode()), units=len(part))


def _units(tokenizer: Tokenizer, text: str) -> list[Array]:
    """The ids of a text's units, <s> and </s> around each where the rule has them."""
    ids = [tokenizer.encode(unit) for unit in tokenizer.rule.units(text)]
    if tokenizer.bos is None or tokenizer.eos is None:
        return [unit for unit in ids if len(unit)]
    bos, eos = np.array([[tokenizer.bos], [tokenizer.eos]], np.uint32)
    return [np.concatenate([bos, unit, eos]) for unit in ids]


def uniform_nats(tokenizer: Tokenizer, split: Split) -> Array:
    """What each id costs (n,) when every token but <s> is as probable as any other."""
    return _by_token(tokenizer, split, np.ones(len(tokenizer)))


def unigram_nats(tokenizer: Tokenizer, split: Split) -> Array:
    """What each id costs (n,) by its frequency in the training text, one added to each count."""
    return _by_token(tokenizer, split, tokenizer.vocabulary.counts + 1.0)


def _by_token(tokenizer: Tokenizer, split: Split, weights: Array) -> Array:
    told = np.arange(len(weights)) != tokenizer.bos
    nats = np.log(weights[told].sum()) - np.log(weights)  # (V,)
    each = nats[split.ids]
    each[split.starts[:-1]] = np.nan
    return np.asarray(each)


def mixed_nats(a: Array, b: Array, weight: float) -> Array:
    """The nats of the mixture weight * A + (1 - weight) * B, from those of A and B (n,)."""
    if weight in (0, 1):
        return a if weight else b
    with np.errstate(invalid="ignore"):  # nan in, nan out
        return np.asarray(-np.logaddexp(math.log(weight) - a, math.log1p(-weight) - b))


def mixing_weight(a: Array, b: Array, tolerance: float = 1e-6) -> float:
    """The weight of A at which its mixture with B costs least, by EM (Dempster et al. 1977)."""
    told = ~np.isnan(a)
    gain, weight, step = np.exp(np.clip(b[told] - a[told], -700, 700)), 0.5, 1.0  # p_A / p_B
    while step > tolerance and 0 < weight < 1:
        share = weight * gain / (weight * gain + 1 - weight)
        weight, step = float(share.mean()), abs(float(share.mean()) - weight)
    return weight


class Difference(NamedTuple):
    """How many nats a token A costs more than B, and the interval that holds 95 % of resamples."""

    nats: float
    low: float
    high: float


def compare(a: Array, b: Array, starts: Array, resamples: int = 2000, seed: int = 0) -> Difference:
    """The paired bootstrap over units of two models' nats (n,) on one split (Koehn 2004).

    A stream is one unit: it is cut into blocks of `BLOCK` tokens.
    """
    if len(starts) == 2:
        starts = np.append(np.arange(starts[0], starts[1], BLOCK), starts[1])
    difference = np.add.reduceat(np.nan_to_num(a - b), starts[:-1])  # (units,)
    tokens = np.add.reduceat(~np.isnan(a), starts[:-1], dtype=np.float64)
    rng, units, means = stream(seed, RESAMPLE), len(tokens), []
    for _ in range(resamples):
        drawn = rng.integers(units, size=units)
        means.append(difference[drawn].sum() / max(1.0, tokens[drawn].sum()))
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(difference.sum() / tokens.sum()), float(low), float(high))


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

    def works() -> Iterator[Work]:
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
        work = Work(x, y, Steps.dense(len(y), 1), 0 if state is None else 1)
        nats[at : at + len(y)], state = _nats(model, work, state)
    return nats, state


def _score(tokenizer: Tokenizer, ids: Array, nats: Array) -> Score:
    """The sums over ids (n,) whose nats are not nan; <s> is not counted."""
    told = ~np.isnan(nats)
    if tokenizer.bos is not None:
        told &= ids != tokenizer.bos
    unknown = told & (ids == tokenizer.unk)
    return Score(
        float(nats[told].sum()), int(told.sum()), int(unknown.sum()), float(nats[unknown].sum())
    )


def _predictions(model: Model, works: Iterable[Work]) -> Iterator[tuple[Work, Array]]:
    """Each batch with the nats of its targets in float64, the state carried as it says."""
    state: State | None = None
    for work in works:
        nats, state = _nats(model, work, state)
        yield work, nats


def _nats(model: Model, work: Work, before: State | None) -> tuple[Array, State]:
    """The nats of a batch's targets in float64, and the state after it."""
    state = model.state_from(before, work.carried, work.steps.B)
    nats, state = model.nats(Batch(work.x, work.y, work.steps), state)
    return np.where(np.isnan(nats), np.inf, nats.astype(np.float64)), state
