"""Files to documents: CSV, TSV, lines, JSON Lines or whole files, plain or gzipped.

Reads in bounded memory and says for every fault which file, row and line it is in. It does not know
how a document is cut into tokens.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import regex

from rnncli.config.reading import FORMATS, ReadOptions
from rnncli.data.lines import Lines, Place, Progress, RowTooLongError, faults, opened
from rnncli.errors import ConfigError, DataError, shown

COLUMNS = ("body", "text", "comment", "content", "title")  # looked for, in this order


class Document(NamedTuple):
    """One text and where it stood; `more` says that the next one goes on with the same text."""

    text: str
    file: str = "text"
    row: int = 0
    line: int = 0
    more: bool = False

    @property
    def where(self) -> Place:
        """The place, for messages."""
        return Place(self.file, self.row, self.line)


@dataclass
class FileChunk:
    """Rows of a file: those that begin from byte `at` on, and before `end` (None: all of them).

    `at`, and the `row` and `line` that go with it, move on as the part is read.
    """

    file: str
    at: int = 0
    end: int | None = None
    row: int = 1  # number of the row to come
    line: int = 0  # number of lines before it


@dataclass
class Skipped:
    """What to do with a row that cannot be used, and the tally of those left out.

    `counts` and `first` (the place) go by the reason. Blank documents are always only counted.
    """

    on_bad_row: str = "error"  # or "skip"
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on_bad_row not in ("error", "skip"):
            raise ConfigError(f"on-bad-row {shown(self.on_bad_row)!r} is neither error nor skip.")

    def count(self, reason: str, where: Place) -> None:
        """Tally one row."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, where)

    def add(self, other: "Skipped") -> None:
        """Take over the tally of what comes next."""
        for reason, number in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + number
            self.first.setdefault(reason, other.first[reason])

    def bad(self, reason: str, where: Place, detail: str) -> None:
        """Tally one bad row, or raise DataError with the detail."""
        if self.on_bad_row == "error":
            raise DataError(f"{where}: {detail}. Mend it, or leave it out: --on-bad-row skip.")
        self.count(reason, where)


