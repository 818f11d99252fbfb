"""`rnncli eval`: model.npz and text -> figures."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from rnncli.cli.common import FILE, json_option, quiet_option, threads_option
from rnncli.errors import DataError


@click.command("eval")
@click.argument("model", type=FILE)
@click.argument("data", required=False, type=FILE)
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test",
              help="Which part of the data file.")  # fmt: skip
@click.option("--text", type=FILE,
              help="Score a text file, a document a line; - is standard input.")  # fmt: skip
@click.option("--encoding", default="utf-8", help="Of the text file.")
@json_option
@threads_option
@quiet_option
def evaluate(
    model: str,
    data: str | None,
    split: str,
    text: str | None,
    encoding: str,
    as_json: bool,
    threads: int,
    quiet: bool,
) -> None:
    """Score a model: how well it predicts text that it has not seen.

    Nats and perplexity count every predicted token: the end of a document, never its beginning.
    Bits a character and a byte refer to the original text, so that models with different
    vocabularies can be compared. The signature says what a figure may be compared with.

    \b
    rnncli eval model.npz data.npz --split test
    echo "how likely is this?" | rnncli eval model.npz --text -
    """
    from rnncli import api
    from rnncli.evaluation import signature

    if (data is None) == (text is None):
        raise click.UsageError("give a data file or --text, one of the two.")
    language = api.load(model)
    if text is not None:
        whole = language.tokenizer.rule.unit == "stream"
        score = api.evaluate(language, _texts(text, encoding, whole))
    else:
        score = api.evaluate(language, str(data), split)
        if not score.tokens:
            raise DataError(f"{data}: there is nothing to predict in its split {split}.")
    line = signature(language.tokenizer)
    if as_json:
        click.echo(json.dumps({**score.to_json(), "signature": line}))
        return

    def figure(value: float | None, places: int) -> str:
        return "none" if value is None else f"{value:,.{places}f}"

    for label, value in (
        ("nats a token", figure(score.nats_per_token, 4)),
        ("perplexity", figure(score.perplexity, 2)),
        ("  without unknown words", figure(score.perplexity_excluding_oov, 2)),
        ("bits a character", figure(score.bits_per_char, 4)),
        ("bits a byte", figure(score.bits_per_byte, 4)),
        ("tokens", f"{score.tokens:,}"),
        ("  unknown", f"{score.oov:,}"),
        ("characters", f"{score.chars:,}"),
    ):
        click.echo(f"{label:<26}{value:>14}")
    click.echo(line)


def _texts(path: str, encoding: str, whole: bool) -> Iterator[str]:
    """A document a line, or for a model of running text the whole file as one."""
    from rnncli.corpus import Reading, Skipped, documents

    reading = Reading(format="txt", encoding=encoding, whole_file=whole)
    found = documents([path], reading, Skipped())
    if whole:
        yield "".join(document.text for document in found)
    else:
        yield from (document.text for document in found)
