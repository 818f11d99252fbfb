"""`rnncli train`: data.npz -> model.npz."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import click

from rnncli.cli.aliases import Command
from rnncli.cli.beginning import described, run_for
from rnncli.cli.common import (
    FILE,
    Duration,
    F,
    Live,
    check_output,
    clock,
    config_option,
    echo_json,
    json_option,
    note,
    quiet_option,
    stops,
    threads_option,
)
from rnncli.cli.train_forecast import planned
from rnncli.cli.train_progress import Log, Speed, event, row, scalars
from rnncli.config.settings import Config, Recipe, Samples, Settings
from rnncli.errors import ChangedError, ConfigError, DataError, DivergenceError, escaped, shown
from rnncli.files.atomic import claimed

if TYPE_CHECKING:
    from rnncli.data.dataset import Dataset
    from rnncli.training.session import Session
    from rnncli.training.tensorboard import Events


NOT_FOR_TEXT = {"inputs", "bidirectional", "head", "outputs", "last_only"}
SAVE_EVERY = 30.0  # seconds between saves at most
METRICS_EVERY = 50  # steps between lines of the log


class Every(click.types.FloatParamType):
    """Steps (500) or epochs (40e): to a YAML file as much a number as a text."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            Samples(sample_every=value)
        except ConfigError:
            self.fail(f"{value!r} is neither steps (500) nor epochs (40e).", param, ctx)
        return str(value)


def settings_options(cls: type[Settings]) -> Callable[[F], F]:
    """An option for every field of a settings class: one place says what they are."""

    def decorate(function: F) -> F:
        hints = get_type_hints(cls)
        for entry in reversed(fields(cls)):
            if entry.name in NOT_FOR_TEXT:
                continue
            kinds = get_args(hints[entry.name]) or (hints[entry.name],)
            flag, text = entry.name.replace("_", "-"), entry.metadata["help"]
            choices = entry.metadata["choices"]
            kind: Any = click.Choice(choices) if choices else kinds[0]
            if entry.name == "max_time":
                kind = Duration()
            elif entry.name == "sample_every":
                kind = Every()
            if entry.default not in (None, MISSING, ()) and kinds[0] is not bool:
                text = f"{text.rstrip('.')} [{entry.default}]."
            name = f"--{flag}/--no-{flag}" if kinds[0] is bool else f"--{flag}"
            option = click.option(
                name, entry.name, type=None if kinds[0] is bool else kind, default=None,
                multiple=get_origin(hints[entry.name]) is tuple, show_default=False, help=text,
            )  # fmt: skip
            function = option(function)
        return function

    return decorate


