"""Documents to provisional ids on the disk, with a record for each unit.

A `Spool` takes what one process reads; `Spooled` makes one corpus of the pieces of several. They
know the rule, and nothing of vocabularies, of splits or of data files.
"""

import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.data.document import Document, Skipped
from rnncli.errors import DataError
from rnncli.text.encoder import Numbers, encoder, marks
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.sentences import sentences
from rnncli.text.specials import SPECIALS

UNITS = 1 << 16  # units in memory at once
_BUFFER = 1 << 20  # bytes

Ints = NDArray[np.int64]


class Segment(NamedTuple):
    """Where documents stand in a spool: number of the spool, first unit and id, and how many."""

    spool: int
    unit: int
    token: int
    documents: int
    units: int
    tokens: int


class Spool:
    """Two nameless temporary files: the provisional ids, and a record for each unit.

    A record is four int64: tokens (with `<s>` and `</s>`), number of the document, characters,
    bytes. The files have no name, so nothing is left behind whatever happens; a process forked
    from this one can fill them, and this one read them.
    """

    def __init__(self, folder: Path, rule: Pretokenizer, number: int = 0) -> None:
        self.numbers = Numbers()
        self.number = number
        self._rule = rule
        self._encode = encoder(rule, self.numbers)
        self._units = self._tokens = 0  # in the files
        self._open = ExitStack()
        try:
            self._ids = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._ids)
            self._records = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._records)
        except OSError as error:
            self._open.close()
            raise DataError(f"{folder}: cannot be written to: {error.strerror}.") from None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._open.close()

    def fill(self, documents: Iterable[Document | str], skipped: Skipped) -> Segment:
        """Encode documents with provisional ids, in order of first sight; the first is number 0."""
        encode, rule = self._encode, self._rule
        first = self._units, self._tokens
        count = 0  # of documents
        bos, eos = marks(rule)
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
                chars = len(text)
                size = chars if text.isascii() else len(text.encode())
                if not ids:  # white space in a stream of words goes with the next line
                    blank_chars += chars
                    blank_bytes += size
                    continue
                ids = bos + ids + eos
                if rule.is_stream:
                    chars, size = blank_chars + chars, blank_bytes + size
                    blank_chars = blank_bytes = 0
                tokens = len(ids) // 4
                write_ids(ids)
                write_record(pack(tokens, count, chars, size))
                self._units += 1
                self._tokens += tokens
                filled = True
            if filled and not document.more:
                count += 1
                filled = False
        self._ids.flush()
        self._records.flush()
        return Segment(self.number, *first, count, self._units - first[0], self._tokens - first[1])

    def read_records(self, start: int, count: int) -> Ints:
        """`count` records from number `start` on, (count, 4)."""
        data = _pread(self._records.fileno(), start * 32, count * 32)
        return np.frombuffer(data, np.int64).reshape(-1, 4)

    def read_ids(self, start: int, count: int) -> NDArray[np.uint32]:
        """`count` provisional ids from number `start` on."""
        return np.frombuffer(_pread(self._ids.fileno(), start * 4, count * 4), np.uint32)


def _pread(descriptor: int, start: int, count: int) -> bytes:
    data = os.pread(descriptor, count, start)
    while len(data) < count:
        more = os.pread(descriptor, count - len(data), start + len(data))
        if not more:
            raise DataError("a temporary file was cut short while it was read.")
        data += more
    return data


class Spooled:
    """Segments of spools, in order, as one corpus.

    `types` are all its different tokens, the special ones first and the others by the alphabet: so
    their ids here do not depend on who saw what first. `types_of` gives those of each spool in the
    order of its own numbers.
    """

    def __init__(
        self, spools: Sequence[Spool], segments: Sequence[Segment],
        types_of: Sequence[Iterable[str]],
    ) -> None:  # fmt: skip
        self._spools, self._segments = spools, segments
        self.documents = sum(segment.documents for segment in segments)
        self.units = sum(segment.units for segment in segments)
        self.tokens = sum(segment.tokens for segment in segments)
        self.types = [*SPECIALS, *sorted(set().union(*types_of))]
        index = {token: number for number, token in enumerate(self.types)}
        self._tables = [
            np.array([*range(len(SPECIALS)), *map(index.__getitem__, types)], np.uint32)
            for types in types_of
        ]

    def records(self) -> Iterator[Ints]:
        """The records in blocks of UNITS, wherever the segments end."""
        blocks: list[Ints] = []
        room, documents = UNITS, 0
        for segment in self._segments:
            spool, done = self._spools[segment.spool], 0
            while done < segment.units:
                some = min(room, segment.units - done)
                block = spool.read_records(segment.unit + done, some)
                blocks.append(np.add(block, [0, documents, 0, 0]))
                done, room = done + some, room - some
                if not room:
                    yield np.concatenate(blocks)
                    blocks, room = [], UNITS
            documents += segment.documents
        if blocks:
            yield np.concatenate(blocks)

    def ids(self, table: NDArray[Any]) -> Callable[..., NDArray[Any]]:
        """Return `take(n, mask=None)`: the next n ids of the corpus, mapped through `table`.

        With a mask (n,) it returns those ids alone where the mask is True.
        """
        tables = [table[numbers] for numbers in self._tables]
        segments = iter(self._segments)
        segment, done = next(segments), 0

        def take(count: int, mask: NDArray[np.bool_] | None = None) -> NDArray[Any]:
            nonlocal segment, done
            blocks, at = [table[:0]], 0
            while at < count:
                if done == segment.tokens:
                    segment, done = next(segments), 0
                    continue
                some = min(count - at, segment.tokens - done)
                ids = self._spools[segment.spool].read_ids(segment.token + done, some)
                ids = ids if mask is None else ids[mask[at : at + some]]
                blocks.append(tables[segment.spool][ids])
                done, at = done + some, at + some
            return np.concatenate(blocks)

        return take


def _parts(
    documents: Iterable[Document | str], rule: Pretokenizer
) -> Iterator[tuple[Document, Sequence[str]]]:
    """Each document, or piece of one, with its units, or the lines of a stream."""
    carried = ""
    last, fresh = "", True
    for number, given in enumerate(documents, 1):
        document = Document(given, row=number) if isinstance(given, str) else given
        text = document.text
        if rule.is_stream:
            if fresh and last not in ("", "\n"):
                text = "\n" + text  # documents of a stream begin on a line of their own
            last, fresh = text[-1:] or last, not document.more
            yield document, text.splitlines(keepends=True)
            continue
        text, carried = carried + text, ""
        if document.more:
            # The last sentence may go on in the next piece; a document certainly does.
            pieces = sentences(text) if rule.unit == "sentence" else [text]
            carried = pieces.pop() if pieces else ""
            text = "".join(pieces)
        yield document, rule.units(text)
