"""`rnncli eval --per`: rows of figures on standard output, as text or as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable
from typing import Any

from rnncli.cli.terminal import json_line
from rnncli.errors import shown
from rnncli.score.rows import Row


def write(found: Iterable[Row], per: str, as_json: bool) -> None:
    """Print each row on a line: JSON, or the values with tabs between them.

    The row of a line is known by its place: its number stands in the JSON alone.
    """
    hidden = {"perplexity", "line"} if per == "line" else {"perplexity"}
    for row in found:
        sys.stdout.write((_json(row) if as_json else _tsv(row, hidden)) + "\n")


def _json(row: Row) -> str:
    odd = [name for name, value in row.items() if value != value or value in (math.inf, -math.inf)]
    return json_line({**row, **dict.fromkeys(odd)})


def _tsv(row: Row, hidden: Collection[str]) -> str:
    return "\t".join(_cell(value) for name, value in row.items() if name not in hidden)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.12g}" if isinstance(value, float) else shown(value, 1 << 20)
