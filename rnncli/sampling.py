"""Text from a model: the filtered distribution of the next token, a draw from it, whole texts.

`probabilities` and `next_token` are pure functions of logits; `generate` and `stream_one` run the
model. Sample i of a seed has a random stream of its own and takes one number a token from it, so it
is the same text however many others are written, and however many at a time: where float32 leaves
open which token a number falls on, the text is read again in float64. Knows no files and no
terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.batches import stream
from rnncli.detokenizer import Decoder
from rnncli.errors import ConfigError
from rnncli.nn import Model, Params, State, Steps
from rnncli.nn.head import logits as head_logits
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]

SAMPLE = 16  # what a random stream is for; see rnncli.batches
WINDOW = 1024  # steps that are run through the model together
SLACK = 2.0**-16  # how far float32 may put two logits apart that are equal in float64


@dataclass(frozen=True)
class Filters:
    """What is done to the model's distribution before a token is drawn.

    Applied in the order: banned, repetition, no_repeat, temperature, top_k, top_p, min_p, typical.
    Each filter leaves one token or more; of equal tokens the one with the lower id goes first.
    """

    temperature: float = 1.0  # 0 takes the most probable token
    top_k: int = 0  # the k most probable tokens; 0 for all
    top_p: float = 1.0  # the fewest tokens that together have this mass (Holtzman et al. 2020)
    min_p: float = 0.0  # tokens at least this times as probable as the first
    typical: float = 1.0  # the most typical tokens that have this mass (Meister et al. 2023)
    repetition: float = 1.0  # logits of tokens already written: / if positive, * if negative
    no_repeat: int = 0  # no n-gram of this length is written twice
    banned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, sound, wanted in (
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("typical", 0 < self.typical <= 1, "above 0 and at most 1"),
            ("repetition", 0 < self.repetition < math.inf, "above 0"),
            ("no_repeat", self.no_repeat >= 0, "0 or more"),
        ):
            if not sound:
                raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)}.")


PLAIN = Filters()


def probabilities(logits: Array, filters: Filters, written: Sequence[int] = ()) -> Array:
    """The distribution (V,) that `next_token` draws from, in float64.

    `written` holds the ids so far, which only `repetition` and `no_repeat` look at.
    """
    weights = _weights(np.asarray(logits, np.float64)[None], filters, [written])[0]
    return np.asarray(weights / weights.sum())


def next_token(
    logits: Array, u: float, filters: Filters = PLAIN, written: Sequence[int] = ()
) -> int:
    """The id at which the cumulative distribution passes `u`, a number in [0, 1)."""
    sums = np.cumsum(_weights(np.asarray(logits, np.float64)[None], filters, [written])[0])
    return _passed(sums, u)


def _passed(sums: Array, u: float) -> int:
    """The first id whose running sum (V,) is above the share `u` of the whole."""
    return int(sums.searchsorted(u * sums[-1], "right"))  # u < 1: below V, however it is rounded


def _weights(z: Array, filters: Filters, written: Sequence[Sequence[int]]) -> Array:
    """Logits (B, V) of B texts -> what each token weighs after all filters."""
    f = filters
    if f.banned or f.repetition != 1 or f.no_repeat:
        z = z.copy()
    if f.banned:
        if not 0 <= min(f.banned) <= max(f.banned) < z.shape[1] or len(set(f.banned)) >= z.shape[1]:
            raise ConfigError("banned tokens must be ids of the vocabulary, and not all of them.")
        z[:, list(f.banned)] = -np.inf
    if f.repetition != 1:
        for row, ids in zip(z, written, strict=True):
            seen = np.asarray(ids, np.int64)
            row[seen] = np.where(row[seen] > 0, row[seen] / f.repetition, row[seen] * f.repetition)
    if f.no_repeat:
        for row, ids in zip(z, written, strict=True):
            again = _followers(ids, f.no_repeat)
            rest = row.copy()
            rest[again] = -np.inf
            if rest.max() > -np.inf:
                row[:] = rest
    if f.temperature == 0:
        p = np.zeros_like(z)
        p[np.arange(len(z)), z.argmax(axis=1)] = 1
        return p
    z = np.asarray(z - z.max(axis=1, keepdims=True))
    if f.temperature != 1:
        z /= f.temperature
    p = np.exp(z)
    if 0 < f.top_k < z.shape[1]:
        for row in p:
            _keep(row, f.top_k, np.partition(row, -f.top_k)[-f.top_k])
    if f.top_p < 1:
        for row in p:
            falling = np.sort(row)[::-1]
            count = _count(falling, f.top_p)
            _keep(row, count, falling[count - 1])
    if f.min_p:
        p[p < f.min_p * p.max(axis=1, keepdims=True)] = 0
    if f.typical < 1:
        for row in p:
            _typical(row, f.typical)
    return p


def _count(weights: Array, mass: float) -> int:
    """How many of these weights, from the first on, have `mass` of their sum."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, mass * sums[-1])) + 1


