"""What a disk can hold after a power cut: a log of file operations, and the disks it allows.

The model is the harshest that POSIX allows: a write is safe after an fsync of its file, a new name
after an fsync of its folder; of the rest any part may be there.
"""

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tally import Tally

from rnncli.files import artefact


class Op(NamedTuple):
    """One operation on the disk: create, write, fsync, rename, unlink or fsync folder."""

    what: str
    file: int  # number of the file, which outlives its name
    name: str = ""  # where it is created, removed or renamed to
    old: str = ""
    offset: int = 0
    data: bytes = b""


FOLDER = -1


class Recorder:
    """Logs what the program does to files through `os` while it does it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log: list[Op] = []
        self.open: dict[int, int] = {}
        self.names: dict[str, int] = {}
        self.real = {name: getattr(os, name) for name in ("open", "pwrite", "fsync", "replace")}
        self.real["unlink"] = os.unlink
        for name in self.real:
            patch.setattr(os, name, getattr(self, f"on_{name}"))

    def on_open(self, path: str, flags: int, *more: Any) -> int:
        descriptor: int = self.real["open"](path, flags, *more)
        if flags & os.O_CREAT:
            file = len(self.log)
            self.log.append(Op("create", file, str(path)))
            self.open[descriptor] = self.names[str(path)] = file
        return descriptor

    def on_pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        done: int = self.real["pwrite"](descriptor, data, offset)
        written = bytes(data[:done])
        self.log.append(Op("write", self.open[descriptor], offset=offset, data=written))
        return done

    def on_fsync(self, descriptor: int) -> None:
        self.real["fsync"](descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.log.append(Op("fsync folder", FOLDER))
        else:
            self.log.append(Op("fsync", self.open[descriptor]))

    def on_replace(self, old: str, new: str) -> None:
        self.real["replace"](old, new)
        self.log.append(Op("rename", self.names[str(old)], str(new), str(old)))

    def on_unlink(self, path: str) -> None:
        self.real["unlink"](path)
        self.log.append(Op("unlink", FOLDER, str(path)))


def disks(
    log: list[Op], old: dict[str, bytes], tries: int
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """After each prefix of the log, `tries` disks that a power cut can leave: length, contents."""
    draw = random.Random(0)
    for length in range(len(log) + 1):
        done = log[:length]
        for luck in [0.0, 1.0, *(draw.random() for _ in range(tries - 2))]:
            kept = [
                op
                for place, op in enumerate(done)
                if _safe(op, done[place:]) or draw.random() < luck
            ]
            yield length, _replay(kept, old)


def _safe(op: Op, later: list[Op]) -> bool:
    if op.what == "write":
        return any(next_.what == "fsync" and next_.file == op.file for next_ in later)
    return any(next_.what == "fsync folder" for next_ in later)


def _replay(log: list[Op], old: dict[str, bytes]) -> dict[str, bytes]:
    contents: dict[int, bytearray] = {}
    names: dict[str, int | bytes] = dict(old)
    for op in log:
        if op.what == "create":
            names[op.name] = op.file
        elif op.what == "write":
            data = contents.setdefault(op.file, bytearray())
            data.extend(bytes(max(0, op.offset + len(op.data) - len(data))))
            data[op.offset : op.offset + len(op.data)] = op.data
        elif op.what == "rename":
            names.pop(op.old, None)
            names[op.name] = op.file
        elif op.what == "unlink":
            names.pop(op.name, None)
    return {
        name: file if isinstance(file, bytes) else bytes(contents.get(file, b""))
        for name, file in names.items()
    }


def cut_power(
    path: Path, old: bytes, new: bytes, operations: list[Op], tries: int = 40
) -> tuple[int, int, int]:
    """Disks tried, disks with a broken file, disks without the new file after the save returned."""
    tried = broken = lost = 0
    for length, disk in disks(operations, {str(path): old}, tries):
        tried += 1
        there = disk.get(str(path))
        broken += there not in (old, new)
        lost += length == len(operations) and there != new
    return tried, broken, lost


def torture(count: int, folder: Path) -> Tally:
    """`count` disks; and without the fsync or the rename there have to be broken ones."""
    path = folder / "x.npz"
    artefact.write(path, "model", {}, {"a": np.zeros(300)})
    old = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        artefact.write(path, "model", {}, {"a": np.ones(300)})
    log, new = recorder.log, path.read_bytes()
    tried, broken, lost = cut_power(path, old, new, log, max(3, -(-count // (len(log) + 1))))
    tally = Tally(tried)
    if broken or lost:
        tally.failed(f"{broken} broken, {lost} lost")
    plain = [op for op in log if op.what == "write"]
    for name, less in {
        "the fsync": [op for op in log if op.what != "fsync"],
        "the rename": [Op("create", plain[0].file, str(path)), *plain],
    }.items():
        if not cut_power(path, old, new, less)[1]:
            tally.failed(f"without {name} nothing was broken: this test sees nothing")
    return tally
