"""What a model thought of each token of a text: its log-probability, its rank, and what else.

The text is read again, alone: the figures are the same however it was written.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.generation.text import Sample
from rnncli.lm.mixture import Mixture

Array = NDArray[Any]


class Choice(NamedTuple):
    """A token, under the model's own distribution, without filters."""

    token: int
    logprob: float  # nats
    rank: int  # 1 for the most probable token
    alternatives: list[tuple[int, float]]  # the most probable tokens, and their log-probabilities


def choices(reader: Mixture, sample: Sample, alternatives: int = 0) -> list[Choice]:
    """The choice that each id of a sample was, with the most probable `alternatives`.

    Of equally probable tokens the one with the lower id goes first.
    """
    if alternatives < 0:
        raise ConfigError(f"alternatives must be 0 or more, not {alternatives}.")
    assert sample.start is not None
    found: list[Choice] = []
    read = [*sample.start.ids[-1:], *sample.ids[:-1]]
    for z in reader.every(read, sample.start.before):
        for row in np.ascontiguousarray(z.T, np.float64):
            found.append(_choice(row, sample.ids[len(found)], alternatives))
    return found


def _choice(z: Array, token: int, alternatives: int) -> Choice:
    logprobs = z - z.max()
    logprobs -= math.log(np.exp(logprobs).sum())
    own = z[token]
    rank = 1 + int(np.count_nonzero(z > own)) + int(np.count_nonzero(z[:token] == own))
    best: Array = np.zeros(0, np.int64)
    if alternatives:
        least = np.partition(z, -min(alternatives, len(z)))[-min(alternatives, len(z))]
        best = np.flatnonzero(z >= least)
        best = best[np.argsort(-z[best], kind="stable")][:alternatives]
    return Choice(token, float(logprobs[token]), rank, [(int(k), float(logprobs[k])) for k in best])


def exactly(sample: Sample, found: list[Choice]) -> Sample:
    """The sample with the log-probabilities of its choices."""
    logprobs = [choice.logprob for choice in found]
    return replace(sample, logprob=math.fsum(logprobs), token_logprobs=logprobs)
