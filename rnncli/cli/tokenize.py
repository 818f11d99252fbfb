"""`rnncli tokenize`: text files -> data.npz."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from rnncli.cli.options import (
    FILE,
    Command,
    check_output,
    json_option,
    options,
    output_option,
    quiet_option,
)
from rnncli.cli.terminal import Live, echo_json, note
from rnncli.config.reading import ReadOptions, Tokenizing

if TYPE_CHECKING:
    from rnncli.data.tokenize import Summary
    from rnncli.text.pretokenizer import Pretokenizer
    from rnncli.text.tokenizer import Tokenizer


@click.command(cls=Command)
@click.argument("inputs", nargs=-1, required=True, type=FILE)
@output_option("Data file to write (.npz).")
@options(ReadOptions, "reading")
@options(Tokenizing, "wanted")
@json_option
@quiet_option
def tokenize(
    inputs: tuple[str, ...],
    output: str,
    reading: ReadOptions,
    wanted: Tokenizing,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn text into a data file: a fixed-size vocabulary, and the text as its ids.

    INPUTS are .csv, .tsv, .txt (a document a line) or .jsonl files, plain or .gz; - is standard
    input. The vocabulary is that of the training split; what has no place in it becomes <unk>.

    \b
    rnncli tokenize comments.csv --column body --vocab-size 8000 -o comments.npz
    rnncli tokenize shakespeare.txt --whole-file --level char -o shakespeare.npz
    zcat reddit.jsonl.gz | rnncli tokenize - --format jsonl --column body -o reddit.npz
    """
    from rnncli.data import corpus
    from rnncli.data.chunks import LARGE, Files
    from rnncli.data.document import Skipped
    from rnncli.data.tokenize import tokenize as write
    from rnncli.nn.threads import cores
    from rnncli.parallel import mpi

    if mpi.world().size > 1:
        raise click.UsageError("this is for one process, with --workers: run it without mpiexec.")
    check_output(output, *inputs)
    rule, vocabulary = _rule(wanted, reading.whole_file)
    skipped = Skipped(wanted.on_bad_row)
    large = (corpus.total_bytes(inputs) or 0) > LARGE
    live = Live(quiet)
    files = Files(
        inputs, reading, skipped, wanted.workers or (cores() if large else 1), _progress(live)
    )
    try:
        summary = write(
            files, rule, output, vocab_size=wanted.vocab_size, min_count=wanted.min_count,
            vocabulary=vocabulary, split=wanted.split, seed=wanted.seed, skipped=skipped,
            inputs=inputs,
        )  # fmt: skip
    finally:
        live.clear()
    if as_json:
        echo_json(summary.to_json())
    note(_report(summary, output, wanted.min_count is None and summary.min_count == 2), quiet)


def _rule(wanted: Tokenizing, whole_file: bool) -> tuple[Pretokenizer, Tokenizer | None]:
    """Return how text is cut, and the tokenizer of --vocab, which brings its own way."""
    from rnncli.files import artefact as artefacts
    from rnncli.text.levels import level_of
    from rnncli.text.pretokenizer import Pretokenizer
    from rnncli.text.tokenizer import Tokenizer

    if wanted.vocab:
        artefact = artefacts.read(wanted.vocab, mapped=True)
        known = Tokenizer.from_artefact(artefact.header, artefact.arrays, wanted.vocab)
        return known.pretokenizer, known
    level = wanted.level or "word"
    unit = wanted.unit or ("stream" if whole_file else "document")
    lower = level_of(level).lower if wanted.lower is None else wanted.lower
    return Pretokenizer(level, unit, lower), None


def _progress(live: Live) -> Callable[[int, int | None], None]:
    """Return a function that shows how many bytes of how many are read."""

    def show(done: int, total: int | None) -> None:
        if live.due():
            share = f"{done / total:4.0%} of {total / 1e6:.1f}" if total else f"{done / 1e6:.1f}"
            live.show(f"reading: {share} MB")

    return show


def _report(s: Summary, output: str, chosen: bool) -> str:
    from rnncli.errors import shown

    rows = [
        f"{output}: {s.signature}, vocabulary {s.vocabulary:,}",
        f"  {_count(s.documents, 'document')}, "
        + (f"{_count(s.units, 'sentence')}, " if s.unit == "sentence" else "")
        + f"{_count(s.tokens, 'token')}, {s.distinct:,} distinct",
        f"  kept {s.kept:,}: {s.coverage:.2%} of all tokens; {s.unknown_rate:.2%} are <unk>",
        f'  rarest kept: "{shown(s.rarest[0])}", {_count(s.rarest[1], "time")} in training',
    ]
    if chosen:
        rows.append("  words seen once are <unk>, so that a model learns it (not: --min-count 1)")
    for name, part in s.splits.items():
        rows.append(
            f"  {name:<6}{_count(part.units, s.unit):>18}{part.tokens:>14,} tokens "
            f"{part.rate:8.2%} <unk>"
        )
    if s.table:
        rows.append("  vocabulary    <unk> in training    held out")
        for size, seen, held in s.table:
            away = "" if held is None else f"{held:12.2%}"
            rows.append(f"  {size:>10,}    {seen:17.2%}{away}")
    for reason, (count, first) in s.skipped.items():
        rows.append(f"  left out: {count:,} x {reason} (first: {first})")
    return "\n".join(rows)


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
