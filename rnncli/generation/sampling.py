"""Texts that a model writes: after a prefix, one or many at a time, with filters and stops.

Sample i of a seed has a random stream of its own after each prefix, and takes two numbers a token
from it (more where a pattern refuses a token). So it is the same text however many others are
written, after whichever other prefixes, and however many at a time: where float32 leaves open which
token a number falls on, the text is read again in float64. Knows no files and no terminal.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.writing import Constraints, Filters
from rnncli.errors import ConfigError, shown
from rnncli.generation.constraints import banned_ids, required_ids
from rnncli.generation.filters import (
    PLAIN,
    draw,
    draw_one,
    weigh,
)
from rnncli.generation.novelty import Guard
from rnncli.generation.pattern import Pattern
from rnncli.generation.text import Sample, Start, Text, prefix_ids
from rnncli.lm.mixture import Mixture, joined, take
from rnncli.nn import Model
from rnncli.nn.threads import keep_memory
from rnncli.seeds import Purpose, rng
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

MANY = 1 << 18  # logits that threads share
NONE = -1  # no token: the text ends here
SLACK = 2.0**-17  # how far float32 may put two logits apart that are equal in float64
ROUNDED = 2.0**-20  # and how far sums of as many weights as a block has


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prefix: str | Sequence[str] = "",
    *,
    num: int = 1,
    filters: Filters = PLAIN,
    seed: int = 0,
    batch: int = 64,
    threads: int = 1,
    mix: Sequence[tuple[Model, float]] = (),
    guard: Guard | None = None,
    scored: bool = True,
    **terms: Any,
) -> Iterator[Sample]:
    """Samples 0 to num - 1 of a seed, in order, after each of the prefixes.

    <s> is never written, <unk> only if allowed; the other `terms` are the fields of `Constraints`.
    `batch` texts are written at a time; `threads` share the work of large models, to the same text.
    The probabilities are mixed with those of the models in `mix`, each with its share. A `guard`
    bars tokens that would copy too many in a row. Without `scored` there are no log-probabilities,
    but NaN.

    Raises ConfigError for senseless settings, and where no token goes on within them.
    """
    if num < 1 or batch < 1:
        raise ConfigError(f"num and batch must be 1 or more, not {num} and {batch}.")
    reader = Mixture(model, mix, threads)
    run = Sampler(reader, tokenizer, filters, seed, Constraints(**terms), guard, scored)
    times = num if run.certain else 1  # all samples are one text
    numbers = range(num // times)
    jobs = ((p, i) for p in ([prefix] if isinstance(prefix, str) else prefix) for i in numbers)
    given, start = "", None
    while group := list(islice(jobs, batch)):
        places = []
        for prefix, number in group:
            if start is None or prefix != given:
                given, start = prefix, run.start(prefix)
            places.append((start, number))
        for text in run.texts(places, batch):
            yield from [text.sample()] * times


def stream_one(
    model: Model,
    tokenizer: Tokenizer,
    prefix: str = "",
    *,
    filters: Filters = PLAIN,
    seed: int = 0,
    threads: int = 1,
    mix: Sequence[tuple[Model, float]] = (),
    guard: Guard | None = None,
    scored: bool = True,
    **terms: Any,
) -> Generator[str, None, Sample]:
    """The text of sample 0 piece by piece, as it is written, and the sample as what is returned.

    The prefix is not repeated. A text that may have to be drawn anew comes as one piece.
    """
    reader = Mixture(model, mix, threads)
    run = Sampler(reader, tokenizer, filters, seed, Constraints(**terms), guard, scored)
    start, told = run.start(prefix), 0
    if run.demanding:
        (text,) = run.texts([(start, 0)], 64)
        yield text.text
        return text.sample()
    text, stops = run.text(start, 0), run.terms.stop
    held = max((len(string) - 1 for string in stops), default=0)  # may be the start of a stop
    for _ in run.write([text]):
        if run.stop_regex and not text.stopped:
            continue  # a match may begin anywhere
        until = len(text.text) - (0 if text.stopped else held)
        if until > told:
            yield text.text[told:until]
            told = until
    return text.sample()


class Sampler:
    """Everything that the texts of one call share: the settings, and what the model makes of them.

    Raises ConfigError for terms that the tokenizer cannot keep.
    """

    def __init__(
        self, reader: Mixture, tokenizer: Tokenizer, filters: Filters, seed: int,
        terms: Constraints, guard: Guard | None = None, scored: bool = True,
    ) -> None:  # fmt: skip
        keep_memory()
        self.scored = scored
        terms = terms.fitted(tokenizer.pretokenizer.row.length)
        self.length = terms.length or 1
        self.reader, self.tokenizer, self.terms, self.seed = reader, tokenizer, terms, seed
        self.guard, self.certain = guard, filters.temperature == 0
        slack = SLACK * (2 if len(reader.models) > 1 else 1)  # a mixture's: each log p is off
        self.error = 0.0 if self.certain else slack / filters.temperature + ROUNDED
        self.stop_regex = Pattern(terms.stop_regex) if terms.stop_regex else None
        self.match = Pattern(terms.match) if terms.match else None
        self.wanted = required_ids(tokenizer, terms.must_include)
        never = {*filters.banned, *banned_ids(tokenizer, terms.ban)}
        row = tokenizer.pretokenizer.row
        if terms.match and row.partial:  # a character has to be whole to match
            never.update(id for t, id in tokenizer.vocabulary.index.items() if not t.isascii())
        if tokenizer.bos is not None:
            never.add(tokenizer.bos)
        if not terms.allow_unk:
            never.add(tokenizer.unk)
        end = {tokenizer.eos} if tokenizer.eos is not None else set()
        self.early = replace(filters, banned=tuple(sorted(never | end)))
        self.late = replace(
            filters, banned=tuple(sorted(never if terms.stop_at_end else never | end))
        )
        if len(self.late.banned) == len(tokenizer):
            raise ConfigError("ban leaves no token to write.")
        self.space = row.separator  # between prefix and text

    def start(self, prefix: str) -> Start:
        """Read a prefix."""
        tokenizer, reader = self.tokenizer, self.reader
        ids, _ = prefix_ids(tokenizer, prefix)
        given = tokenizer.bos is None and bool(tokenizer.pretokenizer.tokens(prefix))
        known, before, decoder = ids[0 if given else 1 :], reader.start(), tokenizer.decoder()
        if ids[1:]:
            _, before = reader.read(ids[:-1], before)
        z, states = reader.read(ids[-1:], before)
        for token in known:
            decoder.feed(token)
        bare = bool(self.space) and prefix[-1:].isspace()
        return Start(ids, known, before, decoder, bare, z, states)

    def text(self, start: Start, number: int, attempt: int = 0) -> Text:
        """Sample `number` after a prefix, not begun."""
        numbers = rng(self.seed, Purpose.SAMPLE, number, start.name, attempt)
        return Text(start, numbers, start.decoder.fork(), start.bare)

    def texts(self, places: Sequence[tuple[Start, int]], batch: int) -> list[Text]:
        """A whole text for each (prefix, number): the first attempt that is as it must be."""
        done: dict[int, Text] = {}
        waiting, attempt = list(range(len(places))), 0
        tries = 1 if self.certain else self.terms.tries
        while waiting:
            if attempt >= tries:
                raise ConfigError(f"no text of {tries} {self._demand}. Allow more tries or a "
                                  "greater length, or begin nearer to it.")  # fmt: skip
            ahead = max(1, min(attempt, batch // len(waiting), tries - attempt))
            drawn = [[self.text(*places[k], attempt + a) for a in range(ahead)] for k in waiting]
            for _ in self.write([text for several in drawn for text in several]):
                pass
            for k, several in zip(waiting, drawn, strict=True):
                fit = [text for text in several if self._accepts(text)]
                if fit:
                    done[k] = fit[0]
            waiting, attempt = [k for k in waiting if k not in done], attempt + ahead
        return [done[k] for k in range(len(places))]

    @property
    def demanding(self) -> bool:
        """Whether a text may have to be drawn anew as a whole."""
        return bool(self.wanted or self.match)

    @property
    def _demand(self) -> str:
        words = '", "'.join(map(shown, self.terms.must_include))
        parts = [f'includes "{words}"'] if words else []
        if self.match:
            parts.append(f"matches {self.match.name} within {self.length} tokens")
        return " and ".join(parts)

    def _accepts(self, text: Text) -> bool:
        """Whether all that is wanted stands in a text, and the whole of it matches."""
        if self.match and not self.match.matches(text.text.removeprefix(self.space)):
            return False
        body = text.body
        return all(
            any(body[k : k + len(run)] == run for k in range(len(body) - len(run) + 1))
            for run in self.wanted
        )

    def write(self, texts: Sequence[Text]) -> Iterator[None]:
        """Write the texts to their ends, a token of each between two yields."""
        terms, alive, eos = self.terms, list(texts), self.tokenizer.eos
        cuts = bool(terms.stop or self.stop_regex)
        rows = np.concatenate([text.start.logits for text in alive])  # (B, V)
        states = joined([text.start.states for text in alive])
        for count in range(1, self.length + 1):
            drawn = self._choose(
                alive, rows, self.early if count <= terms.min_length else self.late
            )
            logprobs = _logprobs(rows, drawn) if self.scored else repeat(math.nan)
            for text, token, logprob in zip(alive, drawn.tolist(), logprobs, strict=False):
                if token == NONE:
                    text.stopped = "match"
                    continue
                text.write(token, logprob)
                if token == eos:
                    text.stopped = "end"
                elif count == self.length:
                    text.stopped = "length"
                if cuts:
                    text.cut(terms.stop, self.stop_regex)
            yield
            going = [k for k, text in enumerate(alive) if not text.stopped]
            if not going:
                return
            if len(going) < len(alive):
                alive, drawn = [alive[k] for k in going], drawn[going]
                states = take(states, np.asarray(going))
            rows, states = self.reader.step(drawn, states)

    def _choose(self, texts: Sequence[Text], rows: Array, filters: Filters) -> Array:
        """The next token of each text (B,), by its next random numbers and its logits (B, V)."""
        looks = filters.repetition != 1 or filters.no_repeat
        written: Sequence[Any] = [text.start.known + text.ids for text in texts] if looks else ()
        barred: Sequence[Any] = [self.guard.after(text.ids) for text in texts] if self.guard else ()
        weights = self._weigh(rows, filters, written, barred)
        u = [text.numbers() for text in texts]
        if len(u) == 1:
            token, unsure, mass = draw_one(weights[0], *u[0], self.error)
            tokens = np.array([token])
            if mass and not unsure and not self.match:
                return tokens
            near, whole = np.array([unsure]), np.array([mass])
        else:
            tokens, near, whole = draw(weights, np.array(u), self.error)
        if not whole.all():
            none = whole == 0
            tokens[none], near[none] = NONE, False
            if not self.match:
                raise self._stuck(texts[int(none.argmax())])
        if not self.match and not near.any():
            return tokens
        for k in range(len(texts)) if self.match else np.flatnonzero(near).tolist():
            past, bars = (several[k] if len(several) else () for several in (written, barred))
            one = Draw(self, texts[k], rows[k], filters, past, bars, weights[k])
            token = one.settled(u[k]) if near[k] else int(tokens[k])
            tokens[k] = self._fitting(texts[k], one, token) if self.match else token
        return tokens

    def _weigh(
        self, rows: Array, filters: Filters, written: Sequence[Any], barred: Sequence[Any]
    ) -> Array:
        """`weigh`, many logits in pieces."""
        if rows.size < MANY:
            return weigh(rows, filters, written, barred)
        out, size = np.empty_like(rows), -(-MANY // (4 * rows.shape[1]))

        def piece(k: int) -> None:
            part = slice(k * size, (k + 1) * size)
            weigh(rows[part], filters, written[part], barred[part], out[part])

        self.reader.threads.run(piece, -(-len(rows) // size))
        return out

    def _fitting(self, text: Text, draw: Draw, token: int) -> int:
        """The token, or the first drawn after it that the pattern allows; NONE to end the text."""
        assert self.match is not None
        so_far = text.text.removeprefix(self.space)
        while token != NONE:
            if token == self.tokenizer.eos:
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
        return NONE  # a text that is stuck without a match is drawn anew

    def _stuck(self, text: Text) -> ConfigError:
        """What is said of a text that no token may follow."""
        name = self.match.name if self.match else f"max_copy {self.guard and self.guard.most}"
        return ConfigError(f'{name}: no token goes on after "{shown(text.text)}".')

    def precise_logits(self, text: Text) -> Array:
        """The logits (V,) after a text; each id is read once in float64, and only if need be."""
        reader, start = self.reader.precise, text.start
        if start.precise is None:
            start.precise = reader.start()
            if start.ids[1:]:
                _, start.precise = reader.read(start.ids[:-1], start.precise)
        ids = [*start.ids[-1:], *text.ids][text.read :]
        if ids:
            text.logits, text.precise = reader.read(ids, text.precise or start.precise)
            text.read += len(ids)
        return np.asarray(text.logits[0])


@dataclass
class Draw:
    """One draw of the next token of a text, and what it is drawn from."""

    run: Sampler
    of: Text
    z: Array  # (V,) logits
    filters: Filters
    written: Sequence[int]
    barred: Sequence[int] | Array  # before the filters
    weights: Array  # (V,) after them
    refused: list[int] = field(default_factory=list)  # after them

    def settled(self, u: Sequence[float]) -> int:
        """The token that two numbers fall on, where float32 leaves that open."""
        return draw_one(self._weigh(self.run.precise_logits(self.of)), *u)[0]

    def without(self, token: int) -> int:
        """Another token: where the filters left no other, they are applied to what is left."""
        self.refused.append(token)
        self.weights[token] = 0
        if not self.weights.any():
            self.barred, self.refused = [*self.barred, *self.refused], []
            self.weights = self._weigh(self.z)
        u = self.of.numbers()
        drawn, near, whole = draw_one(self.weights, *u, self.run.error)
        if not whole:
            return NONE
        return self.settled(u) if near else drawn

    def _weigh(self, z: Array) -> Array:
        weights = weigh(z[None], self.filters, [self.written], [self.barred])[0]
        weights[self.refused] = 0
        return np.asarray(weights)


def _logprobs(rows: Array, ids: Array) -> list[float]:
    """log softmax of each row of logits (B, V) at its id."""
    out = []
    for row, id in zip(rows, ids.tolist(), strict=True):
        top = row.max()
        total = float(np.exp(row - top).sum(dtype=np.float64))
        out.append(float(row[id]) - float(top) - math.log(total))
    return out
