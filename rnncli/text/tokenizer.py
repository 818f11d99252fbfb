"""Text to ids and back: the vocabulary, and a tokenizer that joins it to a rule.

A `Vocabulary` says which tokens have an id, a `Tokenizer` encodes and decodes one text at a time.
Both turn into header and arrays of a file, and back; this module reads and writes none, and does
not know of models.
"""

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtefactError, ConfigError, DataError, shown
from rnncli.text import detokenizer
from rnncli.text.pretokenizer import ENDS, SPECIALS, Pretokenizer

_UTF32 = f"utf-32-{sys.byteorder[0]}e"  # le or be: that of this machine
WORD_VOCABULARY = 8000  # tokens, special ones included, when no size is given


class Numbers(dict[str, int]):
    """Token -> number in order of first sight, after those of the special tokens."""

    def __missing__(self, token: str) -> int:
        if token in SPECIALS:
            raise DataError(f'special token "{token}" in the text')
        number = self[token] = len(SPECIALS) + len(self)
        return number


class _Ids(dict[str, int]):
    """Token -> id, and `<unk>` for all others."""

    def __init__(self, index: Mapping[str, int]) -> None:
        super().__init__({token: number for token, number in index.items() if token not in ENDS})

    def __missing__(self, token: str) -> int:
        if token in ENDS:
            raise DataError(f'special token "{token}" in the text. Remove or rename it.')
        return 0


class Coder:
    """Text -> numbers of its tokens as uint32 bytes; each distinct piece is looked up only once."""

    def __init__(self, rule: Pretokenizer, numbers: Mapping[str, int]) -> None:
        self._rule = rule
        self._number = numbers.__getitem__
        self._chunk = _Chunks(self._split).__getitem__
        # Number of a code point; 0 also where it is not known yet. Memory is taken as it is used.
        self._codes: NDArray[np.uint32] = np.zeros(0x110000, np.uint32)

    def _split(self, chunk: str) -> bytes:
        if chunk.isascii() and chunk.isalpha():  # one word: the rule is not needed
            return array("I", [self._number(self._rule.normal(chunk))]).tobytes()
        return array("I", map(self._number, self._rule.tokens(chunk))).tobytes()

    def __call__(self, text: str) -> bytes:
        if self._rule.level == "word":
            return b"".join(map(self._chunk, text.split()))
        text = self._rule.normal(text)
        if self._rule.level == "byte":
            codes: NDArray[Any] = np.frombuffer(text.encode(), np.uint8)
        else:
            codes = np.frombuffer(text.encode(_UTF32), np.uint32)
        numbers = self._codes.take(codes)
        if np.count_nonzero(numbers) < len(numbers):
            for code in np.unique(codes[numbers == 0]).tolist():
                self._codes[code] = self._number(chr(code))
            numbers = self._codes.take(codes)
        return numbers.tobytes()


class _Chunks(dict[str, bytes]):
    """Cache of encoded chunks, emptied when full so that its memory is bounded."""

    entries = 1 << 19
    longest = 64  # characters; longer chunks hardly come twice

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._encode = encode

    def __missing__(self, chunk: str) -> bytes:
        ids = self._encode(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.entries:
                self.clear()
            self[chunk] = ids
        return ids


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens that have an id (its position; special ones first) and how often each was seen."""

    tokens: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        rule: Pretokenizer,
        *,
        units: int,
        size: int | None = None,
        min_count: int = 1,
    ) -> "Vocabulary":
        """The most frequent tokens; ties go by the token itself.

        `size` counts the special tokens too; 0 means no limit; None means 8000 for words and no
        limit for characters and bytes, where all 256 bytes are then present.
        """
        if size is None and rule.level == "byte":
            counts = {chr(byte): counts.get(chr(byte), 0) for byte in range(256)}
            min_count = 0
        if size is None:
            size = WORD_VOCABULARY if rule.level == "word" else 0
        room = size - len(rule.specials)
        if size and room < 1:
            raise ConfigError(f"a vocabulary of {size} has no room beside {len(rule.specials)} "
                              "special tokens. Use a larger --vocab-size.")  # fmt: skip
        order = sorted(counts, key=lambda token: (-counts[token], token))
        kept = [t for t in islice(order, room if size else None) if counts[t] >= min_count]
        numbers = [counts[token] for token in kept]
        unknown = sum(counts.values()) - sum(numbers)
        special = [unknown, units, units][: len(rule.specials)]
        return cls((*rule.specials, *kept), np.array(special + numbers, np.int64))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def index(self) -> dict[str, int]:
        """Token -> id."""
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the tokens in order."""
        arrays = self.to_arrays()
        data = arrays["vocab.ends"].astype("<i8").tobytes() + arrays["vocab.text"].tobytes()
        return hashlib.sha256(data).hexdigest()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Members for a file: the tokens' UTF-8 end to end, where each ends, and the counts."""
        encoded = [token.encode() for token in self.tokens]
        return {
            "vocab.text": np.frombuffer(b"".join(encoded), np.uint8),
            "vocab.ends": np.cumsum([len(token) for token in encoded], dtype=np.int64),
            "vocab.counts": self.counts,
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], rule: Pretokenizer, where: str
    ) -> "Vocabulary":
        """The inverse of `to_arrays`; raises ArtefactError, naming `where`, if it is unsound."""
        for name, dtype in _MEMBERS.items():
            if name not in arrays:
                raise ArtefactError(f"{where}: no array {name}.")
            if arrays[name].dtype != dtype or arrays[name].ndim != 1:
                raise ArtefactError(f"{where}: {name} is not a vector of {np.dtype(dtype)}.")
        text, ends, counts = (arrays[name] for name in _MEMBERS)

        def check(sound: bool, fault: str) -> None:
            if not sound:
                raise ArtefactError(f"{where}: damaged vocabulary: {fault}.")

        starts = np.concatenate([[0], ends[:-1]])
        check(len(ends) > 0 and int(ends[-1]) == len(text), "its text has another length")
        check(bool((starts < ends).all() and ends[0] > 0), "token ends are not ascending")
        check(len(counts) == len(ends) and bool((counts >= 0).all()), "counts do not fit")
        data = text.tobytes()
        try:
            bounds = zip(starts.tolist(), ends.tolist(), strict=True)
            tokens = tuple(data[a:b].decode() for a, b in bounds)
        except UnicodeDecodeError:
            raise ArtefactError(f"{where}: damaged vocabulary: not UTF-8.") from None
        special = len(rule.specials)
        check(tokens[:special] == rule.specials, "special tokens are not in their place")
        check(len(set(tokens)) == len(tokens), "a token is there twice")
        if rule.level == "word":
            check(all(token.split() == [token] for token in tokens), "a word holds white space")
        else:
            top = "\xff" if rule.level == "byte" else "\U0010ffff"
            check(all(len(t) == 1 and t <= top for t in tokens[special:]),
                  f"a token is not one {rule.level}")  # fmt: skip
        return cls(tokens, counts)