def _list_presets(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rnncli.training import presets

    for name in presets.names():
        preset = presets.load(name)
        click.echo(f"{name:<26}{preset.about}")
        for label, text in (("source", preset.source), ("reported", preset.reported)):
            if text:
                click.echo(f"{'':<26}{label}: {text}")
    ctx.exit()


@click.command(cls=Command)
@click.argument("data", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="Model file to write (.npz).")
@click.option("--preset", help="Named settings, such as a recipe from the literature.")
@click.option(
    "--list-presets", is_flag=True, is_eager=True, expose_value=False, callback=_list_presets,
    help="Show the presets and leave.",
)  # fmt: skip
@config_option
@click.option(
    "--from", "start", type=FILE,
    help="Model file to begin with: its network, and what it has learned of each token.",
)  # fmt: skip
@click.option(
    "--resume", is_flag=True,
    help="Go on from what the last save left; where there is nothing, start.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the output file, if there is one.")
@settings_options(Config)
@settings_options(Recipe)
@settings_options(Samples)
@click.option(
    "--plan", is_flag=True,
    help="Do not train: say what it will cost, by a few steps that are measured here.",
)  # fmt: skip
@click.option("--metrics", type=FILE, help="Log to write (JSON Lines).")
@click.option(
    "--tensorboard", "board", type=FILE, metavar="DIR",
    help="Folder for TensorBoard's event files (extra: rnncli[tensorboard]).",
)  # fmt: skip
@json_option
@threads_option
@quiet_option
def train(
    data: str,
    output: str,
    preset: str | None,
    start: str | None,
    resume: bool,
    overwrite: bool,
    plan: bool,
    metrics: str | None,
    board: str | None,
    as_json: bool,
    threads: int,
    quiet: bool,
    **settings: Any,
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
    from rnncli.data.dataset import Dataset
    from rnncli.lm.language_model import load
    from rnncli.parallel import mpi
    from rnncli.training import session as api
    from rnncli.training.tensorboard import Events

    if as_json and not plan:
        raise click.UsageError("--json is for --plan; a run is logged with --metrics.")
    given = {key: value for key, value in settings.items() if value not in (None, ())}
    wanted = {f.name: given.pop(f.name) for f in fields(Samples) if f.name in given}
    comm, sources = mpi.world(), [data, start] if start else [data]
    if comm.rank == 0:
        check_output(output, *sources)
        if metrics:
            check_output(metrics, *sources, output)
    else:
        quiet, metrics, board = True, None, None
    if plan and comm.size > 1:
        raise click.UsageError("--plan is for one process: run it without mpiexec.")
    with contextlib.ExitStack() as stack:
        for path in (output, metrics):
            if path and comm.rank == 0 and not plan:
                stack.enter_context(claimed(path))
        dataset = Dataset.open(data)
        samples = _samples(dataset, preset, wanted, quiet)
        run = origin = None
        if comm.rank == 0:
            origin = load(start) if start else None
            over = overwrite or plan
            run = run_for(dataset, output, preset, origin, given, resume, over, comm.size, quiet)
        run = comm.bcast(run)  # so that the other ranks need the data only
        if run is None:
            return
        session = api.begin(dataset, run.model.config, run.recipe, run, comm, processes=threads)
        if not quiet:
            note(described(session))
        if plan:
            from rnncli.training.forecast import forecast

            found = forecast(session, dataset, processes=threads, save_every=SAVE_EVERY)
            echo_json(found.to_json()) if as_json else click.echo(planned(found))
            return
        log = None
        if metrics:
            log = Log(metrics, session.run.step)
            stack.callback(log.close)
        events = stack.enter_context(Events(board, session.run.step)) if board else None
        caught = stack.enter_context(stops())
        _loop(session, output, caught, log, events, samples, threads, quiet)
    if caught:
        note(f"stopped; {output} is saved. Go on with the same command and --resume.", quiet)
        if comm.size > 1:
            comm.bcast(None)  # that it was said, before the first rank to go ends the job
            raise SystemExit(128 + caught[0])
        signal.signal(caught[0], signal.SIG_DFL)
        os.kill(os.getpid(), caught[0])


def _samples(dataset: Dataset, preset: str | None, wanted: dict[str, Any], quiet: bool) -> Samples:
    """What to write as it learns, of options and preset; says now what cannot be read."""
    from rnncli.generation.text import read_prefix
    from rnncli.training import presets

    named = presets.load(preset).samples if preset else {}
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


def _loop(
    session: Session, output: str, caught: list[int], log: Log | None, board: Events | None,
    samples: Samples, threads: int, quiet: bool,
) -> None:  # fmt: skip
    """Run to the end or to a signal that reaches some rank; show, log, save."""
    from rnncli.training import loop

    run, live, saved = session.run, Live(quiet), time.monotonic()
    speed, kept = Speed(run.progress, run.best_nats), run.step > 0

    def save() -> None:
        if log:
            log.sync()
        session.save(output)

    try:
        reports = loop.train(
            run, session.plan, session.validate, comm=session.comm, processes=threads
        )
        for report in reports:  # logged, then saved: what a resume repeats is logged already
            speed.count(report)
            if report.kind != "step" or report.step % METRICS_EVERY == 0:
                if log:
                    log.add(row(report, run.recipe))
                if board and report.kind != "end":
                    board.add(report.step, scalars(report, speed.rate))
            if report.kind == "step":
                if live.due():
                    live.show(*speed.lines(report, live.columns))
                if samples.due(step=report.step):
                    _write(f"step {report.step:,}", session, samples, live, log)
            elif report.kind in ("valid", "epoch", "rollback"):
                live.keep(event(report))
                if report.kind == "epoch" and samples.due(epoch=report.epoch):
                    _write(f"epoch {report.epoch}", session, samples, live, log)
            late, stop = session.comm.any(time.monotonic() - saved > SAVE_EVERY, bool(caught))
            if report.kind == "end" or (report.kind == "valid" and report.better) or late:
                save()
                saved, kept = time.monotonic(), True
            if report.kind == "end":
                best = "the best model" if session.validate else "the model"
                live.clear()
                live.keep(f"done: {report.reason}, {speed.tokens:,} tokens, "
                          f"{clock(speed.elapsed())}; {best} is in {output}")  # fmt: skip
            if stop:
                live.clear()
                save()
                if not caught:  # another rank was told to
                    caught.append(signal.SIGTERM)
                return
    except DivergenceError as error:
        live.clear()
        left = f"{output} holds the last good model." if kept else "Nothing was saved."
        raise DivergenceError(f"{error} {left}") from None
    except ChangedError as error:  # of the data, between two steps: the run is whole
        live.clear()
        if session.comm.size > 1:
            raise
        save()
        raise ChangedError(f"{error} What was learnt is in {output}: --resume goes on.") from None
    finally:
        live.clear()


def _write(when: str, session: Session, samples: Samples, live: Live, log: Log | None) -> None:
    """Show and log what the model writes now."""
    from rnncli.generation.sampling import generate
    from rnncli.lm.network import Network

    if live.quiet and not log:
        return
    live.keep(f"{when} writes:")
    run = session.run
    for prefix in dict.fromkeys(samples.sample_prefix or ("",)):
        drawn = generate(
            Network(run.model), session.language.tokenizer, prefix, seed=run.step,
            length=samples.sample_length, temperature=samples.sample_temperature,
        )  # fmt: skip
        for sample in drawn:
            live.keep("  | " + escaped(prefix + sample.text).replace("\n", "\n  | "))
            if log:
                place = {"kind": "sample", "step": run.step, "epoch": run.epoch}
                log.add({**place, "prefix": prefix, "text": sample.text})
