"""Makes random numbers; each purpose has its own streams, so no generator state has to be saved.

A stream is a function of the seed, the purpose and the place where it is used (an epoch, a step,
the number of a text). Files and runs depend on these numbers, so they must never change.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """Names what random numbers are for; two purposes never share a number."""

    INIT = 0  # the first values of a network's parameters
    ORDER = 1  # of batches in an epoch
    OFFSET = 2  # where an epoch cuts a stream of tokens
    LENGTHS = 3  # of windows, where they vary
    DROPOUT = 4
    RESET = 5  # of carried states, while training
    SAMPLE = 16  # texts
    RESAMPLE = 17  # documents, for intervals
    SPLITS = 0x5B117  # units into training, validation and test


def rng(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """Return a generator for a purpose at a place.

    Example: rng(0, Purpose.DROPOUT, 7, 1) -> the dropout of shard 1 at step 7 of a run of seed 0
    """
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, *place]))
