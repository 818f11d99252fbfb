"""Texts that a model writes: after a prefix, one or many at a time, with filters and stops.

Sample i of a seed has a random stream of its own and takes one number a token from it, so it is the
same text however many others are written, and however many at a time: where float32 leaves open
which token a number falls on, the text is read again in float64. Knows no files and no terminal.
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
from rnncli.errors import ConfigError, shown
from rnncli.filters import PLAIN, Filters, next_token, passed, probabilities, weigh
from rnncli.nn import Model, Params, State, Steps
from rnncli.nn.head import logits as head_logits
from rnncli.nn.model import shapes
from rnncli.patterns import Pattern
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]

__all__ = [
    "PLAIN",
    "Filters",
    "Run",
    "Sample",
    "generate",
    "next_token",
    "prefix_ids",
    "probabilities",
    "stream_one",
]

SAMPLE = 16  # what a random stream is for; see rnncli.batches
NONE = -1  # no token: the text ends here
WINDOW = 1024  # steps that are run through the model together
TABLE = 1 << 22  # entries of an embedding multiplied by the first layer's weights
SLACK = 2.0**-17  # how far float32 may put two logits apart that are equal in float64


@dataclass
class Sample:
    """One text that a model wrote: the prefix is no part of it."""

    ids: list[int]  # all that was drawn, a closing </s> too
    text: str
    logprob: float  # nats, under the model's own distribution, without filters
    token_logprobs: list[float]
    stopped: str  # "end" (</s>), "length", "stop" or "match"


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
    stop_regex: str = "",
    match: str = "",
    batch: int = 64,
) -> Iterator[Sample]:
    """Samples 0 to num - 1 of a seed, in order, each of at most `length` tokens after the prefix.

    <s> is never written, <unk> only if allowed. A text ends at </s> unless `stop_at_end` is False,
    and not within its first `min_length` tokens; or before the first of the strings `stop` or match
    of `stop_regex`, which is cut off. `batch` texts are written at a time.

    With `match`, the whole of a text is held to a pattern (the space that joins a word to the
    prefix is not counted): a token that cannot lead to a match is drawn anew, and the text ends
    where it matches and the model would leave the pattern.

    Raises ConfigError for senseless settings, and where no token goes on within the pattern.
    """
    if num < 1 or batch < 1:
        raise ConfigError(f"num and batch must be 1 or more, not {num} and {batch}.")
    run = Run(model, tokenizer, prefix, length, filters, seed, allow_unk, stop_at_end, min_length,
              stop, stop_regex, match)  # fmt: skip
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
    stop_regex: str = "",
    match: str = "",
) -> Iterator[str]:
    """The text of sample 0 piece by piece, as it is written; the prefix is not repeated."""
    run = Run(model, tokenizer, prefix, length, filters, seed, allow_unk, stop_at_end, min_length,
              stop, stop_regex, match)  # fmt: skip
    text, told = run.text(0), 0
    held = max((len(string) - 1 for string in stop), default=0)  # may be the start of a stop string
    for _ in run.write([text]):
        if stop_regex and not text.stopped:
            continue  # a match may begin anywhere
        until = len(text.text) - (0 if text.stopped else held)
        if until > told:
            yield text.text[told:until]
            told = until


@dataclass
class Text:
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

    def add(self, piece: str, stop: tuple[str, ...], pattern: Pattern | None = None) -> None:
        """Append a piece, and cut the text before the first stop string or match in it."""
        if self.bare and piece:
            piece, self.bare = piece.removeprefix(" "), False
        start = len(self.text)
        self.text += piece
        found = [self.text.find(s, max(0, start - len(s) + 1)) for s in stop]
        if pattern is not None and piece:
            at = pattern.find(self.text)
            found.append(-1 if at is None else at)
        cuts = [at for at in found if at >= 0]
        if cuts:
            self.text, self.stopped = self.text[: min(cuts)], "stop"

    def sample(self) -> Sample:
        logprob = math.fsum(self.logprobs)
        return Sample([*self.ids], self.text, logprob, [*self.logprobs], self.stopped)


class Run:
    """Everything that the texts of one call share: the settings, and the model after the prefix."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, prefix: str, length: int, filters: Filters,
        seed: int, allow_unk: bool, stop_at_end: bool, min_length: int, stop: Sequence[str],
        stop_regex: str = "", match: str = "",
    ) -> None:  # fmt: skip
        if length < 1 or not 0 <= min_length <= length:
            raise ConfigError(f"length must be 1 or more and min_length at most that, not {length} "
                              f"and {min_length}.")  # fmt: skip
        if isinstance(stop, str) or "" in stop:
            raise ConfigError("stop must be a list of strings, none of them empty.")
        self.model, self.tokenizer, self.length, self.seed = model, tokenizer, length, seed
        self.min_length, self.stop = min_length, tuple(stop)
        self.stop_regex = Pattern(stop_regex) if stop_regex else None
        self.match = Pattern(match) if match else None
        if match and tokenizer.rule.level == "byte":
            raise ConfigError("match is for words and characters: a byte may be part of either.")
        never = {*filters.banned} | ({tokenizer.bos} if tokenizer.bos is not None else set())
        if not allow_unk:
            never.add(tokenizer.unk)
        end = {tokenizer.eos} if tokenizer.eos is not None else set()
        self.early = replace(filters, banned=tuple(sorted(never | end)))
        self.late = replace(filters, banned=tuple(sorted(never if stop_at_end else never | end)))
        self.ids, _ = prefix_ids(tokenizer, prefix)
        self.space = " " if tokenizer.rule.level == "word" else ""  # between prefix and text
        self.bare = bool(self.space) and prefix[-1:].isspace()
        given = tokenizer.bos is None and tokenizer.rule.tokens(prefix)
        self.known = self.ids if given else self.ids[1:]  # without <s> or what stands for it
        self.reader = _without_embedding(model)
        self.logits, self.state = _read(self.reader, self.ids, model.zero_state(1))

    def text(self, number: int) -> Text:
        """Sample `number`, not begun."""
        return Text(stream(self.seed, SAMPLE, number), self._decoder([]), self.bare)

    def _decoder(self, ids: list[int]) -> Decoder:
        """A decoder that has the prefix and `ids` behind it."""
        decoder = self.tokenizer.decoder()
        for token in [*self.known, *ids]:
            decoder.feed(token)
        return decoder

    def write(self, texts: Sequence[Text]) -> Iterator[None]:
        """Write the texts to their ends, a token of each between two yields."""
        alive = list(texts)
        everyone = np.zeros(len(alive), np.int64)
        z, state, steps = self.logits[:, everyone], self.state.take(everyone), Steps((len(alive),))
        for count in range(1, self.length + 1):
            filters = self.early if count <= self.min_length else self.late
            rows = np.ascontiguousarray(z.T, np.float64)  # (B, V)
            drawn = self._choose(alive, rows, filters)
            logprobs = _logprobs(rows, drawn)
            for text, token, logprob in zip(alive, drawn.tolist(), logprobs, strict=True):
                if token == NONE:
                    text.stopped = "match"
                    continue
                text.ids.append(token)
                text.logprobs.append(logprob)
                text.unread += 1
                text.add(text.decoder.feed(token), self.stop, self.stop_regex)
                if token == self.tokenizer.eos:
                    text.stopped = "end"
                elif count == self.length and not text.stopped:
                    text.stopped = "length"
                if text.stopped in ("end", "length"):
                    text.add(text.decoder.flush(), self.stop, self.stop_regex)
            yield
            going = [k for k, text in enumerate(alive) if not text.stopped]
            if not going:
                return
            if len(going) < len(alive):
                alive, drawn = [alive[k] for k in going], drawn[going]
                state, steps = state.take(np.asarray(going)), Steps((len(going),))
            z, state = self.reader.predict(drawn, state, steps)

    def _choose(self, texts: Sequence[Text], rows: Array, filters: Filters) -> Array:
        """The next token of each text (B,), by its next random number and its logits (B, V)."""
        looks = filters.repetition != 1 or filters.no_repeat
        written = [self.known + text.ids if looks else () for text in texts]
        weights = weigh(rows, filters, written)
        sums = np.cumsum(weights, axis=1)
        drawn = []
        for k, (text, weight, row) in enumerate(zip(texts, weights, sums, strict=True)):
            u = text.rng.random()
            token = passed(row, u)
            if filters.temperature:
                # Logits off by d between them move a running sum c by c (1 - c) d at the most.
                margin = SLACK / filters.temperature * u * (1 - u)
                low, high = (u - margin) * row[-1], (u + margin) * row[-1]
                if low < row[token] - weight[token] or high >= row[token]:
                    token = next_token(self._precise_logits(text), u, filters, written[k])
            drawn.append(self._fitting(text, weight, token) if self.match else token)
        return np.array(drawn)

    def _fitting(self, text: Text, weights: Array, token: int) -> int:
        """The token, or the first drawn after it that the pattern allows; NONE to end the text."""
        assert self.match is not None
        written = text.text.removeprefix(self.space)
        while True:
            if token == self.tokenizer.eos:
                fits = self.match.matches(written)
            else:
                ahead = Text(text.rng, self._decoder(text.ids), text.bare, text=text.text)
                ahead.add(ahead.decoder.feed(token), ())
                fits = self.match.begins(ahead.text.removeprefix(self.space))
            if fits:
                return token
            if self.match.matches(written):
                return NONE
            weights[token] = 0
            sums = np.cumsum(weights)
            if not sums[-1]:
                raise ConfigError(f"{self.match.name}: no token goes on after "
                                  f'"{shown(text.text)}".')  # fmt: skip
            token = passed(sums, text.rng.random())

    @cached_property
    def _precise(self) -> tuple[Model, State]:
        """The model in float64, and its state after all of the prefix but its last id."""
        params = Params(self.model.params.shapes, np.float64, self.model.params.flat)
        model = Model(self.model.config, params)
        state = model.zero_state(1)
        return model, _read(model, self.ids[:-1], state)[1] if self.ids[1:] else state

    def _precise_logits(self, text: Text) -> Array:
        """The logits (V,) after a text; each id is read once in float64, and only if need be."""
        model, start = self._precise
        ids = [*self.ids[-1:], *text.ids][-text.unread :]
        z, text.precise = _read(model, ids, text.precise or start)
        text.unread = 0
        return np.asarray(z[:, 0])


def _without_embedding(model: Model) -> Model:
    """The same network with one-hot input, where that is worth it: a product less at each step."""
    config = replace(model.config, embed=0, tied=False, dropout_embed=0.0)
    layout = shapes(config)
    if not model.config.embed or config.residual or math.prod(layout["rnn.0.fwd.Wx"]) > TABLE:
        return model
    params = Params(layout, model.dtype)
    for name in layout.keys() - {"rnn.0.fwd.Wx", "head.W"}:
        params[name][:] = model.params[name]
    params["head.W"][:] = model.head[0]
    np.matmul(model.params["embed.W"], model.params["rnn.0.fwd.Wx"].T, out=params["rnn.0.fwd.Wx"])
    return Model(config, params)


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
