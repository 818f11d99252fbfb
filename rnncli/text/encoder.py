"""Text to numbers of its tokens, fast: what came once is looked up, not cut again.

`Numbers` gives each new token the next number; a vocabulary's numbers are its ids. Encoded text is
bytes, four to a number, so that a corpus can go to a file as it comes.
"""

from array import array
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import DataError
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.specials import BOS, EOS, SPECIALS

# A unit of text -> uint32 numbers of its tokens; UnicodeEncodeError for half a surrogate pair.
Encode: TypeAlias = Callable[[str], bytes]


class Numbers(dict[str, int]):
    """Token -> number in order of first sight, after those of the special tokens."""

    def __missing__(self, token: str) -> int:
        if token in SPECIALS:
            raise DataError(f'special token "{token}" in the text')
        number = self[token] = len(SPECIALS) + len(self)
        return number


def encoder(rule: Pretokenizer, numbers: Mapping[str, int]) -> Encode:
    """Return a function from a unit of text to the numbers of its tokens, without <s> and </s>."""
    codes, number = rule.row.codes, numbers.__getitem__
    return ChunkEncoder(rule, number) if codes is None else CodeEncoder(rule, number, codes)


def marks(rule: Pretokenizer) -> tuple[bytes, bytes]:
    """Return <s> and </s> as encoded text, to stand around each unit; nothing for a stream."""
    if rule.is_stream:
        return b"", b""
    before, after = (array("I", [SPECIALS.index(token)]).tobytes() for token in (BOS, EOS))
    return before, after


class ChunkEncoder:
    """Encodes each different chunk between white space once."""

    def __init__(self, rule: Pretokenizer, number: Callable[[str], int]) -> None:
        self._rule, self._number = rule, number
        self._cache = _Chunks(self._cut)
        self._chunk = self._cache.__getitem__

    def _cut(self, chunk: str) -> bytes:
        if chunk.isascii() and chunk.isalpha():  # one word: no pattern is needed
            return array("I", [self._number(self._rule.normal(chunk))]).tobytes()
        chunk.encode()  # raises for half a surrogate pair
        return array("I", map(self._number, self._rule.tokens(chunk))).tobytes()

    def __call__(self, text: str) -> bytes:
        return b"".join(map(self._chunk, text.split()))


class _Chunks(dict[str, bytes]):
    """Cache of encoded chunks, emptied when full so that its memory is bounded."""

    entries = 1 << 19
    longest = 64  # characters; longer chunks hardly come twice

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def __missing__(self, chunk: str) -> bytes:
        ids = self._encode(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.entries:
                self.clear()
            self[chunk] = ids
        return ids


class CodeEncoder:
    """Encodes characters by a table of their codes, a whole text at once."""

    def __init__(
        self, rule: Pretokenizer, number: Callable[[str], int],
        codes: Callable[[str], NDArray[Any]],
    ) -> None:  # fmt: skip
        self._rule, self._number, self._codes = rule, number, codes
        # Number of a code; 0 also where it is not known yet. Memory is taken as it is used.
        self._table: NDArray[np.uint32] = np.zeros(0x110000, np.uint32)

    def __call__(self, text: str) -> bytes:
        codes = self._codes(self._rule.normal(text))
        numbers = self._table.take(codes)
        if np.count_nonzero(numbers) < len(numbers):
            for code in np.unique(codes[numbers == 0]).tolist():
                self._table[code] = self._number(chr(code))
            numbers = self._table.take(codes)
        return numbers.tobytes()
