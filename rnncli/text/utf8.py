"""The level `byte`: each byte of a text in UTF-8 is a token, the character of its number.

Example: "é" is the bytes C3 A9, so its tokens are "Ã" (U+00C3) and "©" (U+00A9).
"""

import codecs
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.text.specials import SPECIALS, UNK

ALPHABET = tuple(map(chr, range(256)))


def cut(text: str, normal: Callable[[str], str]) -> list[str]:
    """Return the bytes of a text in normal form, each as the character of its number."""
    return list(normal(text).encode().decode("latin-1"))


def codes(text: str) -> NDArray[Any]:
    """Return the bytes of a text (n,); UnicodeEncodeError for half a surrogate pair.

    Example: "né" -> [110, 195, 169]
    """
    return np.frombuffer(text.encode(), np.uint8)


def spelled(token: str) -> str:
    r"""Return a token as it is shown: a byte that is no ASCII character as \xNN.

    Example: "Ã" -> r"\xc3"; "a" -> "a"
    """
    return token if len(token) != 1 or token.isascii() else f"\\x{ord(token):02x}"


def pieces(text: str, normal: Callable[[str], str]) -> list[tuple[str, str]]:
    r"""Return for each token ("", the byte as it is shown).

    Example: "né" -> [("", "n"), ("", r"\xc3"), ("", r"\xa9")]
    """
    return [("", spelled(token)) for token in cut(text, normal)]


class ByteDecoder:
    """Holds the bytes of a character back until it is whole; broken ones become U+FFFD."""

    def __init__(self, token: Callable[[int], str], tokens: Callable[[str], list[str]]) -> None:
        self._token = token
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        """Return the characters that the next byte completes."""
        token = self._token(token_id)
        if token in SPECIALS:
            return self.flush() + (UNK if token == UNK else "")
        return self._utf8.decode(token.encode("latin-1"))

    def flush(self) -> str:
        """Return U+FFFD if bytes of an unfinished character were held back, and forget them."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest

    def fork(self) -> "ByteDecoder":
        """Return a copy that goes on independently."""
        other = copy.copy(self)
        other._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        other._utf8.setstate(self._utf8.getstate())
        return other
