"""What a token is: the table of levels. A new level is a file like `words` and a row here.

Whatever depends on the level of a tokenizer asks its row (`Pretokenizer.row`), never its name.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from rnncli.errors import ConfigError, shown
from rnncli.text import characters, utf8, words


class Decoder(Protocol):
    """Tokens back to text, one id at a time: all `feed`s and the `flush`, joined, are the text."""

    def feed(self, token_id: int) -> str:
        """Return the text that the next token adds."""
        ...

    def flush(self) -> str:
        """Return the text that was held back; the decoder is then at the beginning of a text."""
        ...

    def fork(self) -> "Decoder":
        """Return a copy that goes on independently."""
        ...


Normal = Callable[[str], str]  # text -> text in lower case (if wanted) and NFC


class Level(NamedTuple):
    """How a level cuts a unit of text into tokens and joins them, and what is usual for it."""

    # Text to tokens.
    cut: Callable[[str, Normal], list[str]]  # text, normal -> tokens
    pieces: Callable[[str, Normal], list[tuple[str, str]]]  # -> (white space, text) of each token
    # If a token is one character: normal text -> the number of each. None: tokens hold no white
    # space, and what lies between white space is cut by itself.
    codes: Callable[[str], NDArray[Any]] | None

    # Tokens to text.
    decoder: Callable[[Callable[[int], str], Callable[[str], list[str]]], Decoder]  # token, tokens
    separator: str  # stands between a prefix and the text that is written after it
    spelled: Callable[[str], str]  # a token as it is shown by itself
    partial: bool  # a token may be a part of a character

    # The vocabulary.
    legal: Callable[[str], bool]  # whether a token (none of the special ones) can come from text
    fault: str  # what is wrong with one that cannot
    alphabet: tuple[str, ...]  # tokens that are in every vocabulary whose size is not given
    vocab_size: int  # of a vocabulary without --vocab-size; 0: no limit

    # Defaults.
    lower: bool  # text is lowered
    length: int  # tokens of a text that is sampled
    excerpt: int  # tokens of a text that is sampled to be glanced at
    preset: str
    long_preset: str  # of a training that is given much time


LEVELS = {
    "word": Level(
        cut=words.cut, pieces=words.pieces, codes=None,
        decoder=words.WordDecoder, separator=" ", spelled=str, partial=False,
        legal=lambda token: token.split() == [token], fault="a word holds white space",
        alphabet=(), vocab_size=8000,
        lower=True, length=200, excerpt=60, preset="words", long_preset="words",
    ),
    "char": Level(
        cut=characters.cut, pieces=characters.pieces, codes=characters.codes,
        decoder=characters.CharDecoder, separator="", spelled=str, partial=False,
        legal=lambda token: len(token) == 1, fault="a token is not one char",
        alphabet=(), vocab_size=0,
        lower=False, length=1000, excerpt=240, preset="characters", long_preset="characters-long",
    ),
    "byte": Level(
        cut=utf8.cut, pieces=utf8.pieces, codes=utf8.codes,
        decoder=utf8.ByteDecoder, separator="", spelled=utf8.spelled, partial=True,
        legal=lambda token: len(token) == 1 and token <= "\xff", fault="a token is not one byte",
        alphabet=utf8.ALPHABET, vocab_size=0,
        lower=False, length=1000, excerpt=240, preset="characters", long_preset="characters-long",
    ),
}  # fmt: skip


def level_of(name: str) -> Level:
    """Return the row of a level; ConfigError for a name that is none."""
    if name not in LEVELS:
        raise ConfigError(f"level {shown(name)!r} is none of {', '.join(LEVELS)}.")
    return LEVELS[name]
