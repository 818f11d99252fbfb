"""Text to ids and back: a pre-tokenizer joined to a vocabulary.

A `Tokenizer` encodes and decodes one unit of text at a time. It turns into the header and arrays of
a file, and back; it reads and writes none, and does not know of models.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtefactError, ConfigError, DataError, shown
from rnncli.text.encoder import Encode, Numbers, encoder, marks
from rnncli.text.levels import Decoder, level_of
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.specials import BOS, ENDS, EOS, SPECIALS
from rnncli.text.vocabulary import Vocabulary


class _Ids(dict[str, int]):
    """Token -> id, and that of `<unk>` for all others; <s> and </s> are no text."""

    def __init__(self, index: Mapping[str, int]) -> None:
        super().__init__({token: number for token, number in index.items() if token not in ENDS})

    def __missing__(self, token: str) -> int:
        if token in ENDS:
            raise DataError(f'special token "{token}" in the text')
        return 0


class Tokenizer:
    """Turns text into ids and back, by a pre-tokenizer and a vocabulary."""

    def __init__(self, rule: Pretokenizer, vocabulary: Vocabulary) -> None:
        self.pretokenizer = rule
        self.vocabulary = vocabulary
        self.unk: int = 0
        self.bos: int | None = None if rule.is_stream else SPECIALS.index(BOS)
        self.eos: int | None = None if rule.is_stream else SPECIALS.index(EOS)
        self._encode = encoder(rule, _Ids(vocabulary.index))
        self._marks = [np.frombuffer(mark, np.uint32) for mark in marks(rule)]

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        level: str = "word",
        vocab_size: int | None = None,
        *,
        min_count: int = 1,
        unit: str = "document",
        lower: bool | None = None,
    ) -> "Tokenizer":
        """Return a tokenizer with the vocabulary of `texts`; see `Vocabulary.from_counts`.

        With `lower` None words are lowered, characters and bytes are not.
        """
        rule = Pretokenizer(level, unit, level_of(level).lower if lower is None else lower)
        numbers, seen, units = Numbers(), Counter[int](), 0
        encode = encoder(rule, numbers)
        for text in texts:
            for part in rule.units(text):
                units += 1
                seen.update(_encoded(encode, part).tolist())
        if not seen:
            raise DataError("no tokens in the texts.")
        counts = {token: seen[number] for token, number in numbers.items()}
        return cls(rule, Vocabulary.from_counts(counts, rule, units=units, size=vocab_size,
                                                min_count=min_count))  # fmt: skip

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Return the ids of one unit of text, without <s> and </s>; unknown tokens are `unk`.

        Example: "the cat" -> [3, 0], if "cat" is not in the vocabulary
        """
        return _encoded(self._encode, text)

    @property
    def is_stream(self) -> bool:
        """Whether the text is one running stream, without <s> and </s>."""
        return self.pretokenizer.is_stream

    def wrap(self, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the ids of a unit between <s> and </s>; those of a stream as they are.

        Example: [7, 9] -> [1, 7, 9, 2]
        """
        before, after = self._marks
        return np.concatenate([before, ids, after]).astype(np.uint32, copy=False)

    def counted(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which ids (n,) are predicted: all but <s>. Shape (n,).

        Example: [1, 7, 9, 2] -> [False, True, True, True]
        """
        return np.ones(len(ids), bool) if self.bos is None else np.asarray(ids != self.bos)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; <s> and </s> are left out, <unk> is shown."""
        decoder = self.decoder()
        return "".join([decoder.feed(int(number)) for number in ids]) + decoder.flush()

    def decoder(self) -> Decoder:
        """Return a decoder for ids that come one at a time."""
        return self.pretokenizer.row.decoder(self.token, self.pretokenizer.tokens)

    def token(self, token_id: int) -> str:
        """Return the token of an id; DataError for an id that has none."""
        if not 0 <= token_id < len(self.vocabulary):
            raise DataError(f"id {token_id} is not in the vocabulary of {len(self.vocabulary)}.")
        return self.vocabulary.tokens[token_id]

    @property
    def signature(self) -> str:
        """The signature of the pre-tokenizer."""
        return self.pretokenizer.signature

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of signature and vocabulary: equal if and only if ids mean the same."""
        return hashlib.sha256(
            f"{self.signature} {self.vocabulary.fingerprint}".encode()
        ).hexdigest()

    def require(self, other: "Tokenizer", where: str) -> None:
        """Raise DataError, naming the file `where`, unless its ids mean the same as these."""
        if other.fingerprint != self.fingerprint:
            raise DataError(
                f"{where}: its vocabulary ({other.fingerprint[:12]}) is not the model's "
                f"({self.fingerprint[:12]}). Tokenize with --vocab MODEL."
            )

    def to_header(self) -> dict[str, Any]:
        """Return what stands under `tokenizer` in the header of a data or model file."""
        rule = self.pretokenizer
        return {"level": rule.level, "unit": rule.unit, "lower": rule.lower,
                "version": rule.version, "size": len(self), "hash": self.fingerprint}  # fmt: skip

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the vocabulary as members `vocab.text`, `vocab.ends`, `vocab.counts`."""
        return self.vocabulary.to_arrays()

    @classmethod
    def from_artefact(
        cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
    ) -> "Tokenizer":
        """Return the tokenizer of a file, from its whole `header` and its arrays.

        ArtefactError, which names the file `where`, if anything does not fit.
        """
        part = header.get("tokenizer")
        if not isinstance(part, dict):
            raise ArtefactError(f"{where}: the header has no tokenizer.")
        for name, kind in (("level", str), ("unit", str), ("lower", bool), ("version", int)):
            if type(part.get(name)) is not kind:
                raise ArtefactError(f"{where}: tokenizer {name} is missing or no {kind.__name__}.")
        try:
            rule = Pretokenizer(part["level"], part["unit"], part["lower"], part["version"])
        except ConfigError as error:
            raise ArtefactError(f"{where}: {error}") from None
        tokenizer = cls(rule, Vocabulary.from_arrays(arrays, rule, where))
        if part.get("size") != len(tokenizer) or part.get("hash") != tokenizer.fingerprint:
            raise ArtefactError(f"{where}: header and vocabulary do not belong together.")
        return tokenizer


def _encoded(encode: Encode, text: str) -> NDArray[np.uint32]:
    """Return the numbers of the tokens of a unit; DataError for text that cannot be encoded."""
    try:
        return np.frombuffer(encode(text), np.uint32)
    except UnicodeEncodeError as error:
        bad = shown(error.object[error.start : error.start + 1])
        raise DataError(f"{bad} in the text is not a Unicode character.") from None
    except DataError as error:
        raise DataError(f"{error}. Remove or rename it.") from None
