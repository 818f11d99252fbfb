"""Reads the lines of a text file, plain or gzipped, and knows the place of each, for messages.

Memory is bounded, whatever the file holds. It does not know what a line means.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from rnncli.errors import DataError, shown

BLOCK = 1 << 20  # characters of a whole file read at once
GZIP = b"\x1f\x8b"  # how its files begin
_PROGRESS = 1 << 20  # bytes between two calls of on_bytes

Buffered: TypeAlias = "io.BufferedReader[_Counted] | gzip.GzipFile"


class Place(NamedTuple):
    """Names a place in a file: rows and lines are counted from 1; 0 means that there is none.

    Example: Place("a.csv", 2, 3) -> "a.csv, row 2 (line 3)"
    """

    file: str
    row: int = 0
    line: int = 0

    def __str__(self) -> str:
        name = shown(self.file, 200)
        if not self.line:
            return f"{name}, text {self.row}" if self.row else name
        if self.row:
            return f"{name}, row {self.row} (line {self.line})"
        return f"{name}, line {self.line}"


class Progress:
    """Adds up the bytes that are read of all files, and calls `call(read, total)` once a MiB."""

    def __init__(
        self, call: Callable[[int, int | None], None] | None = None, total: int | None = None
    ) -> None:
        self._call, self._total = call, total
        self._read = self._reported = 0

    def add(self, count: int) -> None:
        """Count bytes that were read."""
        self._read += count
        if self._call and self._read - self._reported >= _PROGRESS:
            self.done()

    def done(self) -> None:
        """Report how much was read."""
        self._reported = self._read
        if self._call:
            self._call(self._read, self._total)


class _Counted(io.RawIOBase):
    """A raw file that reports to `progress` how much of it is read."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._progress.add(len(data))
        return len(data)


@contextmanager
def opened(name: str, progress: Progress, offset: int = 0) -> Iterator[Buffered]:
    """Open a buffered binary file from an offset on, unpacked if it begins like gzip."""
    with ExitStack() as stack:
        try:
            if name == "-":
                if sys.stdin is None:
                    raise DataError("-: there is no standard input.")
                raw: BinaryIO = sys.stdin.buffer
            else:
                raw = stack.enter_context(open(name, "rb"))
                if offset:  # a pipe has none, and cannot seek
                    raw.seek(offset)
            binary = io.BufferedReader(_Counted(raw, progress), BLOCK)
            packed = not offset and binary.peek(2)[:2] == GZIP
        except OSError as error:
            raise DataError(f"{Place(name)}: {error.strerror or error}.") from None
        yield stack.enter_context(gzip.GzipFile(fileobj=binary)) if packed else binary


@contextmanager
def faults(lines: "Lines", encoding: str) -> Iterator[None]:
    """Turn what goes wrong while lines are read into a DataError that says where."""
    name = lines.name
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        where = Place(name, 0, lines.number)
        raise DataError(f"{where}: the gzip data is damaged or cut short here.") from None
    except UnicodeError:  # of a codec that cannot hand bad bytes through
        where = Place(name, 0, lines.number + 1)
        raise DataError(f"{where}: not {shown(encoding)}. Use --encoding.") from None
    except OSError as error:
        raise DataError(f"{Place(name)}: {error.strerror or error}.") from None


def is_utf8(encoding: str) -> bool:
    """Return whether `encoding` is a name of UTF-8."""
    return codecs.lookup(encoding).name == "utf-8"


