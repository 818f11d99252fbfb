"""What `rnncli train` shows as it goes, in lines for people."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnncli.cli.terminal import clock

if TYPE_CHECKING:
    from rnncli.training.loop import Event
    from rnncli.training.session import Session

POINTS = 256  # of the curve of the training loss, at most
SPARKS = "▁▂▃▄▅▆▇█"


class Speed:
    """Tokens a second, smoothed loss and time left: one line, or a panel on a terminal."""

    def __init__(self, progress: float, best: float = math.inf) -> None:
        self.begun, self.first, self.tokens = time.monotonic(), progress, 0
        self.nats, self.best, self.valid = math.nan, best, ""
        self.curve: list[float] = []  # mean training loss of each `each` steps
        self.each, self.part = 1, list[float]()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def rate(self) -> float:
        """Tokens a second, with all that is done between steps."""
        return self.tokens / max(1e-9, self.elapsed())

    def count(self, report: Event) -> None:
        """Take in a step or a validation."""
        if report.kind == "valid":
            self.best = min(self.best, report.nats)
            self.valid = f"{report.nats:.3f} at step {report.step:,}"
        if report.kind != "step":
            return
        self.tokens += report.tokens
        rest = 0.98 if self.nats == self.nats else 0.0
        self.nats = rest * (self.nats if rest else 0.0) + (1 - rest) * report.nats
        self.part.append(report.nats)
        if len(self.part) == self.each:
            self.curve.append(sum(self.part) / self.each)
            self.part.clear()
        if len(self.curve) == POINTS:  # halved: however long the run, it has POINTS at most
            pairs = zip(self.curve[::2], self.curve[1::2], strict=True)
            self.curve, self.each = [(a + b) / 2 for a, b in pairs], 2 * self.each

    def lines(self, report: Event, columns: int) -> list[str]:
        """Say where the run is, what matters first: a narrow window shows no more.

        `columns` 0 is for a plain line.
        """
        elapsed, done = self.elapsed(), report.progress - self.first
        left = f"{clock(elapsed * (1 - report.progress) / done)} left  " if done > 0 else ""
        loss = f"loss {self.nats:.3f}  ppl {_perplexity(self.nats)}  "
        speed = f"{self.rate:,.0f} tokens/s  "
        place = f"epoch {report.epoch + 1}  step {report.step:,}"
        if not columns:
            return [f"{report.progress:4.0%}  {left}{loss}{speed}{place}"]
        valid = f"valid {self.valid}  best {self.best:.3f}" if self.valid else ""
        room = columns - len(loss)
        return [
            f"{report.progress:4.0%} {bar(report.progress, min(40, columns // 3))} {left}{place}",
            loss + sparkline(self.curve, room),
            *([valid] if valid else []),
            f"{speed}rate {report.rate:.2g}  gradient {report.norm:.2g}",
        ]


def bar(share: float, width: int) -> str:
    """Draw a share of 0 to 1 as a bar, to an eighth of a column."""
    full, eighths = divmod(round(share * width * 8), 8)
    text = "█" * full + (" ▏▎▍▌▋▊▉"[eighths] if eighths else "")
    return text + "·" * (width - len(text))


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw a curve of at most `width` columns; each is the mean of the values that fall into it."""
    width = min(width, len(values))
    if width < 1:
        return ""
    ends = [len(values) * k // width for k in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
    least, span = min(means), max(means) - min(means)
    return "".join(SPARKS[round(7 * (mean - least) / span) if span else 0] for mean in means)


def _perplexity(nats: float) -> str:
    return f"{math.exp(nats):.2f}" if nats < 50 else "inf"


def event_line(report: Event) -> str:
    """Say an event in a line that stays on the screen."""
    if report.kind == "epoch":
        return (
            f"epoch {report.epoch} ends: training loss {report.nats:.4f}, "
            f"perplexity {_perplexity(report.nats)}"
        )
    if report.kind == "rollback":
        return f"{report.reason} Back to the last good model, with {report.rate:g} of the rate."
    best = "  best" if report.better else ""
    return (
        f"step {report.step:,}: validation {report.nats:.4f} nats a token, "
        f"perplexity {_perplexity(report.nats)}{best}"
    )


def described(session: Session) -> str:
    """Say what is trained, in two lines."""
    from rnncli.training.loop import total_steps

    config, recipe = session.language.model.config, session.run.recipe
    source = f"embedding {config.embed}" if config.embed else "one-hot"
    layers = f"{config.layers} layer{'s' if config.layers > 1 else ''} of {config.hidden}"
    layers += f", the top one of {config.top}" if config.top else ""
    total = total_steps(recipe, session.plan)
    length = session.plan.length(session.run.epoch)
    until = f"{total:,} steps" if total else ""
    ranks = f", {session.comm.size} ranks" if session.comm.size > 1 else ""
    if recipe.max_time:
        until += (" or " if until else "") + clock(recipe.max_time)
    return (
        f"{config.cell}, {source}, {layers}, {config.inputs:,} tokens: "
        f"{session.run.model.params.flat.size:,} parameters\n"
        f"{recipe.optimizer} {recipe.rate:g} {recipe.schedule}, batch {recipe.batch} x "
        f"{recipe.bptt}{ranks}, {length:,} steps an epoch, until {until}"
    )
