"""`rnncli sample`: model.npz -> text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.common import FILE, json_option, note, quiet_option, seed_option, threads_option
from rnncli.cli.habits import Command

if TYPE_CHECKING:
    from rnncli.checkpoint import LanguageModel
    from rnncli.sampling import Sample


@click.command(cls=Command)
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
@click.option("--min-p", type=click.FloatRange(0, 1), default=0.0,
              help="Only tokens at least this times as probable as the likeliest.")  # fmt: skip
@click.option("--typical", type=click.FloatRange(0, 1, min_open=True), default=1.0,
              help="Only the most typical tokens that together have this probability.")  # fmt: skip
@click.option("--repetition", type=click.FloatRange(0, min_open=True), default=1.0,
              help="Above 1: tokens that were written become less likely.")  # fmt: skip
@click.option(
    "--no-repeat", type=click.IntRange(0), default=0, help="Write no N tokens in a row twice."
)
@click.option("--min-length", type=click.IntRange(0), default=0, help="Tokens at least.")
@click.option("--stop", multiple=True, help="End before this text; may be repeated.")
@click.option("--stop-regex", default="", help="End before what this pattern finds.")
@click.option("--match", default="", help="Write only what this pattern matches as a whole.")
@click.option("--beam", type=click.IntRange(1),
              help="Show the N most probable texts that a search of this width finds.")  # fmt: skip
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
    no_unk: bool,
    beam: int | None,
    as_json: bool,
    threads: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Write text with a model.

    One text streams as it is written; several come one after another, each on a line of its own.
    The same seed gives the same text; text i of a seed does not depend on how many are asked for.
    What narrows the choice of a token is applied in this order: --repetition, --no-repeat,
    --temperature, --top-k, --top-p, --min-p, --typical.

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
    names = sampling.Filters.__dataclass_fields__
    chosen = {name: options.pop(name) for name in list(options) if name in names}
    length = length or (200 if tokenizer.rule.level == "word" else 1000)
    drawn: Iterable[Sample]
    if beam is not None:
        drawn = _beam(language, prefix, length, num, beam, not no_unk, {**chosen, **options})
    else:
        options |= {"length": length, "filters": sampling.Filters(**chosen)}
        options["allow_unk"] = not no_unk
    plain = str if not sys.stdout.isatty() else escaped
    if num == 1 and not as_json and beam is None:
        click.echo(plain(prefix), nl=False)
        for piece in sampling.stream_one(language.model, tokenizer, prefix, **options):
            click.echo(plain(piece), nl=False)
        click.echo()
        return
    if beam is None:
        drawn = sampling.generate(language.model, tokenizer, prefix, num=num, **options)
    for text in drawn:
        if as_json:
            row = {"text": prefix + text.text, "prefix": prefix, "logprob": text.logprob,
                   "tokens": len(text.ids), "stopped": text.stopped}  # fmt: skip
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            click.echo(plain(prefix + text.text))


def _beam(
    language: LanguageModel, prefix: str, length: int, num: int, width: int, unk: bool,
    others: dict[str, Any],
) -> list[Sample]:  # fmt: skip
    """The best `num` texts of a beam search, which leaves nothing to chance."""
    from rnncli.beam import beam

    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    for name in others:
        if context.get_parameter_source(name) is not default:
            raise click.UsageError(f"--beam does not go with --{name.replace('_', '-')}.")
    width = max(width, num)
    return beam(language.model, language.tokenizer, prefix, width, length, 0.7, allow_unk=unk)[:num]