_MEMBERS = {"vocab.text": np.uint8, "vocab.ends": np.int64, "vocab.counts": np.int64}


class Tokenizer:
    """A rule and a vocabulary: text to ids and back."""

    def __init__(self, rule: Pretokenizer, vocabulary: Vocabulary) -> None:
        self.pretokenizer = rule
        self.vocabulary = vocabulary
        marked = rule.unit != "stream"
        self.unk: int = 0
        self.bos: int | None = 1 if marked else None
        self.eos: int | None = 2 if marked else None
        self._coder = Coder(rule, _Ids(vocabulary.index))

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
        """A tokenizer whose vocabulary is that of `texts`; words are lowered unless told not to."""
        rule = Pretokenizer(level, unit, level == "word" if lower is None else lower)
        pieces: Counter[str] = Counter()
        units = 0
        for text in texts:
            for part in rule.units(text):
                units += 1
                pieces.update(part.split() if level == "word" else rule.tokens(part))
        counts: Counter[str] = pieces
        if level == "word":
            counts = Counter()
            for chunk, times in pieces.items():
                for token in rule.tokens(chunk):
                    counts[token] += times
        reserved = [token for token in SPECIALS if token in counts]
        if reserved:
            raise DataError(f'special token "{reserved[0]}" in the text. Remove or rename it.')
        if not counts:
            raise DataError("no tokens in the texts.")
        return cls(rule, Vocabulary.from_counts(counts, rule, units=units, size=vocab_size,
                                                min_count=min_count))  # fmt: skip

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of one unit of text, without `<s>` and `</s>`; unknown tokens are `unk`."""
        try:
            return np.frombuffer(self._coder(text), np.uint32)
        except UnicodeEncodeError as error:
            bad = shown(error.object[error.start : error.start + 1])
            raise DataError(f"{bad} in the text is not a Unicode character.") from None

    @property
    def is_stream(self) -> bool:
        """Whether the text is one running stream, without <s> and </s>."""
        return self.bos is None

    def wrap(self, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the ids of a unit between <s> and </s>; those of a stream as they are.

        Example: [7, 9] -> [1, 7, 9, 2].
        """
        if self.bos is None or self.eos is None:
            return ids
        return np.concatenate([[self.bos], ids, [self.eos]]).astype(np.uint32)

    def counted(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which ids (n,) are predicted: all but <s>. Shape (n,)."""
        return np.ones(len(ids), bool) if self.bos is None else np.asarray(ids != self.bos)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; `<s>` and `</s>` are left out, `<unk>` is shown."""
        decoder = self.decoder()
        return "".join([decoder.feed(int(number)) for number in ids]) + decoder.flush()

    def decoder(self) -> detokenizer.Decoder:
        """A decoder for ids that come one at a time."""
        return detokenizer.decoder(self.pretokenizer, self.token)

    def token(self, token_id: int) -> str:
        """The token of an id; raises DataError for an id that has none."""
        if not 0 <= token_id < len(self.vocabulary):
            raise DataError(f"id {token_id} is not in the vocabulary of {len(self.vocabulary)}.")
        return self.vocabulary.tokens[token_id]

    @property
    def signature(self) -> str:
        """The rule's signature."""
        return self.pretokenizer.signature

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of rule and vocabulary: equal if and only if the ids mean the same."""
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
        """What stands under `tokenizer` in the header of a data or model file."""
        rule = self.pretokenizer
        return {"level": rule.level, "unit": rule.unit, "lower": rule.lower,
                "version": rule.version, "size": len(self), "hash": self.fingerprint}  # fmt: skip

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The vocabulary as members `vocab.text`, `vocab.ends`, `vocab.counts`."""
        return self.vocabulary.to_arrays()

    @classmethod
    def from_artefact(
        cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
    ) -> "Tokenizer":
        """The tokenizer of a file: its whole `header` (the part `tokenizer` is used) and arrays.

        Raises ArtefactError, which names the file `where`, if anything does not fit.
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
