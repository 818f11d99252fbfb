"""Files to documents: CSV, TSV, lines, JSON Lines or whole files, plain or gzipped.

Reads in bounded memory and says for every fault which file, row and line it is in. It does not know
how a document is cut into tokens.
"""

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import regex

from rnncli.errors import ConfigError, DataError, shown

FORMATS = ("csv", "tsv", "txt", "jsonl")
COLUMNS = ("body", "text", "comment", "content", "title")  # looked for, in this order
LIMIT = 16 << 20  # characters of one row, or of a text without white space
_BLOCK = 1 << 20  # characters of a whole file read at once
_PROGRESS = 1 << 20  # bytes between two calls of on_bytes

_Buffered: TypeAlias = "io.BufferedReader[_Counted] | gzip.GzipFile"


@dataclass(frozen=True)
class Reading:
    """How input is read; None means: found out from the file."""

    column: str | int | None = None  # a name, or a number counted from 1
    delimiter: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    format: str | None = None  # one of FORMATS; by the file name, csv for standard input
    whole_file: bool = False  # a file is one document, not one a line
    limit: int | None = None  # documents

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise ConfigError(f"format {shown(self.format)!r} is none of {', '.join(FORMATS)}.")
        delimiter = self.delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n" '):
            raise ConfigError(f"delimiter {shown(delimiter)!r} is not one usable character.")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise ConfigError(f"there is no text encoding {shown(self.encoding)!r}.") from None
        if self.limit is not None and self.limit < 1:
            raise ConfigError("a limit of documents is at least 1.")


class Document(NamedTuple):
    """One text and where it stood; `more` says that the next one goes on with the same text."""

    text: str
    file: str = "text"
    row: int = 0
    line: int = 0
    more: bool = False

    @property
    def where(self) -> str:
        """The place, for messages."""
        return _where(self.file, self.row, self.line)


def _where(file: str, row: int, line: int) -> str:
    """A place for messages; a line file has no rows of its own."""
    name = shown(file, 200)
    if not line:
        return f"{name}, text {row}" if row else name
    return f"{name}, row {row} (line {line})" if row else f"{name}, line {line}"


