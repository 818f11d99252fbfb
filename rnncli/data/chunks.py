"""Files in parts that several processes read side by side, with the same outcome as one.

Where a row begins in the middle of a file cannot be known, quotation marks being what they are; so
each part begins at a guess (`cut`), says where it ended, and is read again if the next part did not
begin there (`in_order`). Nothing else passes from one row to the next.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rnncli.config.reading import ReadOptions
from rnncli.data import corpus
from rnncli.data.corpus import Document, FileChunk, Skipped
from rnncli.data.lines import GZIP, is_utf8
from rnncli.data.spool import Segment, Spool, Spooled
from rnncli.errors import DataError
from rnncli.text.pretokenizer import Pretokenizer

STEP = 8 << 20  # bytes of a part
LARGE = 32 << 20  # bytes of input from which several processes are worth their start
_WINDOW = 1 << 17  # bytes that are looked at to guess where a row begins


@dataclass(frozen=True)
class Files:
    """Text files to be read by `workers` processes; iterating reads them in this one."""

    paths: Sequence[str | Path]
    reading: ReadOptions
    skipped: Skipped
    workers: int = 1
    on_bytes: Callable[[int, int | None], None] | None = None

    def __iter__(self) -> Iterator[Document]:
        return corpus.documents(self.paths, self.reading, self.skipped, self.on_bytes)


@dataclass(frozen=True)
class Counted:
    """What became of a part: it begins at byte `begin`, and `end` stands where it ended.

    `types` are the tokens that are new in its spool, number `spool`. With a `fault` there is no
    segment.
    """

    begin: int
    end: FileChunk
    spool: int
    segment: Segment | None
    types: list[str]
    skipped: Skipped
    fault: DataError | None


def cut(paths: Iterable[str | Path], reading: ReadOptions) -> list[FileChunk]:
    """The files in parts of about STEP bytes; those that cannot be cut are one part each."""
    parts = []
    for name in map(str, paths):
        starts = _starts(name, reading)
        bounds = zip([0, *starts], [*starts, None], strict=True)
        parts += [FileChunk(name, start, end) for start, end in bounds]
    return parts


def _starts(name: str, reading: ReadOptions) -> list[int]:
    """Bytes at which a row seems to begin, but for the first; not of packed or piped files."""
    if reading.whole_file or not is_utf8(reading.encoding) or not os.path.isfile(name):
        return []  # a pipe is opened once only
    quoted = corpus.file_format(name, reading) in ("csv", "tsv")
    found = set()
    try:
        with open(name, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if file.read(2) == GZIP:
                return []
            for at in range(STEP, size, STEP):
                file.seek(at)
                window = file.read(_WINDOW)
                first = _row_start(window, corpus.delimiter(name, reading) if quoted else None)
                if first and at + first < size:
                    found.add(at + first)
    except OSError:
        return []  # said better when the file is read
    return sorted(found)


def _row_start(window: bytes, delimiter: str | None) -> int:
    """Where a row seems to begin in a window; 0 if nowhere. Without delimiter a row is a line.

    The window begins within a quoted field or not: of the two, that is believed with which csv gets
    further in rows of one width.
    """
    if delimiter is None:
        return window.find(b"\n") + 1
    starts, quotes, done = [0, 0], 0, 0
    while not all(starts) and (at := window.find(b"\n", done)) >= 0:
        quotes += window.count(b'"', done, at)
        done = at + 1
        starts[quotes % 2] = starts[quotes % 2] or done
    return max(starts, key=lambda start: _reach(window, start, delimiter))


def _reach(window: bytes, start: int, delimiter: str) -> tuple[int, int]:
    """To which line csv can read rows as wide as the first one, and how many they are."""
    text = io.StringIO(window[start:].decode(errors="replace"), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = width = 0
    try:
        for fields in reader if start else ():
            width = width or len(fields)
            if fields and len(fields) != width:
                break
            number += 1
    except csv.Error:
        pass
    return window.count(b"\n", 0, start) + reader.line_num, number


def count_part(part: FileChunk, spool: Spool, reading: ReadOptions, skipped: Skipped) -> Counted:
    """Read a part into a spool; `skipped` says what to do with bad rows, and stays as it is."""
    end, skipped, known = replace(part), Skipped(skipped.on_bad_row), len(spool.numbers)
    segment, fault = None, None
    try:
        segment = spool.fill(corpus.read(end, reading, skipped), skipped)
    except DataError as error:
        fault = error
    types = list(islice(spool.numbers, known, None))
    return Counted(part.at, end, spool.number, segment, types, skipped, fault)


def in_order(
    parts: Iterable[FileChunk], counted: Iterable[Counted], again: Callable[[FileChunk], Counted]
) -> Iterator[Counted]:
    """What became of parts, rows and lines counted from the beginning of the file.

    A part of which the guess was wrong is done again, and one with a fault too, to name its place.
    Raises DataError for the first fault.
    """
    last = FileChunk("")
    for part, found in zip(parts, counted, strict=True):
        if part.at:
            rows, lines = last.row - 1, last.line
            if found.begin != last.at or found.fault:
                found = again(FileChunk(part.file, last.at, part.end, last.row, last.line))
            else:
                end, first = found.end, found.skipped.first
                end.row, end.line = end.row + rows, end.line + lines
                for reason, place in first.items():
                    row = place.row + rows if place.row else 0
                    first[reason] = place._replace(row=row, line=place.line + lines)
        if found.fault:
            raise found.fault
        last = found.end
        yield found


@contextmanager
def spooled(
    documents: Iterable[Document | str] | Files, rule: Pretokenizer, folder: Path, skipped: Skipped
) -> Iterator[Spooled]:
    """The corpus of some documents, in spools that last as long as the context."""
    parts: list[FileChunk] = []
    if isinstance(documents, Files) and documents.workers > 1 and can_share(documents, rule):
        parts = cut(documents.paths, documents.reading)
    with ExitStack() as stack:
        if len(parts) < 2:
            spool = stack.enter_context(Spool(folder, rule))
            segment = spool.fill(documents, skipped)
            yield Spooled([spool], [segment], [spool.numbers])
            return
        assert isinstance(documents, Files)
        count = 1 + min(documents.workers, len(parts))
        spools = [stack.enter_context(Spool(folder, rule, k)) for k in range(count)]
        yield _shared(documents, parts, spools, skipped)


def can_share(files: Files, rule: Pretokenizer) -> bool:
    """Whether rows can be read side by side: not as one stream, and not up to a limit."""
    return rule.unit != "stream" and files.reading.limit is None


def _shared(files: Files, parts: list[FileChunk], spools: list[Spool], skipped: Skipped) -> Spooled:
    """Parts counted by a process for each spool but the first, which is for what is done again."""
    from rnncli.parallel.processes import WorkerPool

    def task(job: tuple[int, FileChunk]) -> Counted:
        return count_part(job[1], spools[job[0]], files.reading, skipped)

    segments: list[Segment] = []
    types: list[list[str]] = [[] for _ in spools]

    def noted(found: Counted) -> Counted:
        types[found.spool] += found.types
        return found

    total, done = corpus.total_bytes(files.paths), 0
    with WorkerPool(task, len(spools)) as pool:
        counted = map(noted, pool.side_by_side(parts))
        for found in in_order(parts, counted, lambda part: noted(task((0, part)))):
            assert found.segment is not None  # a fault was raised
            segments.append(found.segment)
            skipped.add(found.skipped)
            done += found.end.at - found.begin
            if files.on_bytes:
                files.on_bytes(done if total is None else min(done, total), total)
    return Spooled(spools, segments, types)
