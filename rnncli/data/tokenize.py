"""Turns documents into a data file: `tokenize`, the function behind `rnncli tokenize`.

The documents are read once, to numbers of tokens on the disk (`spool`). Those are then walked
several times: to draw the splits and count, and for each array (`splits`). Memory grows with the
number of different tokens alone.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.chunks import Files, spooled
from rnncli.data.dataset import SPLITS
from rnncli.data.document import Document, Skipped
from rnncli.data.splits import SplitSummary, Splitter
from rnncli.data.spool import Ints, Spooled
from rnncli.errors import ConfigError, DataError
from rnncli.files import artefact
from rnncli.files.atomic import telling
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.specials import SPECIALS
from rnncli.text.tokenizer import Tokenizer
from rnncli.text.vocabulary import Vocabulary

SIZES = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)  # for the table


@dataclass(frozen=True)
class Summary:
    """What `tokenize` did, for the report; tokens are counted without <s> and </s>."""

    signature: str
    unit: str
    documents: int
    units: int
    tokens: int
    distinct: int
    vocabulary: int  # special tokens too
    kept: int  # tokens from the text
    min_count: int | None  # rarer ones were not kept; None for a vocabulary that was reused
    coverage: float  # share of the tokens that have an id
    unknown_rate: float
    rarest: tuple[str, int]  # the rarest kept token that was seen in training, and its count
    splits: dict[str, SplitSummary]
    table: list[tuple[int, float, float | None]]  # vocabulary size, unknown in training, held out
    skipped: dict[str, tuple[int, str]]  # reason: rows, first place

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain lists and dictionaries."""
        return dataclasses.asdict(self)


def tokenize(
    documents: Iterable[Document | str] | Files,
    rule: Pretokenizer,
    path: str | Path,
    *,
    vocab_size: int | None = None,
    min_count: int | None = None,
    vocabulary: Tokenizer | None = None,
    split: Sequence[float] = (0.9, 0.05, 0.05),
    seed: int = 0,
    skipped: Skipped | None = None,
    inputs: Sequence[str | Path] = (),
) -> Summary:
    """Write the data file `path` from documents; the vocabulary is that of the training split.

    `vocab_size` counts the special tokens (0: no limit; None: 8000 words, all characters, all 256
    bytes). Tokens rarer than `min_count` become <unk>; None means 1, but 2 for words where the
    vocabulary would hold all of them and leave no <unk> to learn from. `vocabulary` reuses that
    of another tokenizer. The splits are drawn by `seed` and have exactly the shares of `split`; a
    stream is cut by position. `skipped` tallies what is left out. The names of `inputs`, without
    folders, go into the header. `Files` may be read by several processes: the bytes are the same.
    Raises DataError and ConfigError; then no file is written.
    """
    _check_options(rule, vocab_size, min_count, vocabulary, split, seed)
    skipped = Skipped() if skipped is None else skipped
    folder = Path(path).absolute().parent
    with telling(str(path), "write"), spooled(documents, rule, folder, skipped) as corpus:
        if corpus.tokens == 0:
            blank = f" ({sum(skipped.counts.values())} rows left out)" if skipped.counts else ""
            raise DataError(f"no tokens in the input{blank}.")
        splitter = Splitter(corpus, rule, split, seed)
        counts = splitter.count()
        names = [name for name, share in zip(SPLITS, split, strict=False) if share > 0]
        tokens = corpus.types
        if vocabulary is None:
            first = len(SPECIALS)
            train = zip(tokens[first:], counts[0, first:].tolist(), strict=True)
            seen = {token: count for token, count in train if count}
            if min_count is None:
                min_count = _min_count(seen.values(), rule, vocab_size)
            kept = Vocabulary.from_counts(seen, rule, units=int(counts[0, 1]), size=vocab_size,
                                          min_count=min_count)  # fmt: skip
        else:
            kept = vocabulary.vocabulary
        tokenizer = Tokenizer(rule, kept)
        index = tokenizer.vocabulary.index
        table = np.array([index.get(token, 0) for token in tokens], np.int64)
        held = {name: k for k, name in enumerate(SPLITS) if name in names}
        figures = splitter.summaries(counts, table)
        splits = {name: figures[k] for name, k in held.items()}
        summary = _summary(corpus, tokenizer, counts, table, splits, skipped, min_count)
        header = {
            "tokenizer": tokenizer.to_header(),
            "inputs": [Path(name).name for name in inputs],
            "split": [float(share) for share in split],
            "seed": seed,
            "splits": {name: dataclasses.asdict(part) for name, part in splits.items()},
            "unseen": _unseen(counts, table),
        }
        arrays: dict[str, NDArray[Any] | artefact.ArrayBlocks] = dict(tokenizer.to_arrays())
        dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
        for name, k in held.items():
            arrays |= splitter.members(name, k, splits[name], table.astype(dtype))
        artefact.write(path, "data", header, arrays)
    return summary


