"""Measure training, generating and tokenizing on this machine: `python tests/bench`.

A shape is a network and a batch, such as char-128; all of them when none is named. Every figure
is taken in a process of its own, by rnncli and by PyTorch in turn, and the median is shown.

    python tests/bench char-128 lyrics-256 --against torch
    python tests/bench --start
    python tests/bench --tokenize corpora/comments.csv --megabytes 1000
    python tests/bench --mpi char-512 lyrics-256
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import ranks
import speed
from shapes import SHAPES

from rnncli.cli.options import json_option, threads_option
from rnncli.cli.terminal import echo_json
from rnncli.nn.threads import cores


@click.command(help=__doc__.replace("\n\n    ", "\n\n\b\n    "))
@click.argument("shapes", nargs=-1)
@click.option("--against", type=click.Choice(["torch"]), help="Measure the same network there too.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="Rounds; medians are shown.")
@click.option("--seconds", type=click.FloatRange(0.1), default=3.0, help="Of each measurement.")
@click.option(
    "--tokenize", "corpus", type=click.Path(exists=True, dir_okay=False),
    help="Measure rnncli tokenize instead, on this CSV (column body) repeated to --megabytes.",
)  # fmt: skip
@click.option("--megabytes", type=click.IntRange(1), default=1000, help="Size for --tokenize.")
@click.option(
    "--start", "starts", is_flag=True, help="Measure how long commands take to start instead."
)
@click.option(
    "--results", type=click.Path(dir_okay=False),
    help="Append the figures to this file (JSON Lines), with machine, versions and commit.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1),
    help="Processes for --tokenize, beside one alone [default: the cores].",
)  # fmt: skip
@click.option(
    "--mpi", is_flag=True,
    help="Measure one and two ranks of one thread, and predict the speed-up of more.",
)  # fmt: skip
@json_option
@threads_option
def main(
    shapes: tuple[str, ...],
    against: str | None,
    rounds: int,
    seconds: float,
    corpus: str | None,
    megabytes: int,
    starts: bool,
    results: str | None,
    workers: int | None,
    mpi: bool,
    as_json: bool,
    threads: int,
) -> None:
    unknown = set(shapes) - set(SHAPES)
    if unknown:
        known = ", ".join(SHAPES)
        raise click.UsageError(f"there is no shape {min(unknown)} (there are: {known}).")
    rows: Iterable[dict[str, Any]]
    if corpus is not None:
        rows = speed.tokenizing(Path(corpus), megabytes, workers or cores())
    elif starts:
        rows = [speed.starting(against)]
    elif mpi:
        rows = ranks.figures(list(shapes or ("char-512", "lyrics-256")), rounds, seconds)
    else:
        rows = speed.figures(list(shapes or SHAPES), against, rounds, seconds, threads)
        if not as_json:
            click.echo("tokens/s, MiB" + (f"; ratio to {against}" if against else ""))
    shown = []
    for row in rows:
        echo_json(row) if as_json else click.echo(_line(row))
        shown.append(row)
    if against and not (starts or mpi or corpus or as_json):
        click.echo(f"geometric means of the ratios to {against}: {_line(speed.means(shown))}")
    if results:
        with open(results, "a", encoding="utf-8") as log:
            log.write(json.dumps({**speed.machine(), "rows": shown}) + "\n")


def _line(row: dict[str, Any]) -> str:
    return "  ".join(
        value if isinstance(value, str) else f"{key} {value:,}" for key, value in row.items()
    )


if __name__ == "__main__":
    main()
