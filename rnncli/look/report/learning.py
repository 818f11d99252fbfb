"""How a training went: from a model file's history, and from its log where there is one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.errors import DataError, shown
from rnncli.files.lines import text_lines
from rnncli.generation.sampling import generate
from rnncli.lm.predictor import Predictor
from rnncli.look.report.activity import finite
from rnncli.text.tokenizer import Tokenizer

POINTS = 600  # of a curve; more are averaged
BINS = 40  # stretches of the run, each with its share of clipped steps
TEMPERATURES = (0.5, 0.8, 1.0)

Pairs = list[list[Any]]


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a file that `rnncli train --metrics` wrote; DataError for any other line."""
    rows = []
    for number, line in enumerate(text_lines(str(path)), 1):
        try:
            row = json.loads(line)
            sound = isinstance(row["kind"], str) and type(row["step"]) is int
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise DataError(f"{path}, line {number}: not a line of rnncli train --metrics: "
                            f"{shown(line.rstrip())}")  # fmt: skip
        rows.append(row)
    return rows


def curves(found: dict[str, Any], log: list[dict[str, Any]]) -> dict[str, Any]:
    """Collect pairs of step and value: train, valid, rate, norm, clipped; clip is the norm's limit.

    The history has the mean training loss of the epoch so far; the log, where there is one, has the
    loss of single steps. clipped is the share of the logged steps whose gradient was cut.
    """
    recipe, history = found.get("recipe") or {}, found["history"]
    steps = [row for row in log if row["kind"] == "step"]
    clip = recipe.get("clip") if recipe.get("clip_by") == "norm" else None
    valid = [row for row in log if row["kind"] == "valid"]
    out: dict[str, Any] = {
        "train": _pairs(steps, "nats") or _pairs(history, "train"),
        "valid": _pairs(history, "valid") or _pairs(valid, "nats"),
        "rate": _pairs(steps, "rate"),
        "norm": _pairs(steps, "norm"),
        "clip": clip or None,
        "clipped": [],
    }
    norms = _numbers(steps, "norm")
    if clip and norms:
        for part in np.array_split(np.array(norms), min(BINS, len(norms))):
            out["clipped"].append([int(part[-1, 0]), finite(np.mean(part[:, 1] > clip))])
    return out


def _numbers(rows: list[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    """List step and value of the rows that have a finite one."""
    pairs = [(row["step"], row.get(key)) for row in rows]
    return [(step, v) for step, v in pairs if isinstance(v, (int, float)) and math.isfinite(v)]


def _pairs(rows: list[dict[str, Any]], key: str) -> Pairs:
    """Thin pairs out to at most POINTS: the mean of each stretch, at its last step."""
    pairs = _numbers(rows, key)
    if len(pairs) <= POINTS:
        return [[step, finite(value)] for step, value in pairs]
    parts = np.array_split(np.array(pairs, float), POINTS)
    return [[int(part[-1, 0]), finite(part[:, 1].mean())] for part in parts]


def samples(
    predictor: Predictor, tokenizer: Tokenizer, log: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """List what the model wrote as it learned, when and text; else what it writes now."""
    logged = [row for row in log if row["kind"] == "sample"]
    if logged:
        return [{"when": f"step {row['step']:,}", "prefix": str(row.get("prefix", "")),
                 "text": str(row.get("text", ""))} for row in logged]  # fmt: skip
    length = tokenizer.pretokenizer.row.excerpt
    out = []
    for temperature in TEMPERATURES:
        drawn = generate(predictor, tokenizer, num=2, length=length, temperature=temperature)
        out += [{"when": f"now, temperature {temperature}", "prefix": "", "text": sample.text}
                for sample in drawn]  # fmt: skip
    return out
