"""Probabilistic grammars with variables: draw a text, score one exactly, and know the entropy.

A rule is a name, parameters and weighted alternatives. An alternative is text with calls:
`<noun t>` expands a table or rule, `<t=topic>` draws from a table, writes the word and binds it
for the rest of that alternative. Nothing is hidden but the choice of alternatives, and the
scorer sums over those. Rules do not call themselves, so every expectation is a finite sum.
Knows nothing of CSV, of English, or of tokens: the splitter is handed in.
"""

import math
import re
from bisect import bisect
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product
from typing import Protocol

Table = dict[str, int]
Key = tuple[str, ...]
Env = dict[str, str]
Splitter = Callable[[str], Sequence[str]]


class Source(Protocol):
    """Anything with `random()`, uniform in [0, 1)."""

    def random(self) -> float: ...


@dataclass(frozen=True)
class Call:
    """`<name arg ...>`, or `<bind=name arg ...>`."""

    name: str
    args: tuple[str, ...] = ()
    bind: str = ""

    def key(self, env: Env) -> Key:
        return (self.name, *(env.get(arg, arg) for arg in self.args))


Body = tuple[str | Call, ...]


@dataclass(frozen=True)
class Rule:
    params: tuple[str, ...]
    weights: tuple[int, ...]
    bodies: tuple[Body, ...]


def read_body(text: str) -> Body:
    """`the <noun t>` -> ("the ", Call("noun", ("t",)))."""
    body: list[str | Call] = []
    for i, piece in enumerate(re.split(r"<([a-z][^<>]*)>", text)):
        if i % 2:
            bind, _, call = piece.rpartition("=")
            name, *args = call.split()
            body.append(Call(name, tuple(args), bind))
        elif piece:
            body.append(piece)
    return tuple(body)


def read_rules(text: str) -> dict[str, Rule]:
    r"""Rules from lines: `[name param ...]`, then `weight text` for each alternative.

    `\n` in a text is a line break, `-` an empty text, and `# ` starts a comment line.
    """
    rules: dict[str, Rule] = {}
    for block in re.split(r"^\[", text, flags=re.M)[1:]:
        head, *lines = block.strip().splitlines()
        name, *params = head.rstrip("]").split()
        options = [line.split(maxsplit=1) for line in lines if line and not line.startswith("# ")]
        bodies = tuple(
            () if body == "-" else read_body(body.replace("\\n", "\n")) for _, body in options
        )
        rules[name] = Rule(tuple(params), tuple(int(weight) for weight, _ in options), bodies)
    return rules


@dataclass
class Grammar:
    """Rules by name, and word tables by key: `<noun t>` with t = chess is ("noun", "chess")."""

    rules: dict[str, Rule]
    tables: dict[Key, Table]
    start: str = "comment"
    _sums: dict[Key, tuple[list[str], list[int]]] = field(default_factory=dict)

    def draw(self, rng: Source) -> str:
        """One text, by `rng.random()` alone."""
        return "".join(self._draw(Call(self.start), {}, rng))

    def _draw(self, call: Call, env: Env, rng: Source) -> Iterator[str]:
        key = call.key(env)
        if key in self.tables:
            if key not in self._sums:
                words = self.tables[key]
                self._sums[key] = list(words), list(accumulate(words.values()))
            names, sums = self._sums[key]
            word = names[bisect(sums, int(rng.random() * sums[-1]))]
            if call.bind:
                env[call.bind] = word
            yield word
            return
        rule = self.rules[call.name]
        sums = list(accumulate(rule.weights))
        body = rule.bodies[bisect(sums, int(rng.random() * sums[-1]))]
        inner = dict(zip(rule.params, key[1:], strict=True))
        for part in body:
            if isinstance(part, Call):
                yield from self._draw(part, inner, rng)
            else:
                yield part


END = "</s>"
Drawn = tuple[tuple[str, float], ...]  # the values that a variable may have, and how likely

# A derivation in progress: what is left of an alternative, its variables, and what it stands in.
Frame = tuple[Body, Env, "Frame | None"]


