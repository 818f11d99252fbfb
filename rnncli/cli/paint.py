"""`rnncli eval --color` and `--html`: the text itself, painted by surprise."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import click

from rnncli import painting
from rnncli.atomic import replacing
from rnncli.checkpoint import LanguageModel
from rnncli.cli.common import note
from rnncli.cli.sources import Data, Text
from rnncli.evaluation import Score, signature
from rnncli.surprisal import Token, surprisals


def paint(source: Text | Data, language: LanguageModel, quiet: bool) -> None:
    """Print the text in colours; what they mean is a note."""
    colour = not os.environ.get("NO_COLOR")
    note(painting.ansi_legend() if colour else "NO_COLOR is set: no colours.", quiet)
    for unit in _told(source, language, 0):
        line = painting.ansi(unit)
        click.echo(line, nl=not line.endswith("\n"), color=colour)


def write_page(
    path: str, name: str, source: Text | Data, language: LanguageModel, quiet: bool
) -> None:
    """Write the page, whole or not at all."""
    total = Score()

    def counted() -> Iterator[list[Token]]:
        nonlocal total
        for unit in _told(source, language, 5):
            nats = [token.nats for token in unit if not math.isnan(token.nats)]
            total += Score(math.fsum(nats), len(nats))
            yield unit

    def footer() -> Iterator[str]:
        yield (
            f"{total.tokens:,} tokens, {total.nats_per_token:.4f} nats a token, "
            f"perplexity {total.perplexity:,.2f}"
        )
        yield signature(language.tokenizer)

    title, at = f"{Path(name).name}: surprise at {source.name}", 0
    with replacing(path) as put:
        for piece in painting.page(title, counted(), footer()):
            data = piece.encode("utf-8", "backslashreplace")
            put(data, at)
            at += len(data)
    note(f"{path}: {total.tokens:,} tokens", quiet)


def _told(source: Text | Data, language: LanguageModel, best: int) -> Iterator[list[Token]]:
    model, tokenizer = language.model, language.tokenizer
    carried = language.carried or tokenizer.bos is None
    return surprisals(model, tokenizer, source.units(language), carried=carried, best=best)