def documents(
    paths: Iterable[str | Path],
    reading: ReadOptions,
    skipped: Skipped,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Iterator[Document]:
    """The documents of all files in order; `-` is standard input.

    Blank documents and, if `skipped` allows it, bad rows are tallied there and left out.
    `on_bytes(read, total)` is called about once a MiB, with bytes as stored; `total` is None where
    it is not known.
    """
    names = [str(path) for path in paths]
    progress = Progress(on_bytes, total_bytes(names))
    left = reading.limit
    for name in names:
        for document in read(FileChunk(name), reading, skipped, progress):
            yield document
            if left is not None and not document.more:
                left -= 1
                if left == 0:
                    return
    progress.done()


def read(
    part: FileChunk, reading: ReadOptions, skipped: Skipped, progress: Progress | None = None
) -> Iterator[Document]:
    """The documents of a part; when they are all taken, it stands where the next row begins."""
    name, layout = part.file, _Layout()
    if part.at:  # what the columns are, the beginning of the file says
        with opened(name, Progress()) as binary:
            head = Lines(name, binary, reading.encoding)
            next(_rows(FileChunk(name), head, reading, Skipped("skip"), layout), None)
    with opened(name, progress or Progress(), part.at) as binary:
        lines = Lines(name, binary, reading.encoding, part.at, part.line)
        with faults(lines, reading.encoding):
            yield from _rows(part, lines, reading, skipped, layout)
        part.at, part.line = lines.offset, lines.number


def total_bytes(paths: Iterable[str | Path]) -> int | None:
    """Of all files, as stored; None if not known."""
    names = [str(path) for path in paths]
    try:
        return None if "-" in names else sum(Path(name).stat().st_size for name in names)
    except OSError:
        return None  # said better when the file is opened


@dataclass
class _Layout:
    """What the first row of a file says about the others."""

    width: int = -1  # fields of a row; -1: no row was read yet
    column: int = -1
    key: str | None = None  # of JSON Lines


def _rows(
    part: FileChunk, lines: Lines, reading: ReadOptions, skipped: Skipped, layout: _Layout
) -> Iterator[Document]:
    if reading.whole_file:
        return _whole(lines)
    kind = file_format(part.file, reading)
    if kind in ("csv", "tsv"):
        return _csv(part, lines, reading, skipped, layout)
    if kind == "jsonl":
        return _jsonl(part, lines, reading, skipped, layout)
    if kind == "txt":
        return _txt(part, lines, skipped)
    raise ConfigError(
        f"{Place(lines.name)}: the name ends in none of "
        f"{', '.join('.' + f for f in FORMATS)} (or .gz after it). Use --format."
    )


def file_format(name: str, reading: ReadOptions) -> str:
    """One of FORMATS, or another suffix."""
    suffix = Path(name.removesuffix(".gz")).suffix.lower()[1:]
    return reading.format or ("csv" if name == "-" else suffix)


def delimiter(name: str, reading: ReadOptions) -> str:
    """What stands between the columns of a file."""
    return reading.delimiter or ("\t" if file_format(name, reading) == "tsv" else ",")


def _csv(
    part: FileChunk, lines: Lines, reading: ReadOptions, skipped: Skipped, layout: _Layout
) -> Iterator[Document]:
    csv.field_size_limit(max(csv.field_size_limit(), lines.limit))  # ours is the limit of a row
    name, end = part.file, math.inf if part.end is None else part.end
    reader = csv.reader(lines, delimiter=delimiter(name, reading), strict=True)
    width, column = layout.width, layout.column
    number = 0 if reading.header and not part.at else part.row  # the header is row 0
    while lines.offset < end:
        lines.begin()
        line = lines.number + 1
        reason = fault = ""
        fields: list[str] = []
        try:
            fields = next(reader)
        except StopIteration:
            break
        except RowTooLongError:
            reason, fault = "row too long", f"the row is longer than {lines.limit >> 20} MiB"
            if lines.number > line:
                fault += ": a quotation mark is not closed"
        except csv.Error as error:
            reason, fault = "bad CSV", _CSV_FAULTS.get(str(error), str(error))
        if reason:
            lines.again()
        elif not fields:  # an empty line
            continue
        elif lines.fault:
            reason, fault = "undecodable byte", lines.fault
        elif width >= 0 and len(fields) != width:
            reason, fault = "ragged row", f"{len(fields)} fields where there should be {width}"
        if reason and width < 0:
            raise DataError(f"{Place(name, number, line)}: {fault}.")
        if reason:
            skipped.bad(reason, Place(name, number, line), fault)
        else:
            if width < 0:
                width = layout.width = len(fields)
                column = layout.column = _column(fields, reading, name)
            if number:
                text = fields[column]
                if text and not text.isspace():
                    yield Document(text, name, number, line)
                else:
                    skipped.count("blank", Place(name, number, line))
        number += 1
    part.row = number


_CSV_FAULTS = {
    "unexpected end of data": "a quotation mark is not closed",
    "',' expected after '\"'": "text after a closing quotation mark",
    "'\t' expected after '\"'": "text after a closing quotation mark",
}


def _column(fields: list[str], reading: ReadOptions, name: str) -> int:
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
            f"{Place(name)}: column {shown(wanted)!r} is there "
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
    raise DataError(f"{Place(name)}: no {which} ({found_text}). Use --column.")


def _txt(part: FileChunk, lines: Lines, skipped: Skipped) -> Iterator[Document]:
    for line, text in _single(part, lines, skipped):
        yield Document(text, lines.name, 0, line)


def _single(part: FileChunk, lines: Lines, skipped: Skipped) -> Iterator[tuple[int, str]]:
    """Lines that are a row each, without their ends: number and text."""
    end = math.inf if part.end is None else part.end
    while lines.offset < end:
        lines.begin()
        try:
            text = next(lines).rstrip("\r\n")
        except StopIteration:
            return
        except RowTooLongError:
            where = Place(lines.name, 0, lines.number)
            skipped.bad("row too long", where, f"the line is longer than {lines.limit >> 20} MiB")
            continue
        if lines.fault:
            skipped.bad("undecodable byte", Place(lines.name, 0, lines.number), lines.fault)
        elif not text or text.isspace():
            skipped.count("blank", Place(lines.name, 0, lines.number))
        else:
            yield lines.number, text


def _jsonl(
    part: FileChunk, lines: Lines, reading: ReadOptions, skipped: Skipped, layout: _Layout
) -> Iterator[Document]:
    key = layout.key if reading.column is None else str(reading.column)
    for line, text in _single(part, lines, skipped):
        where = Place(lines.name, 0, line)
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
            key = layout.key = known[0]
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


def _whole(lines: Lines) -> Iterator[Document]:
    """A file in pieces that end at white space; line ends become \\n."""
    held, number = "", 1
    while block := lines.block():
        if lines.fault:
            line = number + (held + _LONE.split(block)[0]).count("\n")
            raise DataError(f"{Place(lines.name, 0, line)}: {lines.fault}.")
        held += block
        cut = max(held.rfind("\n"), held.rfind(" ")) + 1
        if not cut and len(held) > lines.limit:
            where = Place(lines.name, 0, number)
            raise DataError(f"{where}: {lines.limit >> 20} MiB without a space or a line end.")
        if cut:
            piece, held = held[:cut], held[cut:]
            yield Document(piece.replace("\r\n", "\n"), lines.name, 0, number, True)
            number += piece.count("\n")
    yield Document(held.replace("\r\n", "\n"), lines.name, 0, number)
