"""`rnncli eval --color`: the text itself, painted by surprise."""

from __future__ import annotations

import os

import click

from rnncli.cli.terminal import note
from rnncli.score import highlight
from rnncli.score.sources import Data, Scorer, Text
from rnncli.score.surprisal import surprisals


def paint(source: Text | Data, scorer: Scorer, quiet: bool) -> None:
    """Print the text in colours; what they mean is a note."""
    colour = not os.environ.get("NO_COLOR")
    note(highlight.ansi_legend() if colour else "NO_COLOR is set: no colours.", quiet)
    units = source.units(scorer.tokenizer)
    for unit in surprisals(*scorer, units, joined=True, best=0):
        line = highlight.ansi(unit)
        click.echo(line, nl=not line.endswith("\n"), color=colour)
