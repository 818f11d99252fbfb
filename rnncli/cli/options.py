"""Options of commands, made of the `Settings` classes: one description, whoever reads it.

`options` gives a command an option for each field and hands it the object; `given_options` hands it
the values that were given alone, for settings that are laid over those of a preset.
"""

from __future__ import annotations

import difflib
import functools
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click

from rnncli.cli.aliases import GUESSES, HABITS
from rnncli.config.settings import Settings, fault, limits, seconds
from rnncli.errors import ConfigError
from rnncli.files.atomic import sweep, telling
from rnncli.nn.threads import cores
from rnncli.parallel.mpi import started

F = TypeVar("F", bound=Callable[..., Any])

BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip

# What is wrong with a file, the library says, in one line.
FILE = click.Path(readable=False, allow_dash=True)
TEXTS = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".gz")  # what `rnncli tokenize` reads


class Whole(click.types.IntParamType):
    """A whole number within the limits of a field."""

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self.limits = limits

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the number; say what is wrong with it."""
        try:
            number = int(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a whole number.", param, ctx)
        return _within(self, number, self.limits, param, ctx)


class Real(click.types.FloatParamType):
    """A number within the limits of a field."""

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self.limits = limits

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the number; say what is wrong with it."""
        try:
            number = float(value)
        except ValueError:
            point = str(value).replace(",", ".")
            hint = f": write {point}" if re.fullmatch(r"-?\d*\.\d+", point) else ""
            self.fail(f"{value!r} is not a number{hint}.", param, ctx)
        return _within(self, number, self.limits, param, ctx)


class Time(click.ParamType):  # type: ignore[type-arg]
    """Seconds, written as 90, 90s, 10m, 5min, 1h30m."""

    name = "time"

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self.limits = limits

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the time; say what is wrong with it."""
        try:
            number = seconds(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return _within(self, number, self.limits, param, ctx)


def _within(
    kind: click.ParamType[Any], number: float, limits: Mapping[str, Any], param: Any, ctx: Any
) -> float:
    wrong = fault(number, limits)
    if wrong:
        kind.fail(f"it {wrong}.", param, ctx)
    return number


class Every(click.types.FloatParamType):
    """Steps (500) or epochs (40e): to a YAML file as much a number as a text."""

    name = "steps"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the text as it is, if it says steps or epochs."""
        from rnncli.config.samples import Samples

        try:
            Samples(sample_every=value)
        except ConfigError:
            self.fail(f"{value!r} is neither steps (500) nor epochs (40e).", param, ctx)
        return str(value)


class Text(click.types.StringParamType):
    """A string that may be given several times, but only once by the environment."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Take the variable as one text, with its spaces."""
        return [rv]


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """A text that a function reads: a ValueError of it becomes an error that shows an example."""

    def __init__(self, name: str, read: Callable[[str], Any], wanted: str) -> None:
        self.name, self.read, self.wanted = name, read, wanted

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the text; what was read before comes back as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError:
            self.fail(f"{value!r} is {self.wanted}.", param, ctx)


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _base(text: str) -> float:
    base = math.e if text == "e" else float(text)
    if not 1 < base < math.inf:
        raise ValueError
    return base


def _share(text: str) -> tuple[str, float]:
    path, _, number = text.rpartition(":")
    if not path or not 0 < float(number) < 1:
        raise ValueError
    return path, float(number)


KINDS: dict[
    str, click.ParamType[Any]
] = {  # how a field's text is read, where its type does not say
    "file": FILE,
    "folder": FILE,
    "text": Text(),
    "steps": Every(),
    "column": Parsed("column", lambda text: int(text) if text.isdecimal() else text, ""),
    "delimiter": Parsed("text", lambda text: {r"\t": "\t"}.get(text, text), ""),
    "shares": Parsed("shares", _shares, "not a list of shares such as 0.9,0.05,0.05"),
    "base": Parsed("base", _base, "neither e nor a number above 1"),
    "model:share": Parsed("file:share", _share, "not a file and a share such as other.npz:0.3"),
}


