"""How a training went: from a model file's history, and from its log where there is one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.config.writing import Filters
from rnncli.errors import DataError, shown
from rnncli.files.lines import text_lines
from rnncli.generation.sampling import generate
from rnncli.lm.language_model import LanguageModel
from rnncli.look.report.activity import finite

POINTS = 600  # of a curve; more are averaged
BINS = 40  # stretches of the run, each with its share of clipped steps
TEMPERATURES = (0.5, 0.8, 1.0)

Pairs = list[list[Any]]


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a file that `rnncli train --metrics` wrote; DataError for other lines."""
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
    """Pairs of step and value: train, valid, rate, norm, clipped; clip is the limit of the norm.

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
    """Step and value of the rows that have a finite one."""
    told = [(row["step"], row.get(key)) for row in rows]
    return [(step, v) for step, v in told if isinstance(v, (int, float)) and math.isfinite(v)]


def _pairs(rows: list[dict[str, Any]], key: str) -> Pairs:
    """At most POINTS of them: the mean over as many stretches, at the last step of each."""
    told = _numbers(rows, key)
    if len(told) <= POINTS:
        return [[step, finite(value)] for step, value in told]
    parts = np.array_split(np.array(told, float), POINTS)
    return [[int(part[-1, 0]), finite(part[:, 1].mean())] for part in parts]


def samples(language: LanguageModel, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the model wrote as it learned: when and text; else what it writes now."""
    logged = [row for row in log if row["kind"] == "sample"]
    if logged:
        return [{"when": f"step {row['step']:,}", "prefix": str(row.get("prefix", "")),
                 "text": str(row.get("text", ""))} for row in logged]  # fmt: skip
    length = language.tokenizer.pretokenizer.row.excerpt
    out = []
    for temperature in TEMPERATURES:
        drawn = generate(language.model, language.tokenizer, num=2, length=length,
                         filters=Filters(temperature=temperature))  # fmt: skip
        out += [{"when": f"now, temperature {temperature}", "prefix": "", "text": sample.text}
                for sample in drawn]  # fmt: skip
    return out
