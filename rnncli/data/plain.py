"""Plain text: a document a line, or a whole file."""

import re
from collections.abc import Iterator

from rnncli.data.document import Document, Input
from rnncli.errors import DataError
from rnncli.files.lines import Place, RowTooLongError

LONE = re.compile(r"[\ud800-\udfff]")  # half of a surrogate pair


def documents(source: Input) -> Iterator[Document]:
    """Yield the documents of a chunk: its lines."""
    for line, text in rows(source):
        yield Document(text, source.lines.name, 0, line)


def rows(source: Input) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line of a chunk, without its end; blank ones are left out."""
    lines, skipped = source.lines, source.skipped
    while lines.offset < source.chunk.stop:
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


def whole(source: Input) -> Iterator[Document]:
    """Yield a whole file in pieces that end at white space; line ends become \\n."""
    lines, held, number = source.lines, "", 1
    while block := lines.block():
        if lines.fault:
            line = number + (held + LONE.split(block)[0]).count("\n")
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
