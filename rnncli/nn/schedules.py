"""Learning-rate schedules: what the rate is multiplied by, a pure function of where the run is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from rnncli.config.recipe import Recipe


class Schedule(NamedTuple):
    """One row of the table of schedules.

    factor: (recipe, progress in [0, 1], epoch from 0) -> what the rate is multiplied by.
    watches: the loss at whose failure to fall the training loop multiplies by `recipe.factor`.
    """

    factor: Callable[[Recipe, float, int], float]
    watches: Literal["", "training", "validation"] = ""


def _constant(recipe: Recipe, progress: float, epoch: int) -> float:
    return 1.0


def _linear(recipe: Recipe, progress: float, epoch: int) -> float:
    """Fall from 1 to `floor` after the warm-up."""
    return recipe.floor + (1 - recipe.floor) * (1 - _past_warmup(recipe, progress))


def _cosine(recipe: Recipe, progress: float, epoch: int) -> float:
    """Fall from 1 to `floor` along half a wave (Loshchilov and Hutter 2017, without restarts)."""
    fall = 0.5 * (1 + math.cos(math.pi * _past_warmup(recipe, progress)))
    return recipe.floor + (1 - recipe.floor) * fall


def _step(recipe: Recipe, progress: float, epoch: int) -> float:
    """Multiply by `factor` every `every` epochs past the first `after`."""
    return float(recipe.factor ** (max(0, epoch - recipe.after) // recipe.every))


def _exponential(recipe: Recipe, progress: float, epoch: int) -> float:
    """Multiply by `factor` at each epoch past the first `after`."""
    return float(recipe.factor ** max(0, epoch - recipe.after))


SCHEDULES = {
    "constant": Schedule(_constant),
    "linear": Schedule(_linear),
    "cosine": Schedule(_cosine),
    "step": Schedule(_step),
    "exponential": Schedule(_exponential),
    "halve-on-rise": Schedule(_constant, watches="training"),
    "divide-on-plateau": Schedule(_constant, watches="validation"),
}


def schedule(recipe: Recipe, progress: float, epoch: int) -> float:
    """Return the schedule's factor times the linear rise over the share `warmup` of the run.

    Example: linear, warmup 0.5, floor 0: progress 0.25 -> 0.5, 0.5 -> 1, 0.75 -> 0.5
    """
    rise = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    try:
        return rise * SCHEDULES[recipe.schedule].factor(recipe, progress, epoch)
    except OverflowError:  # the training loop finds out
        return math.inf


def _past_warmup(recipe: Recipe, progress: float) -> float:
    """Return the share of the rest of the run that is done."""
    return min(1.0, max(0.0, (progress - recipe.warmup) / max(1e-12, 1 - recipe.warmup)))
