"""Splits a spooled corpus into training, validation and test: exactly the wanted shares, by seed.

A `Splitter` counts the tokens of each split and makes its arrays: all walks over a corpus are here.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.spool import Ints, Spooled
from rnncli.files import artefact
from rnncli.seeds import Purpose, rng
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.specials import SPECIALS

TOKENS = 1 << 20  # tokens in memory at once


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds.

    `tokens` counts <s> and </s>; `rate` is the share of <unk> among the other tokens.
    """

    documents: int
    units: int
    tokens: int
    unknown: int
    rate: float
    chars: int
    bytes: int


class Splitter:
    """Assigns each unit of a corpus to training (0), validation (1) or test (2).

    The assignment is a function of the seed: each walk over the corpus draws it again, a block at a
    time, so that memory does not grow with the corpus. A stream is cut by position instead.
    """

    def __init__(
        self, corpus: Spooled, rule: Pretokenizer, split: Sequence[float], seed: int
    ) -> None:
        self._corpus = corpus
        self._stream = rule.is_stream
        self._seed = seed
        self.quotas = quotas(corpus.tokens if self._stream else corpus.units, split)

    def _labelled(self) -> Iterator[tuple[NDArray[np.void], NDArray[np.int8]]]:
        """Yield blocks of records and the split of each unit (of a stream: of its first token)."""
        if self._stream:
            ends, done = np.cumsum(self.quotas), 0
            for records in self._corpus.records():
                last = done + np.cumsum(records["tokens"])
                starts, done = last - records["tokens"], int(last[-1])
                yield records, np.searchsorted(ends, starts, side="right").astype(np.int8)
            return
        draws = rng(self._seed, Purpose.SPLITS)
        left = np.array(self.quotas)
        for records in self._corpus.records():
            # Selection without replacement, a block at a time: the shares come out exactly.
            drawn = draws.multivariate_hypergeometric(left, len(records), method="marginals")
            left -= drawn
            yield records, draws.permutation(np.repeat(np.arange(3, dtype=np.int8), drawn))

    def _token_labels(self) -> Iterator[NDArray[np.int8]]:
        """Yield the split of each token, in blocks."""
        if self._stream:
            for k, quota in enumerate(self.quotas):
                for start in range(0, quota, TOKENS):
                    yield np.full(min(TOKENS, quota - start), k, np.int8)
            return
        for records, labels in self._labelled():
            ends = np.cumsum(records["tokens"])
            for start in range(0, int(ends[-1]), TOKENS):
                stop = min(start + TOKENS, int(ends[-1]))
                a, b = np.searchsorted(ends, [start, stop - 1], side="right")
                inside = np.minimum(ends[a : b + 1], stop)
                lengths = np.diff(inside, prepend=start)
                yield np.repeat(labels[a : b + 1], lengths)

    def count(self) -> Ints:
        """Return how often each type is in each split, (3, types)."""
        types = len(self._corpus.types)
        counts = np.zeros((3, types), np.int64)
        take = self._corpus.reader(np.arange(types))
        for labels in self._token_labels():
            found = take(len(labels))
            counts[0] += np.bincount(found, minlength=types)
            for k in (1, 2):  # the smaller ones are picked out, and the first is the rest
                held = np.bincount(found[labels == k], minlength=types)
                counts[k] += held
                counts[0] -= held
        return counts

    def summaries(self, counts: Ints, ids: Ints) -> list[SplitSummary]:
        """Return the figures of each split, from the counts and the ids of types (0: unknown)."""
        documents, last = [0, 0, 0], [-1, -1, -1]
        sizes = np.zeros((3, 2), np.int64)  # characters and bytes
        for records, labels in self._labelled():
            for k in range(3):
                mine = records[labels == k]
                if len(mine):
                    fresh = np.diff(mine["document"], prepend=last[k])
                    documents[k] += int(np.count_nonzero(fresh))
                    last[k] = int(mine["document"][-1])
                    sizes[k] += mine["chars"].sum(), mine["bytes"].sum()
        if self._stream:
            sizes = self._stream_sizes()
        tokens, text = counts.sum(axis=1), counts[:, len(SPECIALS) :]
        total, unknown = text.sum(axis=1), text[:, ids[len(SPECIALS) :] == 0].sum(axis=1)
        return [
            SplitSummary(
                documents=documents[k], units=1 if self._stream else self.quotas[k],
                tokens=int(tokens[k]), unknown=int(unknown[k]),
                rate=int(unknown[k]) / int(total[k]) if total[k] else 0.0,
                chars=int(sizes[k, 0]), bytes=int(sizes[k, 1]),
            )
            for k in range(3)
        ]  # fmt: skip

    def _stream_sizes(self) -> Ints:
        """Return characters and bytes of each split of a stream, (3, 2).

        A line that is cut counts in proportion to its tokens.
        """
        cuts, done = np.cumsum(self.quotas), 0
        before = np.zeros((3, 2), np.int64)  # each cut
        for records in self._corpus.records():
            tokens = records["tokens"]
            ends = done + np.cumsum(tokens)
            starts, done = ends - tokens, int(ends[-1])
            for k, cut in enumerate(cuts):
                inside = np.clip(cut - starts, 0, tokens)
                for column, name in enumerate(("chars", "bytes")):
                    before[k, column] += (records[name] * inside // tokens).sum()
        return np.diff(before, axis=0, prepend=0)

    def members(
        self, name: str, k: int, summary: SplitSummary, ids: NDArray[Any]
    ) -> dict[str, NDArray[Any] | artefact.ArrayBlocks]:
        """Return the arrays of split `k`, written as they are read; `ids` are those of types."""
        take = self._corpus.reader(ids)
        blocks = (take(len(labels), labels == k) for labels in self._token_labels())
        members: dict[str, NDArray[Any] | artefact.ArrayBlocks] = {
            f"{name}.ids": artefact.ArrayBlocks(ids.dtype, (summary.tokens,), blocks)
        }
        if self._stream:
            starts = np.array([0, summary.tokens], np.int64)
            return members | {f"{name}.starts": starts, f"{name}.rows": np.zeros(0, np.int64)}
        wide = np.dtype(np.int64)
        lengths = (records["tokens"][labels == k] for records, labels in self._labelled())
        rows = (records["document"][labels == k] for records, labels in self._labelled())
        return members | {
            f"{name}.starts": artefact.ArrayBlocks(wide, (summary.units + 1,), _starts(lengths)),
            f"{name}.rows": artefact.ArrayBlocks(wide, (summary.units,), rows),
        }


def _starts(lengths: Iterable[Ints]) -> Iterator[Ints]:
    """Yield in blocks where each unit starts, and where the last one ends.

    Example: [3, 4], [2] -> [0], [3, 7], [9]
    """
    done = 0
    yield np.zeros(1, np.int64)
    for block in lengths:
        ends = done + np.cumsum(block)
        if len(ends):
            done = int(ends[-1])
        yield ends


def quotas(total: int, split: Sequence[float]) -> list[int]:
    """Share out `total` things in three: to the nearest, and at least one for a positive share.

    With fewer things than positive shares the first shares come first.

    Example: 10, [0.9, 0.05, 0.05] -> [8, 1, 1]
    """
    shares = [*split, 0.0, 0.0][:3]
    exact = [share * total for share in shares]
    parts = [int(part + 1e-9) for part in exact]
    by_rest = sorted(range(3), key=lambda k: (parts[k] - exact[k], k))
    for k in itertools.islice(itertools.cycle(by_rest), total - sum(parts)):
        parts[k] += 1
    for k in range(3):
        richest = max(range(3), key=lambda j: (parts[j], -j))
        if shares[k] > 0 and parts[k] == 0 and parts[richest] > 1:
            parts[richest] -= 1
            parts[k] = 1
    return parts
