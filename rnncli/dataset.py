"""Data files: a corpus as ids, cut into training, validation and test splits.

`tokenize` makes one from documents in a single pass, with memory that grows with the vocabulary
alone; `Dataset` opens one, mapped into memory. It does not know of batches or models.
"""

import dataclasses
import itertools
import struct
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import artefacts
from rnncli.corpus import Document, Skipped
from rnncli.errors import ArtefactError, ConfigError, DataError
from rnncli.rule import BOS, EOS, SPECIALS, Rule
from rnncli.rule import sentences as cut_sentences
from rnncli.tokenizer import WORD_VOCABULARY, Coder, Numbers, Tokenizer, Vocabulary

SPLITS = ("train", "valid", "test")
SIZES = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)  # for the table
_UNITS = 1 << 16  # units in memory at once
_TOKENS = 1 << 20  # tokens in memory at once
_BUFFER = 1 << 20  # bytes
_DRAW = 0x5B117  # purpose of the random stream that deals the units out

Ints = NDArray[np.int64]


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


@dataclass(frozen=True)
class Summary:
    """What `tokenize` did, for the report; tokens are counted without `<s>` and `</s>`."""

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
        """The same as plain lists and dictionaries."""
        return dataclasses.asdict(self)


def tokenize(
    documents: Iterable[Document | str],
    rule: Rule,
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
    bytes). Tokens rarer than `min_count` become `<unk>`; None means 1, but 2 for words where the
    vocabulary would hold all of them and leave no `<unk>` to learn from. `vocabulary` reuses that
    of another tokenizer. Units are dealt out by `seed`, exactly in the shares of `split`; a stream
    is cut by position. `skipped` tallies what is left out. Of `inputs` the names without folders go
    into the header. Raises DataError and ConfigError; then no file is written.
    """
    _check_options(rule, vocab_size, min_count, vocabulary, split, seed)
    skipped = Skipped() if skipped is None else skipped
    with _Spool(Path(path).absolute().parent) as spool:
        spool.fill(documents, rule, skipped)
        if spool.tokens == 0 or (rule.unit != "stream" and spool.units == 0):
            blank = f" ({sum(skipped.counts.values())} rows left out)" if skipped.counts else ""
            raise DataError(f"no tokens in the input{blank}.")
        deal = _Deal(spool, rule, split, seed)
        counts = deal.count()
        names = [name for name, share in zip(SPLITS, split, strict=False) if share > 0]
        tokens = [*SPECIALS, *spool.numbers]
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
        splits = {name: deal.summary(k, counts[k], table) for name, k in held.items()}
        summary = _summary(spool, tokenizer, counts, table, splits, skipped, min_count)
        header = {
            "tokenizer": tokenizer.to_header(),
            "inputs": [Path(name).name for name in inputs],
            "split": [float(share) for share in split],
            "seed": seed,
            "splits": {name: dataclasses.asdict(part) for name, part in splits.items()},
            "unseen": int(np.count_nonzero(table[len(SPECIALS) :] == 0)),
        }
        arrays: dict[str, NDArray[Any] | artefacts.Stream] = dict(tokenizer.to_arrays())
        dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
        for name, k in held.items():
            arrays |= deal.members(name, k, splits[name], table.astype(dtype))
        artefacts.write(path, "data", header, arrays)
    return summary


def _min_count(counts: Collection[int], rule: Rule, size: int | None) -> int:
    """2 if every word had a place although some were seen once, and some more often; else 1."""
    room = (WORD_VOCABULARY if size is None else size) - len(rule.specials)
    spare = rule.level == "word" and len(counts) <= room
    return 2 if spare and min(counts) == 1 < max(counts) else 1


def _check_options(
    rule: Rule, vocab_size: int | None, min_count: int | None, given: Tokenizer | None,
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
    old = given.rule
    if (old.level, old.lower, old.specials) != (rule.level, rule.lower, rule.specials):
        raise ConfigError(f"the vocabulary was made as {old.signature}, not {rule.signature}. "
                          "Use the same --level, --lower and --unit.")  # fmt: skip


class _Spool:
    """Two nameless temporary files: the provisional ids, and a record for each unit.

    A record is four int64: tokens (with `<s>` and `</s>`), number of the document, characters,
    bytes. The files have no name, so nothing is left behind whatever happens. A part of a corpus
    spooled elsewhere could be appended once its numbers are mapped onto these.
    """

    def __init__(self, folder: Path) -> None:
        self.numbers = Numbers()
        self.documents = self.units = self.tokens = 0
        self._open = ExitStack()
        try:
            self._ids = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._ids)
            self._records = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._records)
        except OSError as error:
            raise DataError(f"{folder}: cannot be written to: {error.strerror}.") from None

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._open.close()

    def fill(self, documents: Iterable[Document | str], rule: Rule, skipped: Skipped) -> None:
        """Encode documents with provisional ids, in order of first sight."""
        encode = Coder(rule, self.numbers)
        bos, eos = (struct.pack("=I", SPECIALS.index(token)) for token in (BOS, EOS))
        marked = rule.unit != "stream"
        pack = struct.Struct("=4q").pack
        write_ids, write_record = self._ids.write, self._records.write
        filled = False  # whether the document has any tokens yet
        blank_chars = blank_bytes = 0
        for document, parts in _parts(documents, rule):
            try:
                encoded = [(text, encode(text)) for text in parts]
            except UnicodeEncodeError:
                skipped.bad("not Unicode", document.where, "half a surrogate pair in the text")
                continue
            except DataError as error:
                skipped.bad("special token", document.where, str(error))
                continue
            for text, ids in encoded:
                size = len(text) if text.isascii() else len(text.encode())
                if not ids:  # white space in a stream of words goes with the next line
                    blank_chars += len(text)
                    blank_bytes += size
                    continue
                ids = bos + ids + eos if marked else ids
                chars, size = blank_chars + len(text), blank_bytes + size
                blank_chars = blank_bytes = 0
                write_ids(ids)
                write_record(pack(len(ids) // 4, self.documents, chars, size))
                self.units += 1
                self.tokens += len(ids) // 4
                filled = True
            if filled and not document.more:
                self.documents += 1
                filled = False

    def records(self) -> Iterator[Ints]:
        """The records in blocks of _UNITS."""
        self._records.seek(0)
        while data := self._records.read(_UNITS * 32):
            yield np.frombuffer(data, np.int64).reshape(-1, 4)  # (units, 4)

    def ids(self) -> Callable[[int], NDArray[np.uint32]]:
        """A function that takes the next so many provisional ids, from the first on."""
        self._ids.seek(0)
        return lambda count: np.frombuffer(self._ids.read(count * 4), np.uint32)


def _parts(
    documents: Iterable[Document | str], rule: Rule
) -> Iterator[tuple[Document, Sequence[str]]]:
    """Each document, or piece of one, with its units, or the lines of a stream."""
    carried = ""
    last, fresh = "", True
    for number, given in enumerate(documents, 1):
        document = Document(given, row=number) if isinstance(given, str) else given
        text = document.text
        if rule.unit == "stream":
            if fresh and last not in ("", "\n"):
                text = "\n" + text  # documents of a stream begin on a line of their own
            last, fresh = text[-1:] or last, not document.more
            yield document, text.splitlines(keepends=True)
            continue
        text, carried = carried + text, ""
        if document.more:
            # The last sentence may go on in the next piece; a document certainly does.
            pieces = cut_sentences(text) if rule.unit == "sentence" else [text]
            carried = pieces.pop() if pieces else ""
            text = "".join(pieces)
        yield document, rule.units(text)


class _Deal:
    """Which split each token of a spool is in, and all passes over it that need to know."""

    def __init__(self, spool: _Spool, rule: Rule, split: Sequence[float], seed: int) -> None:
        self._spool = spool
        self._stream = rule.unit == "stream"
        self._seed = seed
        self.quotas = quotas(spool.tokens if self._stream else spool.units, split)

    def _labelled(self) -> Iterator[tuple[Ints, NDArray[np.int8]]]:
        """Records in blocks with the split of each unit (of a stream: of its first token)."""
        if self._stream:
            ends = np.cumsum(self.quotas)
            done = 0
            for records in self._spool.records():
                starts = done + np.cumsum(records[:, 0]) - records[:, 0]
                done += int(records[:, 0].sum())
                yield records, np.searchsorted(ends, starts, side="right").astype(np.int8)
            return
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, _DRAW])))
        left = np.array(self.quotas)
        for records in self._spool.records():
            # Selection without replacement, a block at a time: the shares come out exactly.
            drawn = rng.multivariate_hypergeometric(left, len(records), method="marginals")
            left -= drawn
            yield records, rng.permutation(np.repeat(np.arange(3, dtype=np.int8), drawn))

    def _tokens(self) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int8]]]:
        """Provisional ids in blocks with the split of each."""
        take = self._spool.ids()
        if self._stream:
            for k, quota in enumerate(self.quotas):
                for start in range(0, quota, _TOKENS):
                    ids = take(min(_TOKENS, quota - start))
                    yield ids, np.full(len(ids), k, np.int8)
            return
        for records, labels in self._labelled():
            ends = np.cumsum(records[:, 0])
            for start in range(0, int(ends[-1]), _TOKENS):
                stop = min(start + _TOKENS, int(ends[-1]))
                a, b = np.searchsorted(ends, [start, stop - 1], side="right")
                inside = np.minimum(ends[a : b + 1], stop)
                lengths = np.diff(inside, prepend=start)
                yield take(stop - start), np.repeat(labels[a : b + 1], lengths)

    def count(self) -> Ints:
        """How often each provisional id is in each split, (3, tokens)."""
        counts = np.zeros((3, len(SPECIALS) + len(self._spool.numbers)), np.int64)
        for ids, labels in self._tokens():
            for k in range(3):
                part = ids[labels == k]
                if len(part):
                    counts[k] += np.bincount(part, minlength=counts.shape[1])
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
        for records in self._spool.records():
            ends = done + np.cumsum(records[:, 0])
            starts = ends - records[:, 0]
            done = int(ends[-1])
            for sign, cut in ((1, high), (-1, low)):
                before = np.clip(cut - starts, 0, records[:, 0])
                sums += sign * (records[:, 2:] * before[:, None] // records[:, :1]).sum(axis=0)
        return int(sums[0]), int(sums[1])

    def members(
        self, name: str, k: int, part: SplitSummary, table: NDArray[Any]
    ) -> dict[str, NDArray[Any] | artefacts.Stream]:
        """The arrays of split `k`, written as they are read."""
        ids = (table[block[labels == k]] for block, labels in self._tokens())
        members: dict[str, NDArray[Any] | artefacts.Stream] = {
            f"{name}.ids": artefacts.Stream(table.dtype, (part.tokens,), ids)
        }
        if self._stream:
            starts = np.array([0, part.tokens], np.int64)
            return members | {f"{name}.starts": starts, f"{name}.rows": np.zeros(0, np.int64)}
        wide = np.dtype(np.int64)
        lengths = (records[labels == k, 0] for records, labels in self._labelled())
        rows = (records[labels == k, 1] for records, labels in self._labelled())
        return members | {
            f"{name}.starts": artefacts.Stream(wide, (part.units + 1,), _starts(lengths)),
            f"{name}.rows": artefacts.Stream(wide, (part.units,), rows),
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


def _summary(
    spool: _Spool, tokenizer: Tokenizer, counts: Ints, table: Ints,
    splits: Mapping[str, SplitSummary], skipped: Skipped, min_count: int | None,
) -> Summary:  # fmt: skip
    tokens, special = [*SPECIALS, *spool.numbers], len(SPECIALS)
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
    ranked = text[:, order].cumsum(axis=1)  # (3, tokens), most frequent first
    reserved = len(tokenizer.rule.specials)
    distinct = int(np.count_nonzero(text[0]))
    sizes = [size for size in SIZES if size - reserved < distinct]
    rows: list[tuple[int, float, float | None]] = []
    train, held = int(text[0].sum()), int(text[1:].sum())
    for size in sizes:
        found = ranked[:, size - reserved - 1]
        rate = 1 - int(found[1:].sum()) / held if held else None
        rows.append((size, 1 - int(found[0]) / train, rate))
    return Summary(
        signature=tokenizer.signature, unit=tokenizer.rule.unit,
        documents=spool.documents, units=sum(part.units for part in splits.values()),
        tokens=total, distinct=int(np.count_nonzero(text.sum(axis=0))),
        vocabulary=len(tokenizer), kept=len(tokenizer) - reserved, min_count=min_count,
        coverage=1 - unknown / total, unknown_rate=unknown / total, rarest=rarest,
        splits=dict(splits), table=rows,
        skipped={why: (number, skipped.first[why]) for why, number in skipped.counts.items()},
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Split:
    """One split: its units, `<s>` and `</s>` with them, one after another.

    Unit `u` is ids[starts[u]:starts[u + 1]] and comes from document rows[u]; a stream is one unit
    and has no rows. `chars` and `bytes` measure the original text, `unknown` counts `<unk>`.
    """

    ids: NDArray[np.uint16] | NDArray[np.uint32]
    starts: Ints
    rows: Ints
    documents: int
    chars: int
    bytes: int
    unknown: int

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data file, open for reading."""

    path: str
    header: dict[str, Any]
    tokenizer: Tokenizer
    splits: dict[str, Split]

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Open and check a data file; its arrays are mapped, not loaded."""
        artefact = artefacts.read(path, "data", mapped=True)
        header, arrays, where = artefact.header, artefact.arrays, str(path)
        tokenizer = Tokenizer.from_artefact(header, arrays, where)
        parts = header.get("splits")
        if not isinstance(parts, dict) or not parts or not set(parts) <= set(SPLITS):
            raise ArtefactError(f"{where}: the header has no splits.")
        splits = {
            name: _split(name, parts[name], arrays, tokenizer, where)
            for name in SPLITS
            if name in parts
        }
        return cls(where, header, tokenizer, splits)

    @property
    def unseen(self) -> int | None:
        """How many different tokens of the text have no id; None in a file that does not say."""
        number = self.header.get("unseen")
        return number if type(number) is int and number > 0 else None


def _split(
    name: str, part: Any, arrays: Mapping[str, NDArray[Any]], tokenizer: Tokenizer, where: str
) -> Split:
    def check(sound: object, fault: str) -> None:
        if not sound:
            raise ArtefactError(f"{where}: split {name}: {fault}.")

    check(isinstance(part, dict), "no figures in the header")
    keys = ("documents", "chars", "bytes", "unknown")
    check(all(type(part.get(key)) is int and part[key] >= 0 for key in keys), "figures are missing")
    names = [f"{name}.{member}" for member in ("ids", "starts", "rows")]
    check(all(member in arrays and arrays[member].ndim == 1 for member in names), "arrays missing")
    ids, starts, rows = (arrays[member] for member in names)
    check(ids.dtype in (np.uint16, np.uint32), "ids are not uint16 or uint32")
    check(starts.dtype == np.int64 and rows.dtype == np.int64, "starts and rows are not int64")
    check(len(starts) > 0 and starts[0] == 0 and starts[-1] == len(ids), "starts do not fit ids")
    check((starts[1:] >= starts[:-1]).all(), "starts are not ascending")
    top = max((int(ids[k : k + _TOKENS].max()) for k in range(0, len(ids), _TOKENS)), default=0)
    check(top < len(tokenizer), f"an id of {top} in a vocabulary of {len(tokenizer)}")
    if tokenizer.bos is None:
        check(len(rows) == 0 and len(starts) == 2, "a stream has one unit and no rows")
    else:
        check(len(rows) == len(starts) - 1, "rows and starts differ in number")
        check((np.diff(starts) >= 2).all(), "a unit without <s> and </s>")
        for edge, special in ((starts[:-1], tokenizer.bos), (starts[1:] - 1, tokenizer.eos)):
            check((ids[edge] == special).all(), "a unit does not begin with <s> and end with </s>")
        check((rows[1:] >= rows[:-1]).all() and (rows[:1] >= 0).all(), "rows are not ascending")
    return Split(ids, starts, rows, *(part[key] for key in keys))