class Lines:
    """Iterates over the lines of a text, decoded, and can go on after a fault.

    `number` counts the lines and `offset` the bytes (of UTF-8) before the next line; whoever reads
    rows counts them in `row`. A row may take several lines: `begin` starts one, `fault` describes
    a byte in it that cannot be decoded, and `again` gives back its lines, but for the first.
    """

    limit = 16 << 20  # bytes of one row, or characters of a text without white space

    def __init__(
        self, name: str, binary: Buffered, encoding: str,
        offset: int = 0, number: int = 0, row: int = 1,
    ) -> None:  # fmt: skip
        self.name = name
        self.row = row
        self.number = number
        self.offset = offset
        self.fault = ""
        self.advice = " (see --encoding)"
        self._encoding = encoding
        self._row: list[str] = []  # lines of the current row
        self._begun = offset  # where it begins
        self._ahead: list[str] = []  # lines to be handed out again, last first
        if offset == 0 and is_utf8(encoding):
            encoding = "utf-8-sig"
            with faults(self, encoding):
                self.offset = 3 if binary.peek(3)[:3] == codecs.BOM_UTF8 else 0
        self._text = io.TextIOWrapper(binary, encoding, errors="surrogateescape", newline="")

    def begin(self) -> None:
        """Begin a row at the next line."""
        self._row = []
        self._begun = self.offset
        self.fault = ""

    def again(self) -> None:
        """Give back the lines of the row but the first, and begin a row there."""
        rest = self._row[1:]
        self._ahead.extend(reversed(rest))
        self.number -= len(rest)
        self.offset -= sum(len(line.encode(errors="surrogateescape")) for line in rest)
        self.begin()

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.pop() if self._ahead else self._text.readline(self.limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.offset += len(line) if line.isascii() else self._checked(line)
        self._row.append(line)
        if self.offset - self._begun > self.limit:
            self._pass(line)
            raise RowTooLongError
        return line

    def _pass(self, line: str) -> None:
        """Skip the rest of a line that was cut off for its length."""
        cut = len(line) > self.limit
        while cut and line and line[-1] not in "\r\n":
            line = self._text.readline(self.limit)
            self.offset += len(line.encode(errors="surrogateescape"))

    def block(self) -> str:
        """Return the next block of text, whatever lines it holds: for reading without rows."""
        text = self._text.read(BLOCK)
        self.begin()
        self.offset += len(text) if text.isascii() else self._checked(text)
        return text

    def _checked(self, line: str) -> int:
        """Return the bytes that `line` took; set `fault` if one of them could not be decoded."""
        try:
            return len(line.encode())
        except UnicodeEncodeError as error:
            if not self.fault:
                at = self.offset + len(line[: error.start].encode())
                byte = ord(line[error.start]) & 0xFF
                where = f" at offset {at}" if "utf-8" in self._text.encoding else ""
                self.fault = f"byte 0x{byte:02x}{where} is not {self._encoding}{self.advice}"
            return len(line.encode(errors="surrogateescape"))


class RowTooLongError(Exception):
    """The current row is longer than `Lines.limit`."""


def text_lines(name: str, encoding: str | None = None, limit: int | None = None) -> Iterator[str]:
    """Yield every line of a text, blank ones too; each but the last ends in a line feed.

    `encoding` None is UTF-8, where there is no option to name another. A line of more than `limit`
    bytes and one that cannot be decoded are a DataError that names the place.

    Example: b"a\\r\\n\\nb" -> "a\\n", "\\n", "b"
    """
    with opened(name, Progress()) as binary:
        lines, held = Lines(name, binary, encoding or "utf-8"), ""
        lines.limit = limit or lines.limit
        lines.advice = "" if encoding is None else lines.advice
        with faults(lines, encoding or "utf-8"):
            while line := _next_line(lines):
                held += line
                if held.endswith("\n"):  # a carriage return alone ends no line
                    yield held[:-2] + "\n" if held.endswith("\r\n") else held
                    held = ""
                    lines.begin()
        if held:
            yield held


def _next_line(lines: Lines) -> str:
    """Return the next line, "" at the end; a fault is a DataError."""
    try:
        line = next(lines, "")
    except RowTooLongError:
        where = Place(lines.name, 0, lines.number)
        raise DataError(f"{where}: the line is longer than {lines.limit >> 20} MiB.") from None
    if lines.fault:
        raise DataError(f"{Place(lines.name, 0, lines.number)}: {lines.fault}.")
    return line
