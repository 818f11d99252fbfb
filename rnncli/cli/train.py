"""`rnncli train`: data.npz -> model.npz."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.config_file import config_option
from rnncli.cli.options import (
    FILE,
    TEXTS,
    Command,
    check_output,
    given_options,
    option,
    options,
    output_option,
    quiet_option,
    threads_option,
)
from rnncli.cli.signals import die, stops
from rnncli.cli.terminal import Live, echo_json, note
from rnncli.config.network import Config
from rnncli.config.recipe import Recipe, Running
from rnncli.config.samples import Samples
from rnncli.errors import ConfigError, DataError, shown
from rnncli.files.atomic import claimed

if TYPE_CHECKING:
    from rnncli.data.dataset import Dataset
    from rnncli.parallel.mpi import Comm
    from rnncli.training.session import Session

NOT_FOR_TEXT = ("inputs", "bidirectional", "head", "outputs", "last_only")


def _usual(name: str, default: Any) -> Any:
    """Say what a setting is without a preset: for words, and where it differs for characters.

    Example: "hidden", 256 -> "words 192, characters 224"
    """
    from rnncli.training.recipes import spelled

    words, characters = (spelled(preset).get(name, default) for preset in ("words", "characters"))
    if words in (None, False, ()) and characters in (None, False, ()):
        return None
    return words if words == characters else f"words {words}, characters {characters}"


def _list_presets(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rnncli.training import recipes

    for name in recipes.names():
        preset = recipes.load(name)
        click.echo(f"{name:<26}{preset.about}")
        for label, text in (("source", preset.source), ("reported", preset.reported)):
            if text:
                click.echo(f"{'':<26}{label}: {text}")
    ctx.exit()


@click.command(cls=Command)
@click.argument("data", type=FILE)
@output_option("Model file to write (.npz).")
@options(Running, "running")
@option(
    "--list-presets", is_flag=True, is_eager=True, expose_value=False, callback=_list_presets,
    group="settings", help="Show the presets and leave.",
)  # fmt: skip
@config_option
@given_options(Config, Recipe, Samples, into="given", leave_out=NOT_FOR_TEXT, usual=_usual)
@threads_option
@quiet_option
def train(
    data: str, output: str, running: Running, given: dict[str, Any], threads: int, quiet: bool
) -> None:
    """Train a language model on a data file.

    With no other option the settings fit words or characters, whichever the data holds, and the run
    takes minutes. The model file holds the best model by validation and, beside it, the run:
    after Ctrl-C or a crash the same command with --resume goes on as if nothing had happened.
    Options win over the environment, that over --config, that over --preset; without one, the
    preset is words or characters, or characters-long from --max-time 5m on. In brackets stands what
    a setting is when none of these names it.

    \b
    rnncli train comments.npz -o comments-model.npz
    rnncli train shakespeare.npz -o bard.npz --hidden 512 --max-time 10m
    rnncli train titles.npz -o titles-model.npz --from comments-model.npz
    rnncli train shakespeare.npz -o bard.npz --hidden 512 --max-time 10m --plan
    """
    from rnncli.cli.train_watch import Watch
    from rnncli.data.dataset import Dataset
    from rnncli.parallel import mpi

    comm = mpi.world()
    if comm.rank:
        quiet, running = True, replace(running, metrics=None, tensorboard=None)
    _check_files(data, output, running, comm)
    with contextlib.ExitStack() as stack:
        for path in (output, running.metrics) if comm.rank == 0 and not running.plan else ():
            if path:
                stack.enter_context(claimed(path))
        dataset = Dataset.open(data)
        samples = _samples(dataset, running.preset, given, quiet)
        session = _session(dataset, output, running, given, comm, threads, quiet)
        if session is None:
            return
        if running.plan:
            _show_plan(session, dataset, running.json, threads)
            return
        caught = stack.enter_context(stops())
        watch = Watch(session, output, samples, Live(quiet), caught, threads)
        watch.run(running.metrics, running.tensorboard)
    if caught:
        note(f"stopped; {output} is saved. Go on with the same command and --resume.", quiet)
        if comm.size > 1:
            comm.bcast(None)  # that it was said, before the first rank to go ends the job
            raise SystemExit(128 + caught[0])
        die(caught[0])


def _check_files(data: str, output: str, running: Running, comm: Comm) -> None:
    """Refuse now what could not be read or written later."""
    if running.plan and comm.size > 1:
        raise click.UsageError("--plan is for one process: run it without mpiexec.")
    if data.endswith(TEXTS) and os.path.exists(data):
        made = Path(data).with_suffix(".npz").name
        raise DataError(
            f"{data}: text, not an rnncli file. First: rnncli tokenize {data} -o {made}"
        )
    if comm.rank == 0:
        sources = [path for path in (data, running.start) if path]
        check_output(output, *sources)
        if running.metrics:
            check_output(running.metrics, *sources, output)


def _session(
    dataset: Dataset, output: str, running: Running, given: dict[str, Any], comm: Comm,
    threads: int, quiet: bool,
) -> Session | None:  # fmt: skip
    """Make the session that the options ask for; None where there is nothing left to do."""
    from rnncli.cli.train_progress import described
    from rnncli.training.resume import beginning
    from rnncli.training.session import begin

    run = None
    settings = {key: value for key, value in given.items() if key not in Samples.names()}
    if comm.rank == 0:
        found = beginning(dataset, output, running, settings, comm.size)
        for line in found.notes:
            note(line, quiet)
        run = None if found.complete else found.run
    run = comm.bcast(run)  # so that the other ranks need the data only
    if run is None:
        return None
    session = begin(dataset, run, comm, threads)
    if not quiet:
        note(described(session))
    return session


def _show_plan(session: Session, dataset: Dataset, as_json: bool, threads: int) -> None:
    """Print what the training would cost."""
    from rnncli.cli.train_forecast import planned
    from rnncli.cli.train_watch import SAVE_EVERY
    from rnncli.training.forecast import forecast

    found = forecast(session, dataset, processes=threads, save_every=SAVE_EVERY)
    echo_json(found.to_json()) if as_json else click.echo(planned(found))


def _samples(dataset: Dataset, preset: str | None, given: dict[str, Any], quiet: bool) -> Samples:
    """Return what to write as it learns, of options and preset; say now what cannot be read."""
    from rnncli.generation.text import read_prefix
    from rnncli.training import recipes

    named = recipes.load(preset).samples if preset else {}
    wanted = {key: value for key, value in given.items() if key in Samples.names()}
    samples = Samples.from_json({**named, **wanted})
    for prefix in samples.sample_prefix if samples.sample_every else ():
        try:
            unknown = read_prefix(dataset.tokenizer, prefix).unknown
        except DataError as error:
            raise ConfigError(f"--sample-prefix: {error}") from None
        if unknown:
            listed = ", ".join(shown(token) for token in unknown[:10])
            note(f"--sample-prefix: not in the vocabulary, read as unknown: {listed}", quiet)
    return samples
