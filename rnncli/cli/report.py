"""`rnncli report`: one page that shows what models have learnt, and how."""

from __future__ import annotations

import click

from rnncli.cli.options import (
    FILE,
    Command,
    Whole,
    check_output,
    option,
    quiet_option,
    threads_option,
)
from rnncli.cli.terminal import note
from rnncli.config.settings import limits


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, type=FILE)
@option("-o", "--output", required=True, type=click.Path(), help="Page to write (.html).")
@option("--data", group="text", type=FILE, help="Data file whose text the models read.")
@option("--split", group="text", type=click.Choice(["train", "valid", "test"]),
              help="Which part of it [the last].")  # fmt: skip
@option("--text", group="text", help="Text for the models to read, instead of --data.")
@option(
    "--tokens",
    type=Whole(limits(least=2, most=5000)),
    default=500,
    usual=500,
    help="Of the text, at most.",
)
@option("--metrics", group="training", multiple=True, type=FILE,
              help="Log of `rnncli train --metrics`; repeat it for each model.")  # fmt: skip
@threads_option
@quiet_option
def report(
    models: tuple[str, ...],
    output: str,
    data: str | None,
    split: str | None,
    text: str | None,
    tokens: int,
    metrics: tuple[str, ...],
    threads: int,
    quiet: bool,
) -> None:
    """Write a page that shows what a model has learnt, and how.

    The page stands alone: it needs no network and no server, and sends nothing. In it: the curves
    of the training; texts that the model wrote; a text painted by how surprising each token was,
    with what was expected instead; every gate and state along that text, and the units that follow
    quotation marks, brackets and lines; how far back the gradient reaches; the spectra of the
    weights, neighbours in the embedding, and parameters and time by part. Without --data and --text
    the (first) model reads what it writes itself. Several models stand beside one another.

    \b
    rnncli report model.npz --data data.npz -o report.html
    rnncli report lstm.npz gru.npz --metrics lstm.jsonl --metrics gru.jsonl -o both.html
    """
    if data is not None and text is not None:
        raise click.UsageError("give --data or --text, not both.")
    if split is not None and data is None:
        raise click.UsageError("--split is for --data.")
    if len(metrics) > len(models):
        raise click.UsageError("there are more --metrics than models.")
    check_output(output, *models, *metrics, *([data] if data else []))
    from rnncli.data.dataset import Dataset
    from rnncli.files.atomic import replacing
    from rnncli.look import report as reporting
    from rnncli.look.report.learning import read_log

    logs = [read_log(path) for path in metrics] + [[]] * (len(models) - len(metrics))
    sources = [reporting.Source.read(path, log) for path, log in zip(models, logs, strict=True)]
    first = sources[0].language
    if text is not None:
        texts = [text]
    elif data is not None:
        texts = reporting.data_texts(Dataset.open(data), first.tokenizer, split, tokens)
    else:
        texts = reporting.model_texts(sources[0], tokens)
    page = reporting.build(sources, texts, tokens).encode("utf-8", "backslashreplace")
    with replacing(output) as put:
        put(page, 0)
    note(f"{output}: {len(page):,} bytes", quiet)
