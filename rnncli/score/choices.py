"""What a predictor thought of each token of a text: its log-probability, its rank, and what else.

The text is read again, alone: the figures are the same however it was written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.lm.predictor import Predictor, State
from rnncli.nn.ops import top

Array = NDArray[Any]


class Choice(NamedTuple):
    """A token, under the predictor's own distribution, without filters."""

    token: int
    logprob: float  # nats
    rank: int  # 1 for the most probable token
    alternatives: list[tuple[int, float]]  # the most probable tokens, and their log-probabilities


def choices(
    predictor: Predictor, state: State, last: int, ids: Sequence[int], alternatives: int = 0
) -> list[Choice]:
    """Return the choice that each of `ids` was, with the most probable `alternatives`.

    `last` is the id before them, and `state` that before `last`. Of equally probable tokens the one
    with the lower id goes first.
    """
    if alternatives < 0:
        raise ConfigError(f"alternatives must be 0 or more, not {alternatives}.")
    found: list[Choice] = []
    for z, _ in predictor.every([last, *ids[:-1]], state):
        for row in np.ascontiguousarray(z.T, np.float64):
            if len(found) < len(ids):
                found.append(_choice(row, ids[len(found)], alternatives))
    return found


def _choice(z: Array, token: int, alternatives: int) -> Choice:
    own, logprobs = z[token], z - z.max()
    logprobs -= math.log(np.exp(logprobs).sum())  # to the bit, as ever: np.log rounds otherwise
    rank = 1 + int(np.count_nonzero(z > own)) + int(np.count_nonzero(z[:token] == own))
    best = [(k, float(logprobs[k])) for k in top(z, alternatives).tolist()]
    return Choice(token, float(logprobs[token]), rank, best)
