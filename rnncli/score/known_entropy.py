"""Texts whose true entropy is known, because a program drew them from a known distribution.

`known_entropy.json` has it for splits of such data files, by what they hold: the same text, cut
another way or under another vocabulary, is not there and gets no figure. The figures are those of
`corpora/make_comments.py --entropy`: -log p of the very tokens of the split by the grammar that
drew them, summed over all its derivations. No model can be expected to do better.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from numpy.typing import NDArray

from rnncli.text.tokenizer import Tokenizer

BLOCK = 1 << 20


def fingerprint(tokenizer: Tokenizer, ids: NDArray[Any]) -> str:
    """Return a SHA-256 (hex) that tells this text under this vocabulary from any other."""
    digest = hashlib.sha256(tokenizer.fingerprint.encode())
    for start in range(0, len(ids), BLOCK):
        digest.update(ids[start : start + BLOCK].astype("<u4").tobytes())
    return digest.hexdigest()


@cache
def _known() -> dict[str, float]:
    text = resources.files(__package__).joinpath("known_entropy.json").read_text("utf-8")
    return dict(json.loads(text))


def known_entropy(tokenizer: Tokenizer, ids: NDArray[Any]) -> float | None:
    """Return the nats a token of a split's true distribution, </s> counted; None if unknown."""
    return _known().get(fingerprint(tokenizer, ids))
