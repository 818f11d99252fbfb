"""Tokens back to text, one at a time: characters, bytes, and words with the spaces people write.

Knows the rule that cut the text, and a function from id to token; no vocabulary, no model.
"""

import codecs
import copy
from collections import deque
from collections.abc import Callable
from typing import Protocol

from rnncli.text.pretokenizer import DENSE, ENDS, LETTER, SPECIALS, UNK, Pretokenizer, when_needed


class Decoder(Protocol):
    """Text from ids as they come: the `feed`s and the `flush` joined are the whole text."""

    def feed(self, token_id: int) -> str: ...
    def flush(self) -> str: ...
    def fork(self) -> "Decoder":
        """Return a copy of this decoder that can go on independently."""
        ...


def decoder(rule: Pretokenizer, token: Callable[[int], str]) -> Decoder:
    """A decoder for text that `rule` cut; `token` gives the token of an id."""
    if rule.level == "word":
        return _WordDecoder(rule, token)
    return _ByteDecoder(token) if rule.level == "byte" else _CharDecoder(token)


class _CharDecoder:
    def __init__(self, token: Callable[[int], str]) -> None:
        self._token = token

    def feed(self, token_id: int) -> str:
        token = self._token(token_id)
        return "" if token in ENDS else token

    def flush(self) -> str:
        return ""

    def fork(self) -> "_CharDecoder":
        return self  # it remembers nothing


class _ByteDecoder:
    """Holds the bytes of a character back until it is whole; broken ones become U+FFFD."""

    def __init__(self, token: Callable[[int], str]) -> None:
        self._token = token
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        token = self._token(token_id)
        if token in SPECIALS:
            return self.flush() + (UNK if token == UNK else "")
        return self._utf8.decode(token.encode("latin-1"))

    def flush(self) -> str:
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest

    def fork(self) -> "_ByteDecoder":
        other = _ByteDecoder(self._token)
        other._utf8.setstate(self._utf8.getstate())
        return other


_CLITIC = when_needed(r"(?i)n['’]t|['’](?:s|re|ve|ll|d|m)")
_WORDLIKE = when_needed(rf"[@\#]?{LETTER}|<unk>")
_DENSELIKE = when_needed(rf"[{DENSE}\u3000-\u303f\uff01-\uff65]")
_CLOSER = when_needed(r"[\p{Pe}\p{Pf},.;:!?%…°‰′″]")
_OPENER = when_needed(r"[\p{Ps}\p{Pi}¿¡]")
_MONEY = when_needed(r"\p{Sc}")


class _WordDecoder:
    """Puts spaces back the way people write, and never so that tokens would run together.

    A space is left out where custom says so (`joins`), and only if the rule cuts the joined text
    into the very same tokens: encode(decode(ids)) is ids for all ids that come from text.
    """

    context = 16  # tokens of the current chunk that a cut can depend on

    def __init__(self, rule: Pretokenizer, token: Callable[[int], str]) -> None:
        self._rule, self._token = rule, token
        self._chunk: deque[str] = deque(maxlen=self.context)  # tokens since the last space
        self._inside: set[str] = set()  # quotation marks that are open
        self._glue = ""  # what the next token must be to follow without a space

    def feed(self, token_id: int) -> str:
        token = self._token(token_id)
        if token in ENDS:
            return ""
        first = not self._chunk
        joined = not first and self._joins(token) and self._same([*self._chunk, token])
        self._glue = self._glue_after(token, joined)
        if not joined:
            self._chunk.clear()
        self._chunk.append(token)
        return token if joined or first else " " + token

    def flush(self) -> str:
        return ""

    def fork(self) -> "_WordDecoder":
        other = copy.copy(self)
        other._chunk, other._inside = self._chunk.copy(), self._inside.copy()
        return other

    def _same(self, tokens: list[str]) -> bool:
        return self._rule.tokens("".join(tokens)) == tokens

    def _joins(self, token: str) -> bool:
        """Whether custom writes `token` without a space before it."""
        last = self._chunk[-1]
        if self._glue == "any" or (self._glue == "word" and _WORDLIKE().match(token)):
            return True
        if token in ('"', "'", "`"):
            return token in self._inside or (token == "'" and _elided(last))
        if _CLITIC().fullmatch(token):
            return True
        if _DENSELIKE().match(last) and _DENSELIKE().match(token):
            return True
        if token in ("-", "/"):
            return bool(_WORDLIKE().match(last))
        return bool(_CLOSER().match(token)) or (token == last and not _WORDLIKE().match(token))

    def _glue_after(self, token: str, joined: bool) -> str:
        if token in ('"', "'", "`"):
            if token == "'" and joined and token not in self._inside:
                return "word"  # o'clock
            self._inside ^= {token}
            return "any" if token in self._inside else ""
        if token == "’" and joined and self._chunk and _elided(self._chunk[-1]):
            return "word"
        if _OPENER().match(token):
            return "any"
        if (token in ("-", "/") and joined) or (_MONEY().match(token) and not joined):
            return "word"
        return ""


def _elided(word: str) -> bool:
    """Whether an apostrophe after `word` belongs to it: o'clock, l'eau."""
    return len(word) == 1 and word.isalpha() and word.lower() not in ("a", "i")
