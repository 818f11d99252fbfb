"""What commands show: lines for people on standard error, JSON and tables on standard output."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

import click


def json_line(row: Any) -> str:
    """Return a line of JSON; what a terminal could obey is spelled out, which JSON readers undo."""
    text = json.dumps(row, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def echo_json(row: Any) -> None:
    """Print a line of JSON."""
    click.echo(json_line(row))


def note(message: str, quiet: bool = False) -> None:
    """Print a line for the reader on standard error."""
    if not quiet:
        say(message + "\n")


def say(text: str) -> None:
    """Write to standard error; once that fails (the terminal is gone, the disk full), say no more.

    What is only shown never ends a run.
    """
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = None


def table(rows: list[list[str]], sides: str) -> str:
    """Columns as wide as their widest cell, to the left (l) or the right (r)."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """3725 -> 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Live:
    """A few lines that are drawn over in place on a terminal; plain lines now and then elsewhere.

    Lines that stay are written above them.
    """

    def __init__(self, quiet: bool = False, every: float = 10.0) -> None:
        self.quiet = quiet
        dumb = sys.stderr is None or os.environ.get("TERM") == "dumb"
        self.terminal = not dumb and sys.stderr.isatty()
        self.colour = self.terminal and not os.environ.get("NO_COLOR")
        self.every = 0.1 if self.terminal else every
        self._next = time.monotonic() + (0 if self.terminal else every)
        self._lines: list[str] = []  # on the screen

    @property
    def columns(self) -> int:
        """How long a line may be; off a terminal, 0."""
        return self._size()[0] if self.terminal else 0

    def due(self) -> bool:
        """Whether it is time to show something new."""
        return not self.quiet and time.monotonic() >= self._next

    def show(self, *lines: str) -> None:
        """Draw the lines over the last ones; off a terminal, write them below."""
        self._next = time.monotonic() + self.every
        if self.quiet:
            return
        if self.terminal:
            columns, rows = self._size()
            cut = [line[:columns] for line in lines[:rows]]
            self._write(self._erase() + self._draw(cut))
            self._lines = cut
        else:
            for line in lines:
                note(line)

    def keep(self, line: str) -> None:
        """Write a line that stays, above those that are drawn over."""
        if self.terminal and not self.quiet:
            self._write(f"{self._erase()}{line}\n{self._draw(self._lines)}")
        else:
            note(line, self.quiet)

    def clear(self) -> None:
        """Take the lines away."""
        if self._lines:
            self._write(self._erase())
            self._lines = []

    def _size(self) -> tuple[int, int]:
        """Return the columns and rows; some columns are left for the ^C that a terminal adds."""
        try:
            size = os.get_terminal_size(sys.stderr.fileno())
        except (OSError, ValueError, AttributeError):  # the terminal is gone
            size = os.terminal_size((80, 24))
        return max(1, (size.columns or 80) - 3), max(1, (size.lines or 24) - 1)

    def _erase(self) -> str:
        """Back to the first row of the lines, and all below it gone.

        In a window that has become narrower a line takes several rows.
        """
        if not self._lines:
            return ""
        columns = self._size()[0] + 3
        rows = sum(max(1, -(-len(line) // columns)) for line in self._lines)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\x1b[J"

    def _draw(self, lines: list[str]) -> str:
        """Join the lines, with bars and curves in colour and words without."""
        text = "\n".join(lines)
        return re.sub("[\u2581-\u258f]+", "\x1b[36m\\g<0>\x1b[m", text) if self.colour else text

    def _write(self, text: str) -> None:
        """Past click, which without colour would take the control characters out."""
        say(text)
