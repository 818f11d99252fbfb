"""Files to documents: CSV, TSV, lines, JSON Lines or whole files, plain or gzipped.

Reads in bounded memory and says for every fault which file, row and line it is in. A new format is
a file like `json_lines` and a row of `FORMATS`. Nothing here knows how a document is cut into
tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rnncli.config.reading import ReadOptions
from rnncli.data import delimited, json_lines, plain
from rnncli.data.document import Document, FileChunk, Input, Layout, Skipped
from rnncli.errors import ConfigError
from rnncli.files.lines import Lines, Place, Progress, faults, opened


class Format(NamedTuple):
    """How a file of a format is read."""

    read: Callable[[Input], Iterator[Document]]  # stops where the row after the chunk begins
    delimiter: str = ""  # between columns, unless an option names another; "": a row is a line
    rows: bool = True  # it is made of rows, so that chunks of it can be read by themselves


FORMATS = {
    "csv": Format(delimited.rows, ","),
    "tsv": Format(delimited.rows, "\t"),
    "txt": Format(plain.documents),
    "jsonl": Format(json_lines.rows),
}
WHOLE = Format(plain.whole, rows=False)  # a text file that is one document


def format_of(name: str, options: ReadOptions) -> Format:
    """Return the format that is asked for, or that of the file's name; standard input is CSV.

    Example: "a.tsv.gz" -> FORMATS["tsv"]
    """
    if options.whole_file:
        return WHOLE
    suffix = "csv" if name == "-" else Path(name.removesuffix(".gz")).suffix.lower()[1:]
    if (options.format or suffix) not in FORMATS:
        known = ", ".join(f".{suffix}" for suffix in FORMATS)
        raise ConfigError(
            f"{Place(name)}: the name ends in none of {known} (or .gz after it). Use --format."
        )
    return FORMATS[options.format or suffix]


def documents(
    paths: Iterable[str | Path],
    options: ReadOptions,
    skipped: Skipped,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Iterator[Document]:
    """Yield the documents of all files in order; `-` is standard input.

    Blank documents and, if `skipped` allows it, bad rows are tallied there and left out.
    `on_bytes(read, total)` is called about once a MiB, with bytes as stored; `total` is None where
    it is not known.
    """
    names = [str(path) for path in paths]
    progress = Progress(on_bytes, total_bytes(names))
    left = options.limit
    for name in names:
        for document in ChunkReader(FileChunk(name), options, skipped, progress):
            yield document
            if left is not None and not document.more:
                left -= 1
                if left == 0:
                    return
    progress.done()


class ChunkReader:
    """Yields the documents of a chunk; when all are taken, `rest` is what follows in the file."""

    def __init__(
        self, chunk: FileChunk, options: ReadOptions, skipped: Skipped,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        self._chunk, self._options, self._skipped = chunk, options, skipped
        self._progress = progress or Progress()
        self.rest = chunk

    def __iter__(self) -> Iterator[Document]:
        chunk, options, layout = self._chunk, self._options, Layout()
        name, encoding, form = chunk.file, options.encoding, format_of(chunk.file, options)
        delimiter = options.delimiter or form.delimiter
        if chunk.begin:  # what the columns are, the beginning of the file says
            with opened(name, Progress()) as binary:
                head, whole = Lines(name, binary, encoding), FileChunk(name)
                begun = Input(head, whole, options, Skipped("skip"), layout, delimiter)
                next(form.read(begun), None)
        with opened(name, self._progress, chunk.begin) as binary:
            lines = Lines(name, binary, encoding, chunk.begin, chunk.line, chunk.row)
            with faults(lines, encoding):
                source = Input(lines, chunk, options, self._skipped, layout, delimiter)
                yield from form.read(source)
            self.rest = FileChunk(name, lines.offset, None, lines.row, lines.number)


def total_bytes(paths: Iterable[str | Path]) -> int | None:
    """Return the bytes of all files, as stored; None if they are not known."""
    names = [str(path) for path in paths]
    try:
        return None if "-" in names else sum(Path(name).stat().st_size for name in names)
    except OSError:
        return None  # said better when the file is opened
