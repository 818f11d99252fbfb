"""Which tokens have an id.

A `Vocabulary` turns into arrays of a file, and back; it reads and writes none.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtefactError, ConfigError
from rnncli.text.pretokenizer import Pretokenizer

_MEMBERS = {"vocab.text": np.uint8, "vocab.ends": np.int64, "vocab.counts": np.int64}


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
        """Return the most frequent tokens; ties go by the token itself.

        `size` counts the special tokens too; 0 means no limit; None means 8000 for words and no
        limit for characters and bytes, where all 256 bytes are then present. `units` is the count
        of <s> and </s>.

        Example: counts {"b": 2, "a": 2, "c": 1}, size 5 -> <unk> <s> </s> a b
        """
        if size is None:
            size, alphabet = rule.row.vocab_size, rule.row.alphabet
            if alphabet:
                counts, min_count = {token: counts.get(token, 0) for token in alphabet}, 0
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
        """Return members for a file: the tokens' UTF-8 end to end, where each ends, the counts.

        Example: tokens "a", "né" -> text b"an\xc3\xa9", ends [1, 4]
        """
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
        """Undo `to_arrays`; ArtefactError, naming `where`, for arrays that are no vocabulary."""
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
        check(all(map(rule.row.legal, tokens[special:])), rule.row.fault)
        return cls(tokens, counts)
