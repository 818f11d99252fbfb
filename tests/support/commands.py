"""For tests of the command line: commands run in this process, or as a process of their own."""

import functools
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from rnncli import cli

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


@functools.cache
def _outputs(kind):
    """Two streams, used again and again: click keeps every stream that it has written to."""
    return [kind(io.BytesIO(), "utf-8") for _ in range(2)]


def run(*words, text=""):
    """`rnncli words...` in this process: much faster than in one of its own."""
    outputs = _outputs(io.TextIOWrapper)
    streams = [io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"), *outputs]
    for stream in outputs:
        stream.seek(0)
        stream.truncate()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rnncli", *map(str, words)])
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        try:
            with pytest.raises(SystemExit) as stop:
                cli.run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    for stream in outputs:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode() for stream in outputs)
    return Ended(stop.value.code, out, err)


def good(*words, text=""):
    """The same for a command that has to succeed."""
    ended = run(*words, text=text)
    assert ended.code == 0, ended.err
    return ended


def refused(*words, text=""):
    """The one line that a command says which has to fail; nothing is printed, and no traceback."""
    ended = run(*words, text=text)
    assert ended.code == 1, (ended.code, ended.err)
    assert ended.out == ""
    line = ended.err.splitlines()[-1]
    assert line.startswith("rnncli: ")
    assert "Traceback" not in ended.err
    return line


def process(*words, **options):
    """`python -m rnncli words...` as a process of its own, with the default signals."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-m", "rnncli", *map(str, words)]
    return subprocess.Popen(command, env=environment, restore_signals=True, **options)


def ended(started, timeout=60):
    """What a process left."""
    out, err = started.communicate(timeout=timeout)
    return Ended(started.returncode, (out or b"").decode(), (err or b"").decode())


def sentences(count, seed=0):
    """Little sentences with words in common, as lines of text."""
    rng = random.Random(seed)
    who, what = ["the cat", "a dog", "the old man", "my aunt"], ["sees", "likes", "eats", "hears"]
    where = ["in the garden", "at home", "by the river", "", "on a Monday"]
    lines = (f"{rng.choice(who)} {rng.choice(what)} {rng.choice(who)} {rng.choice(where)}" for _ in
             range(count))  # fmt: skip
    return "\n".join(line.strip() + "." for line in lines) + "\n"


TINY = ("--hidden", 8, "--batch", 4, "--bptt", 8)


def wait_for(true):
    """Until something has happened in another process."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")
