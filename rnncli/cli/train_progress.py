"""What `rnncli train` shows and logs as it goes: lines for people, rows for programs."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnncli.cli.common import clock
from rnncli.files.atomic import replacing, telling

if TYPE_CHECKING:
    from rnncli.config.settings import Recipe
    from rnncli.training.loop import Event

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
        if len(self.curve) == POINTS:  # halved: the whole run, however long, is so many points
            pairs = zip(self.curve[::2], self.curve[1::2], strict=True)
            self.curve, self.each = [(a + b) / 2 for a, b in pairs], 2 * self.each

    def lines(self, report: Event, columns: int) -> list[str]:
        """What matters first: a narrow window shows no more. `columns` 0 is for a plain line."""
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
    """A share of 0 to 1 as a bar, to an eighth of a column."""
    whole, eighths = divmod(round(share * width * 8), 8)
    text = "█" * whole + (" ▏▎▍▌▋▊▉"[eighths] if eighths else "")
    return text + "·" * (width - len(text))


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve of at most `width` columns; each is the mean of the values that fall into it."""
    width = min(width, len(values))
    if width < 1:
        return ""
    ends = [len(values) * k // width for k in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
    least, span = min(means), max(means) - min(means)
    return "".join(SPARKS[round(7 * (mean - least) / span) if span else 0] for mean in means)


def _perplexity(nats: float) -> str:
    return f"{math.exp(nats):.2f}" if nats < 50 else "inf"


def event(report: Event) -> str:
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


def row(report: Event, recipe: Recipe) -> dict[str, Any]:
    """One line of the log: no times, so that the same run gives the same bytes."""
    values: dict[str, Any] = {"kind": report.kind, "step": report.step, "epoch": report.epoch}
    if report.kind == "end":
        return {**values, "reason": report.reason}
    if report.kind == "rollback":
        return {**values, "rate_factor": report.rate, "reason": report.reason}
    values["nats"] = report.nats
    if report.kind == "step":
        values |= {"tokens": report.tokens, "norm": report.norm, "rate": report.rate}
        if recipe.clip_by == "norm":
            values["clipped"] = 0 < recipe.clip < report.norm
    if report.kind == "valid":
        values["better"] = report.better
    return values


def scalars(report: Event, tokens_per_second: float) -> dict[str, float]:
    """What TensorBoard is told of a report, by tag."""
    if report.kind == "rollback":
        return {"training/rate_factor": report.rate}
    if report.kind != "step":
        return {{"valid": "loss/validation", "epoch": "loss/epoch"}[report.kind]: report.nats}
    return {
        "loss/training": report.nats,
        "training/learning_rate": report.rate,
        "training/gradient_norm": report.norm,
        "training/tokens_per_second": tokens_per_second,
    }


class Log:
    """The log of a run, which is first cut back to the step from which the run goes on.

    What a stopped run had logged of that step is not logged again.
    """

    def __init__(self, path: str, step: int) -> None:
        self.path, self.kept = path, dict.fromkeys(_lines(path, step) if step else ())
        with replacing(path) as put:
            put("".join(line + "\n" for line in self.kept).encode(), 0)
        with telling(path, "write"):
            self.file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def add(self, row: dict[str, Any]) -> None:
        """Add a line."""
        line = json.dumps(row)
        data = b"" if line in self.kept else line.encode() + b"\n"
        with telling(self.path, "write"):
            while data:
                data = data[os.write(self.file, data) :]

    def sync(self) -> None:
        """Put all lines on the disk: a model file must not be ahead of its log."""
        with telling(self.path, "write"):
            os.fsync(self.file)

    def close(self) -> None:
        os.close(self.file)


def _lines(path: str, step: int) -> Iterator[str]:
    """The whole lines of a log up to a step."""
    if not os.path.exists(path):
        return
    with telling(path, "read"):
        text = Path(path).read_text("utf-8", "replace")
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["step"] <= step and row["kind"] != "end":
                yield line
