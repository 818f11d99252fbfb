"""What `rnncli train` shows and logs as it goes: lines for people, rows for programs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnncli.cli.common import clock

if TYPE_CHECKING:
    from rnncli.training import Report


class Speed:
    """Tokens a second, smoothed loss and time left."""

    def __init__(self, progress: float) -> None:
        self.begun, self.first, self.tokens = time.monotonic(), progress, 0
        self.nats = math.nan

    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    def count(self, report: Report) -> None:
        self.tokens += report.tokens
        rest = 0.98 if self.nats == self.nats else 0.0
        self.nats = rest * (self.nats if rest else 0.0) + (1 - rest) * report.nats

    def line(self, report: Report) -> str:
        elapsed, done = self.elapsed(), report.progress - self.first
        left = f"{clock(elapsed * (1 - report.progress) / done)} left  " if done > 0 else ""
        return (  # what matters first: a narrow window shows no more
            f"{report.progress:4.0%}  {left}loss {self.nats:.3f}  ppl {_perplexity(self.nats)}  "
            f"{self.tokens / elapsed:,.0f} tokens/s  epoch {report.epoch + 1}  step {report.step:,}"
        )


def _perplexity(nats: float) -> str:
    return f"{math.exp(nats):.2f}" if nats < 50 else "inf"


def event(report: Report) -> str:
    if report.kind == "epoch":
        return (
            f"epoch {report.epoch} ends: training loss {report.nats:.4f}, "
            f"perplexity {_perplexity(report.nats)}"
        )
    best = "  best" if report.better else ""
    return (
        f"step {report.step:,}: validation {report.nats:.4f} nats a token, "
        f"perplexity {_perplexity(report.nats)}{best}"
    )


def row(report: Report) -> dict[str, Any]:
    """One line of the log: no times, so that the same run gives the same bytes."""
    values: dict[str, Any] = {"kind": report.kind, "step": report.step, "epoch": report.epoch}
    if report.kind == "end":
        return {**values, "reason": report.reason}
    values["nats"] = report.nats
    if report.kind == "step":
        values |= {"tokens": report.tokens, "norm": report.norm, "rate": report.rate}
    if report.kind == "valid":
        values["better"] = report.better
    return values


@contextlib.contextmanager
def metrics_log(path: str, step: int) -> Iterator[Callable[[str], None]]:
    """Adds lines to the log, which is first cut back to the step from which the run goes on.

    What a stopped run had logged of that step is not logged again.
    """
    kept: dict[str, None] = {}
    if step and os.path.exists(path):
        for line in Path(path).read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if row["step"] <= step and row["kind"] != "end":
                    kept[line] = None
    with open(path, "w", encoding="utf-8") as log:
        log.writelines(line + "\n" for line in kept)
        log.flush()

        def add(line: str) -> None:
            if line not in kept:
                log.write(line + "\n")
                log.flush()

        yield add
