"""The log of a training (JSON Lines): a row an event, and cut back where a run goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnncli.config.recipe import Recipe
from rnncli.files.atomic import replacing, telling
from rnncli.training.loop import Event


def row(event: Event, recipe: Recipe) -> dict[str, Any]:
    """Return one line of the log: no times, so that the same run gives the same bytes."""
    values: dict[str, Any] = {"kind": event.kind, "step": event.step, "epoch": event.epoch}
    if event.kind == "end":
        return {**values, "reason": event.reason}
    if event.kind == "rollback":
        return {**values, "rate_factor": event.rate, "reason": event.reason}
    values["nats"] = event.nats
    if event.kind == "step":
        values |= {"tokens": event.tokens, "norm": event.norm, "rate": event.rate}
        if recipe.clip_by == "norm":
            values["clipped"] = 0 < recipe.clip < event.norm
    if event.kind == "valid":
        values["better"] = event.better
    return values


def scalars(event: Event, tokens_per_second: float) -> dict[str, float]:
    """Return what TensorBoard shows of an event, by tag.

    Example: a validation -> {"loss/validation": 4.2}
    """
    if event.kind == "rollback":
        return {"training/rate_factor": event.rate}
    if event.kind != "step":
        return {{"valid": "loss/validation", "epoch": "loss/epoch"}[event.kind]: event.nats}
    return {
        "loss/training": event.nats,
        "training/learning_rate": event.rate,
        "training/gradient_norm": event.norm,
        "training/tokens_per_second": tokens_per_second,
    }


class Log:
    """The log file of a run, which is first cut back to the step from which the run goes on.

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
        """Close the file."""
        os.close(self.file)


def _lines(path: str, step: int) -> Iterator[str]:
    """Yield the complete lines of a log up to a step."""
    if not os.path.exists(path):
        return
    with telling(path, "read"):
        text = Path(path).read_text("utf-8", "replace")
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["step"] <= step and row["kind"] != "end":
                yield line
