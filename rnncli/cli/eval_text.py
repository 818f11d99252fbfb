"""`rnncli eval --color`: the text itself, painted by surprise."""

from __future__ import annotations

import os

import click

from rnncli.cli.sources import Data, Text
from rnncli.cli.terminal import note
from rnncli.lm.language_model import LanguageModel
from rnncli.score import highlight
from rnncli.score.surprisal import surprisals


def paint(source: Text | Data, language: LanguageModel, quiet: bool) -> None:
    """Print the text in colours; what they mean is a note."""
    colour = not os.environ.get("NO_COLOR")
    note(highlight.ansi_legend() if colour else "NO_COLOR is set: no colours.", quiet)
    model, tokenizer = language.model, language.tokenizer
    carried = language.carried or tokenizer.bos is None
    units = source.units(language)
    for unit in surprisals(model, tokenizer, units, carried=carried, best=0):
        line = highlight.ansi(unit)
        click.echo(line, nl=not line.endswith("\n"), color=colour)
