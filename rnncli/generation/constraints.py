"""What a text is held to, whatever the model would rather write: length, end, words, pattern.

These are settings as a user gives them; `rnncli.generation.sampling` keeps a text to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnncli.errors import ConfigError, shown
from rnncli.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Constraints:
    """The terms on which texts are written.

    With `match`, the whole of a text is held to a pattern (the space that joins a word to the
    prefix is not counted): a token that cannot lead to a match is drawn anew, and the text ends
    where it matches and the model would leave the pattern; of bytes, only ASCII is then written. A
    text that has no match after `length` tokens, or is without one of the strings of
    `must_include`, is drawn anew as a whole. Where only `must_include` binds a text, it has the
    model's own distribution, given that it includes them.
    """

    length: int = 200  # tokens at most
    min_length: int = 0  # tokens before which </s> does not come
    stop_at_end: bool = True  # a text ends at </s>, else it never comes
    allow_unk: bool = False
    ban: Sequence[str] = ()  # tokens that are never written
    stop: Sequence[str] = ()  # a text ends before the first of these strings, which is cut off
    stop_regex: str = ""  # and before the first match of this pattern
    match: str = ""
    must_include: Sequence[str] = ()
    tries: int = 1000  # how often a text is drawn until it is as it must be

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.min_length <= self.length:
            raise ConfigError(f"length must be 1 or more and min_length at most that, not "
                              f"{self.length} and {self.min_length}.")  # fmt: skip
        if self.tries < 1:
            raise ConfigError(f"tries must be 1 or more, not {self.tries}.")
        for name in ("ban", "stop", "must_include"):
            strings = getattr(self, name)
            if isinstance(strings, str) or "" in strings:
                raise ConfigError(f"{name} must be a list of strings, none of them empty.")

    def banned(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Return the ids of `ban`; a token outside the vocabulary is never written anyway."""
        index = tokenizer.vocabulary.index
        found = []
        for string in self.ban:
            tokens = [string] if string in index else tokenizer.pretokenizer.tokens(string)
            if len(tokens) != 1:
                raise ConfigError(
                    f'"{shown(string)}" is {len(tokens)} tokens, not one that can be banned. '
                    "Ban one of them, or stop before the string."
                )
            found += [index[token] for token in tokens if token in index]
        return tuple(found)

    def wanted(self, tokenizer: Tokenizer) -> list[list[int]]:
        """Return the ids of each string of `must_include`."""
        found = []
        for string in self.must_include:
            ids = tokenizer.encode(string).tolist()
            if not ids or tokenizer.unk in ids:
                raise ConfigError(
                    f'no text can include "{shown(string)}": it is not in the vocabulary.'
                )
            found.append(ids)
        return found
