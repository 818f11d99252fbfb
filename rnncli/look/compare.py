"""Runs are compared: where their settings differ, how well they do, what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnncli.config.network import Config
from rnncli.look.inspection import describe
from rnncli.nn.cost import flops


def compare(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Put model files side by side, as JSON has it: files, settings, figures, warnings.

    `settings` has the keys of Config and Recipe whose values differ, a list of values each, None
    for what a file does not say. `figures` has a dictionary a file: parameters, steps, epochs,
    tokens, flops, best (validation, nats a token), perplexity. `warnings` says why figures cannot
    be compared. ArtefactError for a file that is not a model.
    """
    found = [describe(path, "model") for path in paths]
    return {
        "files": [run["file"] for run in found],
        "settings": _differing([{**run["config"], **(run.get("recipe") or {})} for run in found]),
        "figures": [_figures(run) for run in found],
        "warnings": _warnings(found),
    }


def _differing(settings: list[dict[str, Any]]) -> dict[str, list[Any]]:
    out = {}
    for key in dict.fromkeys(key for values in settings for key in values):
        row = [values.get(key) for values in settings]
        if any(value != row[0] for value in row):
            out[key] = row
    return out


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    history, run = found["history"], found.get("run", {})
    best = min((row["valid"] for row in history if "valid" in row), default=None)
    tokens = run.get("tokens")
    operations = sum(flops(Config.from_json(found["config"])).values())
    return {
        "parameters": found["parameters"]["count"],
        "steps": run.get("step", history[-1]["step"] if history else None),
        "epochs": run.get("epoch", history[-1]["epoch"] if history else None),
        "tokens": tokens,
        "flops": None if tokens is None else operations * tokens,
        "best": best,
        "perplexity": math.exp(best) if best is not None and best < 700 else None,
        "ended": run.get("finished") or None,
    }


def _warnings(found: list[dict[str, Any]]) -> list[str]:
    first, out = found[0], []
    for run in found[1:]:
        pair = f"{first['file']} and {run['file']}"
        mine, theirs = first["tokenizer"], run["tokenizer"]
        if mine["signature"] != theirs["signature"]:
            out.append(f"{pair} cut text differently ({mine['signature']}, {theirs['signature']}): "
                       "compare bits a character.")  # fmt: skip
        elif mine["hash"] != theirs["hash"]:
            out.append(f"{pair} have different vocabularies ({mine['size']:,} and "
                       f"{theirs['size']:,} tokens): compare bits a character.")  # fmt: skip
        elif first["data"]["hash"] != run["data"]["hash"]:
            out.append(f"{pair} were trained on different text: validation may differ, too.")
    return out
