"""Texts whose true entropy is known, because a program drew them from a known distribution.

`known_entropy.json` has the figures, by a hash of vocabulary and ids: the same text cut another way
is not there. `corpora/make_comments.py --entropy` makes them: -log p of the tokens of a split by
the grammar that drew them, over all its derivations. No model can be expected to do better.
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
