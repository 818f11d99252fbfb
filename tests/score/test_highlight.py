"""Painted text: the right shade, and nothing raw."""

import math
import re

import pytest

from rnncli.score.highlight import LIMITS, ansi, ansi_legend, shade
from rnncli.score.surprisal import Token


def token(text: str, bits: float = 0.0, space: str = " ", known: bool = True) -> Token:
    return Token(space, text, known, bits * math.log(2), (("<b>", 0.5), ("\x1b[2J", 0.25)))


EVIL = '<script>alert("1")</script>&\'\x1b[31m\x00\u202e'


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(0, 0), (0.99, 0), (1.01, 1), (2.01, 2), (3.99, 2), (4.01, 3), (7.01, 4), (11.01, 5),
     (math.inf, 5), (math.nan, 0)],
)  # fmt: skip
def test_the_shades_go_by_bits(bits: float, expected: int) -> None:
    assert shade(token("x", bits)) == expected


def plain(painted: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", painted)


def test_a_terminal_gets_the_text_with_colours_only() -> None:
    line = ansi([token("The", space=""), token("cat", 5), token("zzz", 12, known=False)])
    assert plain(line) == "The cat zzz"
    assert line.startswith("The ")  # what was expected is not painted
    assert len(set(re.findall(r"48;5;\d+", line))) == 2
    assert "\x1b[4;" in line
    assert line.count("\x1b[0m") == 2


def test_a_terminal_gets_nothing_raw() -> None:
    line = plain(ansi([token(EVIL, 12), token("\x07", 0), token("a\x9b", 5)]))
    assert "\x1b" not in line
    assert "\x00" not in line
    assert "\x07" not in line
    assert "\x9b" not in line
    assert "\\x1b[31m" in line


def test_a_painted_line_break_breaks_the_line_unpainted() -> None:
    line = ansi([token("a", 0, ""), token("\n", 9, ""), token("b", 0, "")])
    assert plain(line) == "a↵\nb"
    assert line.index("\x1b[0m") < line.index("\n")


def test_the_legend_shows_every_shade_as_it_is_painted() -> None:
    for limit in (0.0, *LIMITS):
        colours = re.findall(r"48;5;\d+", ansi([token("x", limit + 0.01)]))
        assert all(colour in ansi_legend() for colour in colours)


def test_what_is_not_predicted_is_not_painted() -> None:
    assert ansi([token("The", math.nan, "")]) == "The"
