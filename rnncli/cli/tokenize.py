"""`rnncli tokenize`: text files -> data.npz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.common import (
    FILE,
    Live,
    check_output,
    echo_json,
    json_option,
    note,
    quiet_option,
    seed_option,
)
from rnncli.errors import ConfigError
from rnncli.nn.threads import cores

if TYPE_CHECKING:
    from rnncli.data.tokenize import Summary


class Shares(click.ParamType):  # type: ignore[type-arg]
    """0.9,0.05,0.05."""

    name = "shares"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of shares such as 0.9,0.05,0.05.", param, ctx)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="Data file to write (.npz).")
@click.option(
    "--column",
    help="Column of the text: a name, or a number from 1; for JSON Lines a key. Default: the only "
    "column, else body, text, comment, content or title.",
)
@click.option("--delimiter", help="Between columns [default: comma, tab for .tsv].")
@click.option("--encoding", default="utf-8", help="Of the input; a byte order mark is dropped.")
@click.option("--header/--no-header", default=True, help="The first row names the columns.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "tsv", "txt", "jsonl"]),
    help="Of the input [default: by the file's name; csv for standard input].",
)  # fmt: skip
@click.option("--whole-file", is_flag=True, help="A text file is one text, not one a line.")
@click.option(
    "--on-bad-row", type=click.Choice(["error", "skip"]), default="error",
    help="What to do with a row that cannot be read.",
)  # fmt: skip
@click.option(
    "--level", type=click.Choice(["word", "char", "byte"]), default="word", help="What a token is."
)
@click.option(
    "--unit", type=click.Choice(["sentence", "document", "stream"]),
    help="What is wrapped in <s> and </s>; a stream is one running text without them "
    "[default: document, stream with --whole-file].",
)  # fmt: skip
@click.option("--lower/--no-lower", default=None, help="Lower-case the text [default: for words].")
@click.option(
    "--vocab-size", type=click.IntRange(0),
    help="Size of the vocabulary, special tokens included; 0: all [default: 8000 for words, all "
    "for characters and bytes].",
)  # fmt: skip
@click.option(
    "--min-count", type=click.IntRange(1),
    help="Rarer tokens become <unk> [default: 1; 2 for words where otherwise all had a place, and "
    "nothing would teach a model <unk>].",
)  # fmt: skip
@click.option("--vocab", type=FILE, help="Reuse vocabulary and rule of a data or model file.")
@click.option(
    "--split", type=Shares(), default="0.9,0.05,0.05",
    help="Shares of training, validation and test.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Read at most N documents.")
@click.option(
    "--workers", type=click.IntRange(1),
    help="Processes that read and count; the bytes written are the same. A packed file is read by "
    "one, a stream too [default: the cores for more than 32 MiB, else 1].",
)  # fmt: skip
@seed_option
@json_option
@quiet_option
@click.pass_context
def tokenize(ctx: click.Context, /, **options: Any) -> None:
    """Turn text into a data file: a fixed-size vocabulary, and the text as its ids.

    INPUTS are .csv, .tsv, .txt (a document a line) or .jsonl files, plain or .gz; - is standard
    input. The vocabulary is that of the training split; what has no place in it becomes <unk>.

    \b
    rnncli tokenize comments.csv --column body --vocab-size 8000 -o comments.npz
    rnncli tokenize shakespeare.txt --whole-file --level char -o shakespeare.npz
    zcat reddit.jsonl.gz | rnncli tokenize - --format jsonl --column body -o reddit.npz
    """
    from rnncli.config.reading import ReadOptions
    from rnncli.data import corpus
    from rnncli.data.chunks import LARGE, Files
    from rnncli.data.document import Skipped
    from rnncli.data.tokenize import tokenize as write
    from rnncli.files import artefact as artefacts
    from rnncli.parallel import mpi
    from rnncli.text.levels import level_of
    from rnncli.text.pretokenizer import Pretokenizer
    from rnncli.text.tokenizer import Tokenizer

    if mpi.world().size > 1:
        raise click.UsageError("this is for one process, with --workers: run it without mpiexec.")
    vocabulary, reuse = None, options["vocab"]
    check_output(options["output"], *options["inputs"])
    if reuse:
        artefact = artefacts.read(reuse, mapped=True)
        vocabulary = Tokenizer.from_artefact(artefact.header, artefact.arrays, reuse)
        for name in ("level", "unit", "lower", "vocab_size", "min_count"):
            source = ctx.get_parameter_source(name)
            if options[name] is not None and source is not click.core.ParameterSource.DEFAULT:
                raise ConfigError(
                    f"--vocab brings its own rule: leave out --{name.replace('_', '-')}."
                )
        rule = vocabulary.pretokenizer
    else:
        level = options["level"]
        unit = options["unit"] or ("stream" if options["whole_file"] else "document")
        lower = options["lower"] if options["lower"] is not None else level_of(level).lower
        rule = Pretokenizer(level, unit, lower)
    column = options["column"]
    delimiter = {r"\t": "\t"}.get(options["delimiter"], options["delimiter"])
    reading = ReadOptions(
        column=int(column) if column and column.isdecimal() else column,
        delimiter=delimiter, encoding=options["encoding"], header=options["header"],
        format=options["kind"], whole_file=options["whole_file"], limit=options["limit"],
    )  # fmt: skip
    skipped = Skipped(options["on_bad_row"])
    workers = options["workers"]
    if workers is None:
        size = corpus.total_bytes(options["inputs"]) or 0
        workers = cores() if size > LARGE else 1
    live = Live(options["quiet"])

    def progress(done: int, total: int | None) -> None:
        if live.due():
            share = f"{done / total:4.0%} of {total / 1e6:.1f}" if total else f"{done / 1e6:.1f}"
            live.show(f"reading: {share} MB")

    files = Files(options["inputs"], reading, skipped, workers or 1, progress)
    try:
        summary = write(
            files,
            rule,
            options["output"],
            vocab_size=options["vocab_size"],
            min_count=options["min_count"],
            vocabulary=vocabulary,
            split=options["split"],
            seed=options["seed"],
            skipped=skipped,
            inputs=options["inputs"],
        )
    finally:
        live.clear()
    if options["as_json"]:
        echo_json(summary.to_json())
    if not options["quiet"]:
        chosen = options["min_count"] is None and summary.min_count == 2
        note(_report(summary, options["output"], chosen))


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
