"""What the constraints of a text mean in the ids of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

from rnncli.errors import ConfigError, shown
from rnncli.text.tokenizer import Tokenizer


def banned_ids(tokenizer: Tokenizer, ban: Iterable[str]) -> tuple[int, ...]:
    """Return the ids of the tokens of `ban`; one outside the vocabulary is never written anyway.

    Example: ["the", "zebra"] -> (7,)
    """
    index = tokenizer.vocabulary.index
    found = []
    for string in ban:
        tokens = [string] if string in index else tokenizer.pretokenizer.tokens(string)
        if len(tokens) != 1:
            listed = ", ".join(f'"{shown(token)}"' for token in tokens[:10])
            raise ConfigError(
                f'"{shown(string)}" is {len(tokens)} tokens ({listed}), not one that can be '
                "banned. Ban one of them, or stop before the string."
            )
        found += [index[token] for token in tokens if token in index]
    return tuple(found)


def required_ids(tokenizer: Tokenizer, strings: Iterable[str]) -> list[list[int]]:
    """Return the ids of each string that a text must include.

    Example: ["the mat", "."] -> [[7, 31], [5]]
    """
    found = []
    for string in strings:
        ids = tokenizer.encode(string).tolist()
        if not ids or tokenizer.unk in ids:
            raise ConfigError(
                f'no text can include "{shown(string)}": it is not in the vocabulary.'
            )
        found.append(ids)
    return found
