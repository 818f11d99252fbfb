"""Where text is cut: into units (sentences, documents), and a unit into tokens.

A `Pretokenizer` stands in every data and model file, so that a text is cut the same way for ever;
a change of the patterns is a new version of it. It does not know of vocabularies or ids.
"""

import unicodedata
from dataclasses import dataclass

from rnncli.errors import ConfigError, shown
from rnncli.text.levels import LEVELS, Level
from rnncli.text.sentences import sentences
from rnncli.text.specials import SPECIALS

UNITS = ("document", "sentence", "stream")


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
    def row(self) -> Level:
        """What follows from the level."""
        return LEVELS[self.level]

    @property
    def is_stream(self) -> bool:
        """Whether the text is one running stream, without <s> and </s>."""
        return self.unit == "stream"

    @property
    def specials(self) -> tuple[str, ...]:
        """Special tokens in id order; a stream has no ends to mark."""
        return SPECIALS[:1] if self.is_stream else SPECIALS

    @property
    def signature(self) -> str:
        """Short name for reports, such as `word+lower+nfc:document:v1`."""
        lower = "+lower" if self.lower else ""
        return f"{self.level}{lower}+nfc:{self.unit}:v{self.version}"

    def normal(self, text: str) -> str:
        """Return `text` in Unicode form NFC, and in lower case if `lower`.

        Example: "Cafe\u0301" -> "café", lowered
        """
        return unicodedata.normalize("NFC", text.lower() if self.lower else text)

    def units(self, text: str) -> list[str]:
        """Return the sentences of `text`, or the whole of it; blank ones are left out.

        Example: "Hi.  You? " -> ["Hi.", "You?"] for sentences
        """
        if self.unit != "sentence":
            return [text] if text and not text.isspace() else []
        return [piece for piece in map(str.strip, sentences(text)) if piece]

    def tokens(self, text: str) -> list[str]:
        """Return a unit of text as tokens, before any vocabulary.

        Example: "It isn't" -> ["it", "is", "n't"] for lowered words
        """
        return self.row.cut(text, self.normal)

    def pieces(self, text: str) -> list[tuple[str, str]]:
        """Return for each token of a unit the white space before it, and what stands in the text.

        Example: " It isn't" -> [(" ", "It"), (" ", "is"), ("", "n't")] for words, lowered or not
        """
        return self.row.pieces(text, self.normal)
