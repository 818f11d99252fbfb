"""Texts that a predictor writes: after a prefix, one or many at a time, with filters and stops.

Sample i of a seed has a random stream of its own after each prefix, and takes two numbers a token
from it (more where a pattern refuses a token). So it is the same text however many others are
written, after whichever other prefixes, and however many at a time.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.writing import Constraints, Filters
from rnncli.errors import ConfigError, shown
from rnncli.generation.chooser import NONE, Chooser
from rnncli.generation.constraints import banned_ids, required_ids
from rnncli.generation.filters import PLAIN
from rnncli.generation.novelty import Guard
from rnncli.generation.pattern import Pattern
from rnncli.generation.text import Prefix, Sample, Start, Text, read_prefix
from rnncli.lm.predictor import Predictor
from rnncli.nn.threads import keep_memory
from rnncli.seeds import Purpose, rng
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]


@dataclass(frozen=True)
class SampleOptions:
    """How texts are written: everything but the predictor, the prefix and how many."""

    filters: Filters = PLAIN
    constraints: Constraints = field(default_factory=Constraints)
    seed: int = 0
    batch: int = 64  # texts that are written at a time
    threads: int = 1  # share the work on many logits, and change no text
    guard: Guard | None = None  # bars tokens that would copy too many in a row
    scored: bool = True  # else there are no log-probabilities, but NaN

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"batch must be 1 or more, not {self.batch}.")

    @classmethod
    def of(cls, **options: Any) -> SampleOptions:
        """Take options by name: those of this class, of `Filters` and of `Constraints`.

        Example: of(seed=3, top_k=9) -> SampleOptions(Filters(top_k=9), seed=3).
        """
        parts: dict[str, Any] = {}
        for name, kind in (("filters", Filters), ("constraints", Constraints)):
            known = {entry.name for entry in fields(kind)}
            given = {key: options.pop(key) for key in list(options) if key in known}
            if given:
                parts[name] = replace(options.pop(name, kind()), **given)
        return cls(**parts, **options)


def generate(
    predictor: Predictor,
    tokenizer: Tokenizer,
    prefix: str | Prefix | Sequence[str | Prefix] = "",
    *,
    num: int = 1,
    **options: Any,
) -> Iterator[Sample]:
    """Yield samples 0 to num - 1 of a seed, in order, after each of the prefixes.

    `options` are those of `SampleOptions.of`. <s> is never written, <unk> only if allowed. Raises
    ConfigError for senseless settings, and where no token goes on within them.
    """
    if num < 1:
        raise ConfigError(f"num must be 1 or more, not {num}.")
    settings = SampleOptions.of(**options)
    sampler = Sampler(predictor, tokenizer, settings)
    times = num if sampler.certain else 1  # all samples are one text
    prefixes = [prefix] if isinstance(prefix, (str, Prefix)) else prefix
    jobs = ((one, number) for one in prefixes for number in range(num // times))
    given: str | Prefix = ""
    start = None
    while group := list(islice(jobs, settings.batch)):
        places = []
        for one, number in group:
            if start is None or one != given:
                given, start = one, sampler.start(one)
            places.append((start, number))
        for text in sampler.texts(places):
            yield from [text.sample()] * times


def stream_one(
    predictor: Predictor, tokenizer: Tokenizer, prefix: str | Prefix = "", **options: Any
) -> Generator[str, None, Sample]:
    """Yield the text of sample 0 piece by piece, as it is written; return the sample.

    `options` are those of `SampleOptions.of`. The prefix is not repeated. A text that may have to
    be drawn again as a whole comes as one piece.
    """
    settings = SampleOptions.of(**options)
    sampler = Sampler(predictor, tokenizer, settings)
    start, sent = sampler.start(prefix), 0
    if sampler.demanding:
        (text,) = sampler.texts([(start, 0)])
        yield text.text
        return text.sample()
    text, stops = sampler.text(start, 0), settings.constraints.stop
    held = max((len(string) - 1 for string in stops), default=0)  # may be the start of a stop
    for _ in sampler.write([text]):
        if sampler.stop_regex and not text.stopped:
            continue  # a match may begin anywhere
        until = len(text.text) - (0 if text.stopped else held)
        if until > sent:
            yield text.text[sent:until]
            sent = until
    return text.sample()


class Sampler:
    """Writes texts after prefixes, all by the same settings.

    Raises ConfigError for constraints that the tokenizer cannot keep.
    """

    def __init__(self, predictor: Predictor, tokenizer: Tokenizer, settings: SampleOptions) -> None:
        keep_memory()
        terms = settings.constraints.fitted(tokenizer.pretokenizer.row.length)
        filters, settings = settings.filters, replace(settings, constraints=terms)
        self.length = terms.length or 1
        self.predictor, self.tokenizer, self.settings = predictor, tokenizer, settings
        self.certain = filters.temperature == 0
        self.stop_regex = Pattern(terms.stop_regex) if terms.stop_regex else None
        self.wanted = required_ids(tokenizer, terms.must_include)
        separator = tokenizer.pretokenizer.row.separator  # between prefix and text
        self.chooser = Chooser(
            predictor, filters.temperature, tokenizer.eos, separator,
            Pattern(terms.match) if terms.match else None, settings.guard, settings.threads,
        )  # fmt: skip
        never = _never(tokenizer, terms) | {*filters.banned}
        self.late = self.early = _banning(filters, {*never, tokenizer.eos})  # before min_length
        if terms.stop_at_end:
            self.late = _banning(filters, never)
        if len(self.late.banned) == len(tokenizer):
            raise ConfigError("ban leaves no token to write.")

    def start(self, prefix: str | Prefix) -> Start:
        """Read a prefix."""
        if isinstance(prefix, str):
            prefix = read_prefix(self.tokenizer, prefix)
        predictor, decoder = self.predictor, self.tokenizer.decoder()
        before = predictor.start()
        if prefix.ids[1:]:
            _, before = predictor.read(prefix.ids[:-1], before)
        z, state = predictor.read(prefix.ids[-1:], before)
        for token in prefix.known:
            decoder.feed(token)
        after_space = bool(self.chooser.space) and prefix.text[-1:].isspace()
        return Start(prefix, before, decoder, after_space, z, state)

    def text(self, start: Start, number: int, attempt: int = 0) -> Text:
        """Return sample `number` after a prefix, not begun."""
        numbers = rng(self.settings.seed, Purpose.SAMPLE, number, start.name, attempt)
        return Text(start, numbers, start.decoder.fork(), start.after_space)

    def texts(self, places: Sequence[tuple[Start, int]]) -> list[Text]:
        """Write a text for each (prefix, number): the first attempt that is as it must be."""
        done: dict[int, Text] = {}
        waiting, attempt = list(range(len(places))), 0
        tries = 1 if self.certain else self.settings.constraints.tries
        while waiting:
            if attempt >= tries:
                raise ConfigError(f"no text of {tries} {self._demand}. Allow more tries or a "
                                  "greater length, or begin nearer to it.")  # fmt: skip
            ahead = max(1, min(attempt, self.settings.batch // len(waiting), tries - attempt))
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
        """Whether a text may have to be drawn again as a whole."""
        return bool(self.wanted or self.chooser.match)

    @property
    def _demand(self) -> str:
        terms, match = self.settings.constraints, self.chooser.match
        words = '", "'.join(map(shown, terms.must_include))
        parts = [f'includes "{words}"'] if words else []
        if match:
            parts.append(f"matches {match.name} within {self.length} tokens")
        return " and ".join(parts)

    def _accepts(self, text: Text) -> bool:
        """Return whether all that is wanted stands in a text, and the whole of it matches."""
        match = self.chooser.match
        if match and not match.matches(text.text.removeprefix(self.chooser.space)):
            return False
        body = text.body
        return all(
            any(body[k : k + len(run)] == run for k in range(len(body) - len(run) + 1))
            for run in self.wanted
        )

    def write(self, texts: Sequence[Text]) -> Iterator[None]:
        """Write the texts to their ends, a token of each between two yields."""
        terms, alive, eos = self.settings.constraints, list(texts), self.tokenizer.eos
        cuts = bool(terms.stop or self.stop_regex)
        rows = np.concatenate([text.start.logits for text in alive])  # (B, V)
        state = self.predictor.join([text.start.state for text in alive])
        for count in range(1, self.length + 1):
            filters = self.early if count <= terms.min_length else self.late
            drawn = self.chooser.choose(alive, rows, filters)
            logprobs = _logprobs(rows, drawn) if self.settings.scored else repeat(math.nan)
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
                state = self.predictor.take(state, np.asarray(going))
            rows, state = self.predictor.step(drawn, state)


def _never(tokenizer: Tokenizer, terms: Constraints) -> set[int | None]:
    """Return the ids that are never written: <s>, <unk> unless allowed, and what is banned."""
    never: set[int | None] = {tokenizer.bos, *banned_ids(tokenizer, terms.ban)}
    if not terms.allow_unk:
        never.add(tokenizer.unk)
    if terms.match and tokenizer.pretokenizer.row.partial:  # a match needs whole characters
        never.update(id for t, id in tokenizer.vocabulary.index.items() if not t.isascii())
    return never


def _banning(filters: Filters, never: set[int | None]) -> Filters:
    """Return the filters that ban these ids: {5, None, 2} -> (2, 5)."""
    return replace(filters, banned=tuple(sorted(id for id in never if id is not None)))


def _logprobs(rows: Array, ids: Array) -> list[float]:
    """Return the log-probability of an id in each row of logits (B, V), summed in float64."""
    out = []
    for row, id in zip(rows, ids.tolist(), strict=True):
        top = row.max()
        total = float(np.exp(row - top).sum(dtype=np.float64))
        out.append(float(row[id]) - float(top) - math.log(total))
    return out
