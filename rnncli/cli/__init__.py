"""The `rnncli` command: the only part that knows click, options and exit codes.

Commands are short: read options, call the library, print. Here stands what they share at the edge:
one line for an error, and exit codes that scripts can trust.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import signal
import sys
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from rnncli.cli import signals
from rnncli.errors import RnncliError, shown
from rnncli.parallel import mpi
from rnncli.version import __version__

COMMANDS = {  # each is a function of the module of its name, which is loaded when it is called for
    "tokenize": "Turn text into a data file: a fixed-size vocabulary, and the text as its ids.",
    "train": "Train a language model on a data file.",
    "sample": "Write text with a model.",
    "eval": "Score a model: how well it predicts text that it has not seen.",
    "inspect": "Show what a data or model file holds, or several models beside one another.",
    "report": "Write a page that shows what a model has learnt, and how.",
    "convert": "Turn a model file into PyTorch's names and layout, or back.",
    "check": "Try a network's configuration before trusting a long run to it.",
    "guide": "Read the guide: its topics, or the page of a TOPIC.",
}
NAMES = {"eval": "evaluate"}  # of modules and functions, where Python has the command's for itself


class Commands(click.Group):
    """Commands that load nothing before they are called for: half of what a short one takes."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an error about an unknown one names the one that may be meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from rnncli.cli import aliases

            likely = difflib.get_close_matches(name, COMMANDS, 1)
            meant = aliases.COMMANDS.get(name.lower(), *likely[:1])
            hint = f'Is "{meant}" meant?' if meant else "See --help for what there is."
            raise click.UsageError(f'No such command "{shown(name)}". {hint}', ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which one uses them."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        name = NAMES.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without loading it."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


@click.group(cls=Commands, context_settings={**HELP, "auto_envvar_prefix": "RNNCLI"})
@click.version_option(__version__, prog_name="rnncli")
def main() -> None:
    """Recurrent language models from the command line, in NumPy.

    \b
    comments.csv --tokenize--> data.npz --train--> model.npz --sample--> text
                                   \\__________________\\-------eval----> figures

    \b
    rnncli tokenize comments.csv --column body -o data.npz
    rnncli train data.npz -o model.npz
    rnncli sample model.npz --prefix "I think"
    rnncli eval model.npz data.npz --split test
    rnncli report model.npz --data data.npz -o report.html

    `rnncli guide` is the manual. Results go to standard output, progress and notes to standard
    error. An option may also come from the environment: RNNCLI_TRAIN_HIDDEN=512. NO_COLOR is
    respected.

    Exit codes: 0 done, 1 bad data or file, 2 wrong use, 129, 130 and 143 stopped by a signal (a
    training run is saved first), 141 the reader of a pipe has gone.
    """


def run() -> NoReturn:
    """Run the command, and exit with a code for whatever becomes of it: the entry point."""
    with mpi.together():
        _run()


def _run() -> NoReturn:
    signals.watch()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            # Text in any script, whatever the locale; only characters that no encoding has fail.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        if sys.stdout is None:
            raise OSError("standard output is closed")
        code = _command()
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        mpi.turn()
        error.show()
        code = error.exit_code
    except RnncliError as error:
        code = _say(str(error))
    except BrokenPipeError:
        code = 141
    except (click.Abort, KeyboardInterrupt):
        signals.die(signal.SIGINT)
    except signals.Terminated as stop:
        signals.die(stop.number)
    except MemoryError:
        code = _say("out of memory. Use a smaller --batch, --bptt or --hidden.")
    except OSError as error:
        code = _say(f"{error.filename or 'standard output'}: {error.strerror or error}.")
    with contextlib.suppress(OSError, ValueError):  # what is left in the buffer has no reader
        if code in (1, 141) and sys.stdout is not None:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
    sys.exit(code)


def _command() -> int:
    """Run the command line; unlike click's own `main`, leave every exception to the caller."""
    completion = os.environ.get("_RNNCLI_COMPLETE")
    if completion:
        return shell_complete(main, {}, "rnncli", "_RNNCLI_COMPLETE", completion)
    colour = False if os.environ.get("NO_COLOR") else None
    with main.make_context("rnncli", sys.argv[1:], color=colour) as context:
        main.invoke(context)
    return 0


def _say(message: str) -> int:
    """Print an error as one line; the exit code that goes with it."""
    mpi.turn()
    with contextlib.suppress(OSError):
        click.echo(f"rnncli: {shown(message, 1000)}", err=True)
    return 1
