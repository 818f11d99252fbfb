"""One choice of the next token for each of several texts: filters, bans, a pattern, and chance.

A token is drawn from the predictor's logits in float32. Where their rounding leaves open which
token a random number falls on, the text is read again in float64: so a text does not depend on
what is written beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError, shown
from rnncli.generation.filters import draw, draw_one, weigh
from rnncli.generation.novelty import Guard
from rnncli.generation.pattern import Pattern
from rnncli.generation.text import Text
from rnncli.lm.predictor import Predictor
from rnncli.nn.threads import Threads

Array = NDArray[Any]

MANY = 1 << 18  # logits that threads share
NONE = -1  # no token: the text ends here
ROUNDED = 2.0**-20  # how far float32 may put sums of as many weights as a block has


class Chooser:
    """Chooses tokens by a predictor's logits.

    `match` is the pattern that a text is held to, after the `space` that joins it to its prefix;
    `eos` ends a text; `guard` bars what would copy too long a run.
    """

    def __init__(
        self, predictor: Predictor, temperature: float, eos: int | None, space: str = "",
        match: Pattern | None = None, guard: Guard | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        self.predictor, self.eos, self.space = predictor, eos, space
        self.match, self.guard, self.threads = match, guard, Threads(threads)
        self.error = predictor.error / temperature + ROUNDED if temperature else 0.0

    def choose(self, texts: Sequence[Text], rows: Array, filters: Filters) -> Array:
        """Return the next token of each text (B,), by its next random numbers and logits (B, V)."""
        looks = filters.repetition != 1 or filters.no_repeat
        written: Sequence[Any] = ()
        if looks:
            written = [text.start.prefix.known + text.ids for text in texts]
        barred: Sequence[Any] = [self.guard.after(text.ids) for text in texts] if self.guard else ()
        weights = self._weigh(rows, filters, written, barred)
        u = [text.numbers() for text in texts]
        if len(u) == 1:
            token, unsure, mass = draw_one(weights[0], *u[0], self.error)
            tokens = np.array([token])
            if mass and not unsure and not self.match:  # the usual case of a text alone
                return tokens
            ambiguous, total = np.array([unsure]), np.array([mass])
        else:
            tokens, ambiguous, total = draw(weights, np.array(u), self.error)
        if not total.all():
            none = total == 0
            tokens[none], ambiguous[none] = NONE, False
            if not self.match:
                raise self._stuck(texts[int(none.argmax())])
        for k in range(len(texts)) if self.match else np.flatnonzero(ambiguous).tolist():
            past, bars = (several[k] if len(several) else () for several in (written, barred))
            one = Draw(self, texts[k], rows[k], filters, past, bars, weights[k])
            token = one.exact(u[k]) if ambiguous[k] else int(tokens[k])
            tokens[k] = self._fitting(texts[k], one, token) if self.match else token
        return tokens

    def _weigh(
        self, rows: Array, filters: Filters, written: Sequence[Any], barred: Sequence[Any]
    ) -> Array:
        """Weigh tokens, many logits in pieces."""
        if rows.size < MANY:
            return weigh(rows, filters, written, barred)
        out, size = np.empty_like(rows), -(-MANY // (4 * rows.shape[1]))

        def piece(k: int) -> None:
            part = slice(k * size, (k + 1) * size)
            weigh(rows[part], filters, written[part], barred[part], out[part])

        self.threads.run(piece, -(-len(rows) // size))
        return out

    def _fitting(self, text: Text, draw: Draw, token: int) -> int:
        """Return the token, or the first drawn after it that the pattern allows; NONE ends it."""
        assert self.match is not None
        so_far = text.text.removeprefix(self.space)
        while token != NONE:
            if token == self.eos:
                fits = self.match.matches(so_far)
            else:
                ahead = replace(text, decoder=text.decoder.fork())
                ahead.add(token)
                fits = self.match.begins(ahead.text.removeprefix(self.space))
            if fits:
                return token
            if self.match.matches(so_far):
                return NONE
            token = draw.without(token)
        if not text.ids and not self.match.matches(so_far):
            raise self._stuck(text)
        return NONE  # a text that is stuck without a match is drawn again

    def _stuck(self, text: Text) -> ConfigError:
        """Return the error for a text that no token may follow."""
        name = self.match.name if self.match else f"max_copy {self.guard and self.guard.most}"
        return ConfigError(f'{name}: no token goes on after "{shown(text.text)}".')

    def precise_logits(self, text: Text) -> Array:
        """Return the logits (V,) after a text in float64; each id is read once, if need be."""
        precise, start = self.predictor.precise, text.start
        if start.precise is None:
            start.precise = precise.start()
            if start.prefix.ids[1:]:
                _, start.precise = precise.read(start.prefix.ids[:-1], start.precise)
        ids = [*start.prefix.ids[-1:], *text.ids][text.read :]
        if ids:
            before = start.precise if text.precise is None else text.precise
            text.logits, text.precise = precise.read(ids, before)
            text.read += len(ids)
        return np.asarray(text.logits[0])


@dataclass
class Draw:
    """One draw of the next token of a text, and what it is drawn from."""

    chooser: Chooser
    text: Text
    z: Array  # (V,) logits
    filters: Filters
    written: Sequence[int]
    barred: Sequence[int] | Array  # before the filters
    weights: Array  # (V,) after them
    refused: list[int] = field(default_factory=list)  # after them

    def exact(self, u: Sequence[float]) -> int:
        """Return the token that two numbers fall on in float64."""
        return draw_one(self._weigh(self.chooser.precise_logits(self.text)), *u)[0]

    def without(self, token: int) -> int:
        """Draw another token; where the filters left no other, they are applied without it."""
        self.refused.append(token)
        self.weights[token] = 0
        if not self.weights.any():
            self.barred, self.refused = [*self.barred, *self.refused], []
            self.weights = self._weigh(self.z)
        u = self.text.numbers()
        drawn, ambiguous, total = draw_one(self.weights, *u, self.chooser.error)
        if not total:
            return NONE
        return self.exact(u) if ambiguous else drawn

    def _weigh(self, z: Array) -> Array:
        weights = weigh(z[None], self.filters, [self.written], [self.barred])[0]
        weights[self.refused] = 0
        return np.asarray(weights)
