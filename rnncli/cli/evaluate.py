"""`rnncli eval`: models and text -> figures, rows of figures, or the text in colours."""

from __future__ import annotations

import math

import click

from rnncli.cli.options import FILE, TEXTS, Command, options, quiet_option, threads_option
from rnncli.config.scoring import Scoring
from rnncli.errors import DataError


@click.command("eval", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="MODEL [MODEL] [DATA]")
@options(Scoring, "scoring")
@threads_option
@quiet_option
def evaluate(files: tuple[str, ...], scoring: Scoring, threads: int, quiet: bool) -> None:
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
    models, data = _parted(files, scoring)

    from rnncli.cli import eval_figures, eval_rows
    from rnncli.cli.eval_text import paint
    from rnncli.lm.language_model import load
    from rnncli.score.baselines import BASELINES
    from rnncli.score.rows import rows
    from rnncli.score.sources import Data, Scorer, Text

    languages = [load(model) for model in models]
    first, *second = map(Scorer.of, languages)
    source: Text | Data
    if scoring.text is None:
        source = Data(data, scoring.split)
    else:
        source = Text(scoring.text, scoring.encoding)
    if second:
        eval_figures.contest(models, (first, second[0]), source, scoring.json)
    elif scoring.per:
        found = rows(source, first, scoring.per, scoring.log_base or math.e)
        eval_rows.write(found, scoring.per, scoring.json)
    elif scoring.color:
        paint(source, first, quiet)
    elif scoring.kenlm:
        click.echo(source.score(first).kenlm())
    else:
        names = BASELINES if scoring.baselines else ()
        if isinstance(source, Data) and (names or scoring.mix):
            eval_figures.tell_what_is_unfair(languages[0], source, scoring.mix, quiet)
        eval_figures.figures(
            models[0], first, source, scoring.unseen, names, scoring.mix, scoring.json
        )


def _parted(files: tuple[str, ...], scoring: Scoring) -> tuple[tuple[str, ...], str]:
    """Part the models from the data file, which is "" where there is --text."""
    models, data = (files, "") if scoring.text is not None else (files[:-1], files[-1])
    if not models:
        raise click.UsageError("give a data file or --text after the model.")
    if len(models) > 2:
        raise click.UsageError("one model or two, and a data file or --text, not both.")
    if len(models) == 2 and scoring.chosen:
        raise click.UsageError(f"{scoring.chosen[0]} does not go with a second model.")
    if data.endswith(TEXTS):
        raise DataError(f"{data}: text, not an rnncli file. Score it with --text {data}.")
    return models, data
