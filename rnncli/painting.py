"""Text painted by surprise: for a terminal, and as a page that stands alone.

Takes the tokens of `rnncli.surprisal`; computes nothing, reads and writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from html import escape

from rnncli.errors import escaped
from rnncli.surprisal import Token

LIMITS = (1.0, 2.0, 4.0, 7.0, 11.0)  # bits, between six shades
SHADES = (None, 194, 229, 222, 216, 210)  # of the 256 colours; behind black letters

STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.9 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.1rem } p { white-space: pre-wrap; overflow-wrap: anywhere }
footer { font-size: .85rem; overflow-wrap: anywhere }
.s1, .s2, .s3, .s4, .s5 { color: #111; border-radius: .2em }
.s1 { background: #dcf2d0 } .s2 { background: #fdf6b8 } .s3 { background: #ffdd96 }
.s4 { background: #ffb892 } .s5 { background: #ff8f8f }
.u { text-decoration: underline dotted }
[data-a] { position: relative } [data-a]:focus { outline: 2px solid }
[data-a]:hover::after, [data-a]:focus::after {
  content: attr(data-a); position: absolute; left: 0; top: 100%; z-index: 1; white-space: pre;
  font: .8rem/1.4 ui-monospace, monospace; color: #eee; background: #222; padding: .4em .6em }
"""


def shade(token: Token) -> int:
    """0 for what was expected to 5 for what was not."""
    return 0 if math.isnan(token.nats) else sum(token.bits >= limit for limit in LIMITS)


def ansi(tokens: Iterable[Token]) -> str:
    """A unit for a terminal, in colours; unknown words are underlined, control characters shown."""
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
    """What the colours mean, in one line."""
    steps = [f"under {LIMITS[0]:g}", *(f"from {limit:g}" for limit in LIMITS)]
    shown = [
        name if colour is None else f"\x1b[38;5;16;48;5;{colour}m{name}\x1b[0m"
        for name, colour in zip(steps, SHADES, strict=True)
    ]
    return f"bits a token: {'  '.join(shown)}  \x1b[4munknown\x1b[0m"


def html(tokens: Iterable[Token]) -> str:
    """A unit as a piece of HTML: what a token cost and the best in its place are in `data-a`."""
    out = []
    for token in tokens:
        out.append(escape(escaped(token.space)))
        text = escape(escaped(token.text))
        if math.isnan(token.nats):
            out.append(text)
            continue
        names = " ".join([f"s{shade(token)}", *([] if token.known else ["u"])])
        text = text.replace("\n", "↵\n")
        out.append(
            f'<span class="{names}" tabindex="0" data-a="{escape(_told(token))}">{text}</span>'
        )
    return "".join(out)


def _told(token: Token) -> str:
    """What stands under the pointer."""
    rows = [f"{token.bits:.2f} bits, p = {math.exp(-token.nats):.2g}"]
    rows += [f"{p:7.1%}  {escaped(name).replace(chr(10), '↵')}" for name, p in token.best]
    return "\n".join(rows)


def page(title: str, units: Iterable[Iterable[Token]], footer: Iterable[str]) -> Iterator[str]:
    """A page that needs nothing else, piece by piece; `footer` is read after the text."""
    title = escape(escaped(title))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    yield (
        '<!DOCTYPE html>\n<html lang="und">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
    steps = [f"under {LIMITS[0]:g}", *(f"from {limit:g}" for limit in LIMITS)]
    legend = "  ".join(f'<span class="s{k}">{step}</span>' for k, step in enumerate(steps))
    yield f'<p>bits a token: {legend}  <span class="u">unknown</span></p>\n<main>\n'
    for unit in units:
        yield f"<p>{html(unit)}</p>\n"
    rows = "".join(f"<div>{escape(escaped(row))}</div>\n" for row in footer)
    yield f"</main>\n<footer>\n{rows}</footer>\n</body>\n</html>\n"
