"""Signals that stop a command: as an exception, in a list, or as the end of the process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class Terminated(BaseException):
    """SIGTERM or SIGHUP, as an exception: what is half-written is removed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def watch() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated`, unless whoever started us set them otherwise."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def die(number: int) -> NoReturn:
    """End by the signal itself, so that the shell sees it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


@contextlib.contextmanager
def stops() -> Iterator[list[int]]:
    """Put signals that stop a command into a list; a second one ends the process at once."""
    from rnncli.parallel.processes import SIGNALS

    caught: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    numbers = [n for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield caught
    finally:
        for number, old in before.items():
            signal.signal(number, old)
