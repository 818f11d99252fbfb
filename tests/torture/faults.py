"""Commands whose calls to the system fail, one after another; and limits on the size of files.

    python tests/torture calls limits disk targets

`Faults` makes the k-th call fail, once or from then on; every call is tried. Knows the commands
from the outside: what they exit with, what they say, and what lies in the folder afterwards.
"""

import errno
import io
import mmap
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from commands import TINY, Ended, good, run, sentences
from tally import Tally

from rnncli.errors import ArtefactError
from rnncli.files import artefact

CALLS = (
    "open", "write", "pwrite", "preadv", "fchmod", "fsync", "replace", "listdir", "stat", "fstat",
    "unlink",
)  # fmt: skip
WRITES, READS = {"write", "pwrite"}, {"preadv"}


class Faults:
    """Counts the calls to the system; fails number `number` (from 1), with `lasting` all after."""

    def __init__(self, number: int = 0, code: int = 0, lasting: bool = False) -> None:
        self.count, self.number, self.code, self.lasting = 0, number, code, lasting

    def tick(self, name: object = None) -> bool:
        """Count a call; True if it is to be cut short, which code 0 stands for."""
        self.count += 1
        hit = self.count == self.number or (self.lasting and 0 < self.number < self.count)
        if hit and self.code:
            known = (name,) if isinstance(name, (str, os.PathLike)) else ()
            raise OSError(self.code, os.strerror(self.code), *known)
        return hit

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put the faults between Python and the system."""
        for name in CALLS:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        faults, real = self, mmap.mmap

        class Mapped(real):  # type: ignore[valid-type, misc]
            def __new__(cls, *given: Any, **options: Any) -> Any:
                faults.tick()
                return real.__new__(cls, *given, **options)

        patch.setattr(mmap, "mmap", Mapped)
        for module in (io, __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)):
            if isinstance(module, dict):
                patch.setitem(module, "open", self._open)
            else:
                patch.setattr(module, "open", self._open)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            if self.tick(given[0] if given else None):
                if name in WRITES:
                    given = (given[0], given[1][: max(1, len(given[1]) // 2)], *given[2:])
                elif name in READS:
                    into = given[1][0]
                    given = (given[0], [into[: max(1, len(into) // 2)]], *given[2:])
            return real(*given, **options)

        return call

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None, closefd: bool = True,
        opener: Any = None,
    ) -> Any:  # fmt: skip
        """The built-in `open`, whose reads and writes may fail."""
        self.tick(file)
        raw = _Raw(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        both, reads = "+" in mode, "r" in mode
        kind = io.BufferedRandom if both else io.BufferedReader if reads else io.BufferedWriter
        binary = kind(raw, size)
        if "b" in mode:
            return binary
        return io.TextIOWrapper(binary, encoding or "utf-8", errors, newline)


class _Raw(io.FileIO):
    def __init__(self, faults: Faults, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        super().__init__(file, mode, closefd, opener)
        self._faults = faults

    def readinto(self, buffer: Any) -> int:
        if self._faults.tick():
            buffer = memoryview(buffer)[: max(1, len(buffer) // 2)]
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        self._faults.tick()
        return super().read(size)

    def readall(self) -> bytes:
        self._faults.tick()
        return super().readall()

    def write(self, data: Any) -> int:
        if self._faults.tick():
            data = memoryview(data)[: max(1, len(data) // 2)]
        return super().write(data)


class Case(NamedTuple):
    """A command, the files that it writes, whether they are there before, or hold durations."""

    words: tuple[Any, ...]
    writes: tuple[str, ...] = ()
    replaces: bool = False
    timed: bool = False


def cases(folder: Path) -> dict[str, Case]:
    """One command of each kind, in a folder with what they need."""
    (folder / "t.txt").write_text(sentences(60))
    (folder / "t.csv").write_text("text\n" + sentences(30))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz")
    often = (*TINY, "--max-steps", 3, "--valid-every", 2, "--threads", 1)
    train = ("train", "--overwrite", folder / "d.npz", *often, "-o", folder / "out.npz")
    good("train", folder / "d.npz", *often, "-o", folder / "m.npz")
    (folder / "run.yaml").write_text("cell: gru\n")
    good("convert", folder / "m.npz", folder / "m.safetensors")
    log, short = ("--metrics", folder / "log"), ("--length", 5, "--threads", 1)
    tokenize = ("tokenize", folder / "t.csv", "-o", folder / "out.npz")
    return {
        "tokenize": Case(tokenize, ("out.npz",)),
        "tokenize over a file": Case(tokenize, ("out.npz",), True),
        "train": Case((*train, "--config", folder / "run.yaml"), ("out.npz",)),
        "train over a file, with a log": Case((*train, *log), ("out.npz", "log"), True),
        "sample": Case(("sample", folder / "m.npz", "-n", 2, *short)),
        "eval": Case(("eval", folder / "m.npz", folder / "d.npz", "--threads", 1)),
        "eval of text": Case(("eval", folder / "m.npz", "--text", folder / "t.txt")),
        "tokenize with a vocabulary": Case((*tokenize, "--vocab", folder / "m.npz"), ("out.npz",)),
        "train from a model": Case((*train, "--from", folder / "m.npz"), ("out.npz",)),
        "sample, a pattern": Case(("sample", folder / "m.npz", "--match", "[a-z ]+", *short)),
        "sample, against a text": Case(
            ("sample", folder / "m.npz", "--against", folder / "d.npz", *short)
        ),
        "eval, painted": Case(("eval", folder / "m.npz", "--text", folder / "t.txt", "--color")),
        "eval, baselines": Case(("eval", folder / "m.npz", folder / "d.npz", "--baselines")),
        "inspect": Case(("inspect", folder / "m.npz")),
        "inspect two models": Case(("inspect", folder / "m.npz", folder / "m.npz")),
        "report": Case(
            ("report", folder / "m.npz", "--text", "the cat", "-o", folder / "out.html"),
            ("out.html",), False, True,
        ),
        "convert": Case(
            ("convert", folder / "m.npz", folder / "out.safetensors"), ("out.safetensors",)
        ),
        "convert back": Case(
            ("convert", folder / "m.safetensors", folder / "out.npz"), ("out.npz",)
        ),
    }  # fmt: skip


Files: TypeAlias = dict[str, bytes | None]
OLD = b"what was there before"


def _state(folder: Path, case: Case) -> Files:
    return {n: (folder / n).read_bytes() if (folder / n).exists() else None for n in case.writes}


def _begin(folder: Path, case: Case) -> Files:
    for name in case.writes:
        (folder / name).unlink(missing_ok=True)
        if case.replaces:
            (folder / name).write_bytes(OLD)
    return _state(folder, case)


def _attempt(case: Case, faults: Faults) -> Ended | BaseException:
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch)
        try:
            return run(*case.words)
        except BaseException as error:
            return error


def _kept(folder: Path, before: Files, whole: Files, after: Files) -> bool:
    """Whether each output is the old one, or whole: the last, or what was saved on the way there.

    A log grows by lines: what it holds when the run fails is as it should be.
    """
    return all(
        content in (before.get(name), whole.get(name)) or _whole(folder / name)
        for name, content in after.items()
        if name != "log"
    )


def _same(folder: Path, case: Case, whole: Files, after: Files) -> bool:
    """Whether the outputs are those of a command that met nothing, but for durations in them."""
    return after == whole or (case.timed and all(_whole(folder / name) for name in after))


def _whole(path: Path) -> bool:
    if path.suffix == ".html":
        return path.exists() and path.read_bytes().endswith(b"</html>\n")
    try:
        artefact.read(path)
        return True
    except ArtefactError:
        return False


def calls(count: int, folder: Path) -> Tally:
    """Every call of every command fails, with two errors, once and for good, or is cut short.

    At most about `count` of all that there are, evenly chosen.
    """
    tally, plans = Tally(), []
    found = cases(folder)
    wholes: dict[str, tuple[Files, str]] = {}
    for name, case in found.items():
        _begin(folder, case)
        faults = Faults()
        done = _attempt(case, faults)
        if not isinstance(done, Ended) or done.code:
            tally.failed(f"{name}, without a fault: {done!r}")
            continue
        wholes[name] = _state(folder, case), done.out
        plans += [
            (name, number, code, lasting)
            for number in range(1, faults.count + 1)
            for code in (errno.EIO, errno.ENOSPC, 0)
            for lasting in (False, True)
        ]
    there = {p.name for p in folder.iterdir()}
    stride = max(1, len(plans) // count)
    for name, number, code, lasting in plans[:: stride | 1]:
        case, (whole, out) = found[name], wholes[name]
        before = _begin(folder, case)
        done = _attempt(case, Faults(number, code, lasting))
        after = _state(folder, case)
        where = f"{name}, call {number}, {errno.errorcode.get(code, 'short')}, {lasting=}"
        if isinstance(done, BaseException):
            tally.check(False, f"{where}: {done!r}")
            continue
        fine = done.code in ((0, 1) if code else (0,)) and "Traceback" not in done.err
        if done.code:
            lines = [line for line in done.err.splitlines() if line.startswith("rnncli: ")]
            fine &= len(lines) == 1 and lines[0] == done.err.splitlines()[-1]
            fine &= "standard output" not in done.err  # the fault was not there
            fine &= _kept(folder, before, whole, after)
        else:
            fine &= _same(folder, case, whole, after) and (case.timed or done.out == out)
        litter = {p.name for p in folder.iterdir()} - there
        if litter:  # what could not be removed goes at the next start
            _begin(folder, case)
            good(*case.words)
            litter = {p.name for p in folder.iterdir()} - there
        tally.check(fine and not litter, f"{where}: exit {done.code}, {done.err!r}, {litter}")
    return tally


def limits(count: int, folder: Path) -> Tally:
    """Limits on the size of files, 512 bytes apart: the old file stays, or the new one is whole."""
    tally, found = Tally(), cases(folder)
    chosen = {name: case for name, case in found.items() if case.writes}
    for name, case in chosen.items():
        _begin(folder, case)
        good(*case.words)
        whole = _state(folder, case)
        there = {p.name for p in folder.iterdir()}
        largest = max(len(content or b"") for content in whole.values())
        points = list(range(0, largest + 512, 512))
        for limit in points[:: max(1, len(points) * len(chosen) // count)]:
            before = _begin(folder, case)
            pid = os.fork()
            if not pid:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                done = run(*case.words)
                os._exit(done.code if "Traceback" not in done.err else 99)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            after = _state(folder, case)
            fine = code == 0 and _same(folder, case, whole, after)
            fine |= code == 1 and _kept(folder, before, whole, after)
            litter = {p.name for p in folder.iterdir()} - there
            tally.check(fine and not litter, f"{name}, {limit} bytes: exit {code}, {litter}")
    return tally


def disk(count: int, folder: Path) -> Tally:
    """A disk of ever more pages that is too small, where one may be mounted: nothing is lost."""
    tally, found = Tally(), cases(folder)
    place = folder / "disk"
    place.mkdir()
    for name in ("tokenize over a file", "train over a file, with a log"):
        case = found[name]
        words = [place / w.name if w in (folder / "out.npz", folder / "log") else w
                 for w in case.words]  # fmt: skip
        for pages in range(2, 2 + count // 2):
            mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * pages}k", "tmpfs", str(place)]
            if subprocess.run(mount, capture_output=True, check=False).returncode:
                return tally
            try:
                before = _begin(place, case)
                done = run(*words)
                after = _state(place, case)
                fine = done.code in (0, 1) and _kept(place, before, {"out.npz": b""}, after)
                fine &= bool(done.code) == ("No space left on device" in done.err)
                fine &= {p.name for p in place.iterdir()} <= {"out.npz", "log"}
                tally.check(fine, f"{name}, {pages} pages: exit {done.code}, {done.err!r}")
            finally:
                subprocess.run(["umount", str(place)], check=True)
    return tally


def targets(count: int, folder: Path) -> Tally:
    """Outputs that are links, devices, pipes, folders: nothing is destroyed."""
    tally, found = Tally(), cases(folder)
    words = {
        "tokenize": found["tokenize"].words[:-1],
        "train": found["train"].words[:-3],
        "metrics": (*found["train"].words[:-2], "--metrics"),
    }
    for command, target in [(c, t) for t in TARGETS for c in words][:count]:
        place = folder / "place"
        place.mkdir()
        TARGETS[target](place)
        before = _snapshot(place)
        done = run(*words[command], place / "out.npz")
        after = _snapshot(place)
        if target in ("link", "dangling link", "existing file", "new"):
            real = place / ("real.npz" if "link" in target else "out.npz")
            fine = done.code == 0 and (place / "out.npz").is_symlink() == ("link" in target)
            fine &= real.is_file() and OLD not in real.read_bytes()
            fine &= set(after) <= {"out.npz", "real.npz"}
        else:
            fine = done.code == 1 and before == after
        tally.check(fine, f"{command} to {target}: exit {done.code}, {done.err!r}, {after}")
        place.chmod(0o700)
        shutil.rmtree(place)
        (folder / "out.npz").unlink(missing_ok=True)
    return tally


def _snapshot(place: Path) -> dict[str, Any]:
    def one(path: Path) -> Any:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        return status.st_mode, status.st_rdev, status.st_ino, content

    return {path.name: one(path) for path in place.iterdir()}


def _device(place: Path) -> None:
    if os.geteuid() == 0:
        os.mknod(place / "out.npz", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        (place / "out.npz").symlink_to("/dev/null")


def _link(place: Path) -> None:
    (place / "real.npz").write_bytes(OLD)
    (place / "out.npz").symlink_to("real.npz")


TARGETS: dict[str, Callable[[Path], object]] = {
    "new": lambda place: None,
    "existing file": lambda place: (place / "out.npz").write_bytes(OLD),
    "link": _link,
    "dangling link": lambda place: (place / "out.npz").symlink_to("real.npz"),
    "link to itself": lambda place: (place / "out.npz").symlink_to("out.npz"),
    "device": _device,
    "pipe": lambda place: os.mkfifo(place / "out.npz"),
    "folder": lambda place: (place / "out.npz").mkdir(),
}
