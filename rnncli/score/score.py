"""How well a predictor does on some text: `Score`, and the signature that says what is alike."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any

from rnncli.text.tokenizer import Tokenizer
from rnncli.version import __version__


@dataclass(frozen=True)
class Score:
    """The summed surprise of a model at some text, and what to divide it by."""

    nats: float = 0.0
    tokens: int = 0  # predicted, unknown ones too
    oov: int = 0  # unknown ones among them
    oov_nats: float = 0.0
    chars: int = 0  # of the original text
    bytes: int = 0
    units: int = 0
    ends: int | None = None  # </s> among the predicted tokens; None for a stream, which has none
    ends_expected: float | None = None  # the sum of the probability of </s> in every place

    def __add__(self, other: Score) -> Score:
        return Score(*map(_sum, astuple(self), astuple(other)))

    @property
    def nats_per_token(self) -> float:
        """The mean surprise; nan without a token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def bits_per_token(self) -> float:
        """The same in bits."""
        return self.nats_per_token / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise, <unk> being a token like any other; nan without a token."""
        return _exp(self.nats, self.tokens)

    @property
    def perplexity_excluding_oov(self) -> float:
        """The same over known tokens only: unknown ones leave both the sum and the count."""
        return _exp(self.nats - self.oov_nats, self.tokens - self.oov)

    @property
    def bits_per_char(self) -> float | None:
        """Bits a character of the original text; </s> costs bits and counts as no character.

        The first token of a stream is not predicted, but its characters count.
        """
        return self.nats / math.log(2) / self.chars if self.chars else None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits a byte of the original text in UTF-8."""
        return self.nats / math.log(2) / self.bytes if self.bytes else None

    def perplexity_open(self, unseen: int) -> float:
        """Return the perplexity if `unseen` words share the probability of <unk> alike."""
        return _exp(self.nats + self.oov * math.log(unseen), self.tokens)

    def to_json(self) -> dict[str, float | int | None]:
        """Return all figures by name; None where one is undefined or not finite.

        A stream, or what was scored without them, has no `ends` and no `ends_expected`.
        """
        names: tuple[str, ...] = (
            "nats_per_token", "bits_per_token", "perplexity", "perplexity_excluding_oov",
            "bits_per_char", "bits_per_byte", "tokens", "oov", "chars", "bytes", "units", "nats",
            "ends", "ends_expected",
        )  # fmt: skip
        if self.ends_expected is None:
            names = names[:-2]
        values = {name: getattr(self, name) for name in names}
        return {n: v if v is None or math.isfinite(v) else None for n, v in values.items()}

    def kenlm(self) -> str:
        """Return four lines in the form that KenLM's query prints."""
        return (
            f"Perplexity including OOVs:\t{self.perplexity:g}\n"
            f"Perplexity excluding OOVs:\t{self.perplexity_excluding_oov:g}\n"
            f"OOVs:\t{self.oov}\n"
            f"Tokens:\t{self.tokens}"
        )


def _sum(a: Any, b: Any) -> Any:
    """Add two figures, of which one may be unknown: 2, None -> 2."""
    return b if a is None else a if b is None else a + b


def _exp(nats: float, tokens: int) -> float:
    try:
        return math.exp(nats / tokens) if tokens else math.nan
    except OverflowError:
        return math.inf


def signature(tokenizer: Tokenizer) -> str:
    """Return the settings that a figure depends on, in one line: compare like with like only."""
    vocabulary = f"{len(tokenizer)}:{tokenizer.vocabulary.fingerprint[:8]}"
    return f"ppl|tok:{tokenizer.signature}|vocab:{vocabulary}|rnncli:{__version__}"
