"""Ranks that end too soon: one raises or is killed at a random step of a run that saves at each.

    PYTHONPATH=tests/support python tests/torture/mpi_torture.py 100       do so 100 times

Prints, as JSON, how often the file was whole afterwards, what each fault said and the exit code,
and the longest time from the fault to the end of the job.
"""

import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from commands import TINY, ended, good, sentences
from mpi_ranks import start

from rnncli import cli
from rnncli.errors import RnncliError
from rnncli.training import checkpoint
from rnncli.training.step import Stepper

SAID = {  # what the user sees of each fault
    "error": "rnncli: the machine is on fire.",
    "bug": "ValueError: nobody thought of this",
    "memory": "rnncli: out of memory.",
    "kill": "",
}
LAST = 30  # the step after which the run would be complete


def fail(kind):
    if kind == "error":
        raise RnncliError("the machine is on fire.")
    if kind == "bug":
        raise ValueError("nobody thought of this")
    if kind == "memory":
        raise MemoryError
    os.kill(os.getpid(), signal.SIGKILL)


def victim(data, model, kind, rank, step):
    """`rnncli train`, saving at every step, in which a rank does not live to see a step's end."""
    vars(importlib.import_module("rnncli.cli.train_watch"))["SAVE_EVERY"] = 0
    gradient = Stepper.gradient

    def failing(self, work, carried, scale, seed):
        if self.comm.rank == rank and seed[1] == step:
            Path(model).with_suffix(".fault").touch()
            fail(kind)
        return gradient(self, work, carried, scale, seed)

    Stepper.gradient = failing
    words = ("train", data, "-o", model, *TINY, "--max-steps", LAST, "--overwrite")
    sys.argv = ["rnncli", *map(str, words)]
    cli.run()


def torture(data, model, ranks, kind, rank, step):
    """How a run ended, and how many seconds after the fault."""
    done = ended(start(ranks, __file__, "victim", data, model, kind, rank, step), timeout=120)
    return done, time.time() - model.with_suffix(".fault").stat().st_mtime


def main(count):
    found, longest, draw = Counter(), 0.0, random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        data, model = Path(folder) / "d.npz", Path(folder) / "m.npz"
        (Path(folder) / "t.txt").write_text(sentences(60))
        good("tokenize", Path(folder) / "t.txt", "-o", data, "--split", "0.8,0.2")
        for number in range(count):
            ranks, kind = draw.choice([2, 2, 3]), list(SAID)[number % len(SAID)]
            step = draw.randrange(2, LAST)
            done, seconds = torture(data, model, ranks, kind, draw.randrange(ranks), step)
            kept = checkpoint.resume(model)[1].step  # raises if the file is not whole
            told = "told" if SAID[kind] in done.err else "NOT TOLD"
            where = "whole" if step - 1 <= kept <= step else f"AT STEP {kept} OF {step}"
            found[f"{kind}: {told}, code {done.code}, {where}"] += 1
            longest = max(longest, seconds)
    print(json.dumps({**found, "longest seconds": round(longest, 2)}))


if __name__ == "__main__":
    if sys.argv[1] == "victim":
        victim(*sys.argv[2:5], *map(int, sys.argv[5:]))
    else:
        main(int(sys.argv[1]))
