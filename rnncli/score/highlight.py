"""Text painted by surprise, for a terminal.

It paints the tokens of `rnncli.score.surprisal`, and computes, reads and writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rnncli.errors import escaped
from rnncli.score.surprisal import Token

LIMITS = (1.0, 2.0, 4.0, 7.0, 11.0)  # bits, between six shades
SHADES = (None, 194, 229, 222, 216, 210)  # of the 256 colours; behind black letters


def shade(token: Token) -> int:
    """Return 0 for what was expected to 5 for what was not: 3 bits -> 2."""
    return 0 if math.isnan(token.nats) else sum(token.bits >= limit for limit in LIMITS)


def ansi(tokens: Iterable[Token]) -> str:
    """Paint a unit for a terminal; unknown words are underlined, control characters shown."""
    out = []
    for token in tokens:
        colour = SHADES[shade(token)]
        codes = [] if token.known else ["4"]
        codes += [] if colour is None else ["38;5;16", f"48;5;{colour}"]
        text = escaped(token.text)
        if codes:  # a painted line break would colour the rest of the line
            end = "\n" * text.endswith("\n")
            text = f"\x1b[{';'.join(codes)}m{text.replace(chr(10), '↵')}\x1b[0m{end}"
        out.append(escaped(token.space) + text)
    return "".join(out)


def ansi_legend() -> str:
    """Return what the colours mean, in one line."""
    steps = [f"under {LIMITS[0]:g}", *(f"from {limit:g}" for limit in LIMITS)]
    shown = [
        name if colour is None else f"\x1b[38;5;16;48;5;{colour}m{name}\x1b[0m"
        for name, colour in zip(steps, SHADES, strict=True)
    ]
    return f"bits a token: {'  '.join(shown)}  \x1b[4munknown\x1b[0m"
