"""What a run shows: bars and curves, and a panel on a small terminal that is simulated."""

import io
import os
import re
from types import SimpleNamespace

import pytest

from rnncli.cli import terminal as shown
from rnncli.cli.terminal import Live
from rnncli.cli.train_progress import POINTS, Speed, bar, sparkline
from rnncli.training.log import scalars
from rnncli.training.loop import Event


def step(number, nats, progress=0.5):
    """The report of a step."""
    return Event("step", number, 0, progress, nats, tokens=100, norm=2.0, rate=0.01)


def test_bars():
    assert bar(0, 5) == "·····"
    assert bar(0.5, 4) == "██··"
    assert bar(0.5, 5) == "██▌··"
    assert bar(1 / 16, 2) == "▏·"
    assert bar(1, 3) == "███"
    assert all(len(bar(k / 100, 7)) == 7 for k in range(101))


def test_curves():
    assert sparkline([7, 6, 5, 4, 3, 2, 1, 0], 8) == "█▇▆▅▄▃▂▁"
    assert sparkline([0, 2, 5, 9], 2) == "▁█"  # means 1 and 7
    assert sparkline([3, 3, 3], 9) == "▁▁▁"
    assert sparkline([3], 9) == "▁"
    assert sparkline([], 9) == sparkline([1, 2], 0) == sparkline([1, 2], -3) == ""


def test_a_long_run_has_a_curve_of_so_many_points_and_each_is_a_mean():
    speed, nats = Speed(0.0), [float(k % 97) for k in range(5 * POINTS + 3)]
    for number, value in enumerate(nats, 1):
        speed.count(step(number, value))
    assert speed.each == 8
    means = [sum(nats[k : k + 8]) / 8 for k in range(0, len(nats) - 7, 8)]
    assert speed.curve == pytest.approx(means)
    assert len(speed.curve) < POINTS


def test_the_lines_tell_the_best_validation():
    speed = Speed(0.0, best=3.0)
    speed.count(step(1, 5.0))
    assert "valid" not in "".join(speed.lines(step(1, 5.0), 80))
    speed.count(Event("valid", 1, 0, 0.5, 3.5))
    assert speed.lines(step(2, 5.0), 80)[2] == "valid 3.500 at step 1  best 3.000"
    speed.count(Event("valid", 9, 0, 0.5, 2.5))
    assert speed.lines(step(10, 5.0), 80)[2] == "valid 2.500 at step 9  best 2.500"
    (line,) = speed.lines(step(10, 5.0), 0)
    assert re.match(r" 50%  0:0\d left  loss 5\.000  ppl 148\.41  [\d,]+ tokens/s  epoch 1", line)


def test_what_tensorboard_is_told_has_no_text_in_it():
    assert scalars(Event("valid", 9, 0, 0.5, 2.5), 10.0) == {"loss/validation": 2.5}
    assert scalars(Event("epoch", 9, 1, 0.5, 2.5), 10.0) == {"loss/epoch": 2.5}
    assert scalars(step(3, 5.0), 10.0) == {
        "loss/training": 5.0, "training/learning_rate": 0.01, "training/gradient_norm": 2.0,
        "training/tokens_per_second": 10.0,
    }  # fmt: skip


class Terminal(io.StringIO):
    """A terminal that wraps, scrolls, and knows what the panel needs."""

    def __init__(self, columns, rows):
        super().__init__()
        self.columns, self.height = columns, rows
        self.screen, self.y, self.x = [""], 0, 0
        self.colours = 0

    def isatty(self):
        return True

    def fileno(self):
        return 2

    def write(self, text):
        for mark in re.findall(r"\x1b\[[\d;]*[A-Za-z]|.", text, re.DOTALL):
            if mark == "\r":
                self.x = 0
            elif mark == "\n":
                self._down()
                self.x = 0
            elif mark.endswith("A") and len(mark) > 1:
                self.y = max(self.top, self.y - int(mark[2:-1]))
            elif mark == "\x1b[J":
                self.screen = self.screen[: self.y + 1]
                self.screen[self.y] = self.screen[self.y][: self.x]
            elif mark.startswith("\x1b"):
                assert mark.endswith("m"), mark
                self.colours += 1
            else:
                if self.x == self.columns:
                    self._down()
                    self.x = 0
                line = self.screen[self.y].ljust(self.x)
                self.screen[self.y] = line[: self.x] + mark + line[self.x + 1 :]
                self.x += 1
        return len(text)

    @property
    def top(self):
        return max(0, len(self.screen) - self.height)

    def _down(self):
        self.y += 1
        if self.y == len(self.screen):
            self.screen.append("")

    def narrow(self, columns):
        """A window that becomes narrower: long lines are broken, the cursor stays in its text."""
        pieces = []
        for y, line in enumerate(self.screen):
            parts = [line[k : k + columns] for k in range(0, len(line), columns)] or [""]
            if y == self.y:
                self.y, self.x = len(pieces) + len(parts) - 1, len(parts[-1])
            pieces += parts
        self.screen, self.columns = pieces, columns


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns and 10 rows as standard error."""
    screen = Terminal(60, 10)
    monkeypatch.setattr(shown, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(
        os, "get_terminal_size",
        lambda fd: SimpleNamespace(columns=screen.columns, lines=screen.height),
    )  # fmt: skip
    return screen


def test_a_panel_is_drawn_over_in_place_and_what_stays_scrolls_above_it(terminal):
    live = Live()
    live.show("first", "second")
    live.show("one", "two", "three")
    assert terminal.screen == ["one", "two", "three"]
    live.keep("an event")
    live.keep("a line\nand another")
    live.show("four", "five")
    assert terminal.screen == ["an event", "a line", "and another", "four", "five"]
    for number in range(20):
        live.keep(str(number))
    assert terminal.screen[-3:] == ["19", "four", "five"]
    live.clear()
    live.keep("done")
    kept = ["an event", "a line", "and another", *map(str, range(20)), "done"]
    assert [line for line in terminal.screen if line] == kept


def test_lines_are_cut_to_the_window_and_rows_to_its_height(terminal):
    live = Live()
    live.show(*["x" * 200] * 30)
    assert terminal.screen == ["x" * 57] * 9
    assert live.columns == 57
    live.clear()
    assert terminal.screen == [""]


@pytest.mark.parametrize("columns", [59, 41, 30, 20])
def test_a_window_may_become_narrower(terminal, columns):
    live = Live()
    live.keep("an event")
    live.show("x" * 200, "short", "", "y" * 200)
    terminal.narrow(columns)
    live.show("x" * 200, "y" * 200)
    kept = "".join(terminal.screen[:-2])
    assert kept == "an event"
    assert terminal.screen[-2:] == ["x" * (columns - 3), "y" * (columns - 3)]


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_bars_are_coloured_unless_that_is_not_wanted(terminal, monkeypatch, no_colour):
    monkeypatch.setenv("NO_COLOR", no_colour)
    Live().show("loss 3 ▂▁")
    assert terminal.screen == ["loss 3 ▂▁"]
    assert terminal.colours == (0 if no_colour else 2)


def test_a_terminal_that_can_do_nothing_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    live = Live()
    live.show("loss 3 ▂▁")
    live.show("loss 2 ▂▁")
    assert live.columns == 0
    assert terminal.screen == ["loss 3 ▂▁", "loss 2 ▂▁", ""]
    assert terminal.colours == 0


def test_quiet_draws_nothing(terminal):
    live = Live(quiet=True)
    live.show("one")
    live.keep("two")
    live.clear()
    assert terminal.screen == [""]
    assert not live.due()
