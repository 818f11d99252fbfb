"""Documents to provisional ids on the disk, with a record for each unit.

It knows the rule, and nothing of vocabularies, of splits or of data files.
"""

import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rnncli.corpus import Document, Skipped
from rnncli.errors import DataError
from rnncli.rule import BOS, EOS, SPECIALS, Rule
from rnncli.rule import sentences as cut_sentences
from rnncli.tokenizer import Coder, Numbers

UNITS = 1 << 16  # units in memory at once
_BUFFER = 1 << 20  # bytes

Ints = NDArray[np.int64]


class Spool:
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

    def __enter__(self) -> "Spool":
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
        """The records in blocks of UNITS."""
        self._records.seek(0)
        while data := self._records.read(UNITS * 32):
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
