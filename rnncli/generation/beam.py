"""Beam search: the most probable texts that a model can write, found step by step.

At each step the `width` most probable beginnings go on, all of them in one batch. This module knows
no files and no terminal; `rnncli.generation.sampling` reads the prefix and joins the text to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.writing import Constraints
from rnncli.errors import ConfigError
from rnncli.generation.sampling import SampleOptions, Sampler
from rnncli.generation.text import Prefix, Sample, Text
from rnncli.lm.predictor import Predictor
from rnncli.nn.ops import log_softmax, top
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]


class _Path(NamedTuple):
    """A beginning of a text."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    logprob: float  # their sum


def beam(
    predictor: Predictor,
    tokenizer: Tokenizer,
    prefix: str | Prefix = "",
    width: int = 5,
    length: int = 200,
    length_penalty: float = 0.0,
    *,
    allow_unk: bool = False,
    ban: Sequence[str] = (),
) -> list[Sample]:
    """Find at most `width` texts, best first, that end with </s> or after `length` tokens.

    The score of a text is its log-probability / (number of tokens) ** `length_penalty`: 0 finds the
    most probable text, which is often a short one; 1 the highest mean of a token (Jean et al.
    2015). Wu et al. 2016, section 7, divide by ((5 + tokens) / 6) ** alpha instead.

    Of equal scores the text with lower ids comes first. Where several paths spell one string (bytes
    that are no UTF-8 all become U+FFFD) the best alone is kept. A `width` of 1 takes the most
    probable token each time. The other options are those of `Constraints`.
    """
    if width < 1 or not 0 <= length_penalty <= 1:
        raise ConfigError("width must be 1 or more and length_penalty between 0 and 1, not "
                          f"{width} and {length_penalty}.")  # fmt: skip
    terms = Constraints(length, allow_unk=allow_unk, ban=ban)
    sampler = Sampler(predictor, tokenizer, SampleOptions(constraints=terms))
    start = sampler.start(prefix)
    banned = list(sampler.late.banned)
    texts: dict[tuple[int, ...], Sample] = {}  # of the paths that are done, by their ids

    def order(path: _Path) -> tuple[float, tuple[int, ...]]:
        return -path.logprob / len(path.ids) ** length_penalty, path.ids

    def best(found: list[_Path]) -> list[_Path]:
        """Return the `width` best of the paths that are done, no two with the same text."""
        kept: dict[str, _Path] = {}
        for path in sorted(found, key=order):
            if path.ids not in texts:
                texts[path.ids] = _sample(sampler.text(start, 0), path, tokenizer)
            kept.setdefault(texts[path.ids].text, path)
            if len(kept) == width:
                break
        return list(kept.values())

    paths, done = [_Path((), (), 0.0)], []
    z, state = start.logits, start.state
    for count in range(1, length + 1):
        rows = log_softmax(np.asarray(z, np.float64), axis=1)  # (B, V)
        rows[:, banned] = -np.inf
        ahead: list[tuple[int, _Path]] = []
        for k, token in _best(np.array([path.logprob for path in paths])[:, None] + rows, width):
            logprob, path = float(rows[k, token]), paths[k]
            path = _Path((*path.ids, token), (*path.logprobs, logprob), path.logprob + logprob)
            if token == tokenizer.eos or count == length:
                done.append(path)
            else:
                ahead.append((k, path))
        done = best(done)
        # No text can still get better than its beginning is if it were `length` tokens long.
        hope = max((path.logprob for _, path in ahead), default=-np.inf) / length**length_penalty
        if not ahead or (len(done) == width and -order(done[-1])[0] >= hope):
            break
        paths = [path for _, path in ahead]
        last = np.array([path.ids[-1] for path in paths])
        state = predictor.take(state, np.array([k for k, _ in ahead]))
        z, state = predictor.step(last, state)
    return [texts[path.ids] for path in done]


def _best(scores: Array, width: int) -> list[tuple[int, int]]:
    """Return row and column of the `width` highest finite scores (B, V), the first of equals."""
    flat = scores.ravel()
    best = (k for k in top(flat, width).tolist() if flat[k] > -np.inf)
    return [divmod(k, scores.shape[1]) for k in best]


def _sample(text: Text, path: _Path, tokenizer: Tokenizer) -> Sample:
    for token, logprob in zip(path.ids, path.logprobs, strict=True):
        text.write(token, logprob)
    text.stopped = "end" if path.ids[-1] == tokenizer.eos else "length"
    return text.sample()
