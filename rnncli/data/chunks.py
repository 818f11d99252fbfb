"""Reads files in chunks, by several processes side by side, with the same outcome as by one.

Where a row begins in the middle of a file cannot be known, as a line end may lie within quotation
marks. So each chunk begins at a guess (`cut`), whoever reads it says where it ended, and the next
chunk is read again if it did not begin there (`in_order`). Nothing else passes from row to row.
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
from rnncli.data.document import Document, FileChunk, Skipped
from rnncli.data.spool import Segment, Spool, Spooled
from rnncli.errors import DataError
from rnncli.files.lines import GZIP, is_utf8
from rnncli.text.pretokenizer import Pretokenizer

STEP = 8 << 20  # bytes of a chunk
LARGE = 32 << 20  # bytes of input from which several processes are worth their start
_WINDOW = 1 << 17  # bytes that are looked at to guess where a row begins


@dataclass(frozen=True)
class Files:
    """Names files to be read by `workers` processes; iterating reads them in this one."""

    paths: Sequence[str | Path]
    options: ReadOptions
    skipped: Skipped
    workers: int = 1
    on_bytes: Callable[[int, int | None], None] | None = None

    def __iter__(self) -> Iterator[Document]:
        return corpus.documents(self.paths, self.options, self.skipped, self.on_bytes)


@dataclass(frozen=True)
class Counted:
    """What became of a chunk: its documents are in spool number `spool`, `rest` follows it.

    `types` are the tokens that are new in the spool. With a `fault` there is no segment.
    """

    chunk: FileChunk
    rest: FileChunk
    spool: int
    segment: Segment | None
    types: list[str]
    skipped: Skipped
    fault: DataError | None

    def moved(self, rows: int, lines: int) -> Counted:
        """Return the same with places that lie `rows` and `lines` further down the file."""
        rest = self.rest._replace(row=self.rest.row + rows, line=self.rest.line + lines)
        return replace(self, rest=rest, skipped=self.skipped.moved(rows, lines))


def cut(paths: Iterable[str | Path], options: ReadOptions) -> list[FileChunk]:
    """Cut files into chunks of about STEP bytes; a file that cannot be cut is one chunk."""
    chunks = []
    for name in map(str, paths):
        starts = _starts(name, options)
        bounds = zip([0, *starts], [*starts, None], strict=True)
        chunks += [FileChunk(name, begin, end) for begin, end in bounds]
    return chunks


def _starts(name: str, options: ReadOptions) -> list[int]:
    """Return bytes at which a row seems to begin, but for the first; none of packed files."""
    form = corpus.format_of(name, options)
    if not form.rows or not is_utf8(options.encoding) or not os.path.isfile(name):
        return []  # a pipe is opened once only
    delimiter = form.delimiter and (options.delimiter or form.delimiter)
    found = set()
    try:
        with open(name, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if file.read(2) == GZIP:
                return []
            for at in range(STEP, size, STEP):
                file.seek(at)
                first = _row_start(file.read(_WINDOW), delimiter)
                if first and at + first < size:
                    found.add(at + first)
    except OSError:
        return []  # said better when the file is read
    return sorted(found)


def _row_start(window: bytes, delimiter: str) -> int:
    """Return where a row seems to begin in a window; 0 if nowhere. Without delimiter: a line.

    The window begins within a quoted field, or it does not. Both are tried, and the one counts with
    which csv gets further in rows of one width.

    Example: b'3,x\\n4,y\\n' and "," -> 4
    """
    if not delimiter:
        return window.find(b"\n") + 1
    starts, quotes, done = [0, 0], 0, 0
    while not all(starts) and (at := window.find(b"\n", done)) >= 0:
        quotes += window.count(b'"', done, at)
        done = at + 1
        starts[quotes % 2] = starts[quotes % 2] or done
    return max(starts, key=lambda start: _reach(window, start, delimiter))


def _reach(window: bytes, start: int, delimiter: str) -> tuple[int, int]:
    """Return up to which line csv reads rows as wide as the first one, and how many they are."""
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


def count_chunk(chunk: FileChunk, spool: Spool, options: ReadOptions, skipped: Skipped) -> Counted:
    """Read a chunk into a spool; `skipped` says what to do with bad rows, and stays as it is."""
    skipped, known = Skipped(skipped.on_bad_row), len(spool.numbers)
    reader = corpus.ChunkReader(chunk, options, skipped)
    segment, fault = None, None
    try:
        segment = spool.fill(reader, skipped)
    except DataError as error:
        fault = error
    types = list(islice(spool.numbers, known, None))
    return Counted(chunk, reader.rest, spool.number, segment, types, skipped, fault)


def in_order(
    chunks: Iterable[FileChunk], counted: Iterable[Counted], again: Callable[[FileChunk], Counted]
) -> Iterator[Counted]:
    """Yield what became of each chunk, rows and lines counted from the beginning of its file.

    A chunk that began at a wrong guess is done again, and one with a fault too, to name its place.
    DataError for the first fault.
    """
    rest = FileChunk("")
    for chunk, found in zip(chunks, counted, strict=True):
        if chunk.begin:
            if found.chunk.begin != rest.begin or found.fault:
                found = again(rest._replace(end=chunk.end))
            else:
                found = found.moved(rest.row - 1, rest.line)
        if found.fault:
            raise found.fault
        rest = found.rest
        yield found


@contextmanager
def spooled(
    documents: Iterable[Document | str] | Files, rule: Pretokenizer, folder: Path, skipped: Skipped
) -> Iterator[Spooled]:
    """Read documents into spools, which last as long as the context, and yield them as a corpus."""
    chunks: list[FileChunk] = []
    if isinstance(documents, Files) and documents.workers > 1 and can_share(documents, rule):
        chunks = cut(documents.paths, documents.options)
    with ExitStack() as stack:
        if len(chunks) < 2:
            spool = stack.enter_context(Spool(folder, rule))
            segment = spool.fill(documents, skipped)
            yield Spooled([spool], [segment], [spool.numbers])
            return
        assert isinstance(documents, Files)
        count = 1 + min(documents.workers, len(chunks))
        spools = [stack.enter_context(Spool(folder, rule, k)) for k in range(count)]
        yield _shared(documents, chunks, spools, skipped)


def can_share(files: Files, rule: Pretokenizer) -> bool:
    """Return whether rows can be read side by side: not as one stream, and not up to a limit."""
    return not rule.is_stream and files.options.limit is None


def _shared(
    files: Files, chunks: list[FileChunk], spools: list[Spool], skipped: Skipped
) -> Spooled:
    """Count chunks by a process for each spool but the first, which is for what is done again."""
    from rnncli.parallel.processes import WorkerPool

    def task(job: tuple[int, FileChunk]) -> Counted:
        return count_chunk(job[1], spools[job[0]], files.options, skipped)

    segments: list[Segment] = []
    types: list[list[str]] = [[] for _ in spools]

    def noted(found: Counted) -> Counted:
        types[found.spool] += found.types
        return found

    total, done = corpus.total_bytes(files.paths), 0
    with WorkerPool(task, len(spools)) as pool:
        counted = map(noted, pool.side_by_side(chunks))
        for found in in_order(chunks, counted, lambda chunk: noted(task((0, chunk)))):
            assert found.segment is not None  # a fault was raised
            segments.append(found.segment)
            skipped.add(found.skipped)
            done += found.rest.begin - found.chunk.begin
            if files.on_bytes:
                files.on_bytes(done if total is None else min(done, total), total)
    return Spooled(spools, segments, types)
