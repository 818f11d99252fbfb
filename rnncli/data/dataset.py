"""Opens data files: a corpus as ids in training, validation and test splits.

The arrays stay on the disk, mapped into memory. Nothing here knows of batches or models.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.mapped import blocks
from rnncli.errors import ArtefactError, DataError
from rnncli.files import artefact as artefacts
from rnncli.text.tokenizer import Tokenizer

SPLITS = ("train", "valid", "test")

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One split: its units one after another, each with its <s> and </s>.

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
        """The number of units."""
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data file, open for reading."""

    path: str
    header: dict[str, Any]
    tokenizer: Tokenizer
    splits: dict[str, Split]
    still: Callable[[], None]  # raises a ChangedError once the file is not what it was

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Open and check a data file; its arrays are mapped, not loaded."""
        return cls.of(artefacts.read(path, "data", mapped=True))

    @classmethod
    def of(cls, artefact: artefacts.Artefact) -> "Dataset":
        """Return the data set of a file that was read already, checked."""
        header, arrays, where = artefact.header, artefact.arrays, artefact.path
        tokenizer = Tokenizer.from_artefact(header, arrays, where)
        parts = header.get("splits")
        if not isinstance(parts, dict) or not parts or not set(parts) <= set(SPLITS):
            raise ArtefactError(f"{where}: the header has no splits.")
        splits = {
            name: _split(name, parts[name], arrays, tokenizer, where)
            for name in SPLITS
            if name in parts
        }
        return cls(where, header, tokenizer, splits, artefact.still)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of vocabulary and training ids: it differs between training texts."""
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        for block in blocks(self.splits["train"].ids):
            digest.update(block.tobytes())
        return digest.hexdigest()

    def split_for(self, tokenizer: Tokenizer, split: str) -> Split:
        """Return a split, if its ids mean the same to `tokenizer`; else raise a DataError."""
        tokenizer.require(self.tokenizer, self.path)
        if split not in self.splits:
            raise DataError(
                f'{self.path}: there is no split "{split}" (it has {", ".join(self.splits)}).'
            )
        return self.splits[split]

    @property
    def unseen(self) -> int | None:
        """The number of tokens without an id; None if it is 0, or if the file does not say."""
        number = self.header.get("unseen")
        return number if type(number) is int and number > 0 else None


def _split(
    name: str, part: Any, arrays: Mapping[str, NDArray[Any]], tokenizer: Tokenizer, where: str
) -> Split:
    """Return a split, from its figures `part` in the header; ArtefactError if they do not fit."""

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
    check(all(_ascending(starts, 0)), "starts are not ascending")
    top = max(int(block.max(initial=0)) for block in blocks(ids))
    check(top < len(tokenizer), f"an id of {top} in a vocabulary of {len(tokenizer)}")
    if tokenizer.is_stream:
        check(len(rows) == 0 and len(starts) == 2, "a stream has one unit and no rows")
    else:
        check(len(rows) == len(starts) - 1, "rows and starts differ in number")
        check(all(_ascending(starts, 2)), "a unit without <s> and </s>")
        for some in blocks(starts, 1):
            whole = (ids[some[:-1]] == tokenizer.bos) & (ids[some[1:] - 1] == tokenizer.eos)
            check(whole.all(), "a unit does not begin with <s> and end with </s>")
        check(all(_ascending(rows, 0)) and (rows[:1] >= 0).all(), "rows are not ascending")
    return Split(ids, starts, rows, *(part[key] for key in keys))


def _ascending(numbers: Ints, step: int) -> Iterator[bool]:
    """Yield for each block whether every number exceeds the one before it by `step` or more."""
    return (bool((np.diff(block) >= step).all()) for block in blocks(numbers, 1))
