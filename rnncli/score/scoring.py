"""Scores text: what each of its tokens costs a predictor, and the sums of that.

Every token after the first of a unit is predicted, </s> too, <s> never. Sums are in float64, in
nats. `split_nats` and `text_nats` go through text in pieces; `score` sums one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.data.batches import ALONE, BatchPlan
from rnncli.data.dataset import Split
from rnncli.errors import DataError
from rnncli.lm.network import Network
from rnncli.lm.predictor import Predictor
from rnncli.score.score import Score
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

POOL = 4096  # units or texts that are scored together
LETTERS = 1 << 22  # characters of such a pool of texts


class ScoredText(NamedTuple):
    """A piece of text with what each of its ids (n,) cost."""

    ids: Array
    nats: Array  # nan where none is predicted
    ends: Array | None  # the probability of </s> in each place
    units: int = 0
    chars: int = 0  # of the original text
    bytes: int = 0
    text: str = ""


def score(tokenizer: Tokenizer, piece: ScoredText) -> Score:
    """Return the score of a piece of text: the sum over the ids that are counted."""
    ids, nats = piece.ids, piece.nats
    counted = tokenizer.counted(ids) & ~np.isnan(nats)
    unknown = counted & (ids == tokenizer.unk)
    ends = expected = None
    if piece.ends is not None:
        ends, expected = (
            int((ids[counted] == tokenizer.eos).sum()),
            float(piece.ends[counted].sum()),
        )
    return Score(
        float(nats[counted].sum()), int(counted.sum()), int(unknown.sum()),
        float(nats[unknown].sum()), piece.chars, piece.bytes, piece.units, ends, expected,
    )  # fmt: skip


def score_split(predictor: Predictor, tokenizer: Tokenizer, split: Split) -> Score:
    """Return the score of a split, in memory that does not grow with it."""
    total = Score(chars=split.chars, bytes=split.bytes, units=len(split.starts) - 1)
    for piece in split_nats(predictor, tokenizer, split):
        total += score(tokenizer, piece)
    return total


def split_nats(predictor: Predictor, tokenizer: Tokenizer, split: Split) -> Iterator[ScoredText]:
    """Score a split piece by piece: units from fresh states, or all of it as one text.

    It is one text where it is a stream, or where the predictor carries its state.
    """
    n, starts = len(split.ids), split.starts
    if not (tokenizer.is_stream or predictor.carried):
        for first in range(0, len(starts) - 1, POOL):
            bounds = np.asarray(starts[first : first + POOL + 1], np.int64)
            ids = np.asarray(split.ids[bounds[0] : bounds[-1]])
            found = predictor.nats(ids, bounds - bounds[0], None, tokenizer.eos)
            yield ScoredText(ids, found.nats, found.ends)
        return
    if n < 2:
        raise DataError("there is no token to predict: the text needs two tokens or more.")
    after = None
    for at in range(0, n - 1, ALONE):
        a, b = at + bool(at), min(n, at + ALONE + 1)  # ALONE predictions, after the first id
        ids = np.asarray(split.ids[a:b])
        bounds = np.array([b])
        if not tokenizer.is_stream:
            bounds = np.append(starts[slice(*np.searchsorted(starts, [a, b]))], b)
        found = predictor.nats(ids, bounds - a, after, tokenizer.eos)
        after = found.after
        yield ScoredText(ids, found.nats, found.ends)


def whole_split(predictor: Predictor, tokenizer: Tokenizer, split: Split) -> ScoredText:
    """Score a split as one piece: what each of all its ids cost."""
    pieces = list(split_nats(predictor, tokenizer, split))
    nats = np.concatenate([piece.nats for piece in pieces])
    ends = [piece.ends for piece in pieces if piece.ends is not None]
    nats[~tokenizer.counted(split.ids)] = np.nan
    joined = np.concatenate(ends) if ends else None
    units = len(split.starts) - 1
    return ScoredText(np.asarray(split.ids), nats, joined, units, split.chars, split.bytes)


def score_plan(network: Network, tokenizer: Tokenizer, plan: BatchPlan) -> Score:
    """Return the score of a plan's first epoch, the state carried as each batch says."""
    total = Score()
    for batch, nats, _ in network.scored(plan.batches(0)):
        total += score(tokenizer, ScoredText(batch.y, nats, None))
    return total


def text_nats(
    predictor: Predictor, tokenizer: Tokenizer, texts: Iterable[str], *, joined: bool = False
) -> Iterator[ScoredText]:
    """Score each text, in order, in memory that does not grow with their number.

    Each text is cut into units by the tokenizer's rule. With `joined`, the texts of a stream are
    one: each goes on from the one before. A stream's first token is not predicted.
    """
    after = None
    joined = predictor.carried or (joined and tokenizer.is_stream)
    for pool in _pools(texts):
        parts = [_units(tokenizer, text) for text in pool]
        lengths = [sum(map(len, part)) for part in parts]
        units = list(chain.from_iterable(parts))
        ids = np.concatenate([np.empty(0, np.uint32), *units])
        starts = np.cumsum([0, *map(len, units)])
        if joined and tokenizer.is_stream:
            starts = starts[-1:]  # no unit begins: all go on
        found = predictor.nats(ids, starts, after, tokenizer.eos)
        if joined and len(ids):
            after = found.after
        nats, ends, end = found.nats, found.ends, 0
        nats[~tokenizer.counted(ids)] = np.nan
        for text, part, length in zip(pool, parts, lengths, strict=True):
            place = slice(end, end + length)
            end += length
            size = len(text) if text.isascii() else len(text.encode())
            some = None if ends is None else ends[place]
            yield ScoredText(ids[place], nats[place], some, len(part), len(text), size, text)


def score_texts(
    predictor: Predictor, tokenizer: Tokenizer, texts: Iterable[str], *, joined: bool = False
) -> Iterator[Score]:
    """Return the score of each text, in order; a blank text has the score of nothing."""
    for piece in text_nats(predictor, tokenizer, texts, joined=joined):
        yield score(tokenizer, piece)


def _pools(texts: Iterable[str]) -> Iterator[list[str]]:
    """Put texts into lists of `POOL` texts or about `LETTERS` characters at most."""
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
    """Return the ids of a text's units, each between <s> and </s> where the rule has them."""
    if tokenizer.is_stream:
        ids = tokenizer.encode(text)
        return [ids] if len(ids) else []
    return [tokenizer.wrap(tokenizer.encode(u)) for u in tokenizer.pretokenizer.units(text)]
