"""Documents, the places they come from, and the tally of what is left out."""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rnncli.config.reading import ReadOptions
from rnncli.errors import ConfigError, DataError, shown
from rnncli.files.lines import Lines, Place

COLUMNS = ("body", "text", "comment", "content", "title")  # of a text, looked for in this order


class Document(NamedTuple):
    """A text and its place; `more` says that the next document goes on with the same text."""

    text: str
    file: str = "text"
    row: int = 0
    line: int = 0
    more: bool = False

    @property
    def where(self) -> Place:
        """The place, for messages."""
        return Place(self.file, self.row, self.line)


class FileChunk(NamedTuple):
    """Rows of a file: those that begin from byte `begin` on, and before `end` (None: all of them).

    `row` and `line` are the number of the first row, and the number of lines before it.
    """

    file: str
    begin: int = 0
    end: int | None = None
    row: int = 1
    line: int = 0

    @property
    def stop(self) -> float:
        """The byte before which its last row begins."""
        return math.inf if self.end is None else self.end


@dataclass
class Layout:
    """What the first row of a file says about the others."""

    width: int = -1  # fields of a row; -1: no row was read yet
    column: int = -1
    key: str | None = None  # of JSON Lines


@dataclass
class Skipped:
    """Says what to do with a row that cannot be used, and tallies those that are left out.

    `counts` and `first` (the place) go by the reason. Blank documents are never an error.
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
        """Add the tally of what comes next in the input."""
        for reason, number in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + number
            self.first.setdefault(reason, other.first[reason])

    def bad(self, reason: str, where: Place, detail: str) -> None:
        """Tally one bad row, or raise DataError with the detail."""
        if self.on_bad_row == "error":
            raise DataError(f"{where}: {detail}. Mend it, or leave it out: --on-bad-row skip.")
        self.count(reason, where)

    def moved(self, rows: int, lines: int) -> "Skipped":
        """Return the same tally, each place moved down its file by `rows` and `lines`.

        Example: first at row 2 (line 3), moved by 10 and 20 -> row 12 (line 23)
        """
        first = {
            reason: place._replace(row=place.row and place.row + rows, line=place.line + lines)
            for reason, place in self.first.items()
        }
        return replace(self, first=first)


class Input(NamedTuple):
    """A chunk of a file whose `lines` are open at its beginning, and how it is read."""

    lines: Lines
    chunk: FileChunk
    options: ReadOptions
    skipped: Skipped  # tallies what is left out
    layout: Layout  # known already, or filled in from the first row
    delimiter: str