class Scorer:
    """Exact probabilities of token sequences under a grammar, as seen through a vocabulary.

    `split` cuts text into tokens; a token outside `vocabulary` becomes `unknown`, and the words
    of one table that become `unknown` share one probability, their sum.
    """

    def __init__(
        self, grammar: Grammar, split: Splitter, vocabulary: Container[str], unknown: str = "<unk>"
    ) -> None:
        self.grammar = grammar
        self.split = split
        self.vocabulary = vocabulary
        self.unknown = unknown
        self.words = cache(self._words)
        self.alternatives = cache(self._alternatives)
        self.expected = cache(self._expected)
        self._bodies = {
            name: [
                (weight / sum(rule.weights), self._seen(body))
                for weight, body in zip(rule.weights, rule.bodies, strict=True)
            ]
            for name, rule in grammar.rules.items()
        }

    def tokens(self, text: str) -> Body:
        """The tokens of a piece of text, as they are when it follows a word."""
        glued = text[:1] in ("'", "’")  # "'s" alone would be no ending
        found = self.split("x" + text)[1:] if glued else self.split(text)
        return tuple(token if token in self.vocabulary else self.unknown for token in found)

    def _seen(self, body: Body) -> Body:
        """A body in which every string is one token."""
        return tuple(
            seen
            for part in body
            for seen in ((part,) if isinstance(part, Call) else self.tokens(part))
        )

    def _words(self, key: Key, bound: bool) -> dict[str | Call, list[tuple[float, str, Body]]]:
        """First token -> (probability, word, further tokens) for the words of a table.

        Words that look alike are one, unless they are `bound` and so may return.
        """
        table = self.grammar.tables[key]
        total = sum(table.values())
        merged: dict[tuple[str, Body], float] = {}
        for word, weight in table.items():
            seen = (word if bound else "", self.tokens(word))
            merged[seen] = merged.get(seen, 0.0) + weight / total
        found: dict[str | Call, list[tuple[float, str, Body]]] = {}
        for (word, tokens), p in merged.items():
            found.setdefault(tokens[0], []).append((p, word, tokens[1:]))
        return found

    def _alternatives(self, key: Key) -> list[tuple[float, Body, set[str | Call] | None]]:
        """A rule's alternatives: probability, body, possible first tokens (None: may be empty)."""
        env = dict(zip(self.grammar.rules[key[0]].params, key[1:], strict=True))
        return [(p, body, self._first(body, env)) for p, body in self._bodies[key[0]]]

    def _first(self, body: Body, env: Env) -> set[str | Call] | None:
        found: set[str | Call] = set()
        for part in body:
            if isinstance(part, str):
                return found | {part}
            key = part.key(env)
            if key in self.grammar.tables:
                return found | set(self.words(key, bool(part.bind)))
            heads = [head for _, _, head in self.alternatives(key)]
            found.update(*(head for head in heads if head is not None))
            if None not in heads:
                return found
        return None

    def score(self, tokens: Sequence[str]) -> tuple[list[float], int]:
        """-ln p of each token given those before it, and in how many ways the text can be derived.

        The last token is `END`. Raises ValueError where the grammar cannot go on.
        """
        start: Frame = ((Call(self.grammar.start), END), {}, None)
        states = [(1.0, start)]
        nats = []
        for i, token in enumerate(tokens):
            states = [after for p, frame in states for after in self._step(p, frame, token)]
            total = sum(p for p, _ in states)
            if not states:
                before = " ".join(tokens[max(0, i - 8) : i])
                raise ValueError(f"token {i}: {token!r} cannot follow {before!r}")
            nats.append(-math.log(total))
            states = [(p / total, frame) for p, frame in states]
        return nats, len(states)

    def _step(self, p: float, frame: Frame | None, token: str) -> Iterator[tuple[float, Frame]]:
        """Every way in which `token` can be next."""
        while frame is not None and not frame[0]:
            frame = frame[2]
        if frame is None:
            return
        (part, *rest), env, parent = frame
        left = tuple(rest)
        if isinstance(part, str):
            if part == token:
                yield p, (left, env, parent)
            return
        key = part.key(env)
        if key in self.grammar.tables:
            for q, word, further in self.words(key, bool(part.bind)).get(token, ()):
                after = {**env, part.bind: word} if part.bind else env
                yield p * q, (further, {}, (left, after, parent))
            return
        inner = dict(zip(self.grammar.rules[part.name].params, key[1:], strict=True))
        for q, body, heads in self.alternatives(key):
            if heads is None or token in heads:
                yield from self._step(p * q, (body, inner, (left, env, parent)), token)

    def _expected(
        self, name: str, args: tuple[Drawn, ...] = (), bound: bool = False
    ) -> tuple[float, float]:
        """(nats, tokens) that a table or rule adds to a text on average, by adding up the grammar.

        An argument is a distribution: variables are drawn independently, so that only a table
        need look at their values. This looks at no text, so it checks `score`: they agree when
        every text has one derivation.
        """
        nats = length = 0.0
        if name not in self.grammar.rules:
            for values in product(*args):
                q = math.prod(weight for _, weight in values)
                words = self.words((name, *(value for value, _ in values)), bound)
                for p, _, further in (word for found in words.values() for word in found):
                    nats -= q * p * math.log(p)
                    length += q * p * (1 + len(further))
            return nats, length
        for p, body in self._bodies[name]:
            nats -= p * math.log(p)
            env = dict(zip(self.grammar.rules[name].params, args, strict=True))
            for part in body:
                if isinstance(part, str):
                    length += p
                    continue
                given = tuple(env.get(arg, ((arg, 1.0),)) for arg in part.args)
                more = self.expected(part.name, given, bool(part.bind))
                nats += p * more[0]
                length += p * more[1]
                if part.bind:
                    words = self.words(part.key({}), True)
                    env[part.bind] = tuple(
                        (word, q) for found in words.values() for q, word, _ in found
                    )
        return nats, length
