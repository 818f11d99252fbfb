"""What several commands share: kinds of option values, threads, YAML files, live lines."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from rnncli.cli.aliases import HABITS
from rnncli.errors import ConfigError, shown
from rnncli.files.atomic import sweep, telling
from rnncli.nn.threads import cores
from rnncli.parallel.mpi import started

F = TypeVar("F", bound=Callable[..., Any])

BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


# What is wrong with a file, the library says, in one line.
FILE = click.Path(readable=False, allow_dash=True)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """Seconds, written as 90, 90s, 10m, 1h30m."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        text = str(value).strip()
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
        if not match or not text:
            self.fail(f"{value!r} is not a time such as 90s, 10m or 1h30m.", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds


def _threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int:
    """One BLAS thread in each of ours; BLAS reads its number when numpy is loaded, so: now.

    Several BLAS threads on the small matrices of a recurrence wait for one another more than they
    compute, and far more when another program runs. A rank of MPI is one process: it may not fork.
    """
    for name in BLAS_THREADS:
        os.environ[name] = "1"
    if not started():
        return value or cores()
    if value and value > 1:
        raise click.BadParameter("each rank computes with one: start more ranks.", ctx, param)
    return 1


threads_option = click.option(
    "--threads", type=click.IntRange(1), callback=_threads, is_eager=True,
    help="Threads to compute with [default: the cores; 1 for a rank of MPI].",
)  # fmt: skip


def json_line(row: Any) -> str:
    """A line of JSON; what a terminal could obey is spelled out, which JSON readers undo."""
    text = json.dumps(row, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def echo_json(row: Any) -> None:
    """Print a line of JSON."""
    click.echo(json_line(row))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no notes.")
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, help="Seed of everything that is random."
)


def config_option(function: F) -> F:
    """`--config FILE`: a YAML file of options, which flags and the environment override."""

    def fill(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
        if path is not None and not ctx.resilient_parsing:
            ctx.default_map = read_options(path, ctx)

    return click.option(
        "--config", type=FILE, callback=fill, is_eager=True,
        expose_value=False, help="YAML file with options of this command (key: value).",
    )(function)  # fmt: skip


def read_options(path: str, ctx: click.Context) -> dict[str, Any]:
    """Read a YAML file of options: the values as the command of a context takes them.

    Example: `max-time: 10m` -> {"max_time": 600.0}. ConfigError names what is no option of the
    command, and what an option does not take.
    """
    from rnncli.training.presets import parse

    try:
        with telling(path, "read"):
            text = Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text.") from None
    known = {str(p.name): p for p in ctx.command.params if p.name not in ("config", "help")}
    values = parse(text, path)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = HABITS.get(str(ctx.command.name), {}).get(key, *near[:1])
            hint = f'Is "{meant}" meant?' if meant else "See --help for what there is."
            raise ConfigError(f'{path}: there is no option "{shown(key)}". {hint}')
        values[key] = _converted(path, value, known[key], ctx)
    return values


def _converted(path: str, value: Any, option: click.Parameter, ctx: click.Context) -> Any:
    """The value of an option, or the list of one that may be repeated, from its YAML."""
    flag = isinstance(option, click.Option) and option.is_flag
    whole = isinstance(option.type, click.types.IntParamType)
    number = isinstance(option.type, click.types.FloatParamType | Duration)
    kinds: tuple[type, ...] = (bool,) if flag else (int,) if whole else (str,)
    kinds += (int, float, str) if number else ()  # YAML reads 1e-3 as text, 10m is text
    wanted = "true or false" if flag else "a whole number" if whole else "text in quotes"
    if option.multiple and not isinstance(value, list):
        raise ConfigError(f"{path}: {option.name} takes a list, such as [{shown(value)}].")
    out = []
    for item in value if option.multiple else [value]:
        if not isinstance(item, kinds) or (isinstance(item, bool) and not flag):
            wanted = "a number" if number else wanted
            raise ConfigError(f"{path}: {option.name} takes {wanted}, not {shown(repr(item))}.")
        try:
            out.append(option.type.convert(item, option, ctx))
        except click.BadParameter as error:
            raise ConfigError(f"{path}: {option.name}: {shown(error.message, 200)}") from None
    return out if option.multiple else out[0]


def check_output(output: str, *sources: str) -> None:
    """Say now what would be found out after the work: that there is no place for the output.

    What a killed process left of it is removed.
    """
    target = Path(output)
    for source in sources:
        if target.exists() and Path(source).exists() and target.samefile(source):
            raise ConfigError(f"{output}: this file is read, too. Write to another name.")
    if target.exists() and not target.is_file():
        raise ConfigError(f"{output}: not a regular file. Write to another name.")
    real = Path(os.path.realpath(output))
    if real.is_symlink():
        raise ConfigError(f"{output}: a link that leads back to itself. Write to another name.")
    folder = real.parent
    if not folder.is_dir():
        raise ConfigError(f"{output}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{output}: the folder {folder} cannot be written to.")
    with telling(output, "write"):
        sweep(output)


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
        """The columns and rows there are; some columns are left for the ^C that a terminal adds."""
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
        """The lines, with bars and curves in colour and words without."""
        text = "\n".join(lines)
        return re.sub("[\u2581-\u258f]+", "\x1b[36m\\g<0>\x1b[m", text) if self.colour else text

    def _write(self, text: str) -> None:
        """Past click, which without colour would take the control characters out."""
        say(text)


@contextlib.contextmanager
def stops() -> Iterator[list[int]]:
    """Put signals that stop a command into a list; a second one ends the process at once."""
    import signal

    from rnncli.parallel.processes import SIGNALS

    caught: list[int] = []

    def handler(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    numbers = [n for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield caught
    finally:
        for number, old in before.items():
            signal.signal(number, old)
