"""How surprised a model is by each token of a text, and what it would rather have read.

The tokens come as they stand in the text, capitals and white space kept, so that joined they are
the text again: what paints a text, in a terminal or on a page, needs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnncli.data.dataset import Split
from rnncli.lm.predictor import Predictor
from rnncli.nn.ops import log_softmax, top
from rnncli.text.specials import BOS, ENDS, EOS
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]
Likelier: TypeAlias = tuple[tuple[str, float], ...]  # tokens, and the probability of each

LOGITS = 1 << 22  # made at a time
BLOCK = 512  # ids of a stream that are one unit


class Token(NamedTuple):
    """A token of a text; `space` and `text` of all of them joined are the text."""

    space: str  # white space before it
    text: str  # as it stands there; "</s>" for the end of a unit
    known: bool  # it is in the vocabulary
    nats: float  # surprise: -log p; nan for the first token of a stream
    best: tuple[tuple[str, float], ...]  # the most probable tokens in its place, and p of each

    @property
    def bits(self) -> float:
        """The surprise in bits."""
        return self.nats / math.log(2)


class Unit(NamedTuple):
    """Ids (n,), those of <s> and </s> among them, and for each its white space and its text."""

    ids: Array
    pieces: Sequence[tuple[str, str]]


def surprisals(
    predictor: Predictor,
    tokenizer: Tokenizer,
    units: Iterable[Unit],
    *,
    joined: bool = False,
    best: int = 5,
) -> Iterator[list[Token]]:
    """Yield the tokens of each unit, <s> left out, each with the `best` tokens in its place.

    A unit is read from a fresh state, unless the predictor carries its state, or the units are
    pieces of a stream that are `joined`. The nats are those that `scoring` counts.
    """
    joined = predictor.carried or (joined and tokenizer.is_stream)
    window = max(1, LOGITS // len(tokenizer))
    state, last = predictor.start(), np.empty(0, np.uint32)
    for unit in units:
        if not len(unit.ids):
            yield []
            continue
        if not joined:
            state, last = predictor.start(), last[:0]
        ids = np.concatenate([last, unit.ids]).astype(np.int64)
        missing = len(unit.ids) - (len(ids) - 1)  # 1 for the first id after a fresh state
        found: list[tuple[float, Likelier]] = [(math.nan, ())] * missing
        at = 1
        for logits, after in predictor.every(ids[:-1], state, window):
            found += _surprise(tokenizer, logits, ids[at : at + logits.shape[1]], best)
            state, at = after, at + logits.shape[1]
        last = unit.ids[-1:]
        yield [
            Token(*piece, int(token) != tokenizer.unk, *cost)
            for token, piece, cost in zip(unit.ids, unit.pieces, found, strict=True)
            if token != tokenizer.bos
        ]


def _surprise(
    tokenizer: Tokenizer, logits: Array, y: Array, best: int
) -> list[tuple[float, Likelier]]:
    """Return the nats of targets y (N,), by logits (V, N), and the best tokens in their places."""
    z = log_softmax(logits.astype(np.float64), axis=0)
    nats = -z[y, np.arange(len(y))]
    if not tokenizer.is_stream:
        z[tokenizer.bos] = -np.inf  # never written, so never offered
    best = min(best, len(tokenizer) - (not tokenizer.is_stream))
    found = []
    for cost, row in zip(nats.tolist(), np.ascontiguousarray(z.T), strict=True):
        first = top(row, best)
        pairs = zip(first.tolist(), np.exp(row[first]).tolist(), strict=True)
        likelier = tuple((tokenizer.token(token), p) for token, p in pairs)
        found.append((math.inf if math.isnan(cost) else cost, likelier))
    return found


def text_units(tokenizer: Tokenizer, text: str) -> list[Unit]:
    """Return the units of a text, cut as they are for scoring."""
    units = []
    stream = tokenizer.is_stream  # its white space counts
    for part in [text] if stream else tokenizer.pretokenizer.units(text):
        ids = tokenizer.wrap(tokenizer.encode(part))
        found = tokenizer.pretokenizer.pieces(part)
        if not stream:
            found = [("", BOS), *found, (" ", EOS)]
        if len(ids):
            units.append(Unit(ids, found))
    return units


def text_tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the tokens of a text before any vocabulary, one for each of its ids."""
    if tokenizer.is_stream:
        return tokenizer.pretokenizer.tokens(text)
    units = map(tokenizer.pretokenizer.tokens, tokenizer.pretokenizer.units(text))
    return [token for unit in units for token in (BOS, *unit, EOS)]


def split_units(tokenizer: Tokenizer, split: Split) -> Iterator[Unit]:
    """Yield the units of a split of a data file, a stream in blocks; the text is made of tokens."""
    bounds, row = split.starts.tolist(), tokenizer.pretokenizer.row
    if tokenizer.is_stream:
        bounds = [*range(0, bounds[-1], BLOCK), bounds[-1]]
    for start, end in pairwise(bounds):
        ids, decoder, found = split.ids[start:end], tokenizer.decoder(), []
        for token_id in ids.tolist():
            token = tokenizer.token(token_id)
            if token in ENDS:
                found.append((" " if token == EOS else "", token))
            elif row.separator:  # the decoder puts white space back
                piece = decoder.feed(token_id)
                found.append((piece[: len(piece) - len(token)], token))
            else:
                found.append(("", row.spelled(token)))
        yield Unit(ids, found)
