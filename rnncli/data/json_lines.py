"""JSON Lines: an object a line, with the text under one of its keys."""

import json
from collections.abc import Iterator

from rnncli.data import plain
from rnncli.data.document import COLUMNS, Document, Input
from rnncli.errors import DataError, shown
from rnncli.files.lines import Place


def rows(source: Input) -> Iterator[Document]:
    """Yield the documents of a chunk: the text under one key of each line's object."""
    lines, _, options, skipped, layout, _ = source
    key = layout.key if options.column is None else str(options.column)
    for line, text in plain.rows(source):
        where = Place(lines.name, 0, line)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            detail = error.msg if isinstance(error, json.JSONDecodeError) else "a number too long"
            detail = "too deep" if isinstance(error, RecursionError) else detail
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
        elif plain.LONE.search(content):
            skipped.bad("undecodable byte", where, f'"{shown(key)}" holds half a surrogate pair')
        else:
            yield Document(content, lines.name, 0, line)
