"""The level `char`: each character (code point) of a text is a token."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.text.specials import ENDS

_UTF32 = f"utf-32-{sys.byteorder[0]}e"  # le or be: that of this machine


def cut(text: str, normal: Callable[[str], str]) -> list[str]:
    """Return the characters of a text in normal form."""
    return list(normal(text))


def codes(text: str) -> NDArray[Any]:
    """Return the code point of each character (n,); UnicodeEncodeError for half a surrogate pair.

    Example: "né" -> [110, 233]
    """
    return np.frombuffer(text.encode(_UTF32), np.uint32)


def pieces(text: str, normal: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return for each token ("", the character as it stands in the text).

    Example: "No" -> [("", "N"), ("", "o")], lowered or not
    """
    normalised = normal(text)
    return [("", character) for character in (text if len(normalised) == len(text) else normalised)]


class CharDecoder:
    """Joins characters; it remembers nothing."""

    def __init__(self, token: Callable[[int], str], tokens: Callable[[str], list[str]]) -> None:
        self._token = token

    def feed(self, token_id: int) -> str:
        """Return the text of the next token."""
        token = self._token(token_id)
        return "" if token in ENDS else token

    def flush(self) -> str:
        """Return what was held back: nothing."""
        return ""

    def fork(self) -> "CharDecoder":
        """Return this decoder, which has no state."""
        return self
