"""Painted text: the right shade, nothing raw, and a page that stands alone."""

import math
import re
from html.parser import HTMLParser

import pytest

from rnncli.painting import LIMITS, ansi, ansi_legend, html, page, shade
from rnncli.surprisal import Token


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


class Reader(HTMLParser):
    """The text of a page and the attributes of its spans; every tag must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.spans: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag == "span" and "data-a" in dict(attrs):
            self.spans.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["span"], ["p"], ["div"], ["h1"]):
            self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def test_a_page_is_whole_and_stands_alone() -> None:
    units = [[token("The", space=""), token("cat", 5)], [token("zzz", 12, known=False)]]
    text = "".join(page(f"m & {EVIL}", units, ["2 < 3", EVIL]))
    reader = read(text)
    assert text.startswith("<!DOCTYPE html>")
    assert "The cat" in reader.text
    assert "2 < 3" in reader.text
    assert reader.tags == {
        "html", "head", "meta", "title", "style", "body", "h1", "p", "main", "span", "footer", "div"
    }  # fmt: skip
    assert not re.search(r"https?:|url\(|@import|src=|href=", text)
    assert "default-src 'none'" in text


def test_every_token_tells_under_the_pointer_and_at_the_keyboard_what_it_cost() -> None:
    reader = read(html([token("cat", 5), token("zzz", 12, known=False)]))
    assert [span["tabindex"] for span in reader.spans] == ["0", "0"]
    assert [span["class"] for span in reader.spans] == ["s3", "s5 u"]
    assert reader.spans[0]["data-a"] == ("5.00 bits, p = 0.031\n  50.0%  <b>\n  25.0%  \\x1b[2J")
    style = "".join(page("", [], []))
    assert "[data-a]:hover::after" in style
    assert "[data-a]:focus::after" in style


def test_a_page_holds_nothing_raw() -> None:
    text = html([token(EVIL, 12), token('" onfocus="x', 5)])
    reader = read(text)
    assert reader.tags == {"span"}
    assert all(set(span) == {"class", "tabindex", "data-a"} for span in reader.spans)
    assert "<script>alert" in reader.text
    assert not set(text) & set("\x00\x1b\u202e")


def test_what_is_not_predicted_is_not_painted() -> None:
    assert html([token("The", math.nan, "")]) == "The"
    assert ansi([token("The", math.nan, "")]) == "The"
