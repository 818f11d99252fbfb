"""A training as the command line runs it: shown, logged, saved, and stopped by a signal."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass, field

from rnncli.cli.terminal import Live, clock
from rnncli.cli.train_progress import Speed, event_line
from rnncli.config.samples import Samples
from rnncli.errors import ChangedError, DivergenceError, escaped
from rnncli.generation.sampling import generate
from rnncli.lm.network import Network
from rnncli.training import loop
from rnncli.training.log import Log, row, scalars
from rnncli.training.loop import Event
from rnncli.training.session import Session
from rnncli.training.tensorboard import Events

SAVE_EVERY = 30.0  # seconds between saves at most
METRICS_EVERY = 50  # steps between lines of the log


@dataclass
class Watch:
    """The events of a session on their way to the screen, the log and the model file.

    `caught` holds the signals that came; any of them, on any rank, saves and ends the run.
    """

    session: Session
    output: str
    samples: Samples
    live: Live
    caught: list[int]
    threads: int
    log: Log | None = None
    board: Events | None = None
    saved: float = field(default_factory=time.monotonic)
    kept: bool = False  # whether the model file holds something of this run

    def run(self, metrics: str | None, folder: str | None) -> None:
        """Run to the end or to a signal that reaches some rank; show, log, save."""
        session = self.session
        self.kept = session.run.step > 0
        self.speed = Speed(session.run.progress, session.run.best_nats)
        with contextlib.ExitStack() as stack:
            stack.callback(self.live.clear)
            if metrics:
                self.log = Log(metrics, session.run.step)
                stack.callback(self.log.close)
            if folder:
                self.board = stack.enter_context(Events(folder, session.run.step))
            try:
                self._follow()
            except DivergenceError as error:
                kept = f"{self.output} holds the last good model."
                left = kept if self.kept else "Nothing was saved."
                raise DivergenceError(f"{error} {left}") from None
            except ChangedError as error:  # of the data, between two steps: the run is sound
                if session.comm.size > 1:
                    raise
                self._save()
                raise ChangedError(
                    f"{error} What was learnt is in {self.output}: --resume goes on."
                ) from None

    def _follow(self) -> None:
        session, comm = self.session, self.session.comm
        events = loop.train(
            session.run, session.plan, session.validate, comm=comm, processes=self.threads
        )
        for event in events:  # logged, then saved: what a resume repeats is logged already
            self.speed.count(event)
            self._log(event)
            self._show(event)
            late = time.monotonic() - self.saved > SAVE_EVERY
            late, stop = comm.any(late, bool(self.caught))
            if event.kind == "end" or (event.kind == "valid" and event.better) or late or stop:
                self._save()
            if event.kind == "end":
                self._conclude(event)
            if stop:
                if not self.caught:  # another rank got the signal
                    self.caught.append(signal.SIGTERM)
                return

    def _log(self, event: Event) -> None:
        if event.kind == "step" and event.step % METRICS_EVERY:
            return
        if self.log:
            self.log.add(row(event, self.session.run.recipe))
        if self.board and event.kind != "end":
            self.board.add(event.step, scalars(event, self.speed.rate))

    def _show(self, event: Event) -> None:
        if event.kind == "step":
            if self.live.due():
                self.live.show(*self.speed.lines(event, self.live.columns))
            if self.samples.due(step=event.step):
                self._write(f"step {event.step:,}")
        elif event.kind != "end":
            self.live.keep(event_line(event))
            if event.kind == "epoch" and self.samples.due(epoch=event.epoch):
                self._write(f"epoch {event.epoch}")

    def _save(self) -> None:
        if self.log:
            self.log.sync()
        self.session.save(self.output)
        self.saved, self.kept = time.monotonic(), True

    def _conclude(self, event: Event) -> None:
        best = "the best model" if self.session.validate else "the model"
        self.live.clear()
        self.live.keep(
            f"done: {event.reason}, {self.speed.tokens:,} tokens, "
            f"{clock(self.speed.elapsed())}; {best} is in {self.output}"
        )

    def _write(self, when: str) -> None:
        """Show and log what the model writes now."""
        live, run, samples = self.live, self.session.run, self.samples
        if live.quiet and not self.log:
            return
        live.keep(f"{when} writes:")
        for prefix in dict.fromkeys(samples.sample_prefix or ("",)):
            drawn = generate(
                Network(run.model), self.session.language.tokenizer, prefix, seed=run.step,
                length=samples.sample_length, temperature=samples.sample_temperature,
            )  # fmt: skip
            for sample in drawn:
                live.keep("  | " + escaped(prefix + sample.text).replace("\n", "\n  | "))
                if self.log:
                    place = {"kind": "sample", "step": run.step, "epoch": run.epoch}
                    self.log.add({**place, "prefix": prefix, "text": sample.text})
