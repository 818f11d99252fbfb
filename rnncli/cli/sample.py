"""`rnncli sample`: model.npz -> text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import FILE, Command, options, quiet_option, threads_option
from rnncli.cli.sample_output import (
    Printer,
    novelty,
    prefixes,
    read_also,
    tell_unknown,
    unescaped,
)
from rnncli.cli.terminal import note
from rnncli.config.writing import Constraints, Filters, Writing
from rnncli.errors import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rnncli.generation.text import Sample

WITH_BEAM = {"length", "ban", "allow_unk"}  # the constraints that a beam search takes


@click.command(cls=Command)
@click.argument("model", type=FILE)
@options(Writing, "writing")
@options(Filters, "filters")
@options(Constraints, "constraints")
@threads_option
@quiet_option
def sample(
    model: str,
    writing: Writing,
    filters: Filters,
    constraints: Constraints,
    threads: int,
    quiet: bool,
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
    texts = prefixes(writing.prefix, writing.prefix_file)
    if writing.beam is not None:
        _check_beam(filters, constraints)

    from rnncli.generation import sampling
    from rnncli.generation.beam import beam as search
    from rnncli.generation.text import read_prefix
    from rnncli.lm.language_model import load
    from rnncli.lm.mixture import with_others

    language = load(model)
    tokenizer, num = language.tokenizer, writing.num
    others = [(read_also(path, language).predictor(threads), share) for path, share in writing.mix]
    predictor = with_others(language.predictor(threads), others)
    training, guard = novelty(
        writing.against, writing.max_copy, language, wanted=writing.json or not quiet
    )
    starts = [read_prefix(tokenizer, text) for text in texts]
    tell_unknown(tokenizer, starts, constraints.ban, quiet)
    line_end = "\n" if writing.separator is None else unescaped(writing.separator)
    printer = Printer(tokenizer, predictor, line_end, writing.alternatives, training, quiet)
    drawn: Iterable[tuple[str, Sample]]
    shared: dict[str, Any]
    if writing.beam is not None:
        constraints = constraints.fitted(tokenizer.pretokenizer.row.length)
        shared = {name: getattr(constraints, name) for name in WITH_BEAM}
        shared |= {"width": writing.beam, "length_penalty": writing.length_penalty}
        found = (search(predictor, tokenizer, start, **shared) for start in starts)
        drawn = _best(zip(texts, found, strict=True), num, quiet)
    else:
        # A row of JSON works the log-probabilities out itself, and exactly.
        shared = {"filters": filters, "constraints": constraints, "guard": guard}
        shared |= {"seed": writing.seed, "threads": threads, "scored": False}
        samples = sampling.generate(predictor, tokenizer, starts, num=num, **shared)
        drawn = zip((text for text in texts for _ in range(num)), samples, strict=True)
    if num == len(texts) == 1 and not writing.json and writing.beam is None:
        pieces = sampling.stream_one(predictor, tokenizer, starts[0], **shared)
        printer.stream(texts[0], pieces)
    else:
        for text, written in drawn:
            (printer.row if writing.json else printer.text)(text, written)


def _best(searches: Iterable[tuple[str, list[Sample]]], num: int, quiet: bool) -> Iterator[Any]:
    """Yield each prefix with its `num` best texts; say so where a search found fewer."""
    for prefix, samples in searches:
        yield from ((prefix, sample) for sample in samples[:num])
        if len(samples) < num:
            after = f' after "{shown(prefix)}"' if prefix else ""
            found = f"{len(samples)} of {num} texts found{after}"
            note(f"{found}: a wider --beam or a greater --length may find more.", quiet)


def _check_beam(filters: Filters, constraints: Constraints) -> None:
    """Refuse what does not go with a beam search, which leaves nothing to chance."""
    for given, names in ((filters, Filters.names()), (constraints, Constraints.names())):
        plain = type(given)()
        for name in names:
            if name not in WITH_BEAM and getattr(given, name) != getattr(plain, name):
                raise click.UsageError(f"--beam does not go with --{name.replace('_', '-')}.")
