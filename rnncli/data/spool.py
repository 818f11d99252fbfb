"""Encodes documents to temporary files: the numbers of their tokens, and a record of each unit.

A token has three numberings, one after the other:
  number   in a spool, in order of first sight: what a `Spool` writes, as it reads a text only once
  type     in a corpus, its place among all different tokens by the alphabet: a `Spooled` makes one
           corpus of several spools, whose types do not depend on who read what
  id       in a vocabulary, which is known when all tokens are counted
Nothing here knows of vocabularies, splits or data files.
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
RECORD = np.dtype([
    ("tokens", np.int64),  # of a unit, <s> and </s> among them
    ("document", np.int64),  # its number
    ("chars", np.int64),
    ("bytes", np.int64),
])  # fmt: skip
_BUFFER = 1 << 20  # bytes

Ints = NDArray[np.int64]


class Segment(NamedTuple):
    """Documents that follow one another in a spool: where they begin, and what they hold."""

    spool: int  # number of the spool
    unit: int  # the first one
    token: int  # the first one
    documents: int
    units: int
    tokens: int


class Spool:
    """Holds encoded documents in two temporary files: numbers of tokens, and a RECORD a unit.

    The files have no name, so nothing is left behind whatever happens. A process that is forked
    from this one can fill them, and this one can then read them.
    """

    def __init__(self, folder: Path, rule: Pretokenizer, number: int = 0) -> None:
        self.numbers = Numbers()
        self.number = number
        self._rule = rule
        self._encode = encoder(rule, self.numbers)
        self._units = self._tokens = 0  # in the files
        self._open = ExitStack()
        try:
            self._tokens_file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._tokens_file)
            self._units_file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
            self._open.enter_context(self._units_file)
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
        """Append documents, the first as number 0; tally in `skipped` those that are left out."""
        encode, rule = self._encode, self._rule
        first = self._units, self._tokens
        count = 0  # of documents
        bos, eos = marks(rule)
        pack = struct.Struct("=4q").pack  # a RECORD
        write_tokens, write_record = self._tokens_file.write, self._units_file.write
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
            for text, numbers in encoded:
                chars = len(text)
                size = chars if text.isascii() else len(text.encode())
                if not numbers:  # white space in a stream of words goes with the next line
                    blank_chars += chars
                    blank_bytes += size
                    continue
                numbers = bos + numbers + eos
                if rule.is_stream:
                    chars, size = blank_chars + chars, blank_bytes + size
                    blank_chars = blank_bytes = 0
                tokens = len(numbers) // 4
                write_tokens(numbers)
                write_record(pack(tokens, count, chars, size))
                self._units += 1
                self._tokens += tokens
                filled = True
            if filled and not document.more:
                count += 1
                filled = False
        self._tokens_file.flush()
        self._units_file.flush()
        return Segment(self.number, *first, count, self._units - first[0], self._tokens - first[1])

    def read_records(self, start: int, count: int) -> NDArray[np.void]:
        """Return `count` records (count,) from number `start` on."""
        size = RECORD.itemsize
        data = _pread(self._units_file.fileno(), start * size, count * size)
        return np.frombuffer(data, RECORD)

    def read_numbers(self, start: int, count: int) -> NDArray[np.uint32]:
        """Return the numbers of `count` tokens from token `start` on."""
        return np.frombuffer(_pread(self._tokens_file.fileno(), start * 4, count * 4), np.uint32)


def _pread(descriptor: int, start: int, count: int) -> bytes:
    """Return `count` bytes of a temporary file from `start` on."""
    data = os.pread(descriptor, count, start)
    while len(data) < count:
        more = os.pread(descriptor, count - len(data), start + len(data))
        if not more:
            raise DataError("a temporary file was cut short while it was read.")
        data += more
    return data


class Spooled:
    """Makes one corpus of segments of spools, in order.

    `types` are all its different tokens, the special ones first and the others by the alphabet.
    `types_of` gives those of each spool in the order of its numbers.
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
        self._type_of = [  # of each spool: number -> type
            np.array([*range(len(SPECIALS)), *map(index.__getitem__, types)], np.uint32)
            for types in types_of
        ]

    def records(self) -> Iterator[NDArray[np.void]]:
        """Yield the records in blocks of UNITS, documents counted from the first of the corpus."""
        blocks: list[NDArray[np.void]] = []
        room, documents = UNITS, 0
        for segment in self._segments:
            spool, done = self._spools[segment.spool], 0
            while done < segment.units:
                some = min(room, segment.units - done)
                block = spool.read_records(segment.unit + done, some).copy()
                block["document"] += documents
                blocks.append(block)
                done, room = done + some, room - some
                if not room:
                    yield np.concatenate(blocks)
                    blocks, room = [], UNITS
            documents += segment.documents
        if blocks:
            yield np.concatenate(blocks)

    def reader(self, values: NDArray[Any]) -> Callable[..., NDArray[Any]]:
        """Return `take(n, mask=None)`: the value, by its type, of each of the next n tokens.

        With a mask (n,) it returns the values of those tokens alone where the mask is True.

        Example: types "a", "b"; values [7, 9]; tokens a b a -> take(2) is [7, 9], take(1) is [7]
        """
        value_of = [values[types] for types in self._type_of]  # of each spool: number -> value
        segments = iter(self._segments)
        segment, done = next(segments), 0

        def take(count: int, mask: NDArray[np.bool_] | None = None) -> NDArray[Any]:
            nonlocal segment, done
            blocks, at = [values[:0]], 0
            while at < count:
                if done == segment.tokens:
                    segment, done = next(segments), 0
                    continue
                some = min(count - at, segment.tokens - done)
                numbers = self._spools[segment.spool].read_numbers(segment.token + done, some)
                numbers = numbers if mask is None else numbers[mask[at : at + some]]
                blocks.append(value_of[segment.spool][numbers])
                done, at = done + some, at + some
            return np.concatenate(blocks)

        return take


def _parts(
    documents: Iterable[Document | str], rule: Pretokenizer
) -> Iterator[tuple[Document, Sequence[str]]]:
    """Yield each document, or piece of one, with its units; of a stream with its lines."""
    carried = ""  # what is left of the last piece
    last, fresh = "", True  # the last character of a stream; whether a document begins
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
