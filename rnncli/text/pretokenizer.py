"""Where text is cut: into units (sentences, documents), and a unit into tokens.

A `Pretokenizer` stands in every data and model file, so that a text is cut the same way for ever;
a change of the patterns is a new version of it. It does not know of vocabularies or ids.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from rnncli.errors import ConfigError, shown

LEVELS = ("word", "char", "byte")
UNITS = ("document", "sentence", "stream")
UNK, BOS, EOS = SPECIALS = ("<unk>", "<s>", "</s>")
ENDS = (BOS, EOS)


if TYPE_CHECKING:
    import regex


def when_needed(source: str, verbose: bool = False) -> Callable[[], "regex.Pattern[str]"]:
    """A pattern that is compiled when it is first asked for: characters need none of them."""

    def compiled() -> "regex.Pattern[str]":
        import regex  # takes a tenth of the time of a short command

        return regex.compile(source, regex.VERSION1 | (regex.VERBOSE if verbose else 0))

    return cache(compiled)


# Scripts written without spaces: each character is a token.
DENSE = r"\p{Han}\p{Hiragana}\p{scx=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# What a word begins with, and what it is made of; joiners hold Persian and Indic words together.
LETTER = rf"[[\p{{L}}\p{{N}}_]--[{DENSE}]]"
MARK = rf"[[\p{{M}}\u200c\u200d]--[{DENSE}]]"
INNER = rf"[[\p{{L}}\p{{N}}_\p{{M}}\u200c\u200d]--[{DENSE}]]"

# Applied to chunks between white space, so no token ever holds or crosses white space.
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

# regex counts U+001C..U+001F as no white space, str.split() does; here they agree.
_SPACE = r"[\s\x1c-\x1f]"
_CLOSING = r"[\"'”’»)\]」』）]"
_ABBREVIATION = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|e\.g|i\.e|\p{Lu})"
_SENTENCE_END = when_needed(
    rf"""
      (?<! [.!?…] )                              # at the start of a run of marks
      (?: (?<! {_ABBREVIATION} ) \. (?! [.!?…] ) | (?! \. (?! [.!?…] ) ) [.!?…]++ )
      {_CLOSING}*+ {_SPACE}++ (?! \p{{Ll}} )     # a small letter goes on with the sentence
    | [。！？]++ {_CLOSING}*+ {_SPACE}*+
    | (?> \r\n | [\n\r] ) [ \t]*+ (?> \r\n | [\n\r] ) {_SPACE}*+     # a blank line
    """,
    verbose=True,
)


@dataclass(frozen=True)
class Pretokenizer:
    """How text is cut into units, and a unit into tokens."""

    level: str = "word"
    unit: str = "document"
    lower: bool = True
    version: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (("level", self.level, LEVELS), ("unit", self.unit, UNITS)):
            if value not in allowed:
                raise ConfigError(f"{name} {shown(value)!r} is none of {', '.join(allowed)}.")
        if self.version != 1:
            raise ConfigError(f"this version knows tokenising rule 1, not {self.version}.")

    @property
    def specials(self) -> tuple[str, ...]:
        """Special tokens in id order; a stream has no ends to mark."""
        return SPECIALS[:1] if self.unit == "stream" else SPECIALS

    @property
    def signature(self) -> str:
        """Short name of the rule for reports, such as `word+lower+nfc:document:v1`."""
        lower = "+lower" if self.lower else ""
        return f"{self.level}{lower}+nfc:{self.unit}:v{self.version}"

    def normal(self, text: str) -> str:
        """`text` in lower case (if the rule says so) and in Unicode form NFC."""
        return unicodedata.normalize("NFC", text.lower() if self.lower else text)

    def units(self, text: str) -> list[str]:
        """The sentences of `text`, or the whole of it; blank ones are left out."""
        if self.unit != "sentence":
            return [text] if text and not text.isspace() else []
        return [piece for piece in map(str.strip, sentences(text)) if piece]

    def tokens(self, text: str) -> list[str]:
        """`text` as tokens, before any vocabulary; a byte is the character of that number."""
        if self.level == "char":
            return list(self.normal(text))
        if self.level == "byte":
            return list(self.normal(text).encode().decode("latin-1"))
        find = _TOKEN().findall
        return [token for chunk in text.split() for token in find(self.normal(chunk))]


def sentences(text: str) -> list[str]:
    """`text` cut after each sentence; white space stays, so the pieces join to `text`.

    Example: "Hi. You?" -> ["Hi. ", "You?"]
    """
    cuts = [0, *(match.end() for match in _SENTENCE_END().finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]
