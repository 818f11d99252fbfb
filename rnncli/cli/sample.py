"""`rnncli sample`: model.npz -> text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.aliases import Command
from rnncli.cli.common import (
    FILE,
    json_option,
    note,
    quiet_option,
    seed_option,
    threads_option,
)
from rnncli.cli.sample_output import (
    MixWeight,
    Printer,
    String,
    novelty,
    prefixes,
    read_also,
    tell_unknown,
    unescaped,
)
from rnncli.errors import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rnncli.generation.text import Sample

STRING = String()
WITH_BEAM = ("ban", "allow_unk")  # what else a beam search takes


@click.command(cls=Command)
@click.argument("model", type=FILE)
@click.option("--prefix", type=STRING, multiple=True,
              help="What the text begins with; may be repeated; - is standard input.")  # fmt: skip
@click.option("--prefix-file", type=FILE, help="A prefix a line; - is standard input.")
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
@click.option("--ban", type=STRING, multiple=True, help="Never write this token; may be repeated.")
@click.option("--no-unk/--unk", default=True, help="Never write <unk>.")
@click.option("--min-length", type=click.IntRange(0), default=0, help="Tokens at least.")
@click.option("--stop-at-end/--no-stop-at-end", default=True, help="Stop where the text ends.")
@click.option("--stop", type=STRING, multiple=True, help="End before this text; may be repeated.")
@click.option("--stop-regex", default="", help="End before what this pattern finds.")
@click.option("--match", default="", help="Write only what this pattern matches as a whole.")
@click.option("--must-include", type=STRING, multiple=True,
              help="Draw texts until one has these tokens in a row; may be repeated.")  # fmt: skip
@click.option("--tries", type=click.IntRange(1), default=1000,
              help="How many texts --match and --must-include may draw for one.")  # fmt: skip
@click.option("--against", type=FILE, metavar="DATA",
              help="Say what each text copies from the training split of this data file "
              "(64 bytes of memory a token of it).")  # fmt: skip
@click.option("--max-copy", type=click.IntRange(1),
              help="With --against: never write more than N tokens in a row that stand there "
              "(32 bytes a token).")  # fmt: skip
@click.option("--beam", type=click.IntRange(1), metavar="WIDTH",
              help="Draw nothing: search for the most probable texts, the WIDTH best beginnings at "
              "a time. --num of them are printed, best first.")  # fmt: skip
@click.option("--length-penalty", type=click.FloatRange(0, 1), default=0.0, metavar="ALPHA",
              help="With --beam: the best text has the highest log-probability / tokens ** ALPHA; "
              "0: the most probable text, 1: the highest mean of a token.")  # fmt: skip
@click.option("--mix", type=MixWeight(), multiple=True,
              help="Give another model this share of each probability, as other.npz:0.3; "
              "may be repeated.")  # fmt: skip
@click.option("--separator", help="What ends a text; \\n, \\t and \\0 may be spelled out "
              "[default: a line end].")  # fmt: skip
@click.option("--alternatives", type=click.IntRange(0), default=0,
              help="With --json: the K likeliest tokens in each place.")  # fmt: skip
@seed_option
@json_option
@threads_option
@quiet_option
def sample(
    model: str,
    prefix: tuple[str, ...],
    prefix_file: str | None,
    length: int | None,
    num: int,
    against: str | None,
    max_copy: int | None,
    beam: int | None,
    length_penalty: float,
    mix: tuple[tuple[str, float], ...],
    separator: str | None,
    alternatives: int,
    as_json: bool,
    threads: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Write text with a model.

    One text streams as it is written; several come one after another, each on a line of its own.
    The same seed gives the same text: text i of a seed after a prefix does not depend on how many
    are asked for, nor on other prefixes. What narrows the choice of a token is applied in this
    order: --ban, --no-unk and --max-copy, --repetition, --no-repeat, --temperature, --top-k,
    --top-p, --min-p, --typical; a token that --match refuses is drawn again. A text without a
    match at its full --length, or without what it --must-include, is drawn again as a whole.

    \b
    rnncli sample model.npz --prefix "I think" --num 5 --temperature 0.8
    rnncli sample shakespeare.npz --prefix "ROMEO:" --length 500
    rnncli sample model.npz --num 100 --against data.npz --max-copy 8
    rnncli sample model.npz --prefix-file starts.txt --json --alternatives 5
    """
    texts = prefixes(prefix, prefix_file)
    for wrong, message in (
        (beam and num > beam, f"a search of --beam {beam} finds {beam} texts at most, not {num}."),
        (length_penalty and not beam, "--length-penalty goes with --beam."),
        (max_copy and not against, "--max-copy needs --against DATA."),
        (alternatives and not as_json, "--alternatives goes with --json."),
        (as_json and separator is not None, "--json does not go with --separator."),
        (length and options["min_length"] > length, "--min-length is above --length."),
    ):
        if wrong:
            raise click.UsageError(message)
    if beam is not None:
        _check_beam({"max_copy": max_copy, **options})

    from rnncli.generation import sampling
    from rnncli.generation.beam import beam as search
    from rnncli.generation.text import read_prefix
    from rnncli.lm.language_model import load
    from rnncli.lm.mixture import with_others

    language = load(model)
    tokenizer = language.tokenizer
    others = [(read_also(path, language).predictor(threads), share) for path, share in mix]
    predictor = with_others(language.predictor(threads), others)
    training, guard = novelty(against, max_copy, language, seen=as_json or not quiet)
    starts = [read_prefix(tokenizer, text) for text in texts]
    tell_unknown(tokenizer, starts, options["ban"], quiet)

    options["length"] = length or max(options["min_length"], tokenizer.pretokenizer.row.length)
    options["allow_unk"] = not options.pop("no_unk")
    line_end = unescaped(separator) if separator is not None else "\n"
    printer = Printer(tokenizer, predictor, line_end, alternatives, training, quiet)
    drawn: Iterable[tuple[str, Sample]]
    if beam is not None:
        wanted = {name: options[name] for name in ("length", *WITH_BEAM)}
        wanted["length_penalty"] = length_penalty
        found = (search(predictor, tokenizer, start, beam, **wanted) for start in starts)
        drawn = _best(zip(texts, found, strict=True), num, quiet)
    else:
        options |= {"guard": guard, "threads": threads}
        options |= {"scored": False}  # a row of JSON computes them itself, and exactly
        samples = sampling.generate(predictor, tokenizer, starts, num=num, **options)
        drawn = zip((text for text in texts for _ in range(num)), samples, strict=True)
    if num == len(texts) == 1 and not as_json and beam is None:
        pieces = sampling.stream_one(predictor, tokenizer, starts[0], **options)
        printer.stream(texts[0], pieces)
    else:
        for text, written in drawn:
            (printer.row if as_json else printer.text)(text, written)


def _best(searches: Iterable[tuple[str, list[Sample]]], num: int, quiet: bool) -> Iterator[Any]:
    """Yield each prefix with its `num` best texts; say so where a search found fewer."""
    for prefix, samples in searches:
        yield from ((prefix, sample) for sample in samples[:num])
        if len(samples) < num:
            after = f' after "{shown(prefix)}"' if prefix else ""
            found = f"{len(samples)} of {num} texts found{after}"
            note(f"{found}: a wider --beam or a greater --length may find more.", quiet)


def _check_beam(options: dict[str, Any]) -> None:
    """A beam search leaves nothing to chance: it goes with few of the other options."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    for name in options:
        if name not in ("ban", "no_unk") and context.get_parameter_source(name) is not default:
            raise click.UsageError(f"--beam does not go with --{name.replace('_', '-')}.")