def _keep(row: Array, count: int, least: float) -> None:
    """Zero all of `row` but its `count` highest entries, the lowest of which is `least`."""
    drop = row < least
    spare = len(row) - int(np.count_nonzero(drop)) - count
    if spare:
        drop[np.flatnonzero(row == least)[-spare:]] = True
    row[drop] = 0


def _typical(row: Array, mass: float) -> None:
    """Keep the tokens whose surprise is nearest the entropy, until they have `mass`."""
    ids = np.flatnonzero(row)
    p = row[ids] / row[ids].sum()
    surprise = -np.log(p)
    value = -np.abs(surprise - p @ surprise)
    order = np.argsort(-value, kind="stable")
    row[ids[order[_count(p[order], mass) :]]] = 0


def _followers(ids: Sequence[int], n: int) -> Array:
    """The tokens that would complete an n-gram that is already in `ids`."""
    text = np.asarray(ids, np.int64)
    starts = len(text) - n + 1  # n-grams in the text
    if starts < 1:
        return text[:0]
    same = np.ones(starts, bool)
    for k in range(n - 1):
        same &= text[k : k + starts] == text[len(text) - n + 1 + k]
    return text[n - 1 :][same]


@dataclass
class Sample:
    """One text that a model wrote: the prefix is no part of it."""

    ids: list[int]  # all that was drawn, a closing </s> too
    text: str
    logprob: float  # nats, under the model's own distribution, without filters
    token_logprobs: list[float]
    stopped: str  # "end" (</s>), "length" or "stop"


def prefix_ids(tokenizer: Tokenizer, prefix: str) -> tuple[list[int], list[str]]:
    """The ids that the model reads before it writes, and the tokens of them that it does not know.

    A document starts at <s>; of several sentences the last is what a sentence model goes on from. A
    stream without a prefix goes on from the newline, or else the most frequent token.
    """
    rule, vocabulary = tokenizer.rule, tokenizer.vocabulary
    text = (rule.units(prefix) or [""])[-1] if rule.unit == "sentence" else prefix
    unknown = [token for token in rule.tokens(text) if token not in vocabulary.index]
    ids: list[int] = tokenizer.encode(text).tolist()
    if tokenizer.bos is not None:
        return [tokenizer.bos, *ids], unknown
    if not ids:
        counts = vocabulary.counts.copy()
        counts[tokenizer.unk] = -1
        ids = [vocabulary.index.get("\n", int(counts.argmax()))]
    return ids, unknown


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prefix: str = "",
    *,
    num: int = 1,
    length: int = 200,
    filters: Filters = PLAIN,
    seed: int = 0,
    allow_unk: bool = False,
    stop_at_end: bool = True,
    min_length: int = 0,
    stop: Sequence[str] = (),
    batch: int = 64,
) -> Iterator[Sample]:
    """Samples 0 to num - 1 of a seed, in order, each of at most `length` tokens after the prefix.

    <s> is never written, <unk> only if allowed. A text ends at </s> unless `stop_at_end` is False,
    and not within its first `min_length` tokens; or before the first of the strings `stop`, which
    is cut off. `batch` texts are written at a time. Raises ConfigError for senseless settings.
    """
    if num < 1 or batch < 1:
        raise ConfigError(f"num and batch must be 1 or more, not {num} and {batch}.")
    run = _Run(model, tokenizer, prefix, length, filters, seed, allow_unk, stop_at_end, min_length,
               stop)  # fmt: skip
    certain = filters.temperature == 0  # all samples are one text
    for first in range(0, 1 if certain else num, batch):
        texts = [run.text(i) for i in range(first, 1 if certain else min(num, first + batch))]
        for _ in run.write(texts):
            pass
        yield from (text.sample() for text in texts * (num if certain else 1))