class Option(click.Option):
    """An option with a place in `--help`, and in brackets what holds where it is not given."""

    def __init__(
        self, names: Sequence[str], group: str = "output", usual: Any = None, **more: Any
    ) -> None:
        self.group, self.usual = group, usual
        super().__init__(names, show_default=False, **more)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names and the help, with what is usual behind it."""
        record = super().get_help_record(ctx)
        usual = self.usual() if callable(self.usual) else self.usual
        if record is None or usual in (None, "", (), False) or record[1].endswith("]."):
            return record
        if usual is True:
            usual = self.opts[0].lstrip("-")
        return record[0], f"{record[1].rstrip('.')} [{usual}]."


class Command(click.Command):
    """A command whose help has sections, and which names the option that may be meant."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their groups; output comes last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and isinstance(option, click.Option):
                groups.setdefault(getattr(option, "group", "output"), []).append(record)
        for name in sorted(groups, key="output".__eq__):
            with formatter.section(name.capitalize()):
                formatter.write_dl(groups[name])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; an error about an unknown option says which one is meant, if that is likely."""
        given = [*args]  # click empties the list
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            here = [name for option in self.params for name in option.opts]
            written = [word.split("=")[0] for word in given if word.startswith("-")]
            # click takes -rnn_size for -r
            name = next((w for w in written if w not in here and w.startswith(error.option_name)),
                        error.option_name)  # fmt: skip
            hint = meant(str(self.name), name, here)
            hint = f"Is {hint} meant?" if hint else "See --help for what there is."
            raise click.UsageError(f"No such option {name}. {hint}", ctx) from None


def meant(command: str, name: str, here: Iterable[str]) -> str:
    """Name the option that is meant by an unknown one: another tool's, a beginning, or the nearest.

    Example: "sample", "--temp", ["--temperature", "--tries"] -> "--temperature"
    """
    known = {option.lstrip("-").replace("-", "_"): option for option in here}
    word = name.lstrip("-").replace("-", "_")
    habit = (HABITS.get(command, {}) | GUESSES.get(command, {})).get(word)
    begun = [key for key in known if len(word) > 2 and key.startswith(word)]
    likely = [word, habit, *begun, *difflib.get_close_matches(word, known, 1)]
    return next((known[key] for key in likely if key in known), "")


def options(cls: type[Settings], into: str) -> Callable[[F], F]:
    """Give a command an option for each field of a class, and hand it the object as `into`."""

    def decorate(function: F) -> F:
        found = {_name(entry): entry for entry in fields(cls) if "group" in entry.metadata}

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            taken = {entry.name: values.pop(name) for name, entry in found.items()}
            try:
                made = cls(**taken)
            except ConfigError as error:
                raise click.UsageError(str(error)) from None
            return function(**{into: made}, **values)

        return _with(command, cls, found.values(), partial=False)  # type: ignore[no-any-return]

    return decorate


def given_options(
    *classes: type[Settings],
    into: str,
    leave_out: Sequence[str] = (),
    usual: Callable[[str, Any], Any] = lambda name, default: default,
) -> Callable[[F], F]:
    """Give a command an option for each field, and hand it those given as a mapping `into`.

    `usual` says what a field is where nobody names it, by its name and the class's default.
    """

    def decorate(function: F) -> F:
        found = {
            _name(entry): (cls, entry)
            for cls in classes
            for entry in fields(cls)
            if "group" in entry.metadata and entry.name not in leave_out
        }

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            taken = {entry.name: values.pop(name) for name, (_, entry) in found.items()}
            given = {name: value for name, value in taken.items() if value not in (None, ())}
            return function(**{into: given}, **values)

        for cls in reversed(classes):
            entries = [entry for owner, entry in found.values() if owner is cls]
            command = _with(command, cls, entries, partial=True, usual=usual)
        return command  # type: ignore[return-value]

    return decorate


def _name(entry: Field[Any]) -> str:
    """Return what click calls the option of a field: for `--unk/--no-unk` of allow_unk, "unk"."""
    flag = entry.metadata["flag"]
    return flag.split("/")[0].split()[-1].lstrip("-").replace("-", "_") if flag else entry.name


def _with(
    function: Any,
    cls: type[Settings],
    entries: Iterable[Field[Any]],
    *,
    partial: bool,
    usual: Callable[[str, Any], Any] = lambda name, default: default,
) -> Any:
    """Decorate a function with the options of some fields; `partial`: without defaults."""
    hints = get_type_hints(cls)
    for entry in reversed([*entries]):
        words, hint, default = entry.metadata, hints[entry.name], entry.default
        name = _name(entry)
        flag = words["flag"] or f"--{name.replace('_', '-')}"
        kinds = get_args(hint) or (hint,)
        switch = kinds[0] is bool
        if switch and "/" not in flag and (partial or default is not False):
            flag = f"{flag}/{flag.replace('--', '--no-', 1)}"
        several = words["kind"] != "shares" and get_origin(hint) in (tuple, Sequence)
        default = None if default is MISSING else default
        shown = ",".join(map(str, default)) if words["kind"] == "shares" else default  # type: ignore[arg-type]
        function = click.option(
            *flag.split(), name, cls=Option, group=words["group"], help=words["help"],
            type=_kind(kinds[0], words),
            multiple=several, default=None if partial else default, metavar=words["metavar"],
            is_flag=True if switch else None,
            usual=functools.partial(usual, entry.name, shown),
        )(function)  # fmt: skip
    return function


def _kind(type_: Any, words: Mapping[str, Any]) -> click.ParamType[Any] | None:
    """Return what reads the text of an option; None for a switch, which has no text."""
    if words["kind"] == "time":
        return Time(words)
    if words["kind"]:
        return KINDS[words["kind"]]
    if words["choices"]:
        return click.Choice(words["choices"])
    numbers: dict[Any, click.ParamType[Any] | None] = {
        bool: None, int: Whole(words), float: Real(words)
    }  # fmt: skip
    return numbers.get(type_, click.STRING)


def option(*names: str, **more: Any) -> Callable[[F], F]:
    """Make an option of a command's own, with a group."""
    return click.option(*names, cls=Option, **more)


def _threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int:
    """Let each process compute with one BLAS thread; BLAS reads its number as numpy is loaded.

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


COUNT = Whole(limits(least=1))
threads_option = option(
    "--threads", type=COUNT, callback=_threads, is_eager=True,
    help="Threads to compute with [the cores; 1 for a rank of MPI].",
)  # fmt: skip


json_option = option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
quiet_option = option("-q", "--quiet", is_flag=True, help="No progress, no notes.")


def output_option(text: str) -> Callable[[F], F]:
    """Make the option that names the file to write."""
    return option("-o", "--output", required=True, type=FILE, help=text)


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
