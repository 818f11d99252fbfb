"""CSV and TSV: rows of fields, quoted where they hold a delimiter, quotation mark or line end."""

import csv
from collections.abc import Iterator

from rnncli.config.reading import ReadOptions
from rnncli.data.document import COLUMNS, Document, Input
from rnncli.errors import ConfigError, DataError, shown
from rnncli.files.lines import Place, RowTooLongError


def rows(source: Input) -> Iterator[Document]:
    """Yield the documents of a chunk: the field of each row that is in the column of the text."""
    lines, chunk, options, skipped, layout, delimiter = source
    csv.field_size_limit(max(csv.field_size_limit(), lines.limit))  # Lines limits a row
    name = lines.name
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, column = layout.width, layout.column
    lines.row = 0 if options.header and not chunk.begin else chunk.row  # the header is row 0
    while lines.offset < chunk.stop:
        lines.begin()
        line, where = lines.number + 1, Place(name, lines.row, lines.number + 1)
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
            reason, fault = "bad CSV", _fault(str(error))
        if reason:
            lines.again()
        elif not fields:  # an empty line
            continue
        elif lines.fault:
            reason, fault = "undecodable byte", lines.fault
        elif width >= 0 and len(fields) != width:
            reason, fault = "ragged row", f"{len(fields)} fields where there should be {width}"
        if reason and width < 0:
            raise DataError(f"{where}: {fault}.")
        if reason:
            skipped.bad(reason, where, fault)
        else:
            if width < 0:
                width = layout.width = len(fields)
                column = layout.column = _column(fields, options, name)
            if lines.row:
                text = fields[column]
                if text and not text.isspace():
                    yield Document(text, *where)
                else:
                    skipped.count("blank", where)
        lines.row += 1


def _fault(message: str) -> str:
    """Say in plain words what the csv module complains of, whatever the delimiter."""
    if message == "unexpected end of data":
        return "a quotation mark is not closed"
    if message.endswith("expected after '\"'"):
        return "text after a closing quotation mark"
    return message


def _column(fields: list[str], options: ReadOptions, name: str) -> int:
    """Return the place of the wanted column, by the names in the header or by its number.

    Example: ["id", "text"] -> 1, a known name
    """
    names = fields if options.header else []
    wanted = options.column
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
    if options.header:
        found_text = f"found: {', '.join(shown(n, 30) for n in names[:20])}"
    else:
        found_text = f"{len(fields)} columns without names"
    which = f'column "{shown(wanted)}"' if wanted is not None else "column of a known name"
    raise DataError(f"{Place(name)}: no {which} ({found_text}). Use --column.")