def stream_one(
    model: Model,
    tokenizer: Tokenizer,
    prefix: str = "",
    *,
    length: int = 200,
    filters: Filters = PLAIN,
    seed: int = 0,
    allow_unk: bool = False,
    stop_at_end: bool = True,
    min_length: int = 0,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """The text of sample 0 piece by piece, as it is written; the prefix is not repeated."""
    run = _Run(model, tokenizer, prefix, length, filters, seed, allow_unk, stop_at_end, min_length,
               stop)  # fmt: skip
    text, told = run.text(0), 0
    held = max((len(string) - 1 for string in stop), default=0)  # may be the start of a stop string
    for _ in run.write([text]):
        until = len(text.text) - (0 if text.stopped else held)
        if until > told:
            yield text.text[told:until]
            told = until


@dataclass
class _Text:
    """A text that is being written."""

    rng: np.random.Generator
    decoder: Decoder
    bare: bool  # the prefix ends in white space: the first piece needs none
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    stopped: str = ""
    precise: State | None = None  # the float64 state after all but the last `unread` ids
    unread: int = 1

    def add(self, piece: str, stop: tuple[str, ...]) -> None:
        """Append a piece, and cut the text before the first stop string in it."""
        if self.bare and piece:
            piece, self.bare = piece.removeprefix(" "), False
        start = len(self.text)
        self.text += piece
        found = [self.text.find(s, max(0, start - len(s) + 1)) for s in stop]
        cuts = [at for at in found if at >= 0]
        if cuts:
            self.text, self.stopped = self.text[: min(cuts)], "stop"

    def sample(self) -> Sample:
        logprob = math.fsum(self.logprobs)
        return Sample([*self.ids], self.text, logprob, [*self.logprobs], self.stopped)


class _Run:
    """Everything that the texts of one call share: the settings, and the model after the prefix."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, prefix: str, length: int, filters: Filters,
        seed: int, allow_unk: bool, stop_at_end: bool, min_length: int, stop: Sequence[str],
    ) -> None:  # fmt: skip
        if length < 1 or not 0 <= min_length <= length:
            raise ConfigError(f"length must be 1 or more and min_length at most that, not {length} "
                              f"and {min_length}.")  # fmt: skip
        if isinstance(stop, str) or "" in stop:
            raise ConfigError("stop must be a list of strings, none of them empty.")
        self.model, self.tokenizer, self.length, self.seed = model, tokenizer, length, seed
        self.min_length, self.stop = min_length, tuple(stop)
        never = {*filters.banned} | ({tokenizer.bos} if tokenizer.bos is not None else set())
        if not allow_unk:
            never.add(tokenizer.unk)
        end = {tokenizer.eos} if tokenizer.eos is not None else set()
        self.early = replace(filters, banned=tuple(sorted(never | end)))
        self.late = replace(filters, banned=tuple(sorted(never if stop_at_end else never | end)))
        self.ids, _ = prefix_ids(tokenizer, prefix)
        self.bare = tokenizer.rule.level == "word" and prefix[-1:].isspace()
        self.known = self.ids[1:] if tokenizer.bos is not None or not prefix.strip() else self.ids
        self.logits, self.state = _read(model, self.ids, model.zero_state(1))

    def text(self, number: int) -> _Text:
        """Sample `number`, not begun."""
        decoder = self.tokenizer.decoder()
        for token in self.known:
            decoder.feed(token)
        return _Text(stream(self.seed, SAMPLE, number), decoder, self.bare)

    def write(self, texts: Sequence[_Text]) -> Iterator[None]:
        """Write the texts to their ends, a token of each between two yields."""
        alive = list(texts)
        everyone = np.zeros(len(alive), np.int64)
        z, state, steps = self.logits[:, everyone], self.state.take(everyone), Steps((len(alive),))
        for count in range(1, self.length + 1):
            rows = np.ascontiguousarray(z.T, np.float64)  # (B, V)
            drawn = self._choose(alive, rows, self.early if count <= self.min_length else self.late)
            for text, token, logprob in zip(alive, drawn.tolist(), _logprobs(rows, drawn),
                                            strict=True):  # fmt: skip
                text.ids.append(token)
                text.logprobs.append(logprob)
                text.unread += 1
                text.add(text.decoder.feed(token), self.stop)
                if token == self.tokenizer.eos:
                    text.stopped = "end"
                elif count == self.length and not text.stopped:
                    text.stopped = "length"
                if text.stopped in ("end", "length"):
                    text.add(text.decoder.flush(), self.stop)
            yield
            going = [k for k, text in enumerate(alive) if not text.stopped]
            if not going:
                return
            if len(going) < len(alive):
                alive, drawn = [alive[k] for k in going], drawn[going]
                state, steps = state.take(np.asarray(going)), Steps((len(going),))
            z, state = self.model.predict(drawn, state, steps)

    def _choose(self, texts: Sequence[_Text], rows: Array, filters: Filters) -> Array:
        """The next token of each text (B,), by its next random number and its logits (B, V)."""
        looks = filters.repetition != 1 or filters.no_repeat
        written = [self.known + text.ids if looks else () for text in texts]
        u = np.array([text.rng.random() for text in texts])
        weights = _weights(rows, filters, written)
        sums = np.cumsum(weights, axis=1)
        drawn = np.array([_passed(row, share) for row, share in zip(sums, u, strict=True)])
        if filters.temperature == 0:
            return drawn
        # Logits wrong by `slack` between them move a running sum c by c (1 - c) slack at the most.
        margin = SLACK / filters.temperature * u * (1 - u)
        total, each = sums[:, -1], np.arange(len(u))
        above = sums[each, drawn]
        below = above - weights[each, drawn]
        unsure = ((u - margin) * total < below) | ((u + margin) * total >= above)
        for k in np.flatnonzero(unsure).tolist():
            drawn[k] = next_token(self._precise_logits(texts[k]), u[k], filters, written[k])
        return drawn

    @cached_property
    def _precise(self) -> tuple[Model, State]:
        """The model in float64, and its state after all of the prefix but its last id."""
        params = Params(self.model.params.shapes, np.float64, self.model.params.flat)
        model = Model(self.model.config, params)
        state = model.zero_state(1)
        return model, _read(model, self.ids[:-1], state)[1] if self.ids[1:] else state

    def _precise_logits(self, text: _Text) -> Array:
        """The logits (V,) after a text; each id is read once in float64, and only if need be."""
        model, start = self._precise
        ids = [*self.ids[-1:], *text.ids][-text.unread :]
        z, text.precise = _read(model, ids, text.precise or start)
        text.unread = 0
        return np.asarray(z[:, 0])


def _read(model: Model, ids: Sequence[int], state: State) -> tuple[Array, State]:
    """Run one text's ids through a model: the logits after the last (V, 1), and the state."""
    for start in range(0, len(ids), WINDOW):
        window = np.asarray(ids[start : start + WINDOW])
        read, state = model.features(window, state, Steps.dense(len(window), 1))
    return head_logits(np.ascontiguousarray(read[:, -1:]), *model.head), state


def _logprobs(rows: Array, ids: Array) -> list[float]:
    """log softmax of each row of logits (B, V) at its id."""
    top = rows.max(axis=1)
    total = np.exp(rows - top[:, None]).sum(axis=1)
    chosen: list[float] = (rows[np.arange(len(rows)), ids] - top - np.log(total)).tolist()
    return chosen
