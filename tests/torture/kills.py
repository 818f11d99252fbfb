"""Processes that are killed, or hit a limit on file size, while they save.

    export PYTHONPATH=tests/support
    python tests/torture/kills.py moments 500  kill 500 times at a random moment of a save loop
    python tests/torture/kills.py calls        kill at each call that touches the disk
    python tests/torture/kills.py limits 30    save under 30 limits on the size of files
    python tests/torture kills trains          1,000 moments; and 200 in the midst of a training

Prints what the file was afterwards, as JSON counts. Each save runs in a fork of this process, which
has imported NumPy only once.
"""

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from commands import TINY, good, sentences
from tally import Tally

from rnncli.errors import ArtefactError, RnncliError
from rnncli.files import artefact
from rnncli.training import checkpoint

ELEMENTS = 60_000


def save(path: Path, value: int) -> None:
    artefact.write(path, "model", {"value": value}, {"a": np.full(ELEMENTS, value)})


def state(path: Path) -> str:
    """Which whole file is there, and whether it is alone."""
    back = artefact.read(path)
    value = back.header["value"]
    whole = bool((back.arrays["a"] == value).all())
    return f"{'whole' if whole else 'BROKEN'}, {len(os.listdir(path.parent)) - 1} left over"


def child(work: Callable[[], None]) -> int:
    """Run `work` in a fork; its process id. It ends with 7 for an ArtefactError, 8 for others."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except ArtefactError:
        os._exit(7)
    except BaseException:
        os._exit(8)


def moments(path: Path, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    draw = random.Random(0)

    def loop() -> None:
        while True:
            save(path, 1)
            save(path, 2)

    for _ in range(count):
        pid = child(loop)
        time.sleep(draw.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found[state(path).split(",")[0]] += 1
    save(path, 0)
    found[f"at the end: {state(path)}"] += 1
    return found


def killing(real: Callable[..., object], countdown: Iterator[int]) -> Callable[..., object]:
    """`real`, which kills its process before the call at which the countdown comes to 0."""

    def call(*arguments: object) -> object:
        if next(countdown, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    return call


def calls(path: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    number = 0
    while True:
        number += 1

        def work(fatal: int = number) -> None:
            countdown = iter(range(fatal - 1, -1, -1))
            for name in ("open", "pwrite", "fchmod", "fsync", "replace", "close"):
                setattr(os, name, killing(getattr(os, name), countdown))
            save(path, fatal)

        _, status = os.waitpid(child(work), 0)
        found[state(path)] += 1
        if not os.WIFSIGNALED(status):
            break
    return found


def limits(path: Path, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    size = path.stat().st_size
    for limit in range(0, size + 1, size // (count - 1)):

        def work(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            save(path, 5)

        _, status = os.waitpid(child(work), 0)
        found[f"status {os.waitstatus_to_exitcode(status)}: {state(path)}"] += 1
    return found


def saves(count: int, folder: Path) -> Tally:
    """`moments`, as a row of the table."""
    file = folder / "x.npz"
    save(file, 0)
    found = moments(file, count)
    end = [what for what in found if what.startswith("at the end")]
    tally = Tally(found["whole"] + found["BROKEN"])
    if found["BROKEN"] or end != ["at the end: whole, 0 left over"]:
        tally.failed(str(dict(found)))
    return tally


def trains(count: int, folder: Path) -> Tally:
    """Kill `rnncli train --resume` again and again: each time the file is whole, and at the end
    it has the bytes of a run that was never stopped; so has the log."""
    words = train_words(folder)
    whole = [folder / "whole.npz", folder / "whole.log"]
    good(*words, "-o", whole[0], "--metrics", whole[1])
    draw, tally = random.Random(0), Tally()
    model, log = folder / "m.npz", folder / "log"
    while tally.reached < count:
        pid = child(lambda: good(*words, "-o", model, "--metrics", log, "--resume"))
        time.sleep(draw.uniform(0, 0.25))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:  # this one came to its end before it was killed
            same = [
                a.read_bytes() == b.read_bytes() for a, b in zip((model, log), whole, strict=True)
            ]
            tally.check(all(same), f"another model or log after {tally.reached} kills: {same}")
            litter = {p.name for p in folder.iterdir()} - {
                "t.txt", "d.npz", "whole.npz", "whole.log", "m.npz", "log"}  # fmt: skip
            tally.check(not litter, f"left over: {litter}")
            model.unlink()
            log.unlink()
            continue
        try:
            tally.check(code == -signal.SIGKILL, f"exit code {code}")
            if model.exists():
                checkpoint.resume(model)
        except RnncliError as error:
            tally.failed(str(error))
    return tally


def train_words(folder: Path) -> tuple[Any, ...]:
    """A training of a hundred steps that saves often, on data made for it."""
    (folder / "t.txt").write_text(sentences(60))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz")
    often = ("--valid-every", 7, "--max-steps", 100, "--threads", 1, "--dropout", 0.1)
    return ("train", folder / "d.npz", *TINY, *often)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npz"
        save(file, 0)
        tasks: dict[str, Callable[..., Counter[str]]]
        tasks = {"moments": moments, "calls": calls, "limits": limits}
        print(json.dumps(tasks[sys.argv[1]](file, *map(int, sys.argv[2:]))))
