"""`rnncli eval`: models and text -> figures, rows of figures, or the text in colours."""

from __future__ import annotations

import math
from typing import Any

import click

from rnncli.cli.common import FILE, json_option, quiet_option, threads_option

MIXES = ("kn1", "kn2", "kn3", "kn4", "kn5")


class Base(click.ParamType):  # type: ignore[type-arg]
    """The base of logarithms: e, or a number above 1."""

    name = "base"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            base = math.e if value == "e" else float(value)
        except ValueError:
            base = 0
        if not 1 < base < math.inf:
            self.fail(f"{value!r} is neither e nor a number above 1.", param, ctx)
        return base


@click.command("eval")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="MODEL [MODEL] [DATA]")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test",
              help="Which part of the data file.")  # fmt: skip
@click.option("--text", type=FILE,
              help="Score a text file, a document a line; - is standard input.")  # fmt: skip
@click.option("--encoding", default="utf-8", help="Of the text file.")
@click.option("--per", type=click.Choice(["line", "document", "token"]),
              help="A row each: log-probability, tokens, unknown ones among them.")  # fmt: skip
@click.option("--log-base", type=Base(), help="Of the log-probabilities of --per [default: e].")
@click.option("--baselines", is_flag=True,
              help="Beside it what simpler models say: uniform, unigram, Kneser-Ney.")  # fmt: skip
@click.option("--mix", type=click.Choice(MIXES), metavar="knN",
              help="Mix with a Kneser-Ney model of order N, 1 to 5.")  # fmt: skip
@click.option("--unseen", type=click.IntRange(1),
              help="Words that share <unk> [default: those of the corpus].")  # fmt: skip
@click.option("--kenlm", is_flag=True, help="Print what KenLM's query prints.")
@click.option("--color", is_flag=True, help="Print the text, each token coloured by its surprise.")
@json_option
@threads_option
@quiet_option
def evaluate(
    files: tuple[str, ...],
    split: str,
    text: str | None,
    encoding: str,
    per: str | None,
    log_base: float | None,
    baselines: bool,
    mix: str | None,
    unseen: int | None,
    kenlm: bool,
    color: bool,
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

    With --per line, each line of the text becomes a line, a blank one too: log-probability, tokens
    with </s>, unknown ones. With --per token: line, token, log-probability, 1 if unknown. A data
    file has documents instead of lines, and their numbers.

    \b
    rnncli eval model.npz --text mail.txt --per line --log-base 10 | sort -g | head

    Baselines are counted on the training split of the data file. --mix weighs model and baseline
    as the validation split has it best. Two models are compared document by document: is the
    difference more than chance?

    \b
    rnncli eval model.npz data.npz --baselines --mix kn5
    rnncli eval model.npz other.npz data.npz
    rnncli eval model.npz --text mail.txt --color | less -R
    """
    models = files if text is not None else files[:-1]
    data = None if text is not None else files[-1]
    if len(models) == 0:
        raise click.UsageError("give a data file or --text after the model.")
    if len(models) > 2:
        raise click.UsageError("one model or two, and a data file or --text, not both.")
    used = {
        "--per": per, "--kenlm": kenlm, "--color": color,
        "--baselines or --mix": baselines or mix, "a second model": len(models) == 2,
    }  # fmt: skip
    chosen = [name for name, value in used.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{chosen[0]} does not go with {chosen[1]}.")
    if as_json and (kenlm or color):
        raise click.UsageError(f"--json does not go with {chosen[0]}.")
    if log_base is not None and not per:
        raise click.UsageError("--log-base is for --per.")
    if unseen is not None and chosen and not (baselines or mix):
        raise click.UsageError(f"--unseen does not go with {chosen[0]}.")
    if text is not None and (baselines or mix):
        raise click.UsageError("--baselines and --mix need a data file, with its training split.")
    if per == "line" and data is not None:
        raise click.UsageError("--per line is for --text; a data file has documents and tokens.")

    from rnncli.cli import eval_figures, eval_rows
    from rnncli.cli.eval_text import paint
    from rnncli.lm.language_model import load
    from rnncli.score.baselines import BASELINES
    from rnncli.score.rows import rows
    from rnncli.score.sources import Data, Scorer, Text

    languages = [load(model) for model in models]
    first, *second = map(Scorer.of, languages)
    source: Text | Data = Data(str(data), split) if text is None else Text(text, encoding)
    if second:
        eval_figures.contest(models, (first, second[0]), source, as_json)
    elif per:
        eval_rows.write(rows(source, first, per, log_base or math.e), per, as_json)
    elif color:
        paint(source, first, quiet)
    elif kenlm:
        click.echo(source.score(first).kenlm())
    else:
        names = BASELINES if baselines else ()
        if isinstance(source, Data) and (baselines or mix):
            eval_figures.tell_what_is_unfair(languages[0], source, mix, quiet)
        eval_figures.figures(models[0], first, source, unseen, names, mix, as_json)
