"""`rnncli bench`: speed and memory on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from rnncli.cli.common import echo_json, json_option, threads_option
from rnncli.nn.machine import cores


@click.command()
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
def bench(
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
    """Measure training, generating and tokenizing on this machine.

    A shape is a network and a batch, such as char-128; all of them when none is named. Every figure
    is taken in a process of its own, ours and the other's in turn, and the median is shown.

    \b
    rnncli bench char-128 lyrics-256 --against torch
    rnncli bench --start
    rnncli bench --tokenize corpora/comments.csv --megabytes 1000
    rnncli bench --mpi char-512 lyrics-256
    """
    from rnncli import bench as measure
    from rnncli import bench_mpi

    unknown = set(shapes) - set(measure.SHAPES)
    if unknown:
        known = ", ".join(measure.SHAPES)
        raise click.UsageError(f"there is no shape {min(unknown)} (there are: {known}).")
    rows: Iterable[dict[str, Any]]
    if corpus is not None:
        rows = measure.tokenizing(Path(corpus), megabytes, workers or cores())
    elif starts:
        rows = [measure.starting(against)]
    elif mpi:
        rows = bench_mpi.figures(list(shapes or ("char-512", "lyrics-256")), rounds, seconds)
    else:
        rows = measure.figures(list(shapes or measure.SHAPES), against, rounds, seconds, threads)
        if not as_json:
            click.echo("tokens/s, MiB" + (f"; ratio to {against}" if against else ""))
    told = []
    for row in rows:
        echo_json(row) if as_json else click.echo(_line(row))
        told.append(row)
    if against and not (starts or mpi or corpus or as_json):
        click.echo(f"geometric means of the ratios to {against}: {_line(measure.means(told))}")
    if results:
        with open(results, "a", encoding="utf-8") as log:
            log.write(json.dumps({**measure.machine(), "rows": told}) + "\n")


def _line(row: dict[str, Any]) -> str:
    return "  ".join(
        value if isinstance(value, str) else f"{key} {value:,}" for key, value in row.items()
    )
