"""A census of damaged files: each is a changed copy of a good one, and each has to be refused.

    python tests/torture damage     200,000 of them

Knows bytes and a loader; the loader says by `Refused` that it saw the damage.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tally import Tally

from rnncli.errors import ArtefactError
from rnncli.files import artefact

SILENT = "loaded"


def flips(good: bytes) -> Iterator[bytes]:
    for place in range(len(good)):
        for bit in range(8):
            yield good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]


def cuts(good: bytes) -> Iterator[bytes]:
    for place in range(len(good)):
        yield good[:place]
        yield good[len(good) - place :]


def changes(good: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Random splices, insertions, deletions, zero runs, swaps and overwrites."""
    draw = random.Random(seed)
    made = 0
    while made < count:
        a, b = sorted(draw.choices(range(len(good) + 1), k=2))
        c = draw.randrange(len(good))
        few = min(b, a + draw.randrange(1, 9))
        bad = [
            good[:a] + good[c : c + b - a] + good[b:],
            good[:a] + good[c : c + draw.randrange(64)] + good[a:],
            good[:a] + draw.randbytes(draw.randrange(1, 64)) + good[a:],
            good[:a] + good[b:],
            good[:a] + bytes(b - a) + good[b:],
            good[:a] + bytes(few - a) + good[few:],
            good[:a] + draw.randbytes(few - a) + good[few:],
            good[b:] + good[a:b] + good[:a],
            good + good[a:b],
            good[a:b] + good,
        ][draw.randrange(10)]
        if bad != good:
            made += 1
            yield bad


def census(path: Path, damaged: Iterator[bytes], load: Callable[[Path], object]) -> Counter[str]:
    """How often `load` loads a damaged file, and how often it raises what; `path` is overwritten.

    A refusal that is an ArtefactError counts under that name only if it is one line that
    begins with the file.
    """
    found: Counter[str] = Counter()
    with path.open("wb", buffering=0) as file:
        for bad in damaged:
            file.seek(0)
            file.write(bad)
            file.truncate()
            try:
                load(path)
                found[SILENT] += 1
            except ArtefactError as error:
                fine = str(error).startswith(f"{path}: ") and str(error).isprintable()
                found["ArtefactError" if fine else f"bad message: {error!r}"] += 1
            except Exception as error:
                found[type(error).__name__] += 1
    return found


def small_data(path: Path) -> None:
    """A file like that of `tokenize`."""
    ids = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.uint16)
    header = {"words": ["a", "é", "b"]}
    artefact.write(path, "data", header, {"ids": ids, "starts": np.array([0, 5])})


def small_model(path: Path) -> None:
    """A file like that of `train`."""
    weights = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    header = {"cell": "lstm", "step": 7, "loss": 1.25}
    arrays = {"Wx": weights, "best": np.array(0.5), "state": np.zeros((0, 4), np.float32)}
    artefact.write(path, "model", header, arrays)


def torture(count: int, folder: Path) -> Tally:
    """`count` damaged files: each bit of each file, each cut, and random changes."""
    tally, path = Tally(), folder / "x.npz"
    for make in (small_data, small_model):
        make(path)
        whole = path.read_bytes()
        systematic = [*flips(whole), *cuts(whole)]
        if len(systematic) > count // 4:
            systematic = random.Random(0).sample(systematic, count // 4)
        rest = count // 2 - len(systematic)
        found = census(path, itertools.chain(systematic, changes(whole, rest, 1)), artefact.read)
        tally.reached += found.total()
        for what, number in found.items():
            if what != "ArtefactError":
                tally.failed(f"{make.__name__}: {number} x {what}")
    return tally