def _unseen(counts: Ints, table: Ints) -> int:
    """Return the number of different tokens of the text that have no id."""
    first = len(SPECIALS)
    return int(np.count_nonzero((table[first:] == 0) & counts[:, first:].any(axis=0)))


def _min_count(counts: Collection[int], rule: Pretokenizer, size: int | None) -> int:
    """Return 2 if every word had a place although some were seen once, and some more often; else 1.

    At a level whose vocabulary has no limit of its own there is nothing rare to leave out.
    """
    limit = rule.row.vocab_size
    spare = limit > 0 and len(counts) <= (limit if size is None else size) - len(rule.specials)
    return 2 if spare and min(counts) == 1 < max(counts) else 1


def _check_options(
    rule: Pretokenizer, vocab_size: int | None, min_count: int | None, given: Tokenizer | None,
    split: Sequence[float], seed: int,
) -> None:  # fmt: skip
    if not 1 <= len(split) <= 3 or not all(0 <= share <= 1 for share in split) or split[0] <= 0:
        raise ConfigError("split is one to three shares between 0 and 1, the first above 0.")
    if abs(sum(split) - 1) > 1e-9:
        raise ConfigError(f"the shares of split add up to {sum(split):g}, not 1.")
    if vocab_size is not None and vocab_size < 0:
        raise ConfigError("a vocabulary size is not negative.")
    if min_count is not None and min_count < 1:
        raise ConfigError("min-count is at least 1.")
    if seed < 0:
        raise ConfigError("a seed is not negative.")
    if given is None:
        return
    if vocab_size is not None or min_count is not None:
        raise ConfigError("a reused vocabulary has its size; leave vocab-size and min-count out.")
    old = given.pretokenizer
    if (old.level, old.lower, old.specials) != (rule.level, rule.lower, rule.specials):
        raise ConfigError(f"the vocabulary was made as {old.signature}, not {rule.signature}. "
                          "Use the same --level, --lower and --unit.")  # fmt: skip


def _summary(
    corpus: Spooled, tokenizer: Tokenizer, counts: Ints, table: Ints,
    splits: Mapping[str, SplitSummary], skipped: Skipped, min_count: int | None,
) -> Summary:  # fmt: skip
    tokens, special = corpus.types, len(SPECIALS)
    text = counts[:, special:]
    total = int(text.sum())
    known = table[special:] > 0
    unknown = int(text[:, ~known].sum())
    rarest = ("", 0)
    candidates = np.flatnonzero(known & (text[0] > 0))
    if len(candidates):
        fewest = int(text[0, candidates].min())
        rare = (tokens[special + k] for k in candidates if text[0, k] == fewest)
        rarest = (max(rare), fewest)
    order = np.argsort(-text[0], kind="stable")
    ranked = text[:, order].cumsum(axis=1)  # (3, types), most frequent first
    reserved = len(tokenizer.pretokenizer.specials)
    distinct = int(np.count_nonzero(text[0]))
    sizes = [size for size in SIZES if size - reserved < distinct]
    rows: list[tuple[int, float, float | None]] = []
    train, held = int(text[0].sum()), int(text[1:].sum())
    for size in sizes:
        found = ranked[:, size - reserved - 1]
        rate = 1 - int(found[1:].sum()) / held if held else None
        rows.append((size, 1 - int(found[0]) / train, rate))
    return Summary(
        signature=tokenizer.signature, unit=tokenizer.pretokenizer.unit,
        documents=corpus.documents, units=sum(part.units for part in splits.values()),
        tokens=total, distinct=int(np.count_nonzero(text.sum(axis=0))),
        vocabulary=len(tokenizer), kept=len(tokenizer) - reserved, min_count=min_count,
        coverage=1 - unknown / total, unknown_rate=unknown / total, rarest=rarest,
        splits=dict(splits), table=rows,
        skipped={why: (number, str(skipped.first[why])) for why, number in skipped.counts.items()},
    )  # fmt: skip
