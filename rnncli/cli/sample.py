"""`rnncli sample`: model.npz -> text."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from rnncli.cli.common import FILE, json_option, note, quiet_option, seed_option, threads_option


@click.command()
@click.argument("model", type=FILE)
@click.option("--prefix", default="", help="What the text begins with.")
@click.option(
    "--length",
    type=click.IntRange(1),
    help="Tokens at most [default: 1000 for characters, else 200].",
)
@click.option("-n", "--num", type=click.IntRange(1), default=1, help="How many texts.")
@click.option("--temperature", type=click.FloatRange(0), default=1.0,
              help="Below 1 safer, above 1 wilder; 0: always the likeliest.")  # fmt: skip
@click.option(
    "--top-k", type=click.IntRange(0), default=0, help="Only the K likeliest tokens; 0: all."
)
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0,
              help="Only the likeliest tokens that together have this probability.")  # fmt: skip
@seed_option
@click.option("--no-unk/--unk", "no_unk", default=True, help="Never write <unk>.")
@click.option("--stop-at-end/--no-stop-at-end", default=True, help="Stop where the text ends.")
@json_option
@threads_option
@quiet_option
def sample(
    model: str,
    prefix: str,
    length: int | None,
    num: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    no_unk: bool,
    stop_at_end: bool,
    as_json: bool,
    threads: int,
    quiet: bool,
) -> None:
    """Write text with a model.

    One text streams as it is written; several come one after another, each on a line of its own.
    The same seed gives the same text; text i of a seed does not depend on how many are asked for.

    \b
    rnncli sample model.npz --prefix "I think" --num 5 --temperature 0.8
    rnncli sample shakespeare.npz --prefix "ROMEO:" --length 500
    """
    from rnncli import sampling
    from rnncli.checkpoint import load
    from rnncli.errors import escaped, shown

    language = load(model)
    tokenizer = language.tokenizer
    _, unknown = sampling.prefix_ids(tokenizer, prefix)
    if unknown:
        listed = ", ".join(shown(token) for token in unknown[:10])
        note(f"not in the vocabulary, read as <unk>: {listed}", quiet)
    options: dict[str, Any] = {
        "length": length or (200 if tokenizer.rule.level == "word" else 1000),
        "filters": sampling.Filters(temperature=temperature, top_k=top_k, top_p=top_p),
        "seed": seed, "allow_unk": not no_unk, "stop_at_end": stop_at_end,
    }  # fmt: skip
    plain = str if not sys.stdout.isatty() else escaped
    if num == 1 and not as_json:
        click.echo(plain(prefix), nl=False)
        for piece in sampling.stream_one(language.model, tokenizer, prefix, **options):
            click.echo(plain(piece), nl=False)
        click.echo()
        return
    for drawn in sampling.generate(language.model, tokenizer, prefix, num=num, **options):
        if as_json:
            row = {"text": prefix + drawn.text, "prefix": prefix, "logprob": drawn.logprob,
                   "tokens": len(drawn.ids), "stopped": drawn.stopped}  # fmt: skip
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            click.echo(plain(prefix + drawn.text))
