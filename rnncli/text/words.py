"""The level `word`: how text is cut into words and signs, and written again as people write it.

Tokens never hold or cross white space: text is cut into chunks between white space, and each chunk
into tokens by itself.
"""

import copy
import re
from collections import deque
from collections.abc import Callable

from rnncli.text.patterns import when_needed
from rnncli.text.specials import ENDS

# Scripts written without spaces: each character is a token.
DENSE = r"\p{Han}\p{Hiragana}\p{scx=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# What a word begins with, and what it is made of; joiners hold Persian and Indic words together.
LETTER = rf"[[\p{{L}}\p{{N}}_]--[{DENSE}]]"
MARK = rf"[[\p{{M}}\u200c\u200d]--[{DENSE}]]"
INNER = rf"[[\p{{L}}\p{{N}}_\p{{M}}\u200c\u200d]--[{DENSE}]]"

_TOKEN = when_needed(
    rf"""
      <unk> | </?s>
    | (?i:https?://|www\.) [!-~--[<>"'`]]* [A-Za-z0-9/_=&\#~-]      # address, ASCII, no last dot
    | (?<!{INNER}) [@\#] {LETTER} {INNER}*                                   # name or tag
    | (?> \d+ (?:[.,:]\d+)* ) (?! {INNER} )                            # 3  1,000.50  12:30
    | (?<= {LETTER} {MARK}* | <unk> ) (?i: n['’]t | ['’](?:s|re|ve|ll|d|m) ) (?! {INNER} )
    | {LETTER} {INNER}*? (?= (?i:n['’]t) (?! {INNER} ) )                           # the do of don't
    | {LETTER} {INNER}*
    | \.+ | -+
    | \X                                                            # sign, emoji, Han: one grapheme
    """,
    verbose=True,
)


def cut(text: str, normal: Callable[[str], str]) -> list[str]:
    """Cut text into words and signs, each chunk between white space in normal form.

    Example: "Don't go!" -> ["do", "n't", "go", "!"], lowered
    """
    find = _TOKEN().findall
    return [token for chunk in text.split() for token in find(normal(chunk))]


def pieces(text: str, normal: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return for each token the white space before it, and what stands in the text.

    Where case or composition change the length of a chunk, its tokens stand for themselves.

    Example: " It isn't" -> [(" ", "It"), (" ", "is"), ("", "n't")]
    """
    found, end = [], 0
    for match in re.finditer(r"\S+", text):
        chunk, tokens = match[0], cut(match[0], normal)
        if len(normal(chunk)) != len(chunk):
            chunk = "".join(tokens)
        space, at = text[end : match.start()], 0
        for token in tokens:
            found.append((space, chunk[at : at + len(token)]))
            space, at = "", at + len(token)
        end = match.end()
    return found


_CLITIC = when_needed(r"(?i)n['’]t|['’](?:s|re|ve|ll|d|m)")
_WORDLIKE = when_needed(rf"[@\#]?{LETTER}|<unk>")
_DENSELIKE = when_needed(rf"[{DENSE}\u3000-\u303f\uff01-\uff65]")
_CLOSER = when_needed(r"[\p{Pe}\p{Pf},.;:!?%…°‰′″]")
_OPENER = when_needed(r"[\p{Ps}\p{Pi}¿¡]")
_MONEY = when_needed(r"\p{Sc}")


class WordDecoder:
    """Puts spaces back the way people write, and never so that tokens would run together.

    A space is left out where custom says so (`_joins`), and only if `tokens`, which cuts a text,
    cuts the joined text into the very same tokens: encode(decode(ids)) is ids for all ids that come
    from text.
    """

    context = 16  # tokens of the current chunk that a cut can depend on

    def __init__(self, token: Callable[[int], str], tokens: Callable[[str], list[str]]) -> None:
        self._token, self._tokens = token, tokens
        self._chunk: deque[str] = deque(maxlen=self.context)  # tokens since the last space
        self._inside: set[str] = set()  # quotation marks that are open
        self._glue = ""  # what the next token must be to follow without a space

    def feed(self, token_id: int) -> str:
        """Return the text of the next token, with a space before it where one belongs."""
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
        """Return what was held back: nothing."""
        return ""

    def fork(self) -> "WordDecoder":
        """Return a copy that goes on independently."""
        other = copy.copy(self)
        other._chunk, other._inside = self._chunk.copy(), self._inside.copy()
        return other

    def _same(self, tokens: list[str]) -> bool:
        """Return whether tokens that are joined are cut into the same tokens again."""
        return self._tokens("".join(tokens)) == tokens

    def _joins(self, token: str) -> bool:
        """Return whether custom writes `token` without a space before it."""
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
        """Return what may follow `token` without a space: "any" token, a "word", or "" nothing."""
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
    """Return whether an apostrophe after `word` belongs to it: o'clock, l'eau."""
    return len(word) == 1 and word.isalpha() and word.lower() not in ("a", "i")
