"""Beam search: the most probable texts that a model can write, found step by step.

At each step the `width` most probable beginnings go on, all of them in one batch. Knows no files
and no terminal; what a prefix is and how text is joined is `rnncli.sampling`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.nn import Model
from rnncli.reading import Reader, take
from rnncli.sampling import PLAIN, Run
from rnncli.terms import Terms
from rnncli.texts import Sample, Text
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]


class _Path(NamedTuple):
    """A beginning of a text."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    logprob: float  # their sum


def beam(
    model: Model,
    tokenizer: Tokenizer,
    prefix: str = "",
    width: int = 5,
    length: int = 200,
    normalise: float = 0.0,
    *,
    mix: Sequence[tuple[Model, float]] = (),
    allow_unk: bool = False,
    ban: Sequence[str] = (),
) -> list[Sample]:
    """At most `width` texts, best first, that end with </s> or after `length` tokens.

    The best has the highest log-probability divided by (number of tokens) ** `normalise`: 0 for the
    most probable text, which is often a short one, 1 for the highest mean. Of equal texts the one
    with lower ids goes first. A `width` of 1 takes the most probable token each time. The rest is
    as in `rnncli.sampling.generate`.
    """
    if width < 1 or not 0 <= normalise <= 1:
        raise ConfigError(f"width must be 1 or more and normalise between 0 and 1, not {width} "
                          f"and {normalise}.")  # fmt: skip
    terms = Terms(length, allow_unk=allow_unk, ban=ban)
    run = Run(Reader(model, mix), tokenizer, PLAIN, 0, terms)
    start = run.start(prefix)
    banned = list(run.late.banned)

    def merit(path: _Path) -> tuple[float, tuple[int, ...]]:
        return -path.logprob / len(path.ids) ** normalise, path.ids

    paths, done = [_Path((), (), 0.0)], []
    z, states = start.logits, start.states
    for count in range(1, length + 1):
        rows = _log_softmax(np.asarray(z, np.float64))  # (B, V)
        rows[:, banned] = -np.inf
        ahead: list[tuple[int, _Path]] = []
        for k, token in _best(np.array([path.logprob for path in paths])[:, None] + rows, width):
            logprob, path = float(rows[k, token]), paths[k]
            path = _Path((*path.ids, token), (*path.logprobs, logprob), path.logprob + logprob)
            if token == tokenizer.eos or count == length:
                done.append(path)
            else:
                ahead.append((k, path))
        done = sorted(done, key=merit)[:width]
        # No text can still get better than its beginning is if it were `length` tokens long.
        hope = max((path.logprob for _, path in ahead), default=-np.inf) / length**normalise
        if not ahead or (len(done) == width and -merit(done[-1])[0] >= hope):
            break
        paths = [path for _, path in ahead]
        last = np.array([path.ids[-1] for path in paths])
        states = take(states, np.array([k for k, _ in ahead]))
        z, states = run.reader.step(last, states)
    return [_sample(run.text(start, 0), path, tokenizer) for path in done]


def _best(scores: Array, width: int) -> list[tuple[int, int]]:
    """Row and column of the `width` highest finite scores (B, V), of equal ones the first."""
    flat = scores.ravel()
    least = np.partition(flat, -width)[-width] if width < len(flat) else -np.inf
    at = np.flatnonzero((flat >= least) & (flat > -np.inf))
    at = at[np.argsort(-flat[at], kind="stable")][:width]
    return [divmod(int(k), scores.shape[1]) for k in at]


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))


def _sample(text: Text, path: _Path, tokenizer: Tokenizer) -> Sample:
    for token, logprob in zip(path.ids, path.logprobs, strict=True):
        text.write(token, logprob)
    text.stopped = "end" if path.ids[-1] == tokenizer.eos else "length"
    return text.sample()
