"""Which split each unit of a spooled corpus goes to: exactly in the wanted shares, by the seed.

It counts the tokens of each split and hands out its arrays; all passes over a corpus are here.
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
    """What a split holds; `tokens` counts `<s>` and `</s>`, `rate` is the share of `<unk>`
    among the other tokens."""

    documents: int
    units: int
    tokens: int
    unknown: int
    rate: float
    chars: int
    bytes: int


class Splitter:
    """Which split each token of a corpus is in, and all passes over it that need to know."""

    def __init__(
        self, corpus: Spooled, rule: Pretokenizer, split: Sequence[float], seed: int
    ) -> None:
        self._corpus = corpus
        self._stream = rule.is_stream
        self._seed = seed
        self.quotas = quotas(corpus.tokens if self._stream else corpus.units, split)

    def _labelled(self) -> Iterator[tuple[Ints, NDArray[np.int8]]]:
        """Records in blocks with the split of each unit (of a stream: of its first token)."""
        if self._stream:
            ends = np.cumsum(self.quotas)
            done = 0
            for records in self._corpus.records():
                starts = done + np.cumsum(records[:, 0]) - records[:, 0]
                done += int(records[:, 0].sum())
                yield records, np.searchsorted(ends, starts, side="right").astype(np.int8)
            return
        draws = rng(self._seed, Purpose.SPLITS)
        left = np.array(self.quotas)
        for records in self._corpus.records():
            # Selection without replacement, a block at a time: the shares come out exactly.
            drawn = draws.multivariate_hypergeometric(left, len(records), method="marginals")
            left -= drawn
            yield records, draws.permutation(np.repeat(np.arange(3, dtype=np.int8), drawn))

    def _blocks(self) -> Iterator[NDArray[np.int8]]:
        """The split of each token, in blocks."""
        if self._stream:
            for k, quota in enumerate(self.quotas):
                for start in range(0, quota, TOKENS):
                    yield np.full(min(TOKENS, quota - start), k, np.int8)
            return
        for records, labels in self._labelled():
            ends = np.cumsum(records[:, 0])
            for start in range(0, int(ends[-1]), TOKENS):
                stop = min(start + TOKENS, int(ends[-1]))
                a, b = np.searchsorted(ends, [start, stop - 1], side="right")
                inside = np.minimum(ends[a : b + 1], stop)
                lengths = np.diff(inside, prepend=start)
                yield np.repeat(labels[a : b + 1], lengths)

    def count(self) -> Ints:
        """How often each type is in each split, (3, types)."""
        types = len(self._corpus.types)
        counts = np.zeros((3, types), np.int64)
        take = self._corpus.ids(np.arange(types))
        for labels in self._blocks():
            ids = take(len(labels))
            counts[0] += np.bincount(ids, minlength=types)
            for k in (1, 2):  # the smaller ones are picked out, and the first is the rest
                found = np.bincount(ids[labels == k], minlength=types)
                counts[k] += found
                counts[0] -= found
        return counts

    def summary(self, k: int, counts: Ints, table: Ints) -> SplitSummary:
        """The figures of split `k`."""
        tokens = int(counts.sum())
        text = tokens - int(counts[: len(SPECIALS)].sum())
        unknown = int(counts[len(SPECIALS) :][table[len(SPECIALS) :] == 0].sum())
        documents, last, sums = 0, -1, np.zeros(2, np.int64)
        for records, labels in self._labelled():
            mine = records[labels == k]
            if len(mine):
                documents += int(np.count_nonzero(np.diff(mine[:, 1], prepend=last)))
                last = int(mine[-1, 1])
                sums += mine[:, 2:].sum(axis=0)
        chars, size = sums.tolist()
        if self._stream:
            chars, size = self._sizes(k)
        return SplitSummary(
            documents=documents, units=1 if self._stream else self.quotas[k], tokens=tokens,
            unknown=unknown, rate=unknown / text if text else 0.0, chars=chars, bytes=size,
        )  # fmt: skip

    def _sizes(self, k: int) -> tuple[int, int]:
        """Characters and bytes of a part of a stream; a line that is cut counts in proportion."""
        low, high = sum(self.quotas[:k]), sum(self.quotas[: k + 1])
        done, sums = 0, np.zeros(2, np.int64)
        for records in self._corpus.records():
            ends = done + np.cumsum(records[:, 0])
            starts = ends - records[:, 0]
            done = int(ends[-1])
            for sign, cut in ((1, high), (-1, low)):
                before = np.clip(cut - starts, 0, records[:, 0])
                sums += sign * (records[:, 2:] * before[:, None] // records[:, :1]).sum(axis=0)
        return int(sums[0]), int(sums[1])

    def members(
        self, name: str, k: int, part: SplitSummary, table: NDArray[Any]
    ) -> dict[str, NDArray[Any] | artefact.ArrayBlocks]:
        """The arrays of split `k`, written as they are read."""
        take = self._corpus.ids(table)
        ids = (take(len(labels), labels == k) for labels in self._blocks())
        members: dict[str, NDArray[Any] | artefact.ArrayBlocks] = {
            f"{name}.ids": artefact.ArrayBlocks(table.dtype, (part.tokens,), ids)
        }
        if self._stream:
            starts = np.array([0, part.tokens], np.int64)
            return members | {f"{name}.starts": starts, f"{name}.rows": np.zeros(0, np.int64)}
        wide = np.dtype(np.int64)
        lengths = (records[labels == k, 0] for records, labels in self._labelled())
        rows = (records[labels == k, 1] for records, labels in self._labelled())
        return members | {
            f"{name}.starts": artefact.ArrayBlocks(wide, (part.units + 1,), _starts(lengths)),
            f"{name}.rows": artefact.ArrayBlocks(wide, (part.units,), rows),
        }


def _starts(lengths: Iterable[Ints]) -> Iterator[Ints]:
    done = 0
    yield np.zeros(1, np.int64)
    for block in lengths:
        ends = done + np.cumsum(block)
        if len(ends):
            done = int(ends[-1])
        yield ends


def quotas(total: int, split: Sequence[float]) -> list[int]:
    """`total` things shared out in three: to the nearest, and one at least for a positive share.

    With fewer things than positive shares the first shares come first.
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
