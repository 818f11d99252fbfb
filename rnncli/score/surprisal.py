"""How surprised a model is by each token of a text, and what it would rather have read.

The tokens come as they stand in the text, capitals and white space kept, so that joined they are
the text again: what paints a text, in a terminal or on a page, needs nothing else. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rnncli.nn import Model, State, Steps
from rnncli.text.specials import BOS, ENDS, EOS
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

LOGITS = 1 << 22  # made at a time
BLOCK = 512  # tokens of a stream that are told of together


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


class Split(Protocol):
    """Token ids of whole units one after another."""

    @property
    def ids(self) -> Array: ...  # (n,)
    @property
    def starts(self) -> Array: ...  # (units + 1,)


def surprisals(
    model: Model,
    tokenizer: Tokenizer,
    units: Iterable[Unit],
    *,
    carried: bool = False,
    best: int = 5,
) -> Iterator[list[Token]]:
    """The tokens of each unit, <s> left out, each with the `best` tokens in its place.

    Each unit is read from a fresh state unless `carried`. The nats are those that
    `evaluation` counts.
    """
    state, last = None, np.empty(0, np.uint32)
    for unit in units:
        if not len(unit.ids):
            yield []
            continue
        if not carried:
            state, last = None, last[:0]
        ids = np.concatenate([last, unit.ids]).astype(np.int64)
        missing = len(unit.ids) - (len(ids) - 1)  # 1 for the first id after a fresh state
        found: list[tuple[float, tuple[tuple[str, float], ...]]] = [(math.nan, ())] * missing
        window = max(1, LOGITS // len(tokenizer))
        for at in range(0, len(ids) - 1, window):
            x, y = ids[at : at + window], ids[at + 1 : at + 1 + window]
            x = x[: len(y)]
            state = model.zero_state(1) if state is None else state
            rows, state = _read(model, tokenizer, x, y, state, best)
            found += rows
        last = unit.ids[-1:]
        yield [
            Token(*piece, int(token) != tokenizer.unk, *told)
            for token, piece, told in zip(unit.ids, unit.pieces, found, strict=True)
            if token != tokenizer.bos
        ]


def _read(
    model: Model, tokenizer: Tokenizer, x: Array, y: Array, state: State, best: int
) -> tuple[list[tuple[float, tuple[tuple[str, float], ...]]], State]:
    """The nats of targets y (N,) and the best tokens in their places, and the state after them."""
    logits, state = model.predict(x, state, Steps.dense(len(x), 1))  # (V, N)
    z, columns = logits.astype(np.float64), np.arange(len(x))
    top = z.max(axis=0)
    z -= top + np.log(np.exp(z - top).sum(axis=0))  # log p
    nats = -z[y, columns]
    if tokenizer.bos is not None:
        z[tokenizer.bos] = -np.inf  # never written, so never offered
    best = min(best, len(tokenizer) - (tokenizer.bos is not None))
    first = np.argpartition(-z, range(best), axis=0)[:best] if best else np.empty((0, len(x)), int)
    p = np.exp(z[first, columns])
    rows = [
        (
            cost if not math.isnan(cost) else math.inf,
            tuple((tokenizer.token(i), q) for i, q in zip(ids, chances, strict=True)),
        )
        for cost, ids, chances in zip(nats.tolist(), first.T.tolist(), p.T.tolist(), strict=True)
    ]
    return rows, state


def text_units(tokenizer: Tokenizer, text: str) -> list[Unit]:
    """The units of a text, cut as they are for scoring."""
    units = []
    whole = tokenizer.bos is None  # white space of a stream counts
    for part in [text] if whole else tokenizer.pretokenizer.units(text):
        ids, found = tokenizer.encode(part), tokenizer.pretokenizer.pieces(part)
        if tokenizer.bos is not None and tokenizer.eos is not None:
            ids = np.concatenate([[tokenizer.bos], ids, [tokenizer.eos]]).astype(np.uint32)
            found = [("", BOS), *found, (" ", EOS)]
        if len(ids):
            units.append(Unit(ids, found))
    return units


def text_tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text before any vocabulary, as many as it has ids; <s>, </s> among them."""
    if tokenizer.bos is None:
        return tokenizer.pretokenizer.tokens(text)
    units = map(tokenizer.pretokenizer.tokens, tokenizer.pretokenizer.units(text))
    return [token for unit in units for token in (BOS, *unit, EOS)]


def split_units(tokenizer: Tokenizer, split: Split) -> Iterator[Unit]:
    """The units of a split of a data file, a stream in blocks; the text is made of the tokens."""
    bounds, row = split.starts.tolist(), tokenizer.pretokenizer.row
    if tokenizer.bos is None:
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