@dataclass
class Skipped:
    """What to do with a row that cannot be used, and the tally of those left out.

    `counts` and `first` (the place) go by the reason. Blank documents are always only counted.
    """

    on_bad_row: str = "error"  # or "skip"
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on_bad_row not in ("error", "skip"):
            raise ConfigError(f"on-bad-row {shown(self.on_bad_row)!r} is neither error nor skip.")

    def count(self, reason: str, where: str) -> None:
        """Tally one row."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, where)

    def bad(self, reason: str, where: str, detail: str) -> None:
        """Tally one bad row, or raise DataError with the detail."""
        if self.on_bad_row == "error":
            raise DataError(f"{where}: {detail}. Mend it, or leave it out: --on-bad-row skip.")
        self.count(reason, where)


def documents(
    paths: Iterable[str | Path],
    reading: Reading,
    skipped: Skipped,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Iterator[Document]:
    """The documents of all files in order; `-` is standard input.

    Blank documents and, if `skipped` allows it, bad rows are tallied there and left out. `on_bytes`
    hears now and then how many bytes (as stored) are read, of how many (None if not known).
    """
    names = [str(path) for path in paths]
    progress = _Progress(on_bytes, _total(names))
    left = reading.limit
    for name in names:
        with _opened(name, progress) as binary:
            lines = _Lines(name, binary, reading.encoding)
            with _faults(lines, reading.encoding):
                for document in _read(lines, reading, skipped):
                    yield document
                    if left is not None and not document.more:
                        left -= 1
                        if left == 0:
                            return
    progress.done()


@contextmanager
def _faults(lines: "_Lines", encoding: str) -> Iterator[None]:
    """What a file does not yield, as a DataError that says where."""
    name = lines.name
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        where = _where(name, 0, lines.number)
        raise DataError(f"{where}: the gzip data is damaged or cut short here.") from None
    except UnicodeError:  # of a codec that cannot hand bad bytes through
        where = _where(name, 0, lines.number + 1)
        raise DataError(f"{where}: not {shown(encoding)}. Use --encoding.") from None
    except OSError as error:
        raise DataError(f"{_where(name, 0, 0)}: {error.strerror or error}.") from None


def text_lines(path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """Every line of a text, blank ones too, in order; each but the last ends in a line feed."""
    encoding = Reading(encoding=encoding).encoding  # or a ConfigError
    with _opened(str(path), _Progress(None, None)) as binary:
        lines, held = _Lines(str(path), binary, encoding), ""
        with _faults(lines, encoding):
            while line := _next_line(lines):
                held += line
                if held.endswith("\n"):  # a carriage return alone ends no line
                    yield held[:-2] + "\n" if held.endswith("\r\n") else held
                    held = ""
                    lines.begin()
        if held:
            yield held


def _next_line(lines: "_Lines") -> str:
    """The next line, "" at the end; a fault is a DataError."""
    try:
        line = next(lines, "")
    except _RowTooLongError:
        where = _where(lines.name, 0, lines.number)
        raise DataError(f"{where}: the line is longer than {LIMIT >> 20} MiB.") from None
    if lines.fault:
        raise DataError(f"{_where(lines.name, 0, lines.number)}: {lines.fault}.")
    return line


def _read(lines: "_Lines", reading: Reading, skipped: Skipped) -> Iterator[Document]:
    if reading.whole_file:
        return _whole(lines)
    suffix = Path(lines.name.removesuffix(".gz")).suffix.lower()[1:]
    kind = reading.format or ("csv" if lines.name == "-" else suffix)
    if kind in ("csv", "tsv"):
        return _csv(lines, reading, skipped, reading.delimiter or ("," if kind == "csv" else "\t"))
    if kind == "jsonl":
        return _jsonl(lines, reading, skipped)
    if kind == "txt":
        return _txt(lines, skipped)
    raise ConfigError(
        f"{_where(lines.name, 0, 0)}: the name ends in none of "
        f"{', '.join('.' + f for f in FORMATS)} (or .gz after it). Use --format."
    )


class _Progress:
    """Adds up the bytes of all files and calls `on_bytes` every so often."""

    def __init__(self, call: Callable[[int, int | None], None] | None, total: int | None) -> None:
        self._call, self._total = call, total
        self._read = self._told = 0

    def add(self, count: int) -> None:
        self._read += count
        if self._call and self._read - self._told >= _PROGRESS:
            self.done()

    def done(self) -> None:
        self._told = self._read
        if self._call:
            self._call(self._read, self._total)


class _Counted(io.RawIOBase):
    """A raw file that tells how much of it is read."""

    def __init__(self, file: BinaryIO, progress: _Progress) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._progress.add(len(data))
        return len(data)


def _total(names: list[str]) -> int | None:
    try:
        return None if "-" in names else sum(Path(name).stat().st_size for name in names)
    except OSError:
        return None  # said better when the file is opened


@contextmanager
def _opened(name: str, progress: _Progress) -> Iterator[_Buffered]:
    """A buffered binary file, unpacked if it begins like gzip."""
    with ExitStack() as stack:
        if name == "-":
            if sys.stdin is None:
                raise DataError("-: there is no standard input.")
            raw: BinaryIO = sys.stdin.buffer
        else:
            try:
                raw = stack.enter_context(open(name, "rb"))
            except OSError as error:
                raise DataError(f"{_where(name, 0, 0)}: {error.strerror}.") from None
        binary = io.BufferedReader(_Counted(raw, progress), _BLOCK)
        if binary.peek(2)[:2] == b"\x1f\x8b":
            yield stack.enter_context(gzip.GzipFile(fileobj=binary))
        else:
            yield binary


class _Lines:
    """The lines of a text, decoded; an iterator that can go on after a fault.

    `number` counts the lines. A row may take several: `begin` starts one, `first` is its first
    line, `fault` tells of a byte in it that cannot be decoded, and `again` hands out its lines
    anew, but for the first.
    """

    def __init__(self, name: str, binary: _Buffered, encoding: str) -> None:
        self.name = name
        self.number = 0
        self.fault = ""
        self._encoding = encoding
        self._offset = 0  # bytes before the next line
        self._row: list[tuple[str, int]] = []  # lines of the current row and their bytes
        self._ahead: list[str] = []  # lines to be handed out again, last first
        self._size = 0
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"
            self._offset = 3 if binary.peek(3)[:3] == codecs.BOM_UTF8 else 0
        self._text = io.TextIOWrapper(binary, encoding, errors="surrogateescape", newline="")

    @property
    def first(self) -> int:
        return self.number - max(len(self._row), 1) + 1

    def begin(self) -> None:
        self._row = []
        self._size = 0
        self.fault = ""

    def again(self) -> None:
        rest = self._row[1:]
        self._ahead.extend(line for line, _ in reversed(rest))
        self.number -= len(rest)
        self._offset -= sum(count for _, count in rest)
        self.begin()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.pop() if self._ahead else self._text.readline(LIMIT + 1)
        if not line:
            raise StopIteration
        self.number += 1
        count = len(line) if line.isascii() else self._checked(line)
        self._offset += count
        self._row.append((line, count))
        self._size += len(line)
        if self._size > LIMIT:
            if len(line) > LIMIT:  # leave out the rest of it
                while line and line[-1] not in "\r\n":
                    line = self._text.readline(LIMIT)
            raise _RowTooLongError
        return line

    def block(self) -> str:
        """Some lines, or a part of one: for reading without rows."""
        text = self._text.read(_BLOCK)
        self.begin()
        self._offset += len(text) if text.isascii() else self._checked(text)
        return text

    def _checked(self, line: str) -> int:
        """The bytes that `line` took; sets `fault` if one of them could not be decoded."""
        try:
            return len(line.encode())
        except UnicodeEncodeError as error:
            if not self.fault:
                at = self._offset + len(line[: error.start].encode())
                byte = ord(line[error.start]) & 0xFF
                where = f" at offset {at}" if "utf-8" in self._text.encoding else ""
                self.fault = f"byte 0x{byte:02x}{where} is not {self._encoding} (see --encoding)"
            return len(line.encode(errors="surrogateescape"))


class _RowTooLongError(Exception):
    pass


def _csv(lines: _Lines, reading: Reading, skipped: Skipped, delimiter: str) -> Iterator[Document]:
    csv.field_size_limit(max(csv.field_size_limit(), LIMIT))  # ours is the limit of a row
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    name = lines.name
    width = column = -1
    number = 0 if reading.header else 1  # of the row to come, the header being 0
    while True:
        lines.begin()
        reason = fault = ""
        fields: list[str] = []
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _RowTooLongError:
            reason, fault = "row too long", f"the row is longer than {LIMIT >> 20} MiB"
            if lines.number > lines.first:
                fault += ": a quotation mark is not closed"
        except csv.Error as error:
            reason, fault = "bad CSV", _CSV_FAULTS.get(str(error), str(error))
        if reason:
            line = lines.first
            lines.again()
        else:
            line = lines.first
            if not fields:  # an empty line
                continue
            if lines.fault:
                reason, fault = "undecodable byte", lines.fault
            elif width >= 0 and len(fields) != width:
                reason, fault = "ragged row", f"{len(fields)} fields where there should be {width}"
        if reason and width < 0:
            raise DataError(f"{_where(name, number, line)}: {fault}.")
        if reason:
            skipped.bad(reason, _where(name, number, line), fault)
        else:
            if width < 0:
                width = len(fields)
                column = _column(fields, reading, name)
            if number:
                text = fields[column]
                if text and not text.isspace():
                    yield Document(text, name, number, line)
                else:
                    skipped.count("blank", _where(name, number, line))
        number += 1


_CSV_FAULTS = {
    "unexpected end of data": "a quotation mark is not closed",
    "',' expected after '\"'": "text after a closing quotation mark",
    "'\t' expected after '\"'": "text after a closing quotation mark",
}


def _column(fields: list[str], reading: Reading, name: str) -> int:
    """The place of the wanted column among the names of the header, or among unnamed fields."""
    names = fields if reading.header else []
    wanted = reading.column
    if wanted is None:
        if len(fields) == 1:
            return 0
        plain = [field.strip().lower() for field in names]
        found = [plain.index(column) for column in COLUMNS if column in plain]
        if found:
            return found[0]
    elif names.count(str(wanted)) > 1:
        raise ConfigError(
            f"{_where(name, 0, 0)}: column {shown(wanted)!r} is there "
            f"{names.count(str(wanted))} times. Use its number with --column."
        )
    elif wanted in names:
        return names.index(str(wanted))
    elif str(wanted).isdecimal() and 1 <= int(wanted) <= len(fields):
        return int(wanted) - 1
    if reading.header:
        found_text = f"found: {', '.join(shown(n, 30) for n in names[:20])}"
    else:
        found_text = f"{len(fields)} columns without names"
    which = f'column "{shown(wanted)}"' if wanted is not None else "column of a known name"
    raise DataError(f"{_where(name, 0, 0)}: no {which} ({found_text}). Use --column.")


def _txt(lines: _Lines, skipped: Skipped) -> Iterator[Document]:
    for line, text in _single(lines, skipped):
        yield Document(text, lines.name, 0, line)


def _single(lines: _Lines, skipped: Skipped) -> Iterator[tuple[int, str]]:
    """Lines that are a row each, without their ends: number and text."""
    while True:
        lines.begin()
        try:
            text = next(lines).rstrip("\r\n")
        except StopIteration:
            return
        except _RowTooLongError:
            where = _where(lines.name, 0, lines.number)
            skipped.bad("row too long", where, f"the line is longer than {LIMIT >> 20} MiB")
            continue
        if lines.fault:
            skipped.bad("undecodable byte", _where(lines.name, 0, lines.number), lines.fault)
        elif not text or text.isspace():
            skipped.count("blank", _where(lines.name, 0, lines.number))
        else:
            yield lines.number, text


def _jsonl(lines: _Lines, reading: Reading, skipped: Skipped) -> Iterator[Document]:
    key = None if reading.column is None else str(reading.column)
    for line, text in _single(lines, skipped):
        where = _where(lines.name, 0, line)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            detail = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
            skipped.bad("bad JSON", where, f"not JSON: {detail}")
            continue
        if not isinstance(value, dict):
            skipped.bad("bad JSON", where, "not a JSON object")
            continue
        if key is None:
            known = [*(value if len(value) == 1 else ()), *(k for k in COLUMNS if k in value)]
            if not known:
                found = ", ".join(shown(k, 30) for k in list(value)[:20])
                raise DataError(f"{where}: no key of a known name (found: {found}). Use --column.")
            key = known[0]
        if key not in value:
            found = ", ".join(shown(k, 30) for k in list(value)[:20])
            skipped.bad("missing key", where, f'no key "{shown(key)}" (found: {found})')
            continue
        content = value[key]
        if content is None or (isinstance(content, str) and not content.strip()):
            skipped.count("blank", where)
        elif not isinstance(content, str):
            skipped.bad("not text", where, f'"{shown(key)}" holds no text')
        elif _LONE.search(content):
            skipped.bad("undecodable byte", where, f'"{shown(key)}" holds half a surrogate pair')
        else:
            yield Document(content, lines.name, 0, line)


_LONE = regex.compile(r"[\ud800-\udfff]")


def _whole(lines: _Lines) -> Iterator[Document]:
    """A file in pieces that end at white space; line ends become \\n."""
    held, number = "", 1
    while block := lines.block():
        if lines.fault:
            line = number + (held + _LONE.split(block)[0]).count("\n")
            raise DataError(f"{_where(lines.name, 0, line)}: {lines.fault}.")
        held += block
        cut = max(held.rfind("\n"), held.rfind(" ")) + 1
        if not cut and len(held) > LIMIT:
            where = _where(lines.name, 0, number)
            raise DataError(f"{where}: {LIMIT >> 20} MiB without a space or a line end.")
        if cut:
            piece, held = held[:cut], held[cut:]
            yield Document(piece.replace("\r\n", "\n"), lines.name, 0, number, True)
            number += piece.count("\n")
    yield Document(held.replace("\r\n", "\n"), lines.name, 0, number)
